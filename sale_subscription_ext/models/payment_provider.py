import requests

from odoo import models
from odoo.exceptions import ValidationError

from .. import const

# What a provider answers when it can't tell yet: a conflict with the same request under way, too many requests, or a
# failure of its own. Whether money was taken is open.
UNANSWERED_STATUSES = frozenset({408, 409, 425, 429})


class PaymentUnanswered(ValidationError):
    """A provider gave no answer: nobody knows yet whether it did what it was asked for."""


class PaymentProvider(models.Model):
    _inherit = 'payment.provider'

    # === BUSINESS METHODS === #

    def _archive_linked_tokens(self):
        """Override of `payment`: a provider is switched off whatever is charged to its payment methods."""
        return super(
            PaymentProvider, self.with_context(sale_subscription_ext_archive_used=True))._archive_linked_tokens()

    def _is_tokenization_required(self, *, sale_order_id=None, **kwargs):
        """Override of `payment`: subscriptions are charged to the method with which they are confirmed."""
        order = self.env['sale.order'].sudo().browse(sale_order_id)  # the customer may be nobody's user
        if order.exists() and order._needs_payment_method():
            return True
        return super()._is_tokenization_required(sale_order_id=sale_order_id, **kwargs)

    # === REQUEST HELPERS === #

    def _send_api_request(
        self, method, endpoint, *, params=None, data=None, json=None, reference=None, **kwargs
    ):
        """Override of `payment` to tell no answer from a “no”: the host raises the same error for both.

        :raise PaymentUnanswered: when the provider didn't answer; it is a `ValidationError` for who doesn't mind
        """
        try:
            return super()._send_api_request(
                method, endpoint, params=params, data=data, json=json, reference=reference, **kwargs)
        except ValidationError as error:
            if self._is_unanswered(error.__context__):
                raise PaymentUnanswered(str(error)) from error
            raise
        except ValueError as error:  # it can't be parsed, whatever it was
            raise PaymentUnanswered(self.env._(
                "The answer of the payment provider can't be read.")) from error

    # === HOOKS === #

    def _is_unanswered(self, error):
        """Return whether a failed request leaves open what the provider did.

        Addons of providers with answers of their own for that extend it; call super.

        :param Exception error: what the host met at the network, if anything
        :rtype: bool
        """
        self.ensure_one()
        if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
            status = error.response.status_code
            # The same request came with other values, or is under way: that says nothing of the first one.
            is_conflict = 'idempoten' in error.response.text.lower()
            return status >= 500 or status in UNANSWERED_STATUSES or is_conflict
        return isinstance(error, (requests.exceptions.ConnectionError, requests.exceptions.Timeout))

    def _get_repeatable_hours(self):
        """Return for how long the same payment request may be sent again without a second charge: as long as the
        provider keeps its idempotency key. 0 where it has none, so that only a notification or a person can tell.

        Addons of other providers extend it; call super.

        :rtype: int
        """
        self.ensure_one()
        return const.REPEATABLE_HOURS.get(self.code, 0)
