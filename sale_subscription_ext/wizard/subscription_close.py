from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date

from ..const import CONTRACT_STATES


class SubscriptionClose(models.TransientModel):
    """Asks when, why and how subscriptions end."""

    _name = 'subscription.close'
    _inherit = ['subscription.dialog.mixin']
    _description = "Close Subscriptions"

    close_when = fields.Selection(
        selection=[('now', "Today"), ('period_end', "At the end of the period"), ('date', "On a date")],
        string="When",
        required=True,
        default='now',
    )
    close_on = fields.Date(string="Last Day")
    close_reason_id = fields.Many2one(
        comodel_name='subscription.close.reason', string="Reason", required=True,
        domain=[('is_automatic', '=', False)])
    close_note = fields.Text(string="Details")
    unbilled = fields.Selection(
        selection=[('bill', "Bill it"), ('leave_out', "Leave it out")],
        string="What Isn't Billed Yet",
        required=True,
        default='bill',
        help="What was served until the end and isn't on an invoice: missed periods, and periods billed at their end.",
    )
    money = fields.Selection(
        selection=[
            ('keep', "Keep it"),
            ('credit', "Credit it"),
            ('refund', "Refund it"),
        ],
        string="What Is Invoiced Beyond the End",
        required=True,
        default='keep',
        help="Credit: a credit note for the days which aren't served. Refund: what was paid for them goes back the way"
            " it came, too, where the payment provider can do that. Where the plan leaves drafts, the credit note is"
            " one as well: nothing goes back before somebody has checked and confirmed it.",
    )
    has_unbilled = fields.Boolean(compute='_compute_has_rest')
    has_paid_rest = fields.Boolean(compute='_compute_has_rest')
    early_warning = fields.Text(compute='_compute_early_warning')
    override_reason = fields.Text(
        string="Why Earlier", help="Why the contract may end before the customer agreed to.")

    # === COMPUTE METHODS === #

    @api.depends('order_ids', 'close_when', 'close_on')
    def _compute_has_rest(self):
        for wizard in self:
            served = wizard._get_orders().order_line._get_served_lines()
            lasts = {order: wizard._get_last_day(order) for order in wizard._get_orders()}
            wizard.has_unbilled = any(
                day and day <= lasts[line.order_id] for line in served for day in [line.next_period_start])
            wizard.has_paid_rest = any(
                day and day > lasts[line.order_id] + timedelta(days=1) and day > line.start_date
                for line in served for day in [line.next_period_start])

    @api.depends('order_ids', 'close_when', 'close_on')
    def _compute_early_warning(self):
        for wizard in self:
            early = [
                self.env._("%(name)s: %(day)s", name=order.name,
                           day=format_date(self.env, order._get_customer_close_date()))
                for order in wizard._get_orders()
                if order.subscription_state in CONTRACT_STATES and wizard._is_early(order)
            ]
            wizard.early_warning = self.env._(
                "By term, commitment or period of notice, the earliest end is later. %(list)s.",
                list=', '.join(early)) if early else False

    @api.depends('order_ids', 'close_when', 'close_on', 'money')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return 'close'

    def _get_action_name(self):
        """Override to name what is done."""
        return self.env._("closed")

    def _get_states(self):
        """Override to close what was begun and hasn't ended."""
        return CONTRACT_STATES

    def _get_missing_choice(self):
        """Override to ask for a day."""
        if self.close_when == 'date' and not self.close_on:
            return self.env._("Choose the last day on which the subscriptions are served.")
        return super()._get_missing_choice()

    def _check_choices(self):
        """Override to ask for a reason to close earlier than the customer agreed to."""
        if self.early_warning and not (self.override_reason or '').strip():
            raise UserError(self.env._(
                "%(warning)s To close earlier, say why in the field Why Earlier.", warning=self.early_warning))
        return super()._check_choices()

    def _check_order(self, order):
        """Override to leave alone what can't end on that day."""
        day = self._get_last_day(order)
        if day < order._subscription_today():
            raise UserError(self.env._("%(name)s can't be closed in the past. Choose today or a later day.",
                                       name=order.name))
        if day > order._subscription_today():
            order._check_close_date(day)

    def _apply_to(self, order):
        """Override to close it, or to announce its end, with the given reason."""
        if self._is_early(order):
            order._message_log(body=self.env._(
                "Closed earlier than the customer agreed to: %(reason)s", reason=self.override_reason))
        order._plan_closing(
            self.close_reason_id, self.close_note or '', self._get_last_day(order), self.money,
            self.unbilled == 'bill')

    def _get_preview_of(self, order):
        """Override to say what closing does."""
        return order._get_close_preview(self._get_last_day(order), self.money)

    # === TOOLING === #

    def _is_early(self, order):
        """Return whether a subscription would end before the customer may leave.

        :param sale.order order: one of the subscriptions
        :rtype: bool
        """
        return order._subscription_today() <= self._get_last_day(order) < order._get_customer_close_date()

    def _get_last_day(self, order):
        """Return the last day on which a subscription is served, by the choices of the dialog.

        :param sale.order order: one of the subscriptions
        :rtype: datetime.date
        """
        self.ensure_one()
        if self.close_when == 'period_end':
            return order._get_current_period_end()
        return (self.close_when == 'date' and self.close_on) or order._subscription_today()
