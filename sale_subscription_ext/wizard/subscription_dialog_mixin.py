from collections import defaultdict

from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import BULK_SIZE_AT_ONCE
from ..models.subscription_invoicing_mixin import SubscriptionParked

# How many subscriptions a dialog tells one by one what happens to them.
PREVIEW_SIZE = 20

# How many names of subscriptions it lists for each reason to leave some out.
NAMES_SIZE = 5


class SubscriptionDialogMixin(models.AbstractModel):
    """A dialog about one or more subscriptions, which says what will happen before it does.

    Of several, those to which it can't be done are left out with their reason, and a report says what became of each.
    """

    _name = 'subscription.dialog.mixin'
    _description = "Subscription Dialog"

    order_ids = fields.Many2many(comodel_name='sale.order', string="Subscriptions", required=True)
    order_count = fields.Integer(compute='_compute_order_count')
    preview = fields.Html(compute='_compute_preview', sanitize=False)

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_order_count(self):
        for dialog in self:
            dialog.order_count = len(dialog.order_ids)

    def _compute_preview(self):
        """Say for each subscription what will happen; addons extend `_get_preview_of` and `_check_order`."""
        for dialog in self:
            dialog.preview = self.env['ir.qweb']._render(
                'sale_subscription_ext.subscription_dialog_preview', dialog._prepare_preview())

    # === ACTION METHODS === #

    def action_apply(self):
        """Do it: to one subscription at once, to several with a report, in the background where they are many.

        :return: an action which closes the dialog, or shows what was made
        :rtype: dict
        :raise UserError: when the choices are incomplete, or it can't be done to the only subscription
        """
        self.ensure_one()
        self.order_ids.check_access('write')
        self._check_choices()
        if len(self.order_ids) > 1:
            return self.env['subscription.bulk.action']._start(self)
        self.order_ids._check_states(self._get_action_name(), self._get_states())
        try:
            self._check_order(self.order_ids)
            made = self._apply_to(self.order_ids)
        except SubscriptionParked as error:
            raise UserError(str(error)) from error  # the web client knows the host's exceptions only
        return made._get_records_action() if made else {'type': 'ir.actions.act_window_close'}

    # === HOOKS === #

    def _get_bulk_type(self):
        """Return what is done, as one of the values of `subscription.bulk.action.action_type`; each dialog says it.

        :rtype: str
        """
        raise NotImplementedError

    def _get_action_name(self):
        """Return what is done, translated: “closed”; each dialog says it.

        :rtype: str
        """
        raise NotImplementedError

    def _get_states(self):
        """Return the states in which it can be done; each dialog says it.

        :rtype: tuple[str]
        """
        raise NotImplementedError

    def _get_missing_choice(self):
        """Return what is to be chosen before anything can be said of a subscription; nothing by default.

        :return: a sentence which says what to choose
        :rtype: str|bool
        """
        return False

    def _check_choices(self):
        """Refuse choices which are incomplete, whatever the subscriptions.

        :raise UserError: saying what to choose
        """
        if message := self._get_missing_choice():
            raise UserError(message)

    def _check_order(self, order):
        """Refuse a subscription to which it can't be done by the choices; nothing is written. The state was checked,
        by default that is enough.

        :param sale.order order: one of the subscriptions, in one of the states
        :raise UserError: saying why
        """

    def _apply_to(self, order):
        """Do it to a subscription which was checked; each dialog does it.

        :param sale.order order: one of the subscriptions
        :return: the quotation which was made, if one was
        :rtype: sale.order|None
        """
        raise NotImplementedError

    def _get_preview_of(self, order):
        """Return what will happen to a subscription; each dialog says it.

        :param sale.order order: one of the subscriptions
        :rtype: str
        """
        raise NotImplementedError

    def _prepare_choices(self):
        """Prepare the choices of the dialog, to be kept and to make the same dialog of.

        :rtype: dict
        """
        self.ensure_one()
        choices = {}
        for name, field in self._fields.items():
            if not field.store or field.type in ('one2many', 'many2many') or name in models.MAGIC_COLUMNS:
                continue
            value = field.convert_to_write(self[name], self)
            choices[name] = fields.Date.to_string(value) if field.type == 'date' and value else value
        return choices

    # === TOOLING === #

    def _get_orders(self):
        """Return the subscriptions as they are stored, also while the dialog isn't saved.

        :rtype: sale.order
        """
        return self.order_ids._origin

    def _get_skip_reason(self, order):
        """Return why a subscription is left out.

        :param sale.order order: one of the subscriptions
        :rtype: str|None
        """
        if order.subscription_state not in self._get_states():
            labels = dict(order._fields['subscription_state']._description_selection(self.env))
            state = labels.get(order.subscription_state) or self.env._("no subscription")
            return self.env._(
                "in status “%(state)s” it can't be %(action)s", state=state, action=self._get_action_name())
        try:
            self._check_order(order)
        except UserError as error:
            return order._get_text_below_name(str(error))
        return None

    def _prepare_preview(self):
        """Prepare what the dialog says before it is done.

        :return: values for the template
        :rtype: dict
        """
        self.ensure_one()
        if missing := self._get_missing_choice():
            return {'missing': missing, 'count': len(self._get_orders())}
        ready, by_reason = self.env['sale.order'], defaultdict(self.env['sale.order'].browse)
        for order in self._get_orders():
            if reason := self._get_skip_reason(order):
                by_reason[reason] |= order
            else:
                ready |= order
        return {
            'count': len(self._get_orders()),
            'ready_count': len(ready),
            'rows': [
                (order.name, order.partner_id.display_name, self._get_preview_of(order))
                for order in ready[:PREVIEW_SIZE]
            ],
            'is_background': len(self._get_orders()) > BULK_SIZE_AT_ONCE,
            'rest_count': max(len(ready) - PREVIEW_SIZE, 0),
            'left_out': [
                (', '.join(orders[:NAMES_SIZE].mapped('name')), max(len(orders) - NAMES_SIZE, 0), reason)
                for reason, orders in by_reason.items()
            ],
        }
