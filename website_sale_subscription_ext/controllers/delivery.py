from odoo.http import request

from odoo.addons.website_sale.controllers import delivery


class Delivery(delivery.Delivery):

    def _order_summary_values(self, order, **kwargs):
        """Override of `website_sale` to show the first invoice of a cart with a plan."""
        values = super()._order_summary_values(order, **kwargs)
        if order._is_quoted_subscription():
            monetary = request.env['ir.qweb.field.monetary']
            for name, amount in order._get_cart_amounts().items():
                values[name] = monetary.value_to_html(amount, {'display_currency': order.currency_id})
        return values
