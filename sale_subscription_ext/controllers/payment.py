from odoo import http
from odoo.exceptions import AccessError, MissingError, ValidationError
from odoo.http import request

from odoo.addons.payment.controllers import portal as payment_portal

from .. import const


class PaymentPortal(payment_portal.PaymentPortal):

    # === ROUTES === #

    @http.route('/my/orders/<int:order_id>/payment_method', type='http', auth='public', website=True, sitemap=False)
    def portal_subscription_payment_method(self, order_id, access_token=None, message=None, **kwargs):
        """Show the page on which the payment method of a subscription is saved or chosen.

        :param int order_id: the subscription, or the quotation which waits for a method
        :param str access_token: the secret of its link, enough for a quotation
        :param str message: `in_use` after a removal which was refused
        :return: the page, or a redirection where somebody else asks for it
        """
        try:
            order_sudo = self._get_order_to_save_for(order_id, access_token)
        except (AccessError, MissingError):
            if not request.env.user._is_public():
                return request.redirect('/my')
            return request.redirect_query('/web/login', {'redirect': f'/my/orders/{order_id}/payment_method'})
        return request.render('sale_subscription_ext.portal_payment_method', {
            **self._prepare_method_form_values(order_sudo),
            **self._get_extra_payment_form_values(**kwargs),
            'message': message,
        })

    @http.route('/my/orders/<int:order_id>/payment_method/transaction', type='jsonrpc', auth='public')
    def portal_subscription_method_transaction(self, order_id, access_token=None, **kwargs):
        """Begin to save a new payment method for a subscription, without a payment.

        :param int order_id: see `portal_subscription_payment_method`
        :param str access_token: see `portal_subscription_payment_method`
        :param dict kwargs: what the payment form sends, see `_create_transaction`
        :return: what the payment form needs to go on
        :rtype: dict
        :raise ValidationError: when somebody else asks for it
        """
        order_sudo = self._check_order_to_save_for(order_id, access_token)
        self._validate_transaction_kwargs(kwargs)
        kwargs.update({
            'token_id': None,
            'flow': 'redirect' if kwargs.get('flow') == 'redirect' else 'direct',
            'amount': None,
            'currency_id': None,
            'partner_id': self._get_method_partner(order_sudo).id,
            'tokenization_requested': True,
            'is_validation': True,
            'landing_route': order_sudo.get_portal_url(),
            'reference_prefix': order_sudo.name,
            'sale_order_id': order_id,
        })
        tx_sudo = self._create_transaction(custom_create_values={'subscription_order_id': order_id}, **kwargs)
        return tx_sudo._get_processing_values()

    @http.route('/my/orders/<int:order_id>/payment_method/assign', type='jsonrpc', auth='public')
    def portal_subscription_assign_method(self, order_id, token_id, access_token=None):
        """Charge a subscription to a payment method which its customer saved earlier.

        :param int order_id: see `portal_subscription_payment_method`
        :param int token_id: the method
        :param str access_token: see `portal_subscription_payment_method`
        :raise ValidationError: when somebody else asks for it, or the method is somebody else's
        """
        order_sudo = self._check_order_to_save_for(order_id, access_token)
        token_sudo = self._get_method_tokens(order_sudo, self._get_method_providers(order_sudo)).filtered(
            lambda token: token.id == token_id)
        if not token_sudo:
            raise ValidationError(request.env._(
                "This payment method can't be used for this subscription. Choose another one, or add one."))
        order_sudo._save_payment_method(token_sudo)

    @http.route(
        '/my/orders/<int:order_id>/payment_method/remove', type='http', auth='user', methods=['POST'], website=True)
    def portal_subscription_remove_method(self, order_id, **kwargs):
        """Forget the payment method of a subscription which can do without one. It stays saved for others.

        :param int order_id: the subscription
        :return: a redirection to its page, or back to the choice of a method
        """
        try:
            order_sudo = self._get_order_to_save_for(order_id)
        except (AccessError, MissingError):
            return request.redirect('/my')
        if not order_sudo._can_remove_method():
            return request.redirect(f'/my/orders/{order_id}/payment_method?message=in_use')
        order_sudo.payment_token_id = False
        return request.redirect(order_sudo.get_portal_url())

    # === TOOLING === #

    def _get_extra_payment_form_values(self, invoice_id=None, amount=None, **kwargs):
        """Override of `account_payment` to ask for no more than is left of an invoice of subscriptions: a link which
        was mailed goes on to name the amount of that day.
        """
        values = super()._get_extra_payment_form_values(invoice_id=invoice_id, amount=amount, **kwargs)
        amount = self._cast_as_float(amount)
        # The host has checked the access.
        move_sudo = request.env['account.move'].sudo().browse(self._cast_as_int(invoice_id))
        if amount and move_sudo._get_subscriptions():
            values['amount'] = min(amount, move_sudo._get_amount_left())
        return values

    def _get_order_to_save_for(self, order_id, access_token=None):
        """Return a subscription whose payment method the visitor may choose.

        The secret link is enough for a quotation, which isn't confirmed without a method. What changes a running
        contract needs the customer's login.

        :param int order_id: the subscription
        :param str access_token: the secret of its link
        :return: the subscription in sudo
        :rtype: sale.order
        :raise AccessError: when it is somebody else's
        :raise MissingError: when there is no method to choose
        """
        order_sudo = self._document_check_access('sale.order', order_id, access_token=access_token)
        if order_sudo._needs_payment_method():
            return order_sudo
        if order_sudo.subscription_state not in const.CONTRACT_STATES:
            raise MissingError(request.env._("There is no payment method to choose for this order."))
        if request.env.user._is_internal():
            request.env['sale.order'].browse(order_id).check_access('write')
        return self._document_check_access('sale.order', order_id)

    def _check_order_to_save_for(self, order_id, access_token):
        """Return what `_get_order_to_save_for` does, for answers to scripts.

        :raise ValidationError: when the visitor may not choose the method
        """
        try:
            return self._get_order_to_save_for(order_id, access_token)
        except (AccessError, MissingError) as error:
            raise ValidationError(request.env._(
                "Sign in as the customer of this subscription to choose its payment method.")) from error

    def _get_method_partner(self, order_sudo):
        """Return whose payment method is saved: the customer's who is signed in, or that who gets the invoices.

        :rtype: res.partner
        """
        partner_sudo = request.env.user.partner_id  # users are always in sudo
        owners = order_sudo._get_token_partners().commercial_partner_id
        return partner_sudo if partner_sudo.commercial_partner_id in owners else order_sudo.partner_invoice_id

    def _get_method_providers(self, order_sudo, report=None):
        """Return the providers whose methods can be saved for a subscription.

        :param dict report: filled in with why others can't
        :return: the providers in sudo
        :rtype: payment.provider
        """
        # Customers have no right on providers.
        return request.env['payment.provider'].sudo()._get_compatible_providers(
            order_sudo.company_id.id, self._get_method_partner(order_sudo).id, 0.0,
            currency_id=order_sudo.currency_id.id, force_tokenization=True, is_validation=True, report=report,
            sale_order_id=order_sudo.id)

    def _get_method_tokens(self, order_sudo, providers_sudo):
        """Return the saved methods which the visitor can choose: those of who is signed in and of their company.

        :return: the methods in sudo
        :rtype: payment.token
        """
        tokens_sudo = request.env['payment.token'].sudo()  # those of the company aren't the customer's own
        if request.env.user._is_public():
            return tokens_sudo
        partner_sudo = self._get_method_partner(order_sudo)
        return tokens_sudo.search([
            ('provider_id', 'in', providers_sudo.ids),
            ('partner_id', 'in', (partner_sudo | partner_sudo.commercial_partner_id).ids),
        ])

    def _prepare_method_form_values(self, order_sudo):
        """Prepare what the page shows on which a payment method is chosen.

        :param sale.order order_sudo: the subscription
        :rtype: dict
        """
        partner_sudo = self._get_method_partner(order_sudo)
        report = {}
        providers_sudo = self._get_method_providers(order_sudo, report)
        methods_sudo = request.env['payment.method'].sudo()._get_compatible_payment_methods(
            providers_sudo.ids, partner_sudo.id, currency_id=order_sudo.currency_id.id, force_tokenization=True,
            report=report, sale_order_id=order_sudo.id)  # customers have no right on methods
        route = f'/my/orders/{order_sudo.id}/payment_method'
        return {
            'order': order_sudo,
            'sale_order': order_sudo,
            'page_name': 'order' if order_sudo.state == 'sale' else 'quote',
            'mode': 'validation',
            'partner_id': partner_sudo.id,
            'providers_sudo': providers_sudo,
            'payment_methods_sudo': methods_sudo,
            'tokens_sudo': self._get_method_tokens(order_sudo, providers_sudo),
            'default_token_id': order_sudo.payment_token_id.id,
            'availability_report': report,
            'transaction_route': f'{route}/transaction',
            'assign_token_route': f'{route}/assign',
            'landing_route': order_sudo.get_portal_url(),
            'access_token': order_sudo._portal_ensure_token() if order_sudo._needs_payment_method() else None,
            'is_in_use': not order_sudo._can_remove_method(),
        }
