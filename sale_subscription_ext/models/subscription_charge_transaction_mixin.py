import json
import logging
import random
import re
import time
from datetime import timedelta

from psycopg2.extensions import TransactionRollbackError

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Domain
from odoo.tools import SQL
from odoo.tools.date_utils import end_of

from .. import const
from .payment_provider import PaymentUnanswered
from .subscription_batch_mixin import DATABASE_ERRORS

_logger = logging.getLogger(__name__)


class SubscriptionChargeTransactionMixin(models.AbstractModel):
    """Payments by which the invoices of contracts are charged: sent once, asked about again, never charged twice."""

    _name = 'subscription.charge.transaction.mixin'
    _description = "Subscription Charge Transaction"

    subscription_invoice_id = fields.Many2one(
        comodel_name='account.move', string="Charged Invoice", readonly=True, copy=False, index='btree_not_null',
        ondelete='set null', help="The invoice which this payment charges by itself.")
    subscription_charge_time = fields.Datetime(
        string="Charged On", readonly=True, copy=False, help="When the provider was asked first.")
    subscription_sent_date = fields.Datetime(
        string="Asked On", readonly=True, copy=False, help="When the provider was asked last.")
    subscription_no_answer = fields.Boolean(
        string="No Answer", readonly=True, copy=False, help="The provider was asked and didn't answer.")
    subscription_hard_decline = fields.Boolean(
        string="Refused for Good", readonly=True, copy=False, help="The bank said not to try this method again.")
    subscription_settled_state = fields.Char(
        readonly=True, copy=False, help="The state which invoice and contracts know of.")

    # === BUSINESS METHODS - ANSWERS === #

    def _is_kept_open(self):
        """Return whether a payment which got no answer is kept open until somebody knows what became of it.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.subscription_invoice_id) or self._is_wanted_refund()

    def _note_answer(self, error=None):
        """Remember whether the provider answered, and whether it said never to try again.

        :param Exception error: what the request ended with
        """
        self.ensure_one()
        if not self._is_kept_open():
            return
        response = getattr(error and error.__context__, 'response', None)
        # Asked again, whatever isn't about the payment itself, such as a key which was changed meanwhile, says nothing
        # of the first request.
        is_unanswered = isinstance(error, PaymentUnanswered) or (
            self.subscription_no_answer and response is not None and response.status_code != 402)
        if self.subscription_no_answer != is_unanswered:
            self.subscription_no_answer = is_unanswered
        if response is not None and not is_unanswered:
            self.subscription_hard_decline = self._is_hard_decline(response.text)

    def _set_unanswered(self, state_message):
        """Keep payments open whose provider didn't answer.

        :param str state_message: what happened
        :return: those which are pending from now on
        :rtype: payment.transaction
        """
        asked_again = self.filtered(lambda tx: tx.state == 'pending' or (
            tx.state == 'draft' and tx.subscription_settled_state == 'unknown'))
        asked_again.write({'state': 'pending', 'state_message': state_message})  # people know of it already
        return self.filtered(lambda tx: tx.state == 'draft')._set_pending(state_message=state_message)

    @api.model
    def _is_hard_decline(self, answer):
        """Return whether an answer says that no further try can succeed.

        Addons of providers with words of their own extend it; call super.

        :param str|dict answer: what the provider said
        :rtype: bool
        """
        text = answer if isinstance(answer, str) else json.dumps(answer, default=str)
        return not const.HARD_DECLINE_CODES.isdisjoint(re.findall(r'"(\w+)"', text))

    @api.model
    def _extract_expiry_date(self, payment_data):
        """Return the last day on which a card can be charged which a provider told us of.

        Addons of providers which say it elsewhere extend it; call super.

        :param dict payment_data: what the provider said
        :rtype: datetime.date|None
        """
        method = payment_data.get('payment_method') if isinstance(payment_data, dict) else None
        details = method.get(method.get('type')) if isinstance(method, dict) else None
        if not isinstance(details, dict) or not (details.get('exp_year') and details.get('exp_month')):
            return None
        first = fields.Date.to_date(f"{int(details['exp_year']):04}-{int(details['exp_month']):02}-01")
        return end_of(first, 'month')

    # === BUSINESS METHODS - SENDING === #

    def _send_charge(self):
        """Ask the provider for the money of a payment whose row is committed, and commit what it answers.

        Only the row of the payment is locked meanwhile. Whoever else holds it is at it; whatever happens before the
        commit is made good by asking again with the same payment.
        """
        tx = self.try_lock_for_update(allow_referencing=True)
        if not tx or tx.state != 'draft':
            return
        tx = tx.with_context(sale_subscription_ext_charging=True)
        if reason := tx._get_stop_reason():
            tx.subscription_charge_time = False  # the provider was never asked
            tx._set_canceled(state_message=reason)
        else:
            tx._ask_provider()
        self.env['ir.cron']._commit_progress()
        self._settle_committed()

    def _ask_again(self):
        """Ask about a locked payment again, with the very same request, where it may still bring what is owed.

        When it was asked is committed first, so that no other worker asks at the same time.
        """
        self.ensure_one()
        self.subscription_sent_date = fields.Datetime.now()
        if reason := self._get_stop_reason():
            # If the first request never arrived, the same one would take money which isn't owed any more.
            self._leave_to_person(reason)
            return
        self.env['ir.cron']._commit_progress()
        tx = self.try_lock_for_update(allow_referencing=True)
        if not tx or not (tx.state == 'draft' or (tx.state == 'pending' and tx.subscription_no_answer)):
            return
        tx.with_context(sale_subscription_ext_charging=True)._ask_provider()
        self.env['ir.cron']._commit_progress()
        self._settle_committed()

    def _ask_provider(self):
        """Send a payment to its provider, the same again where it was sent before."""
        self.ensure_one()
        try:
            self._ensure_provider_is_not_disabled()
        except UserError as error:  # not even sent this time
            if self.state != 'draft':
                raise
            self._set_error(str(error))
            return
        is_new = self.state == 'draft' and not self.subscription_no_answer
        self._ask_for(self._charge_with_token if is_new else self._send_again)
        if self.state == 'draft':
            self._set_error(self.env._("The provider asks the customer to confirm this payment."))

    def _send_again(self):
        """Ask again about a payment which brought no answer, or send it again under the idempotency key it was sent
        with.
        """
        self.ensure_one()
        self.state = 'draft'  # where it stays, the provider waits for the customer
        if self._is_status_known():
            self._send_status_request()
        else:
            self._send_payment_request()

    def _look_up(self):
        """Ask the provider what became of a payment which is left to a person. What it is still at stays so."""
        self.ensure_one()
        self.with_context(sale_subscription_ext_charging=True)._ask_provider()
        if self.state == 'pending':
            self.subscription_no_answer = True
        self._post_process()

    def _ask_for(self, request):
        """Send a request about a payment, whatever comes of it: a “no” fails it, what isn't understood leaves it open.

        :param request: called without parameters
        """
        self.ensure_one()
        try:
            with self.env.cr.savepoint():
                try:
                    request()
                except ValidationError as error:
                    self._set_error(str(error))
        except DATABASE_ERRORS:
            raise
        except Exception:  # whatever it is, money may have moved
            _logger.warning("The answer for payment %s was not understood", self.reference, exc_info=True)
            self.subscription_no_answer = True
            self._set_unanswered(self.env._("The answer of the payment provider was not understood."))

    def _get_stop_reason(self):
        """Return why a payment which isn't sent yet must not be sent any more.

        :return: a sentence, or nothing
        :rtype: str|None
        """
        self.ensure_one()
        invoice = self.subscription_invoice_id
        if not invoice._is_charge_open():
            return self.env._("The invoice was paid or cancelled in the meantime.")
        if invoice._get_left_subscriptions():
            return self.env._("The subscription was closed in the meantime.")
        if self.currency_id.compare_amounts(invoice._get_charge_amount(), self.amount) < 0:
            return self.env._("A part of the invoice was paid in the meantime.")
        return None

    # === BUSINESS METHODS - RESULTS === #

    def _settle_committed(self):
        """Book what became of a payment and tell its invoice, in a transaction of its own.

        What fails is tried again: by the host's post-processing, and by the next collection.
        """
        for attempt in range(const.MAX_CONCURRENCY_RETRIES):
            try:
                self._post_process()
                self.env['ir.cron']._commit_progress()
                return
            except TransactionRollbackError:  # another transaction was at it
                self.env.cr.rollback()
                time.sleep(random.uniform(0.0, 0.1 * 2 ** attempt))
            except DATABASE_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001  the answer of the provider is safe, the rest is done again
                self.env.cr.rollback()
                self._note_booking_error(error)
                return

    def _note_booking_error(self, error):
        """Tell people that a payment whose answer is known couldn't be booked.

        :param Exception error: what happened
        """
        self.ensure_one()
        _logger.warning("Payment %s could not be booked", self.id, exc_info=error)
        message = self.env._(
            "The provider has answered for payment %(reference)s, but it could not be booked: %(error)s",
            reference=self.reference, error=error)
        self.subscription_invoice_id.write(
            {'subscription_booking_error': message, 'subscription_charge_message': message})
        self.env['ir.cron']._commit_progress()

    def _book_captures(self):
        """Book the parts in which authorized charges were captured, before their invoices are told of the whole: what
        isn't booked would be charged again.
        """
        captures = self.filtered('subscription_invoice_id').child_transaction_ids
        for capture in captures.filtered(
                lambda tx: tx.operation != 'refund' and tx.state == 'done' and not tx.is_post_processed):
            capture._post_process()

    def _get_captured_amount(self):
        """Return which amount a payment brought: less than it was authorized for where the rest was voided.

        :rtype: float
        """
        captures = self.child_transaction_ids.filtered(lambda tx: tx.operation != 'refund' and tx.state == 'done')
        return sum(captures.mapped('amount')) if captures else self.amount

    def _settle_charges(self):
        """Tell invoices what became of their charges; what they know already changes nothing."""
        for tx in self.filtered('subscription_invoice_id'):
            state = tx._get_unsettled_state()
            if not state:
                continue
            was_done = tx.subscription_settled_state == 'done'
            tx.subscription_settled_state = state
            invoice = tx.subscription_invoice_id
            if invoice.subscription_booking_error:
                invoice.subscription_booking_error = False
            if state == 'done':
                invoice._handle_charge_success(tx)
            elif was_done:
                self.env['sale.order']._trigger_collection()  # which notices all money that went back
            elif tx.operation != 'offline' and state in ('error', 'cancel'):
                invoice._handle_payment_given_up()
            elif state == 'error':
                invoice._handle_charge_failure(tx, tx.subscription_hard_decline)
            elif state == 'cancel':
                invoice._handle_charge_stopped(tx)
            else:
                invoice._handle_charge_pending(tx)

    def _get_unsettled_state(self):
        """Return the state of a payment, where it has one which its invoice doesn't know of.

        :return: `unknown` for one which got no answer
        :rtype: str|None
        """
        self.ensure_one()
        state = 'unknown' if self.state == 'pending' and self.subscription_no_answer else self.state
        return None if state in ('draft', self.subscription_settled_state) else state

    # === BUSINESS METHODS - CRON === #

    @api.model
    def _get_repeatable_domain(self):
        """Return the domain of payments which were sent, brought no answer, and may be sent again.

        :rtype: Domain
        """
        now = fields.Datetime.now()
        providers = self.env['payment.provider'].sudo().search([('state', '!=', 'disabled')])
        return Domain([
            ('subscription_invoice_id', '!=', False),
            ('subscription_sent_date', '<=', now - timedelta(minutes=const.ASK_AGAIN_MINUTES)),
        ]) & (
            Domain('state', '=', 'draft')
            | (Domain('state', '=', 'pending') & Domain('subscription_no_answer', '=', True))
        ) & Domain.OR(
            Domain([
                ('provider_id', 'in', same.ids), ('subscription_charge_time', '>', now - timedelta(hours=hours))])
            for hours, same in providers.grouped(lambda provider: provider._get_repeatable_hours()).items() if hours
        )

    @api.model
    def _lock_next(self, domain, last_id):
        """Lock the next payment of a domain which nobody else is at.

        :param Domain domain: which payments
        :param int last_id: the last one which was looked at
        :rtype: payment.transaction
        """
        query = self._search(domain & Domain('id', '>', last_id), order='id', limit=1)
        rows = self.env.execute_query(SQL(
            "%s FOR NO KEY UPDATE OF payment_transaction SKIP LOCKED", query.select()))
        return self.browse(row[0] for row in rows)
