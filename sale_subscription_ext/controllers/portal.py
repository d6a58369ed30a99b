from odoo import http
from odoo.exceptions import AccessError, MissingError
from odoo.http import request

from odoo.addons.sale.controllers import portal as sale_portal


class CustomerPortal(sale_portal.CustomerPortal):

    @http.route(
        '/my/orders/<int:order_id>/accept_for_free', type='http', auth='public', methods=['POST'], website=True)
    def portal_subscription_accept_for_free(self, order_id, access_token=None, **kwargs):
        """Accept the quotation of a subscription of which nothing is due yet, without a payment.

        :param int order_id: the quotation
        :param str access_token: the secret of its link
        :return: a redirection to its page
        """
        try:
            order_sudo = self._document_check_access('sale.order', order_id, access_token=access_token)
        except (AccessError, MissingError):
            return request.redirect('/my')
        if order_sudo._can_be_accepted_for_free():
            order_sudo._validate_order()
        return request.redirect(order_sudo.get_portal_url())

    def _show_report(self, model, report_type, report_ref, download=False):
        """Override of `portal` to hand out a running subscription as the contract which is served."""
        if report_ref == 'sale.action_report_saleorder' and model._name == 'sale.order':
            report_ref = model._get_contract_report()
        return super()._show_report(model, report_type, report_ref, download=download)

    def _determine_is_down_payment(self, order_sudo, amount_selection, payment_amount):
        """Override of `sale` to compare with the first invoice of a subscription."""
        if not amount_selection and payment_amount and order_sudo._has_first_invoice():
            amount_selection = (
                'down_payment' if payment_amount < order_sudo._get_payable_amount() else 'full_amount')
        return super()._determine_is_down_payment(order_sudo, amount_selection, payment_amount)

    def _get_payment_values(self, order_sudo, is_down_payment=False, payment_amount=None, **kwargs):
        """Override of `sale` to ask for the first invoice of a subscription where it would for the total."""
        if not order_sudo._has_first_invoice():
            return super()._get_payment_values(order_sudo, is_down_payment, payment_amount, **kwargs)
        if not is_down_payment:
            order_sudo = order_sudo.with_context(sale_subscription_ext_full_amount=True)
        is_less = is_down_payment and payment_amount and payment_amount < order_sudo._get_payable_amount()
        values = super()._get_payment_values(order_sudo, True, payment_amount if is_less else None, **kwargs)
        return {**values, 'payment_amount': payment_amount}
