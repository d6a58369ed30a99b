from odoo import models
from odoo.exceptions import UserError


class SaleAdvancePaymentInv(models.TransientModel):
    _inherit = 'sale.advance.payment.inv'

    # === BUSINESS METHODS === #

    def _create_invoices(self, sale_orders):
        """Override of `sale`: down payments on a subscription are for its one-off part only.

        :raise UserError: when nothing is sold once
        """
        self.ensure_one()
        if amendments := sale_orders.filtered('amendment_type'):
            raise UserError(self.env._(
                "%(names)s changes a subscription: what it sells is billed there.",
                names=', '.join(amendments.mapped('name'))))
        if self.advance_payment_method == 'delivered' or not sale_orders.filtered('is_subscription'):
            return super()._create_invoices(sale_orders)
        one_off = sale_orders.order_line.filtered(
            lambda line: not line.display_type and not line.is_recurring and not line.is_downpayment)
        if not one_off:
            raise UserError(self.env._(
                "Everything on this subscription recurs and is billed period by period: there is nothing to ask a down"
                " payment for."
            ))
        self = self.with_context(sale_subscription_ext_plan_only=False)
        return super()._create_invoices(sale_orders.with_env(self.env))
