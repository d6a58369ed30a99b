from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command, Domain
from odoo.tools import SQL

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

    def _get_amount_left(self):
        """Return what is left to pay of these invoices, nothing of those which are cancelled.

        :rtype: float
        """
        return sum(move._get_charge_amount() for move in self if move.state != 'cancel')

    def _get_charge_token(self):
        """Return the saved payment method which the invoice is charged to: that of its contract, as of now. Who was
        handed the contract doesn't pay what was billed to somebody else.

        :rtype: payment.token
        """
        self.ensure_one()
        return self._get_subscriptions().filtered(
            lambda order: order.partner_invoice_id.commercial_partner_id == self.commercial_partner_id,
        )._get_usable_token()

    def _get_open_transactions(self):
        """Return payments of the invoice by which money may still arrive, or has arrived and isn't booked yet: one
        which a customer just began, and the parts in which an authorized one is captured, included.

        :rtype: payment.transaction
        """
        self.ensure_one()
        now = fields.Datetime.now()
        begun = now - timedelta(minutes=const.PAYMENT_PAGE_MINUTES)
        recent = now - timedelta(days=const.PENDING_DAYS)
        own = self.sudo().transaction_ids  # who collects may have no right on payments
        # A payment of the order itself is linked to an invoice once the money is there.
        of_orders = self._get_subscriptions().transaction_ids.filtered(
            lambda tx: not tx.invoice_ids and tx.create_date > recent)
        return (own | own.child_transaction_ids | of_orders).filtered(
            lambda tx: tx.operation not in ('refund', 'validation') and (
                tx.state == 'authorized'
                or (tx.state == 'done' and not tx.is_post_processed)
                # Transfers stay pending for ever where nobody makes them.
                or (tx.state == 'pending' and (
                    tx.provider_code not in const.MANUAL_PROVIDERS or tx.create_date > recent))
                or (tx.state == 'draft' and (tx.subscription_invoice_id or tx.create_date > begun))))

    # === BUSINESS METHODS - CLOSED CONTRACTS === #

    def _get_left_subscriptions(self):
        """Return the contracts of a prepaid draft which have closed: their part isn't owed any more, and is kept only
        as long as its payment may still come.

        :rtype: sale.order
        """
        self.ensure_one()
        if self.state != 'draft' or not self.subscription_is_prepaid:
            return self.env['sale.order']
        return self._get_subscriptions().filtered(lambda order: order.subscription_state == 'closed')

    @api.model
    def _lock_next_left_draft(self, last_id):
        """Lock the next prepaid draft with a contract which has closed.

        :param int last_id: the last one which was looked at
        :rtype: account.move
        """
        return self._lock_batch(Domain([
            ('id', '>', last_id), ('move_type', '=', 'out_invoice'), ('payment_state', 'in', ('not_paid', 'partial')),
            ('state', '=', 'draft'), ('subscription_is_prepaid', '=', True),
            ('invoice_line_ids.sale_line_ids.order_id.subscription_state', '=', 'closed'),
        ]), 1)

    def _cancel_left_draft(self):
        """Cancel what a locked draft bills for closed contracts, unless its payment may still come."""
        self.ensure_one()
        if self._get_open_transactions():
            return
        closed = self._get_left_subscriptions()
        closed._cancel_prepaid_drafts()
        for order in closed:
            order._waive_remaining(order.close_date)

    # === BUSINESS METHODS - QUEUE === #

    def _queue_subscription_charges(self):
        """Let new invoices of contracts in mode `charge` be charged, from the day on which they are due to be, and
        those in mode `prepaid` where a method is saved.
        """
        charged = self.filtered(lambda move: move._is_charged_by_mode() and move._is_charge_open())
        for date, moves in charged.grouped(lambda move: move._get_first_charge_date()).items():
            moves._enqueue_charge(date)
        unpaid = self.filtered(lambda move: move.subscription_is_prepaid and move.state == 'draft') - charged
        unpaid._send_collection_mail('sale_subscription_ext.mail_template_subscription_prepaid')

    def _queue_approved_charges(self):
        """Let invoices be charged which somebody confirmed, those which nobody tried to collect yet."""
        # Whoever confirms an invoice has no right on the queue.
        self.sudo().filtered(lambda move: (
            move.move_type == 'out_invoice' and not move.subscription_charge_state and not move.subscription_paid_date
            and move._get_subscriptions()
        ))._queue_subscription_charges()

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
        sent = charges.filtered(lambda tx: tx.subscription_charge_time and tx.subscription_charge_time > recent)
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
        """Lock the next invoice to charge which no other worker is at, and to which nobody just adds a payment.

        :param int last_id: the last one which was looked at
        :rtype: account.move
        """
        query = self._search(self._get_due_charges_domain() & Domain('id', '>', last_id), order='id', limit=1)
        rows = self.env.execute_query(SQL("%s FOR UPDATE OF account_move SKIP LOCKED", query.select()))
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
        if self.payment_state == 'blocked' or self._get_open_transactions():
            return nothing  # disputed, or somebody pays; looked at again by the next cron
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
