from odoo import models


class SaleOrderLine(models.Model):
    _inherit = 'sale.order.line'

    # === BUSINESS METHODS === #

    def _get_first_quantity(self):
        """Override of `sale_subscription_ext`: goods of a cart are paid before they are delivered, also where they
        are invoiced by delivered quantity. Until then the payment is open on the account of the customer.
        """
        quantity = super()._get_first_quantity()
        order = self.order_id
        if order.website_id and order._is_quoted_subscription() and not (self.is_recurring or self.display_type):
            return self.product_uom_qty
        return quantity
