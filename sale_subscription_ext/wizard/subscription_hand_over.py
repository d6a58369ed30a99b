from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_amount

from ..const import CONTRACT_STATES


class SubscriptionHandOver(models.TransientModel):
    """Hands subscriptions over to another customer, invoice address or salesperson."""

    _name = 'subscription.hand.over'
    _inherit = ['subscription.dialog.mixin']
    _description = "Hand Over Subscriptions"

    partner_id = fields.Many2one(comodel_name='res.partner', string="New Customer")
    partner_invoice_id = fields.Many2one(
        comodel_name='res.partner', string="Invoice Address",
        compute='_compute_addresses', store=True, readonly=False, precompute=True)
    partner_shipping_id = fields.Many2one(
        comodel_name='res.partner', string="Delivery Address",
        compute='_compute_addresses', store=True, readonly=False, precompute=True)
    user_id = fields.Many2one(
        comodel_name='res.users', string="New Salesperson", domain="[('share', '=', False)]")
    team_id = fields.Many2one(comodel_name='crm.team', string="New Sales Team")

    # === COMPUTE METHODS === #

    @api.depends('partner_id')
    def _compute_addresses(self):
        for wizard in self:
            addresses = wizard.partner_id.address_get(['invoice', 'delivery']) if wizard.partner_id else {}
            wizard.partner_invoice_id = addresses.get('invoice')
            wizard.partner_shipping_id = addresses.get('delivery')

    @api.depends('order_ids', 'partner_id', 'partner_invoice_id', 'user_id', 'team_id')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === ACTION METHODS === #

    def action_hand_over(self):
        """Hand the subscriptions over; what is invoiced stays with the old customer.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when nothing was chosen, or one of them isn't running any more
        """
        self.ensure_one()
        self.order_ids.check_access('write')
        self.order_ids._check_states(self.env._("handed over"), CONTRACT_STATES)
        values = {
            name: self[name].id
            for name in ('partner_id', 'partner_invoice_id', 'partner_shipping_id', 'user_id', 'team_id') if self[name]
        }
        if not values:
            raise UserError(self.env._("Choose to whom the subscriptions are handed over."))
        self.order_ids._hand_over(values)
        return {'type': 'ir.actions.act_window_close'}

    # === TOOLING === #

    def _get_preview_of(self, order):
        """Override to say what handing over does."""
        new = [record.display_name for record in (
            self.partner_id, self.partner_invoice_id - self.partner_id, self.user_id, self.team_id) if record]
        return self.env._(
            "%(mrr)s a month go to %(new)s", mrr=format_amount(self.env, order.mrr, order.currency_id),
            new=', '.join(new) or '…')
