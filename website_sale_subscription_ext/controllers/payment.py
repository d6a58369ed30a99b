from odoo.exceptions import AccessError, MissingError, UserError, ValidationError
from odoo.http import request, route

from odoo.addons.website_sale.controllers import payment


class PaymentPortal(payment.PaymentPortal):

    @route()
    def shop_payment_transaction(self, order_id, access_token, **kwargs):
        """Override of `website_sale` to take the first invoice of a cart with a plan.

        The host compares with the total of the cart: it gets that here, and the transaction the amount which is due.

        :return: see `website_sale`
        :rtype: dict
        """
        try:
            order_sudo = self._document_check_access('sale.order', order_id, access_token)
        except (AccessError, MissingError):
            return super().shop_payment_transaction(order_id, access_token, **kwargs)  # which refuses it
        if order_sudo._is_quoted_subscription():
            payable = self._check_cart_amount(order_sudo, kwargs.get('amount'))
            request.update_context(sale_subscription_ext_cart_amount=payable)
            kwargs['amount'] = order_sudo.amount_total
        return super().shop_payment_transaction(order_id, access_token, **kwargs)

    def _check_cart_amount(self, order_sudo, amount):
        """Refuse to pay something else than what is due of a cart with a plan.

        :param sale.order order_sudo: the cart
        :param float amount: what the customer is about to pay
        :return: what is due
        :rtype: float
        :raise ValidationError: when it isn't what is due
        :raise UserError: when it is paid already
        """
        payable = order_sudo._get_payable_amount()
        if amount and order_sudo.currency_id.compare_amounts(float(amount), payable):
            raise ValidationError(request.env._("The cart has been updated. Please refresh the page."))
        if order_sudo.amount_paid and order_sudo._is_paid():
            raise UserError(request.env._("The cart has already been paid. Please refresh the page."))
        return payable

    def _create_transaction(self, *args, **kwargs):
        """Override of `payment` to create the transaction of a cart with a plan over what is due.

        The context key `sale_subscription_ext_cart_amount` holds that amount.
        """
        if (amount := request.env.context.get('sale_subscription_ext_cart_amount')) is not None:
            kwargs['amount'] = amount
        return super()._create_transaction(*args, **kwargs)
