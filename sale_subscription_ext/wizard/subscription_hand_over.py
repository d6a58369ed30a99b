from odoo import api, fields, models
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

    def action_apply(self):
        """Override to leave the form of a subscription which its old salesperson doesn't see any more.

        :return: see super, or the list of subscriptions
        :rtype: dict
        """
        result = super().action_apply()
        if len(self.order_ids) == 1 and not self.order_ids.has_access('read'):
            xmlid = 'sale_subscription_ext.sale_order_action_subscription'
            return {**self.env['ir.actions.act_window']._for_xml_id(xmlid), 'target': 'main'}
        return result

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return 'hand_over'

    def _get_action_name(self):
        """Override to name what is done."""
        return self.env._("handed over")

    def _get_states(self):
        """Override to hand over what was begun and hasn't ended."""
        return CONTRACT_STATES

    def _get_missing_choice(self):
        """Override to ask for somebody."""
        if not self._get_owner_values():
            return self.env._("Choose to whom the subscriptions are handed over.")
        return super()._get_missing_choice()

    def _apply_to(self, order):
        """Override to hand it over; what is invoiced stays with the old customer."""
        order._hand_over(self._get_owner_values())

    def _get_preview_of(self, order):
        """Override to say what handing over does."""
        new = [record.display_name for record in (
            self.partner_id, self.partner_invoice_id - self.partner_id, self.user_id, self.team_id) if record]
        text = self.env._(
            "%(mrr)s a month go to %(new)s", mrr=format_amount(self.env, order.mrr, order.currency_id),
            new=', '.join(new) or '…')
        offers = order.sudo()._get_offers()  # whoever hands it over may not see them
        if offers and self.partner_id.commercial_partner_id not in (False, order.partner_id.commercial_partner_id):
            return self.env._(
                "%(text)s; what is offered to the old customer is cancelled: %(names)s", text=text,
                names=', '.join(offers.mapped('name')))
        return text

    # === TOOLING === #

    def _get_owner_values(self):
        """Return whose the subscriptions will be.

        :return: values to write, what stays as it is isn't among them
        :rtype: dict
        """
        self.ensure_one()
        return {
            name: self[name].id
            for name in ('partner_id', 'partner_invoice_id', 'partner_shipping_id', 'user_id', 'team_id') if self[name]
        }
