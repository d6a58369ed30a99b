from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command, Domain
from odoo.tools import SQL, format_amount, format_date

from .. import const


class SubscriptionChargeMixin(models.AbstractModel):
    """Invoices of contracts which are charged by themselves: the queue, what is sent, and what came of it."""

    _name = 'subscription.charge.mixin'
    _description = "Subscription Charge"

    subscription_charge_state = fields.Selection(
        selection=const.CHARGE_STATES, string="Charge", copy=False, readonly=True, index='btree_not_null',
        help="What becomes of charging this invoice to the payment method of its subscription.")
    subscription_charge_date = fields.Date(
        string="Charge On", copy=False, readonly=True, help="The first day on which the invoice may be charged.")
    subscription_charge_count = fields.Integer(
        string="Tries", copy=False, readonly=True, help="How often the payment provider was asked for the money.")
    subscription_is_prepaid = fields.Boolean(
        string="Prepaid", copy=False, readonly=True, help="Stays a draft until the customer pays it.")

    # === BUSINESS METHODS - AMOUNTS === #

    def _get_subscriptions(self):
        """Return the contracts which these invoices bill.

        :rtype: sale.order
        """
        # Who collects may not see the orders.
        return self.sudo().invoice_line_ids.sale_line_ids.order_id.filtered('is_subscription')

    def _is_charge_open(self):
        """Return whether money is still to come for the invoice: a confirmed one which isn't paid, or a draft which
        waits for its payment. Disputed ones are left alone.

        :rtype: bool
        """
        self.ensure_one()
        return (
            self.move_type == 'out_invoice'
            and (self.state == 'posted' or (self.state == 'draft' and self.subscription_is_prepaid))
            and self.payment_state in ('not_paid', 'partial')
            and self.currency_id.compare_amounts(self._get_charge_amount(), 0.0) > 0
        )

    def _get_charge_amount(self):
        """Return what is left to pay of the invoice.

        :rtype: float
        """
        self.ensure_one()
        return self.amount_residual if self.state == 'posted' else self.amount_total

    def _get_charge_token(self):
        """Return the saved payment method which the invoice is charged to: that of its contract, as of now.

        :rtype: payment.token
        """
        self.ensure_one()
        return self._get_subscriptions()._get_usable_token()

    def _get_open_transactions(self):
        """Return payments of the invoice by which money may still arrive, one which a customer just began included.

        :rtype: payment.transaction
        """
        self.ensure_one()
        begun = fields.Datetime.now() - timedelta(minutes=const.PAYMENT_PAGE_MINUTES)
        return self.sudo().transaction_ids.filtered(
            lambda tx: tx.operation not in ('refund', 'validation') and (
                tx.state in ('pending', 'authorized')
                or (tx.state == 'draft' and (tx.subscription_invoice_id or tx.create_date > begun))))

    # === BUSINESS METHODS - QUEUE === #

    def _queue_subscription_charges(self):
        """Let new invoices of contracts in mode `charge` be charged, from the day on which they are due to be, and
        those in mode `prepaid` where a method is saved.
        """
        charged = self.filtered(lambda move: move._is_charged_by_mode() and move._is_charge_open())
        for date, moves in charged.grouped(lambda move: move._get_first_charge_date()).items():
            moves._enqueue_charge(date)

    def _is_charged_by_mode(self):
        """Return whether the contracts of a new invoice are charged by themselves.

        :rtype: bool
        """
        self.ensure_one()
        modes = set(self._get_subscriptions().mapped('collection_mode'))
        return modes == {'charge'} or (self.subscription_is_prepaid and bool(self._get_charge_token()))

    def _get_first_charge_date(self):
        """Return on which day a new invoice is charged: when it is made, or when its first period begins.

        :rtype: datetime.date
        """
        self.ensure_one()
        starts = [day for day in self.invoice_line_ids.mapped('service_start_date') if day]
        made = self.invoice_date or self.company_id._get_subscription_today()
        return max(made, min(starts, default=made))

    def _enqueue_charge(self, date):
        """Put invoices in the queue, and wake up who works on it.

        :param datetime.date date: from when on they may be charged
        """
        self.write({'subscription_charge_state': 'waiting', 'subscription_charge_date': date})
        if any(date <= company._get_subscription_today() for company in self.company_id):
            self.env['sale.order']._trigger_collection()

    def _request_charge(self, date=None):
        """Let invoices be charged, again where that failed before.

        :param datetime.date date: from when on, today if not given
        :raise UserError: saying why one can't be charged
        """
        for move in self:
            if error := move._get_charge_error():
                raise UserError(error)
            move._enqueue_charge(date or move.company_id._get_subscription_today())

    def _get_charge_error(self):
        """Return why the invoice can't be charged now.

        :return: a sentence which says what to do, or nothing
        :rtype: str|None
        """
        self.ensure_one()
        if not self._is_charge_open():
            return self.env._("%(name)s: there is nothing left to charge.", name=self._get_charge_label())
        if self._get_open_transactions():
            return self.env._(
                "%(name)s: a payment is under way. Wait for it, or ask the payment provider what became of it.",
                name=self._get_charge_label())
        if not self._get_charge_token():
            return self.env._(
                "%(name)s: no usable payment method is saved on its subscription. Choose one there, or let the"
                " customer pay the invoice online.", name=self._get_charge_label())
        return self._get_charge_limit_error()

    def _get_charge_limit_error(self):
        """Return why card networks don't allow to charge the invoice again: too many tries, or a refusal for good.

        :return: a sentence which says what to do, or nothing
        :rtype: str|None
        """
        self.ensure_one()
        charges = self.env['payment.transaction'].sudo().search([('subscription_invoice_id', '=', self.id)])
        recent = fields.Datetime.now() - timedelta(days=const.MAX_CHARGES_DAYS)
        sent = charges.filtered(lambda tx: tx.state != 'cancel' and tx.subscription_charge_time > recent)
        if len(sent) >= const.MAX_CHARGES:
            return self.env._(
                "%(name)s: it was tried %(count)s times in %(days)s days, more isn't allowed. Let the customer pay it"
                " online.", name=self._get_charge_label(), count=len(sent), days=const.MAX_CHARGES_DAYS)
        token = self._get_charge_token()
        if charges.filtered(lambda tx: tx.subscription_hard_decline and tx.token_id == token and tx.state == 'error'):
            return self.env._(
                "%(name)s: the bank refused the payment method %(method)s for good. Another one is needed, or let the"
                " customer pay the invoice online.", name=self._get_charge_label(), method=token.display_name)
        return None

    def _get_charge_label(self):
        """Return how an invoice is called where its charge is spoken of; drafts have no number.

        :rtype: str
        """
        self.ensure_one()
        if self.state != 'draft' and self.name:
            return self.name
        return self.env._("Draft of %(names)s", names=', '.join(self._get_subscriptions().mapped('name')))

    # === BUSINESS METHODS - CHARGE === #

    @api.model
    def _get_due_charges_domain(self):
        """Return the domain of invoices which are to be charged now.

        :rtype: Domain
        """
        return Domain('subscription_charge_state', '=', 'waiting') & self.env['sale.order']._get_dated_domain(
            lambda day: Domain('subscription_charge_date', '<=', day))

    @api.model
    def _lock_next_charge(self, last_id):
        """Lock the next invoice to charge which no other worker is at.

        :param int last_id: the last one which was looked at
        :rtype: account.move
        """
        query = self._search(self._get_due_charges_domain() & Domain('id', '>', last_id), order='id', limit=1)
        rows = self.env.execute_query(SQL("%s FOR NO KEY UPDATE OF account_move SKIP LOCKED", query.select()))
        return self.browse(row[0] for row in rows)

    def _charge_locked(self):
        """Charge a locked invoice: its payment is committed, then sent without any lock on the invoice."""
        self.ensure_one()
        transaction = self._prepare_charge()
        self.env['ir.cron']._commit_progress()
        if transaction:
            transaction._send_charge()

    def _prepare_charge(self):
        """Make the payment of a locked invoice which is to be charged, after its contracts' credits are used up.

        :return: a draft payment to be committed and sent; nothing where none is needed, or possible
        :rtype: payment.transaction
        """
        self.ensure_one()
        nothing = self.env['payment.transaction']
        if not self._get_subscriptions().filtered(lambda order: order.collection_mode in ('charge', 'prepaid')):
            self.subscription_charge_state = False  # the mode was changed
            return nothing
        if self._get_open_transactions():
            return nothing  # somebody pays; looked at again by the next cron
        if self.state == 'posted':
            self._reconcile_subscription_credits()
        if not self._is_charge_open():
            self._leave_charge_queue()
            return nothing
        if self._get_charge_error():
            self._handle_charge_failure(nothing, False)
            return nothing
        self.subscription_charge_state = 'sent'
        self.subscription_charge_count += 1
        return nothing.create(self._prepare_charge_values())

    def _prepare_charge_values(self):
        """Prepare the payment of an invoice by the saved payment method.

        Never linked to the sales order: the host would confirm and invoice that.

        :rtype: dict
        """
        self.ensure_one()
        token = self._get_charge_token()
        names = '-'.join(self._get_subscriptions().mapped('name'))
        return {
            'provider_id': token.provider_id.id,
            'payment_method_id': token.payment_method_id.id,
            'token_id': token.id,
            'reference': self.env['payment.transaction']._compute_reference(
                token.provider_id.code, prefix=self.name if self.state == 'posted' else f'{names}-{self.id}'),
            'amount': self._get_charge_amount(),
            'currency_id': self.currency_id.id,
            'partner_id': self.partner_id.id,
            'operation': 'offline',
            'invoice_ids': [Command.set(self.ids)],
            'subscription_invoice_id': self.id,
            'subscription_charge_time': fields.Datetime.now(),
            'subscription_sent_date': fields.Datetime.now(),
        }

    def _leave_charge_queue(self):
        """Stop charging invoices for which no money is to come any more."""
        for move in self:
            move.subscription_charge_state = 'done' if move.state == 'posted' else False

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
                self._enqueue_charge(self.company_id._get_subscription_today())
        self._log_on_subscriptions(self.env._(
            "%(amount)s of %(invoice)s were charged to %(method)s.", **self._get_charge_terms(transaction)))

    def _handle_charge_failure(self, transaction, is_hard):
        """Take note that a charge failed for good; called once for each payment which failed.

        What happens then is dunning's business, which extends it; call super.

        :param payment.transaction transaction: the payment; none where no method could be asked at all
        :param bool is_hard: whether no further try with this method can succeed
        """
        self.ensure_one()
        if self.subscription_charge_state == 'done' and not self._is_charge_open():
            return  # paid by another way in the meantime
        error = None if transaction else self._get_charge_error()
        self.subscription_charge_state = 'refused' if is_hard else 'failed'
        terms = self._get_charge_terms(transaction)
        if transaction:
            self._log_on_subscriptions(self.env._(
                "Charging %(amount)s of %(invoice)s to %(method)s failed: %(message)s", **terms))
        else:
            self._log_on_subscriptions(error or self.env._("%(invoice)s could not be charged.", **terms))

    def _handle_charge_pending(self, transaction):
        """Take note that a charge is under way: the provider needs time, or hasn't answered.

        :param payment.transaction transaction: the payment
        """
        self.ensure_one()
        if self.subscription_charge_state == 'done' and not self._is_charge_open():
            return
        self.subscription_charge_state = 'unknown' if transaction.subscription_no_answer else 'sent'
        terms = self._get_charge_terms(transaction)
        if transaction.subscription_no_answer:
            self.env['sale.order']._trigger_collection(
                fields.Datetime.now() + timedelta(minutes=const.ASK_AGAIN_MINUTES))
            self._log_on_subscriptions(self.env._(
                "The payment provider was asked for %(amount)s of %(invoice)s and did not answer. It is asked again"
                " for the same payment; nothing is charged twice.", **terms))
        else:
            self._log_on_subscriptions(self.env._(
                "%(amount)s of %(invoice)s are on their way from %(method)s.", **terms))

    def _handle_charge_stopped(self, transaction):
        """Take note that a charge was stopped before it brought money; what is still open is charged anew.

        :param payment.transaction transaction: the payment
        """
        self.ensure_one()
        if not self._is_charge_open():
            self._leave_charge_queue()
        elif transaction.provider_reference:  # the provider had it already
            self._handle_charge_failure(transaction, False)
        else:
            self._enqueue_charge(self.company_id._get_subscription_today())

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
        """Lock the next charged invoice whose money went back.

        :param int last_id: the last one which was looked at
        :rtype: account.move
        """
        query = self._search(Domain([
            ('id', '>', last_id), ('subscription_charge_state', '=', 'done'), ('state', '=', 'posted'),
            ('payment_state', 'in', ('not_paid', 'partial')), ('amount_residual', '>', 0),
        ]), order='id', limit=1)
        rows = self.env.execute_query(SQL("%s FOR NO KEY UPDATE OF account_move SKIP LOCKED", query.select()))
        return self.browse(row[0] for row in rows)

    def _note_returned_payment(self):
        """Take note that money of an invoice went back. Nobody is charged again by itself for it."""
        self.ensure_one()
        self.subscription_charge_state = 'failed'
        self._log_on_subscriptions(self.env._(
            "%(amount)s of %(invoice)s which had been paid went back. See Payments to Resolve.",
            **self._get_charge_terms(self.env['payment.transaction'])))

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
                self.env, transaction.amount or self._get_charge_amount(), self.currency_id),
            'invoice': self._get_charge_label(),
            'method': transaction.token_id.display_name or self.env._("the payment method"),
            'message': transaction.state_message or '',
            'date': format_date(self.env, self.subscription_charge_date),
        }

    def _log_on_subscriptions(self, message):
        """Write a sentence in the chatter of the contracts which an invoice bills.

        :param str message: the sentence
        """
        self.ensure_one()
        orders = self._get_subscriptions()
        orders._message_log_batch(bodies=dict.fromkeys(orders.ids, message))
