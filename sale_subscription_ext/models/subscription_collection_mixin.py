import logging
import random
import time

from psycopg2.extensions import TransactionRollbackError

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Domain
from odoo.tools import str2bool

from .. import const
from .subscription_batch_mixin import DATABASE_ERRORS

_logger = logging.getLogger(__name__)

# Which state a contract shows where its invoices are in several: the worst comes first.
CHARGE_STATE_OF_ORDER = [
    ('unknown', {'unknown'}),
    ('failed', {'failed', 'refused', 'done'}),  # paid, and open all the same: the money went back
    ('pending', {'sent'}),
    ('waiting', {'waiting'}),
]


class SubscriptionCollectionMixin(models.AbstractModel):
    """How the money of a contract comes in: by whom it is asked for, and from which payment method."""

    _name = 'subscription.collection.mixin'
    _description = "Subscription Collection"

    collection_mode = fields.Selection(
        selection=lambda self: self.env['subscription.plan']._get_collection_modes(),
        compute='_compute_collection_mode',
        store=True, readonly=False, precompute=True, tracking=True,
        help="What happens with the invoices of this subscription.",
    )
    payment_token_id = fields.Many2one(
        comodel_name='payment.token', string="Saved Payment Method", compute='_compute_payment_token_id',
        store=True, readonly=False, copy=False, check_company=True, tracking=True, index='btree_not_null',
        ondelete='restrict',
        domain="[('partner_id', 'in', token_partner_ids)]",
        help="The saved payment method which the invoices of this subscription are charged to.",
    )
    token_partner_ids = fields.Many2many(comodel_name='res.partner', compute='_compute_token_partner_ids')
    charge_state = fields.Selection(
        selection=[
            ('none', "Nothing to Charge"),
            ('waiting', "To Charge"),
            ('pending', "Payment Under Way"),
            ('unknown', "No Answer from the Provider"),
            ('failed', "Payment Failed"),
            ('paid', "Paid"),
        ],
        string="Payment Status", compute='_compute_charge_state', store=True, copy=False,
    )

    payment_count = fields.Integer(string="Payments", compute='_compute_payment_count', compute_sudo=True)

    # === COMPUTE METHODS === #

    @api.depends('plan_id')
    def _compute_collection_mode(self):
        for order in self:
            is_settled = order.subscription_state in const.CONTRACT_STATES
            order.collection_mode = order.collection_mode if is_settled else order.plan_id.collection_mode

    @api.depends('partner_id', 'partner_invoice_id')
    def _compute_payment_token_id(self):
        """A method stays as long as it is the customer's: who is handed a contract pays with another one."""
        for order in self:
            token = order.payment_token_id
            order.payment_token_id = token if token and order._is_token_of_customer(token) else False

    @api.depends('partner_id', 'partner_invoice_id')
    def _compute_token_partner_ids(self):
        for order in self:
            order.token_partner_ids = order._get_token_partners()

    @api.depends(
        'order_line.invoice_lines.move_id.subscription_charge_state', 'order_line.invoice_lines.move_id.payment_state',
        'order_line.invoice_lines.move_id.state')
    def _compute_charge_state(self):
        for order in self:
            moves = order.order_line.invoice_lines.move_id.filtered(lambda move: move.move_type == 'out_invoice')
            kept = moves.filtered(lambda move: move.state != 'cancel')
            # A charge without an answer is open, whatever else has paid the invoice.
            states = {
                move.subscription_charge_state for move in moves
                if move.subscription_charge_state == 'unknown' or move._is_charge_open()}
            is_paid = any(kept.mapped('subscription_charge_state')) and not kept.filtered(
                lambda move: move.payment_state in ('not_paid', 'partial', 'blocked'))
            order.charge_state = next((
                state for state, of_moves in CHARGE_STATE_OF_ORDER if states & of_moves), 'paid' if is_paid else 'none')

    def _compute_payment_count(self):
        for order in self:
            order.payment_count = len(order._get_payments()) if order.subscription_state else 0

    # === CONSTRAINT METHODS === #

    @api.constrains('payment_token_id', 'partner_id', 'partner_invoice_id')
    def _check_payment_token(self):
        for order in self:
            # Who chooses it may not see every customer.
            token = order.sudo().payment_token_id
            if token and not order._is_token_of_customer(token):
                raise ValidationError(self.env._(
                    "Payment method %(method)s belongs to %(owner)s and can't pay for %(name)s. Choose one of"
                    " %(customer)s, or none.",
                    method=token.display_name, owner=token.partner_id.display_name, name=order.name,
                    customer=order.partner_id.display_name))

    def _is_token_of_customer(self, token):
        """Return whether a payment method may pay for the contract.

        :param payment.token token: a saved payment method
        :rtype: bool
        """
        self.ensure_one()
        # Who chooses it may not see every customer.
        owner = token.sudo().partner_id.commercial_partner_id
        return owner in self.sudo()._get_token_partners().commercial_partner_id

    def _get_token_partners(self):
        """Return whose payment methods may pay for the contract.

        :rtype: res.partner
        """
        self.ensure_one()
        partners = self.partner_id | self.partner_invoice_id
        return partners | partners.commercial_partner_id

    # === ACTION METHODS === #

    def action_view_payments(self):
        """Open the payments of the contract: charges, other payments, captures, refunds.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.payment_transaction_action_subscription')
        action['domain'] = [('id', 'in', self._get_payments().ids)]
        return action

    def _get_payments(self):
        """Return the payments of the contract and of its invoices, with those which capture or refund them.

        :rtype: payment.transaction
        """
        self.ensure_one()
        order = self.sudo()  # whoever may see the contract may see how it is paid
        invoices = order.order_line.invoice_lines.move_id
        payments = (order.transaction_ids | invoices.transaction_ids).filtered(lambda tx: tx.operation != 'validation')
        return payments | payments.child_transaction_ids

    # === BUSINESS METHODS - MODES === #

    def _is_posting_invoices(self):
        """Return whether new invoices are posted by themselves, and wait for neither a review nor a payment.

        :rtype: bool
        """
        self.ensure_one()
        return self.collection_mode in ('send', 'charge')

    def _is_billed_with_payment(self):
        """Return whether a payment which confirms the contract pays its first invoice at once, without a review.

        :rtype: bool
        """
        self.ensure_one()
        return self.collection_mode != 'draft'

    def _has_payment_method(self):
        """Return whether the money of this contract can be collected: by asking the customer, or by a saved method.

        :rtype: bool
        """
        self.ensure_one()
        return self.collection_mode != 'charge' or bool(self._get_usable_token())

    def _get_collection_problem(self):
        """Return what keeps a running contract from being charged.

        :return: a sentence which says what to do, or nothing
        :rtype: str|None
        """
        self.ensure_one()
        if self.collection_mode != 'charge' or self.subscription_state not in const.CONTRACT_STATES:
            return None
        token = self.sudo().payment_token_id  # salespeople have no right on providers
        if not token:
            return self.env._("No payment method is saved, so invoices can't be charged.")
        problem = token._get_subscription_problem()
        return problem and self.env._("%(problem)s Another one is needed, invoices can't be charged.", problem=problem)

    def _get_usable_token(self):
        """Return the saved payment method of these contracts which can be charged.

        :return: one at most
        :rtype: payment.token
        """
        # Salespeople have no right on providers.
        return self.sudo().payment_token_id.filtered(lambda token: not token._get_subscription_problem())[:1]

    def _change_collection(self, vals):
        """Take what waits to be charged out of the queue where the mode of a contract no longer charges it.

        :param dict vals: what was written
        """
        if vals.get('payment_token_id'):
            self.sudo().method_warning_date = False  # the customer is warned of each method
        if 'collection_mode' not in vals:
            return
        moves = self.sudo().order_line.invoice_lines.move_id  # the queue is the engine's
        for move in moves.filtered(lambda move: move.subscription_charge_state == 'waiting'):
            if not move._get_subscriptions().filtered(lambda order: order.collection_mode in ('charge', 'prepaid')):
                move.subscription_charge_state = False

    # === CRON === #

    @api.model
    def _cron_collect_payments(self):
        """Collect money, step by step; any number of crons and machines share the work."""
        if self._is_collection_off():
            _logger.info("This is a copy of a database: nobody is charged or reminded.")
            return
        for name in self._get_collection_steps():
            if getattr(self, name)() is False:
                return

    @api.model
    def _get_collection_steps(self):
        """Return the names of the methods which `_cron_collect_payments` runs, in this order.

        Each takes no parameters, works in locked batches which it commits through `_commit_progress`, and returns
        False when no time is left. Addons append theirs; call super.

        :rtype: list[str]
        """
        return [
            '_settle_open_charges', '_ask_about_charges', '_cancel_left_drafts', '_charge_due_invoices',
            '_find_returned_payments', '_remind_of_charges', '_warn_of_payment_methods',
        ]

    @api.model
    def _is_collection_off(self):
        """Return whether this database is a neutralized copy, which never charges anybody.

        :rtype: bool
        """
        return str2bool(
            self.env['ir.config_parameter'].sudo().get_param('database.is_neutralized') or '', False)

    @api.model
    def _check_collection_on(self):
        """Refuse to ask a payment provider for money in a neutralized copy of a database.

        :raise UserError: always, there
        """
        if self._is_collection_off():
            raise UserError(self.env._("This is a copy of a database: nobody is charged here."))

    @api.model
    def _trigger_collection(self, at=None):
        """Wake up the crons which collect, as many as are on.

        :param datetime.datetime at: when, at once if not given
        """
        for cron in self.env['res.config.settings']._get_collection_crons().filtered('active'):
            cron._trigger(at)

    # === BUSINESS METHODS - STEPS === #

    @api.model
    def _settle_open_charges(self):
        """Book payments whose answer is known and which nobody booked yet.

        :return: whether time is left
        :rtype: bool
        """
        domain = Domain([
            ('subscription_invoice_id', '!=', False), ('is_post_processed', '=', False), ('state', '!=', 'draft')])
        return self._run_one_by_one(
            lambda last_id: self.env['payment.transaction']._lock_next(domain, last_id),
            lambda tx: tx._settle_committed())

    @api.model
    def _ask_about_charges(self):
        """Ask providers again what became of payments which brought no answer, and leave to a person what no
        provider can be asked, or hasn't decided for too long.

        :return: whether time is left
        :rtype: bool
        """
        Transaction = self.env['payment.transaction']
        return self._run_one_by_one(
            lambda last_id: Transaction._lock_next(Transaction._get_repeatable_domain(), last_id),
            lambda tx: tx._ask_again(),
        ) and self._run_one_by_one(
            lambda last_id: Transaction._lock_next(Transaction._get_left_domain(), last_id),
            lambda tx: tx._leave_to_person(),
        )

    @api.model
    def _charge_due_invoices(self):
        """Charge the invoices which wait for it: each payment is committed before its provider is asked.

        :return: whether time is left
        :rtype: bool
        """
        return self._run_one_by_one(
            self.env['account.move']._lock_next_charge, lambda move: move._charge_locked())

    @api.model
    def _find_returned_payments(self):
        """Notice money of charged invoices which went back: a refund, a chargeback, a payment undone.

        :return: whether time is left
        :rtype: bool
        """
        return self._run_one_by_one(
            self.env['account.move']._lock_next_returned, lambda move: move._note_returned_payment())

    @api.model
    def _run_one_by_one(self, lock, process):
        """Process records one by one, each in transactions of its own.

        One which fails is rolled back alone and left to the next cron. Errors of concurrency are tried again.

        :param lock: called with the id of the last record, locks the next one in a fresh transaction and returns it
        :param process: called with the locked record
        :return: whether time is left
        :rtype: bool
        """
        last_id, attempt = 0, 0
        while True:
            record = None
            try:
                record = lock(last_id)
                if not record:
                    return True
                process(record)
                has_time = self.env['ir.cron']._commit_progress(1)
            except TransactionRollbackError:  # another transaction was at it, before or after it was locked
                self.env.cr.rollback()
                attempt += 1
                if attempt < const.MAX_CONCURRENCY_RETRIES:
                    time.sleep(random.uniform(0.0, 0.1 * 2 ** attempt))
                    continue
                if not record:
                    return True  # others are at all that is left
                has_time = self.env['ir.cron']._commit_progress(1)
            except DATABASE_ERRORS:
                raise
            except Exception:  # it must not stop the others
                if not record:
                    raise
                self.env.cr.rollback()
                _logger.warning("Collecting %s failed", record, exc_info=True)
                has_time = self.env['ir.cron']._commit_progress(1)
            last_id, attempt = record.id, 0
            self.env.invalidate_all()  # others may have changed what is cached
            if not has_time:
                self.env['ir.cron']._commit_progress(remaining=1)  # the server comes back at once
                return False
