from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import format_date

from .. import const


class SubscriptionLeftTransactionMixin(models.AbstractModel):
    """Payments which are left to a person: nobody knows what became of them, and nobody finds out by itself."""

    _name = 'subscription.left.transaction.mixin'
    _description = "Payment Left to a Person"

    # === BUSINESS METHODS === #

    def _leave_to_person(self, reason=None):
        """Leave a locked payment to a person of which nobody can know what became.

        :param str reason: why, where it is known
        """
        self.ensure_one()
        self.with_context(sale_subscription_ext_charging=True)._set_unanswered(reason or self._get_left_reason())
        self.subscription_no_answer = True
        self.env['ir.cron']._commit_progress()
        self._settle_committed()

    def _get_left_reason(self):
        """Return why nobody knows what became of a payment.

        :rtype: str
        """
        self.ensure_one()
        if self.state == 'pending':
            return self.env._("It has been processing the payment since %(day)s.", day=format_date(
                self.env, self.subscription_charge_time))
        return self.env._("The payment was interrupted. Nobody knows whether the provider was asked.")

    def _is_repeatable(self):
        """Return whether the request of a payment may be sent again without a second charge.

        :rtype: bool
        """
        self.ensure_one()
        hours = self.provider_id._get_repeatable_hours()
        return bool(
            self.subscription_invoice_id and hours
            and self.subscription_charge_time > fields.Datetime.now() - timedelta(hours=hours))

    @api.model
    def _get_left_domain(self):
        """Return the domain of payments and refunds which are to be left to a person: who was to send them is gone
        and their provider can't be asked again, or the provider has been at them for too long.

        :rtype: Domain
        """
        now = fields.Datetime.now()
        interrupted = Domain([
            ('state', '=', 'draft'),
            ('subscription_sent_date', '<=', now - timedelta(minutes=const.ASK_AGAIN_MINUTES)),
        ]) & ~self._get_repeatable_domain()
        return interrupted | Domain([
            ('state', '=', 'pending'), ('subscription_no_answer', '=', False),
            ('subscription_charge_time', '<=', now - timedelta(days=const.PENDING_DAYS)),
        ])

    # === HOOKS === #

    def _is_status_known(self):
        """Return whether the provider can be asked what became of a payment, without asking for money again.

        Addons of other providers extend it, together with `_send_status_request`; call super.

        :rtype: bool
        """
        self.ensure_one()
        return self.provider_code == 'stripe' and bool(self.provider_reference) and self.operation != 'refund'

    def _send_status_request(self):
        """Ask the provider what became of a payment, and process what it says.

        Addons of other providers extend it for their payments; call super for others.

        :raise ValidationError: when it doesn't answer
        """
        self.ensure_one()
        intent = self._send_api_request(
            'GET', f'payment_intents/{self.provider_reference}', data={'expand[]': 'payment_method'})
        self._process(self.provider_code, {
            'reference': self.reference, 'payment_intent': intent, 'payment_method': intent.get('payment_method')})
