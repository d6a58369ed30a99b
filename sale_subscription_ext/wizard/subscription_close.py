from odoo import api, fields, models


class SubscriptionClose(models.TransientModel):
    """Asks why a subscription ends, and closes it today."""

    _name = 'subscription.close'
    _description = "Close Subscriptions"

    order_ids = fields.Many2many(comodel_name='sale.order', string="Subscriptions", required=True)
    close_reason_id = fields.Many2one(comodel_name='subscription.close.reason', string="Reason", required=True)
    close_note = fields.Text(string="Details")
    due_count = fields.Integer(compute='_compute_due_count')

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_due_count(self):
        for wizard in self:
            wizard.due_count = len(wizard.order_ids.filtered(
                lambda order: order.next_invoice_date and order.next_invoice_date <= order._subscription_today()))

    # === ACTION METHODS === #

    def action_close(self):
        """Close the subscriptions with the given reason.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when one of them isn't running any more
        """
        self.ensure_one()
        self.order_ids.check_access('write')
        self.order_ids._check_running(self.env._("close"))
        self.order_ids._close_subscriptions(self.close_reason_id, self.close_note or '')
        return {'type': 'ir.actions.act_window_close'}
