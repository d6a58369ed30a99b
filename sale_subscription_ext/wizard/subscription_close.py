from odoo import api, fields, models
from odoo.exceptions import UserError

from ..models.subscription_invoicing_mixin import SubscriptionParked


class SubscriptionClose(models.TransientModel):
    """Asks why a subscription ends, and closes it today."""

    _name = 'subscription.close'
    _description = "Close Subscriptions"

    order_ids = fields.Many2many(comodel_name='sale.order', string="Subscriptions", required=True)
    close_reason_id = fields.Many2one(comodel_name='subscription.close.reason', string="Reason", required=True)
    close_note = fields.Text(string="Details")
    unbilled = fields.Selection(
        selection=[('bill', "Bill it now"), ('leave_out', "Leave it out")],
        string="What Isn't Billed Yet",
        required=True,
        default='bill',
        help="What was served until today and isn't on an invoice: missed periods, and periods billed at their end.",
    )
    order_count = fields.Integer(compute='_compute_has_unbilled')
    has_unbilled = fields.Boolean(compute='_compute_has_unbilled')

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_has_unbilled(self):
        for wizard in self:
            wizard.order_count = len(wizard.order_ids)
            wizard.has_unbilled = any(
                day and day <= line.order_id._subscription_today()
                for line in wizard.order_ids.order_line._get_served_lines() for day in [line.next_period_start])

    # === ACTION METHODS === #

    def action_close(self):
        """Close the subscriptions with the given reason.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when one of them isn't running any more
        """
        self.ensure_one()
        self.order_ids.check_access('write')
        self.order_ids._check_running(self.env._("closed"))
        try:
            self.order_ids._close_subscriptions(
                self.close_reason_id, self.close_note or '', bill=self.unbilled == 'bill')
        except SubscriptionParked as error:
            raise UserError(str(error)) from error  # the web client knows the host's exceptions only
        return {'type': 'ir.actions.act_window_close'}
