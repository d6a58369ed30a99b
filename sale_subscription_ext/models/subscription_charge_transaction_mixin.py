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
from odoo.tools import SQL, format_amount
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

    def _is_asked_again(self):
        """Return whether a payment which got no answer is kept open and asked about again.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.subscription_invoice_id)

    def _note_answer(self, error=None):
        """Remember whether the provider answered, and whether it said never to try again.

        :param Exception error: what the request ended with
        """
        self.ensure_one()
        if not self._is_asked_again():
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
        self.filtered(lambda tx: tx.state == 'pending').state_message = state_message
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

    # === BUSINESS METHODS - OTHER PAYMENTS === #

    @api.model
    def _check_no_charge_under_way(self, vals_list):
        """Refuse to begin online payments of invoices which are being charged: the customer would pay twice.

        :param list[dict] vals_list: values of new payments
        :raise ValidationError: saying what to do
        """
        begun = [self._get_invoices_to_pay(vals) for vals in vals_list]
        moves = self.env['account.move'].sudo().union(*begun).filtered('subscription_charge_state')
        if not moves:
            return
        # A worker which looked at the invoice just before this is turned back by the database.
        self.env.execute_query(SQL(
            "UPDATE account_move SET subscription_charge_count = subscription_charge_count WHERE id IN %s RETURNING id",
            tuple(moves.ids)))
        if self.sudo().search_count([
            ('subscription_invoice_id', 'in', moves.ids), ('state', 'in', const.OPEN_TRANSACTION_STATES),
        ], limit=1):
            raise ValidationError(self.env._(
                "This invoice is being charged to the saved payment method right now. Reload this page in some"
                " minutes to see whether it is paid."))

    @api.model
    def _check_still_owed(self, vals_list):
        """Refuse to begin online payments of more than is left of invoices of contracts: a link which was mailed, or a
        page which stayed open, would take money a second time.

        :param list[dict] vals_list: values of new payments
        :raise ValidationError: saying what is left
        """
        for vals in vals_list:
            moves = self._get_invoices_to_pay(vals)
            if not moves._get_subscriptions() or set(moves.mapped('move_type')) != {'out_invoice'}:
                continue
            left, currency = moves._get_amount_left(), moves.currency_id[:1]
            if currency.is_zero(left):
                raise ValidationError(self.env._(
                    "Nothing is left to be paid of this invoice. Reload this page."))
            if currency.compare_amounts(vals.get('amount') or 0.0, left) > 0:
                raise ValidationError(self.env._(
                    "%(amount)s are left to be paid of this invoice. Reload this page.",
                    amount=format_amount(self.env, left, currency)))

    @api.model
    def _get_invoices_to_pay(self, vals):
        """Return the invoices which somebody begins to pay online.

        :param dict vals: values of a new payment
        :return: in sudo: customers have no right on invoices
        :rtype: account.move
        """
        moves = self.env['account.move'].sudo()
        if not (vals.get('operation') or '').startswith('online') or not vals.get('invoice_ids'):
            return moves
        return moves.browse(self._fields['invoice_ids'].convert_to_cache(vals['invoice_ids'], self))

    @api.model
    def _prepare_guarded_payment(self, vals):
        """Let what a customer pays online with a saved method be kept open and asked about, as a charge is, when its
        provider doesn't answer.

        :param dict vals: values of a new payment
        :return: the values, completed
        :rtype: dict
        """
        if vals.get('operation') != 'online_token':
            return vals
        moves = self._get_invoices_to_pay(vals)
        if len(moves) != 1 or not moves._get_subscriptions():
            return vals
        now = fields.Datetime.now()
        return {
            **vals, 'subscription_invoice_id': moves.id, 'subscription_charge_time': now, 'subscription_sent_date': now}

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

    def _leave_to_person(self, reason=None):
        """Leave a locked payment to a person of which nobody can know what became.

        :param str reason: why, where it is known
        """
        self.ensure_one()
        self.with_context(sale_subscription_ext_charging=True)._set_unanswered(
            reason or self.env._("The payment was interrupted. Nobody knows whether the provider was asked."))
        self.subscription_no_answer = True
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
        try:
            with self.env.cr.savepoint():
                if self.state == 'draft' and not self.subscription_no_answer:
                    self._charge_with_token()
                else:
                    self._send_again()
        except DATABASE_ERRORS:
            raise
        except Exception:  # whatever it is, the money may have been taken
            _logger.warning("The answer for payment %s was not understood", self.reference, exc_info=True)
            self.subscription_no_answer = True
            self._set_unanswered(self.env._("The answer of the payment provider was not understood."))
        if self.state == 'draft':
            self._set_error(self.env._("The provider asks the customer to confirm this payment."))

    def _send_again(self):
        """Send a payment again which brought no answer, under the idempotency key it was sent with."""
        self.ensure_one()
        try:
            self._send_payment_request()
        except ValidationError as error:
            self._set_error(str(error))

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

    def _settle_charges(self):
        """Tell invoices what became of their charges; what they know already changes nothing."""
        for tx in self.filtered('subscription_invoice_id'):
            state = 'unknown' if tx.state == 'pending' and tx.subscription_no_answer else tx.state
            if tx.state == 'draft' or tx.subscription_settled_state == state:
                continue
            tx.subscription_settled_state = state
            invoice = tx.subscription_invoice_id
            if invoice.subscription_booking_error:
                invoice.subscription_booking_error = False
            if state == 'done':
                invoice._handle_charge_success(tx)
            elif tx.operation != 'offline' and state in ('error', 'cancel'):
                invoice._handle_payment_given_up()
            elif state == 'error':
                invoice._handle_charge_failure(tx, tx.subscription_hard_decline)
            elif state == 'cancel':
                invoice._handle_charge_stopped(tx)
            else:
                invoice._handle_charge_pending(tx)

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
    def _get_left_behind_domain(self):
        """Return the domain of payments of which nobody knows whether they were sent: who was at it is gone, and
        their provider can't be asked again.

        :rtype: Domain
        """
        return Domain([
            ('subscription_invoice_id', '!=', False), ('state', '=', 'draft'),
            ('subscription_sent_date', '<=', fields.Datetime.now() - timedelta(minutes=const.ASK_AGAIN_MINUTES)),
        ]) & ~self._get_repeatable_domain()

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
