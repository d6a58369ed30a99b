from odoo.http import request, route

from odoo.addons.payment import utils as payment_utils
from odoo.addons.sale.controllers import portal as sale_portal
from odoo.addons.website_sale.controllers import main

# What depends on the amount to pay.
PAYMENT_VALUES = (
    'amount', 'providers_sudo', 'payment_methods_sudo', 'tokens_sudo', 'availability_report',
    'show_tokenize_input_mapping',
)


def get_first_payment_values(controller, order, **kwargs):
    """Return the values of a payment form which pays the first invoice of a cart.

    The host computes them from the total of the cart when it calls the controller of `sale` past its extensions.

    :param controller: the controller which shows the form
    :param sale.order order: the cart
    :param dict kwargs: passed to the host
    :return: nothing for a cart without a plan
    :rtype: dict
    """
    if not order._is_quoted_subscription():
        return {}
    order = order.with_context(sale_subscription_ext_full_amount=True)
    values = sale_portal.CustomerPortal._get_payment_values(
        controller, order, is_down_payment=True, website_id=request.website.id, **kwargs)
    return {name: values[name] for name in PAYMENT_VALUES}


class WebsiteSale(main.WebsiteSale):

    def _get_shop_payment_values(self, order, **kwargs):
        """Override of `website_sale` to ask for the first invoice of a cart with a plan."""
        values = super()._get_shop_payment_values(order, **kwargs)
        return values | get_first_payment_values(self, order)

    @route()
    def express_checkout_shipping_address_compute_taxes(self):
        """Override of `website_sale` to return what is due of a cart with a plan.

        :return: the amount in minor units of the currency
        :rtype: int
        """
        minor_amount = super().express_checkout_shipping_address_compute_taxes()
        order_sudo = request.cart
        if not order_sudo._is_quoted_subscription():
            return minor_amount
        return payment_utils.to_minor_currency_units(order_sudo._get_payable_amount(), order_sudo.currency_id)

    @route()
    def shop_payment_validate(self, sale_order_id=None, **post):
        """Override of `website_sale` to confirm a cart with a plan of which nothing is due yet.

        :return: a redirection
        """
        order_sudo = request.cart
        if sale_order_id is not None or not order_sudo or not self._is_free_for_now(order_sudo):
            return super().shop_payment_validate(sale_order_id=sale_order_id, **post)
        if self._get_shop_payment_errors(order_sudo):
            return request.redirect('/shop/payment')
        order_sudo._check_cart_is_ready_to_be_paid()
        if order_sudo._needs_payment_method():
            return request.redirect(order_sudo.get_portal_url(suffix='/payment_method'))
        order_sudo._validate_order()
        request.website.sale_reset()
        return request.redirect('/shop/confirmation')

    def _is_free_for_now(self, order_sudo):
        """Return whether a cart is confirmed without a payment though it has a total.

        :param sale.order order_sudo: the cart
        :rtype: bool
        """
        return order_sudo._is_free_at_first() and not order_sudo.get_portal_last_transaction()
