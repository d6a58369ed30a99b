from markupsafe import Markup

from odoo import api, fields, models

# How many subscriptions a dialog tells one by one what happens to them.
PREVIEW_SIZE = 20


class SubscriptionDialogMixin(models.AbstractModel):
    """A dialog about one or more subscriptions, which says what will happen before it does."""

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
        """Say for each subscription what will happen; addons extend `_get_preview_of`."""
        for dialog in self:
            items = Markup('').join(
                Markup('<li><strong>{}</strong> {}: {}</li>').format(
                    order.name, order.partner_id.display_name, dialog._get_preview_of(order))
                for order in dialog._get_orders()[:PREVIEW_SIZE]
            )
            if (rest := len(dialog.order_ids) - PREVIEW_SIZE) > 0:
                items += Markup('<li>{}</li>').format(self.env._("… and %(count)s more", count=rest))
            dialog.preview = Markup('<ul class="mb-0 ps-3">{}</ul>').format(items)

    # === TOOLING === #

    def _get_orders(self):
        """Return the subscriptions as they are stored, also while the dialog isn't saved.

        :rtype: sale.order
        """
        return self.order_ids._origin

    def _get_preview_of(self, order):
        """Return what will happen to a subscription; each dialog says it.

        :param sale.order order: one of the subscriptions
        :rtype: str
        """
        raise NotImplementedError
