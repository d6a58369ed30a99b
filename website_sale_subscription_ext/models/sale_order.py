from odoo import models
from odoo.exceptions import ValidationError


class SaleOrder(models.Model):
    _inherit = 'sale.order'

    # === BUSINESS METHODS - CART === #

    def _create_new_cart_line(self, product_id, quantity, uom_id, **kwargs):
        """Override of `website_sale` to let a recurring product bring its default plan to a cart without one."""
        line = super()._create_new_cart_line(product_id, quantity, uom_id, **kwargs)
        if not self.plan_id and line.is_recurring and (plan := line.product_id.default_plan_id):
            self.plan_id = plan
        return line

    def _check_cart_is_ready_to_be_paid(self):
        """Override of `website_sale` to refuse a payment for a cart which couldn't be confirmed.

        :raise ValidationError: when a recurring product has no plan
        """
        result = super()._check_cart_is_ready_to_be_paid()
        if message := self._get_missing_plan_message():
            raise ValidationError(message)
        return result

    # === BUSINESS METHODS - PORTAL === #

    def _is_reorder_allowed(self):
        """Override of `website_sale`: a running subscription, or a change of one, isn't ordered again."""
        return not self._is_in_ledger() and super()._is_reorder_allowed()

    # === BUSINESS METHODS - AMOUNTS === #

    def _get_cart_amounts(self):
        """Return the amounts of the totals of a cart: of its first invoice where it has a plan.

        :return: `amount_untaxed`, `amount_tax`, `amount_total`
        :rtype: dict
        """
        self.ensure_one()
        if self._is_quoted_subscription():
            return {
                'amount_untaxed': self.first_invoice_untaxed,
                'amount_tax': self.first_invoice_tax,
                'amount_total': self._get_payable_amount(),
            }
        return {name: self[name] for name in ('amount_untaxed', 'amount_tax', 'amount_total')}

    def _get_amount_total_excluding_delivery(self):
        """Override of `website_sale`: what an express checkout asks for is the first invoice."""
        if not self._is_quoted_subscription():
            return super()._get_amount_total_excluding_delivery()
        delivery_lines = self.order_line - self._get_non_delivery_lines()
        return self._get_payable_amount() - sum(delivery_lines.mapped('price_total'))
