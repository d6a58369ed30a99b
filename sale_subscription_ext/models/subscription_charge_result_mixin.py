import logging
from datetime import timedelta
from urllib.parse import urlencode

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import format_amount, format_date

from odoo.addons.payment import utils as payment_utils

from .. import const
from .subscription_batch_mixin import DATABASE_ERRORS

_logger = logging.getLogger(__name__)


class SubscriptionChargeResultMixin(models.AbstractModel):
    """What came of charging an invoice, told to its contracts and their customers."""

    _name = 'subscription.charge.result.mixin'
    _description = "Subscription Charge Result"

    subscription_charge_message = fields.Text(
        string="What Happened", copy=False, readonly=True, help="What came of the last try to get the money.")
    subscription_booking_error = fields.Text(
        copy=False, readonly=True, help="Why a payment whose money has arrived isn't booked.")

    # === BUSINESS METHODS - RESULTS === #

    def _handle_charge_success(self, transaction):
        """Take note that a charge brought money; a rest, if any, is charged too.

        Addons which wait for money extend it; call super.

        :param payment.transaction transaction: the payment
        """
        self.ensure_one()
        self.subscription_charge_state = 'done'
        if self._is_charge_open():
            if self._get_charge_error():
                self.subscription_charge_state = 'failed'
            else:
                today = self.company_id._get_subscription_today()
                self._enqueue_charge(max(self.subscription_charge_date or today, today))
        self._log_on_subscriptions(self.env._(
            "%(amount)s of %(invoice)s were charged to %(method)s.", **self._get_charge_terms(transaction)))
        self._send_receipt(transaction)

    def _handle_charge_failure(self, transaction, is_hard):
        """Take note that a charge failed for good; called once for each payment which failed.

        What happens then is dunning's business, which extends it; call super.

        :param payment.transaction transaction: the payment; none where no method could be asked at all
        :param bool is_hard: whether no further try with this method can succeed
        """
        self.ensure_one()
        if not self._is_charge_open():
            self._leave_charge_queue()  # paid by another way in the meantime
            return
        error = None if transaction else self._get_charge_error()
        self.subscription_charge_state = 'refused' if is_hard else 'failed'
        terms = self._get_charge_terms(transaction)
        if transaction:
            self._log_on_subscriptions(self.env._(
                "Charging %(amount)s of %(invoice)s to %(method)s failed: %(message)s", **terms), terms['message'])
        else:
            self._log_on_subscriptions(error or self.env._("%(invoice)s could not be charged.", **terms))

    def _handle_charge_pending(self, transaction):
        """Take note that a charge is under way: the provider needs time, or hasn't answered.

        :param payment.transaction transaction: the payment
        """
        self.ensure_one()
        self.subscription_charge_state = 'unknown' if transaction.subscription_no_answer else 'sent'
        terms = self._get_charge_terms(transaction)
        if not transaction.subscription_no_answer:
            self._log_on_subscriptions(self.env._(
                "%(amount)s of %(invoice)s are on their way from %(method)s.", **terms))
        elif transaction._is_repeatable():
            self.env['sale.order']._trigger_collection(
                fields.Datetime.now() + timedelta(minutes=const.ASK_AGAIN_MINUTES))
            self._log_on_subscriptions(self.env._(
                "The payment provider was asked for %(amount)s of %(invoice)s and did not answer. It is asked again"
                " for the same payment; nothing is charged twice.", **terms),
                self.env._("The provider did not answer. It is asked again by itself; nothing is charged twice."))
        else:
            self._log_on_subscriptions(self.env._(
                "The payment provider was asked for %(amount)s of %(invoice)s and did not say what became of it."
                " %(message)s Look up payment %(reference)s in your account at %(provider)s, then press It Was Charged"
                " or It Was Not Charged in Payments to Resolve.", **terms))

    def _handle_charge_stopped(self, transaction):
        """Take note that a charge was stopped before it brought money; what is still open is charged anew.

        :param payment.transaction transaction: the payment
        """
        self.ensure_one()
        if not self._is_charge_open():
            self._leave_charge_queue()
        elif transaction.subscription_charge_time:  # by the provider, or there
            self._handle_charge_failure(transaction, False)
        else:
            self._enqueue_charge(self.company_id._get_subscription_today())

    def _handle_payment_given_up(self):
        """Take note that what a customer tried to pay online brought no money: the invoice is as it was before."""
        self.ensure_one()
        if self.subscription_charge_state not in ('unknown', 'sent'):
            return
        if self.subscription_charge_count:
            self.subscription_charge_state = 'failed'
        elif self.subscription_charge_date and self._is_charge_open() and self._is_charged_by_mode():
            today = self.company_id._get_subscription_today()
            self._enqueue_charge(max(self.subscription_charge_date, today))
        else:
            self.subscription_charge_state = False

    def _handle_invoice_paid(self):
        """Stop collecting invoices which are paid, whichever way the money came. What a provider was asked for and
        hasn't answered is kept until it does.

        Dunning extends it; call super.
        """
        collected = self.filtered(lambda move: move.subscription_charge_state in ('waiting', 'failed', 'refused'))
        collected.subscription_charge_state = 'done'

    # === BUSINESS METHODS - RETURNED MONEY === #

    @api.model
    def _lock_next_returned(self, last_id):
        """Lock the next invoice whose money went back: a charged one, or one of a charged contract which the customer
        had paid otherwise, as the first one.

        :param int last_id: the last one which was looked at
        :rtype: account.move
        """
        was_paid = Domain('subscription_charge_state', '=', 'done') | Domain([
            ('subscription_charge_state', '=', False), ('subscription_paid_date', '!=', False),
            ('invoice_line_ids.sale_line_ids.order_id', 'any', [('collection_mode', '=', 'charge')])])
        return self._lock_batch(was_paid & Domain([
            ('id', '>', last_id), ('move_type', '=', 'out_invoice'), ('state', '=', 'posted'),
            ('payment_state', 'in', ('not_paid', 'partial')), ('amount_residual', '>', 0),
        ]), 1)

    def _note_returned_payment(self):
        """Take note that money of an invoice went back. Nobody is charged again by itself for it.

        Dunning extends it; call super.
        """
        self.ensure_one()
        self.subscription_charge_state = 'failed'
        self._log_on_subscriptions(self.env._(
            "%(amount)s of %(invoice)s which had been paid went back. See Payments to Resolve.",
            **self._get_charge_terms(self.env['payment.transaction'])))

    # === BUSINESS METHODS - E-MAILS === #

    def _send_receipt(self, transaction):
        """Tell the customers of a charge that brought money.

        :param payment.transaction transaction: the payment
        """
        try:
            with self.env.cr.savepoint():
                self._send_collection_mail('sale_subscription_ext.mail_template_subscription_receipt', transaction)
        except DATABASE_ERRORS:
            raise
        except Exception:  # the money is there, whatever is wrong with the template
            _logger.warning("No receipt could be sent for payment %s", transaction.reference, exc_info=True)

    def _send_collection_mail(self, template_xmlid, transaction=None):
        """Send an e-mail about these invoices to the customers of their contracts, where the plans send any.

        It stands in the chatter of one contract of each invoice.

        :param str template_xmlid: of an e-mail template for sales orders
        :param payment.transaction transaction: the payment which it is about
        """
        for move in self:
            move._get_subscriptions()[:1].with_context(
                sale_subscription_ext_mailed_invoice_id=move.id,
                sale_subscription_ext_mailed_payment_id=transaction.id if transaction else False,
            )._send_subscription_mail(template_xmlid)

    def _get_subscription_payment_url(self):
        """Return where the customer can pay the invoice online, without a login.

        :rtype: str
        """
        self.ensure_one()
        amount = self._get_charge_amount()
        token = payment_utils.generate_access_token(self.partner_id.id, amount, self.currency_id.id, env=self.env)
        return f'{self.get_base_url()}/payment/pay?' + urlencode({
            'amount': amount, 'access_token': token, 'invoice_id': self.id})

    # === TOOLING === #

    def _get_charge_terms(self, transaction):
        """Return what sentences about a charge are made of.

        :param payment.transaction transaction: the payment, if any
        :rtype: dict
        """
        self.ensure_one()
        transaction = transaction.sudo()  # who reads of it has no right on payments
        return {
            'amount': format_amount(
                self.env, abs(transaction._get_captured_amount()) or self._get_charge_amount(), self.currency_id),
            'invoice': self._get_charge_label(),
            'method': transaction.token_id.display_name or self.env._("the payment method"),
            # The host says first that the provider said no.
            'message': (transaction.state_message or '').rpartition('\n')[2],
            'date': format_date(self.env, self.subscription_charge_date),
            'reference': transaction.reference,
            'provider': transaction.provider_id.name,
        }

    def _log_on_subscriptions(self, message, reason=None):
        """Write what came of a charge in the chatter of the contracts which an invoice bills, and on itself.

        :param str message: the sentence
        :param str reason: what to say on the invoice, where amount and number stand beside it
        """
        self.ensure_one()
        self.subscription_charge_message = reason or message
        orders = self._get_subscriptions()
        orders._message_log_batch(bodies=dict.fromkeys(orders.ids, message))
