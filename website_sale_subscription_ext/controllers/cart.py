from odoo.http import request, route

from odoo.addons.payment import utils as payment_utils
from odoo.addons.website_sale.controllers import cart

from .main import get_first_payment_values


class Cart(cart.Cart):

    def _get_express_shop_payment_values(self, order, **kwargs):
        """Override of `website_sale` to look for what can pay the first invoice of a cart with a plan."""
        values = super()._get_express_shop_payment_values(order, **kwargs)
        return values | get_first_payment_values(self, order, is_express_checkout=True)

    @route()
    def update_cart(self, *args, **kwargs):
        """Override of `website_sale` to return what is due of a cart with a plan.

        :return: see `website_sale`
        :rtype: dict
        """
        values = super().update_cart(*args, **kwargs)
        order_sudo = request.cart
        if order_sudo and order_sudo._is_quoted_subscription():
            values['amount'] = order_sudo._get_payable_amount()
            values['minor_amount'] = payment_utils.to_minor_currency_units(values['amount'], order_sudo.currency_id)
        return values
