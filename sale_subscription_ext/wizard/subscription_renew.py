from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import float_round, format_amount, format_date

from ..const import RUNNING_STATES, UNITS


class SubscriptionRenew(models.TransientModel):
    """Makes the renewal quotations of subscriptions, at the same or other prices and for another term."""

    _name = 'subscription.renew'
    _inherit = ['subscription.dialog.mixin']
    _description = "Renew Subscriptions"

    prices = fields.Selection(
        selection=[('keep', "As they are"), ('pricelist', "Of the pricelist today"), ('percent', "Changed by")],
        string="At Prices", required=True, default='keep', help="Lines with a fixed price keep it, whatever is chosen.")
    percent = fields.Float(digits='Discount', help="By how many percent prices rise; negative, they fall.")
    has_other_term = fields.Boolean(string="Another Term", help="Otherwise, the term is that of the plan.")
    term_value = fields.Integer(string="Term", default=1)
    term_unit = fields.Selection(selection=UNITS, default='year')
    is_emailed = fields.Boolean(string="E-mail the Quotations")

    # === COMPUTE METHODS === #

    @api.depends('order_ids', 'prices', 'percent', 'has_other_term', 'term_value', 'term_unit', 'is_emailed')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return 'renew'

    def _get_action_name(self):
        """Override to name what is done."""
        return self.env._("renewed")

    def _get_states(self):
        """Override to renew running subscriptions only."""
        return RUNNING_STATES

    def _get_missing_choice(self):
        """Override to refuse a term or a percentage which can't be."""
        if self.has_other_term and (self.term_value < 0 or not self.term_unit):
            return self.env._("Choose how long the renewals are agreed for, such as 1 year. 0: open-ended.")
        if self.prices == 'percent' and self.percent <= -100.0:
            return self.env._("Choose a percentage above -100.")
        return super()._get_missing_choice()

    def _check_order(self, order):
        """Override to leave alone what is about to be renewed, or offered a renewal already."""
        order._check_no_waiting_renewal()
        if quotation := order._get_renewal_quotation():
            raise UserError(self.env._("renewal quotation %(name)s exists already", name=quotation.name))
        if self.is_emailed and not order.partner_id.email:
            raise UserError(self.env._("the customer has no e-mail address"))

    def _apply_to(self, order):
        """Override to make the quotation."""
        term = {'term_value': self.term_value, 'term_unit': self.term_unit} if self.has_other_term else {}
        renewal = order._create_renewal(**term)
        prices = self._get_new_prices(order)
        for line in renewal.order_line:
            if line.renewed_line_id in prices:
                line.price_unit, line.discount = prices[line.renewed_line_id]
        if self.is_emailed:
            renewal._send_order_notification_mail(renewal._find_mail_template())
            renewal.action_quotation_sent()
        return renewal

    def _get_preview_of(self, order):
        """Override to say what the quotation asks for."""
        lines = order.order_line._get_served_lines().filtered(lambda line: line.plan_id == order.plan_id)
        prices = self._get_new_prices(order)
        subtotals = lines.filtered(lambda line: line in prices)._get_subtotals_at(prices)
        amount = sum(subtotals.get(line, line.price_subtotal) for line in lines)
        text = self.env._(
            "from %(day)s on, %(old)s becomes %(new)s (%(plan)s)",
            day=format_date(self.env, order._get_takeover_date()), plan=order.plan_id.name,
            old=format_amount(self.env, order.recurring_total, order.currency_id),
            new=format_amount(self.env, amount, order.currency_id))
        if self.is_emailed:
            return self.env._("%(text)s, e-mailed to %(address)s", text=text, address=order.partner_id.email)
        return self.env._("%(text)s, not e-mailed", text=text)

    # === TOOLING === #

    def _get_new_prices(self, order):
        """Return what the lines of a subscription cost on its renewal.

        :param sale.order order: one of the subscriptions
        :return: {line: (unit price, discount)} for those which may have another price
        :rtype: dict
        """
        self.ensure_one()
        lines = order.order_line._get_served_lines().filtered(lambda line: not line.is_price_fixed)
        if self.prices == 'pricelist':
            return lines.filtered(lambda line: line._is_price_listed())._get_price_now()
        if self.prices == 'keep':
            return {}
        digits = self.env['decimal.precision'].precision_get('Product Price')
        return {
            line: (float_round(line.price_unit * (1 + self.percent / 100), precision_digits=digits), line.discount)
            for line in lines
        }
