from werkzeug.exceptions import BadRequest, NotFound

from odoo import http
from odoo.exceptions import ValidationError
from odoo.fields import Command
from odoo.http import request

from odoo.addons.payment.controllers.portal import PaymentPortal

# What the payment form sends; everything else of a payment follows from the invoice.
FORM_KEYS = ('provider_id', 'payment_method_id', 'flow', 'tokenization_requested')

# How a page answers whose link is over.
STATUSES = {'valid': 200, 'paid': 200, 'expired': 410, 'revoked': 410}


class SubscriptionRecovery(PaymentPortal):
    """The page on which whoever holds the link of an unpaid invoice pays it, without a login.

    The link says which invoice, for whom and how long. It shows nothing else of the customer, no saved payment method
    either, and acts for the customer of the invoice, whoever is logged in.
    """

    @http.route(
        '/subscription/pay/<string:token>', type='http', auth='public', methods=['GET'], website=True, sitemap=False)
    def subscription_recovery(self, token, **kwargs):
        """Show the invoice of a link, and the ways to pay it.

        :param str token: of a payment link
        :return: the page; the same one after a payment which failed or was abandoned
        """
        link_sudo = self._get_recovery_link(token)
        request.update_context(lang=link_sudo.partner_id.lang or request.env.lang)
        link_sudo = link_sudo.with_env(request.env(su=True))
        response = request.render(
            'sale_subscription_ext.recovery_page', self._prepare_recovery_values(link_sudo, token))
        response.status_code = STATUSES[link_sudo.state]
        response.headers.update({
            # Neither search engines, nor caches, nor other sites are to learn the address.
            'X-Robots-Tag': 'noindex, nofollow', 'Cache-Control': 'no-store', 'Referrer-Policy': 'same-origin',
        })
        return response

    @http.route('/subscription/pay/<string:token>/transaction', type='jsonrpc', auth='public')
    def subscription_recovery_transaction(self, token, **kwargs):
        """Begin a payment of the invoice of a link.

        :param str token: of a payment link
        :param dict kwargs: what the payment form sends
        :return: what the form needs to go on
        :rtype: dict
        :raise ValidationError: when nothing can be paid by this link
        """
        link_sudo = self._get_recovery_link(token)
        move_sudo = link_sudo.move_id
        if link_sudo.state != 'valid' or move_sudo._is_being_paid():
            raise ValidationError(request.env._(
                "This link can't be used for a payment any more. Load the page again to see why."))
        values = {key: kwargs[key] for key in FORM_KEYS if key in kwargs}
        self._check_recovery_form(move_sudo, values)
        values['tokenization_requested'] = bool(
            values['tokenization_requested'] and move_sudo._is_method_saved_by_link())
        tx_sudo = self._create_transaction(
            token_id=None,
            amount=move_sudo._get_charge_amount(),
            currency_id=move_sudo.currency_id.id,
            partner_id=link_sudo.partner_id.id,
            landing_route=f'/subscription/pay/{token}',
            custom_create_values={
                'invoice_ids': [Command.set(move_sudo.ids)],
                'subscription_recovery_link_id': link_sudo.id,
            },
            **values,
        )
        return tx_sudo._get_processing_values()

    # === TOOLING === #

    def _get_recovery_link(self, token):
        """Return the link of a token.

        :param str token: from the address
        :rtype: subscription.recovery.link
        :raise NotFound: when it was made up, or when somebody else's customer is logged in
        """
        link_sudo = request.env['subscription.recovery.link'].sudo()._find_by_token(token)
        user = request.env.user
        is_stranger = user._is_portal() and (
            user.partner_id.commercial_partner_id != link_sudo.partner_id.commercial_partner_id)
        if not link_sudo or is_stranger:
            raise NotFound()
        return link_sudo

    def _prepare_recovery_values(self, link_sudo, token):
        """Prepare what the page shows.

        :param subscription.recovery.link link_sudo: the link
        :param str token: its token
        :rtype: dict
        """
        move_sudo = link_sudo.move_id
        values = {
            'link': link_sudo,
            'move': move_sudo,
            'label_of_invoice': move_sudo.name if move_sudo.state == 'posted' else request.env._(
                "Next invoice of %(name)s", name=', '.join(move_sudo._get_subscriptions().mapped('name'))),
            'res_company': move_sudo.company_id,
            'amount': move_sudo._get_charge_amount(),
            'currency': move_sudo.currency_id,
            'is_underway': move_sudo._is_being_paid(),
            'last_transaction': move_sudo.transaction_ids.filtered(
                lambda tx: tx.subscription_recovery_link_id == link_sudo)._get_last(),
        }
        if link_sudo.state != 'valid' or values['is_underway']:
            return values
        report = {}
        providers_sudo, methods_sudo = self._get_recovery_methods(move_sudo, report)
        return {
            **values,
            'partner_id': link_sudo.partner_id.id,
            'providers_sudo': providers_sudo,
            'payment_methods_sudo': methods_sudo,
            'tokens_sudo': request.env['payment.token'],
            'availability_report': report,
            'allow_token_selection': False,
            'show_tokenize_input_mapping': {
                provider: is_shown and move_sudo._is_method_saved_by_link()
                for provider, is_shown in self._compute_show_tokenize_input_mapping(providers_sudo).items()
            },
            'reference_prefix': move_sudo.name or '',
            'transaction_route': f'/subscription/pay/{token}/transaction',
            'landing_route': f'/subscription/pay/{token}',
            'access_token': token,
        }

    def _get_recovery_methods(self, move_sudo, report=None):
        """Return the ways in which an invoice can be paid online.

        :param account.move move_sudo: the invoice
        :param dict report: filled with what isn't available, and why
        :return: providers and their methods
        :rtype: tuple
        """
        partner = move_sudo.partner_id
        providers_sudo = request.env['payment.provider'].sudo()._get_compatible_providers(
            move_sudo.company_id.id, partner.id, move_sudo._get_charge_amount(),
            currency_id=move_sudo.currency_id.id, report=report)
        methods_sudo = request.env['payment.method'].sudo()._get_compatible_payment_methods(
            providers_sudo.ids, partner.id, currency_id=move_sudo.currency_id.id, report=report)
        return providers_sudo, methods_sudo

    def _check_recovery_form(self, move_sudo, values):
        """Refuse a payment which the page doesn't offer, by a saved method for instance.

        :param account.move move_sudo: the invoice
        :param dict values: what the payment form sent
        :raise BadRequest: when it was tampered with
        """
        providers_sudo, methods_sudo = self._get_recovery_methods(move_sudo)
        is_offered = (
            values.keys() == set(FORM_KEYS)
            and values['flow'] in ('redirect', 'direct')
            and values['provider_id'] in providers_sudo.ids
            and values['payment_method_id'] in methods_sudo.ids
        )
        if not is_offered:
            raise BadRequest(request.env._("This payment method isn't offered for the invoice."))
