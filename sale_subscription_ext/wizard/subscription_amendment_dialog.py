from odoo import fields, models
from odoo.exceptions import UserError


class SubscriptionAmendmentDialog(models.TransientModel):
    """Shows what applying an amendment today costs, or gives back, before it is done."""

    _name = 'subscription.amendment.dialog'
    _description = "Apply a Change of a Subscription"

    order_id = fields.Many2one(comodel_name='sale.order', required=True, readonly=True, ondelete='cascade')
    currency_id = fields.Many2one(related='order_id.currency_id')
    # What the user saw, to tell when it isn't true any more.
    amount_total = fields.Monetary(readonly=True)
    preview = fields.Html(compute='_compute_preview', sanitize=False)
    is_billed_later = fields.Boolean(compute='_compute_preview')

    # === COMPUTE METHODS === #

    def _compute_preview(self):
        for dialog in self:
            order = dialog.order_id
            dialog.is_billed_later = order.subscription_id.sudo()._is_waiting_for_billing()
            dialog.preview = self.env['ir.qweb']._render('sale_subscription_ext.subscription_amendment_preview', {
                'order': order, 'preview': order._get_amendment_preview(order._get_earliest_day())})

    # === ACTION METHODS === #

    def action_apply(self):
        """Apply the amendment today.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when it can't be applied, or what is due isn't what was shown
        """
        self.ensure_one()
        order = self.order_id
        preview = order._get_amendment_preview(order._get_earliest_day())
        if order.currency_id.compare_amounts(preview.total, self.amount_total) != 0:
            raise UserError(self.env._(
                "What this change costs today isn't what was shown here any more. Close this window, and press Apply"
                " Now again."))
        order.action_apply_amendment()
        return {'type': 'ir.actions.act_window_close'}
