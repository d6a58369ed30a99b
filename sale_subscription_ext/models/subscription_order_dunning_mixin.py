import logging

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_amount, format_date

from .. import const
from .subscription_batch_mixin import DATABASE_ERRORS

_logger = logging.getLogger(__name__)


class SubscriptionOrderDunningMixin(models.AbstractModel):
    """What unpaid invoices mean for a contract: it is restricted, paused or closed, until they are paid."""

    _name = 'subscription.order.dunning.mixin'
    _description = "Subscription Dunning"

    is_in_dunning = fields.Boolean(
        string="In Dunning", compute='_compute_is_in_dunning', search='_search_is_in_dunning', compute_sudo=True)
    dunning_notice = fields.Text(compute='_compute_dunning_notice', compute_sudo=True)
    paused_as_unpaid = fields.Boolean(
        copy=False, readonly=True, help="Paused because of an unpaid invoice: resumes by itself when it is paid.")
    has_late_payment = fields.Boolean(compute='_compute_has_late_payment', compute_sudo=True)
    has_recovery_link = fields.Boolean(compute='_compute_has_recovery_link', compute_sudo=True)

    # === COMPUTE METHODS === #

    @api.depends('order_line.invoice_lines.move_id.subscription_dunning_date')
    def _compute_is_in_dunning(self):
        for order in self:
            order.is_in_dunning = bool(order._get_dunned_invoices())

    @api.model
    def _search_is_in_dunning(self, operator, value):
        if operator != 'in':
            return NotImplemented
        # Salespeople see whose invoices are unpaid, whatever they may see of them.
        dunned = Domain('order_line', 'any!', Domain('invoice_lines', 'any!', Domain(
            'move_id', 'any!', Domain('subscription_dunning_date', '!=', False))))
        followed = Domain('subscription_state', '=', 'renewed') & dunned
        domain = dunned | Domain('subscription_id', 'any!', followed)
        return domain if True in value else ~domain

    @api.depends(
        'order_line.invoice_lines.move_id.subscription_dunning_next_date',
        'order_line.invoice_lines.move_id.subscription_charge_state',
        'order_line.invoice_lines.move_id.payment_state')
    @api.depends_context('lang')
    def _compute_dunning_notice(self):
        for order in self:
            order.dunning_notice = '\n'.join(
                order._get_dunning_sentence(move) for move in order._get_dunned_invoices())

    @api.depends('activity_ids.activity_type_id')
    def _compute_has_late_payment(self):
        late = self.env.ref('sale_subscription_ext.mail_activity_type_late_payment', raise_if_not_found=False)
        for order in self:
            order.has_late_payment = bool(late) and late in order.activity_ids.activity_type_id

    def _compute_has_recovery_link(self):
        links = self.env['subscription.recovery.link'].search([('order_ids', 'in', self.ids)])
        valid = links.filtered(lambda link: link.state == 'valid')
        for order in self:
            order.has_recovery_link = order._origin in valid.order_ids

    # === ACTION METHODS === #

    def action_revoke_recovery_links(self):
        """End the links by which customers pay the unpaid invoices of these contracts without a login."""
        self.check_access('write')
        links = self.env['subscription.recovery.link'].sudo().search([('order_ids', 'in', self.ids)])
        links.filtered(lambda link: link.state == 'valid').is_revoked = True
        self._message_log_batch(bodies=dict.fromkeys(
            self.ids, self.env._("The payment links which were mailed are revoked.")))

    # === BUSINESS METHODS - INVOICES === #

    def _get_dunned_invoices(self):
        """Return the invoices in dunning of these contracts, of those which they followed and which they change.

        :rtype: account.move
        """
        orders = parents = self.sudo()._origin  # whoever looks at the contracts
        while parents := parents.subscription_id - orders:
            orders |= parents
        moves = orders.order_line.invoice_lines.move_id
        return moves.filtered('subscription_dunning_date').sorted('id')

    def _get_unpaid_invoice(self):
        """Return the invoice which an e-mail is about: that of the context, else the oldest one in dunning, else the
        latest one.

        The context key `sale_subscription_ext_unpaid_invoice_id` holds the invoice.

        :rtype: account.move
        """
        self.ensure_one()
        move_id = self.env.context.get('sale_subscription_ext_unpaid_invoice_id')
        if move_id:
            return self.env['account.move'].sudo().browse(move_id)
        return self._get_dunned_invoices()[:1] or self.sudo().invoice_ids.sorted('id')[-1:]

    def _get_unpaid_terms(self):
        """Return what e-mails about an unpaid invoice are made of, for whoever looks at a template too.

        :rtype: dict
        """
        self.ensure_one()
        move = self._get_unpaid_invoice()
        is_open = bool(move) and move._is_payable_by_link()
        return {
            'label': move.name if move.state == 'posted' else '',  # drafts have no number
            'amount': move._get_charge_amount() if move else 0.0,
            'currency': move.currency_id or self.currency_id,
            'due_date': move and move._get_oldest_due_date(),
            'closing_date': move.subscription_close_warning_date,
            'can_save': is_open and move._is_method_saved_by_link(),
            'is_refused': move.subscription_charge_state == 'refused',
            'is_returned': bool(move.subscription_paid_date),
            'url': move._get_recovery_url() if is_open else '',
        }

    # === BUSINESS METHODS - RESTRICTION === #

    def _is_portal_restricted(self):
        """Return whether the customer can change nothing of this contract until an invoice is paid.

        A restricted customer still sees the contract and its invoices, and pays them. Whatever lets customers change
        something asks this, or calls `_check_portal_restriction`. Addons with a finer notion extend it; call super.

        :rtype: bool
        """
        self.ensure_one()
        return any(self._get_dunned_invoices().mapped('subscription_dunning_restricted'))

    def _check_portal_restriction(self):
        """Refuse what a customer wants to change while an unpaid invoice forbids it.

        :raise UserError: naming the invoice to pay
        """
        for order in self:
            if order._is_portal_restricted():
                move = order._get_dunned_invoices().filtered('subscription_dunning_restricted')[0]
                raise UserError(self.env._(
                    "Invoice %(invoice)s is overdue. Please pay it first: until then nothing can be changed here.",
                    invoice=move._get_charge_label()))

    def _can_be_accepted_for_free(self):
        """Override to let restricted customers accept nothing, not even what costs nothing."""
        return super()._can_be_accepted_for_free() and not self._is_portal_restricted()

    def _has_to_save_only(self):
        """Override to ask restricted customers for nothing but the payment of their invoice."""
        return super()._has_to_save_only() and not self._is_portal_restricted()

    # === BUSINESS METHODS - PAUSE === #

    def _pause_as_unpaid(self, is_told=False):
        """Pause contracts until their invoices are paid, those which can be paused.

        :param bool is_told: whether another e-mail tells the customers of it
        :return: the contracts which are paused now
        :rtype: sale.order
        """
        pausing = self.filtered(
            lambda order: order.subscription_state == 'progress' and not order._get_waiting_renewals()
            and order.start_date <= order._subscription_today()
            and (not order.end_date or order.end_date >= order._subscription_today()))
        if is_told:
            self._get_told_order_ids().update(pausing.ids)
        pausing.with_context(sale_subscription_ext_unpaid=True)._pause_subscriptions()
        # What the pause itself gave back can't be paid any more: going on by itself would only ask for it again, and no
        # other e-mail tells of the pause.
        settled = pausing.filtered(lambda order: not order.is_in_dunning)
        settled.paused_as_unpaid = False
        self._get_told_order_ids().difference_update(settled.ids)
        return pausing

    def _begin_pause(self):
        """Override to remember which pauses end with a payment.

        The context key `sale_subscription_ext_unpaid` says that an unpaid invoice asks for it.
        """
        result = super()._begin_pause()
        self.paused_as_unpaid = bool(self.env.context.get('sale_subscription_ext_unpaid'))
        return result

    def _resume_subscriptions(self):
        """Override to forget why contracts were paused."""
        result = super()._resume_subscriptions()
        self.sudo().paused_as_unpaid = False  # the right on the orders was checked
        return result

    @api.model
    def _get_paid_pause_domain(self):
        """Return the domain of contracts which were paused because of unpaid invoices, none of which is left.

        :rtype: Domain
        """
        return Domain('paused_as_unpaid', '=', True) & Domain('subscription_state', '=', 'paused') & Domain(
            'is_in_dunning', '=', False)

    # === BUSINESS METHODS - CLOSE === #

    def _close_as_unpaid(self, move):
        """Close contracts because an invoice stays unpaid. What was served until today is billed.

        :param account.move move: the invoice
        """
        closing = self.filtered(lambda order: order.subscription_state in const.CONTRACT_STATES)
        if not closing:
            return
        note = self.env._(
            "Invoice %(invoice)s, due on %(day)s, was not paid.", invoice=move._get_charge_label(),
            day=format_date(self.env, move._get_oldest_due_date()))
        closing._get_told_order_ids().update(closing.ids)
        closing._close_subscriptions(move._get_unpaid_reason(), note, bill=True)
        template = self.env.ref('sale_subscription_ext.mail_template_closed_unpaid', raise_if_not_found=False)
        for order in closing:
            move._send_unpaid_mail(template, order)
        (move | closing._get_dunned_invoices()).filtered(lambda other: other._is_closed_as_unpaid())._end_dunning()

    def _reopen_subscriptions(self):
        """Override to settle the question whether to reopen contracts which were paid late."""
        result = super()._reopen_subscriptions()
        self.activity_unlink(['sale_subscription_ext.mail_activity_type_late_payment'])
        return result

    def _ask_about_late_payment(self, move):
        """Ask somebody whether contracts go on whose invoice was paid after they had been closed as unpaid.

        :param account.move move: the invoice
        """
        for order in self:
            note = self.env._(
                "Invoice %(invoice)s was paid after this subscription had been closed on %(day)s, because it was"
                " unpaid. Press Reopen to go on, or leave it closed and tell the customer.",
                invoice=move._get_charge_label(), day=format_date(self.env, order.close_date))
            try:
                with self.env.cr.savepoint():
                    order._schedule_collection_activity(
                        'sale_subscription_ext.mail_activity_type_late_payment', note)
            except DATABASE_ERRORS:
                raise
            except Exception:  # the payment is booked, whatever becomes of the question
                _logger.warning("Nobody could be asked about the late payment of %s", order.name, exc_info=True)

    # === BUSINESS METHODS - E-MAILS AND ACTIVITIES === #

    def _is_unpaid_mail_sent(self):
        """Return whether the customer is written to about unpaid invoices of this contract.

        :rtype: bool
        """
        self.ensure_one()
        return self.plan_id.send_mails and any(partner.email for partner in self._get_unpaid_recipients())

    def _get_unpaid_recipients(self):
        """Return who is written to about unpaid invoices of this contract.

        Addons which know more people extend it; call super.

        :rtype: res.partner
        """
        self.ensure_one()
        return self.partner_invoice_id.filtered('email') or self.partner_id

    def _schedule_collection_activity(self, xmlid, note):
        """Ask somebody for something which concerns money of this contract.

        :param str xmlid: of the type of activity
        :param str note: what is to be done
        """
        self.ensure_one()
        user = self.user_id or self.team_id.user_id or self.company_id.subscription_billing_user_id
        self.activity_schedule(xmlid, note=note, user_id=(user or self.create_uid or self.env.user).id)

    # === BUSINESS METHODS - CRON === #

    @api.model
    def _get_collection_steps(self):
        """Override to dun after the charges of the same run: what they bring isn't asked for."""
        return [*super()._get_collection_steps(), '_run_dunning', '_resume_paid']

    @api.model
    def _run_dunning(self):
        """Begin, carry on and end the dunning of invoices, warn of closings and close what stays unpaid.

        :return: whether time is left
        :rtype: bool
        """
        engine = self.env['account.move'].sudo()
        for get_domain, process in (
            (engine._get_dunning_settled_domain, lambda moves: moves._end_settled_dunning()),
            # First, so that nobody is reminded, or paused, who is closed the same day.
            (engine._get_auto_close_domain, lambda moves: moves._close_overdue()),
            (engine._get_dunning_begin_domain, lambda moves: moves._begin_due_dunning()),
            (engine._get_dunning_due_domain, lambda moves: moves._take_dunning_steps()),
            (engine._get_close_warning_domain, lambda moves: moves._warn_of_closing()),
        ):
            _made, has_time = engine._run_in_batches(
                get_domain(), process, lambda move, error: move._handle_dunning_error(error), commit=True,
                lock=engine._lock_with_contracts)
            if not has_time:
                return False
        return True

    @api.model
    def _resume_paid(self):
        """Let contracts go on which were paused because of invoices which are paid now.

        :return: whether time is left
        :rtype: bool
        """
        engine = self.env['sale.order'].sudo()
        _made, has_time = engine._run_in_batches(
            engine._get_paid_pause_domain(), lambda orders: orders._resume_subscriptions(),
            lambda order, error: order._log_lifecycle_error(error), commit=True)
        return has_time

    # === TOOLING === #

    def _get_dunning_sentence(self, move):
        """Return where the dunning of an invoice stands, in words.

        :param account.move move: the invoice
        :rtype: str
        """
        self.ensure_one()
        sentences = [self.env._(
            "%(invoice)s: %(amount)s unpaid, in dunning since %(day)s.", invoice=move._get_charge_label(),
            amount=format_amount(self.env, move._get_charge_amount(), move.currency_id),
            day=format_date(self.env, move.subscription_dunning_date))]
        for entry in move.subscription_dunning_entry_ids[:1]:
            sentences.append(self.env._(
                "Last step, day %(number)s on %(day)s: %(actions)s.", number=entry.day_offset,
                day=format_date(self.env, entry.date),
                actions=entry.description or self.env._("charged again, waiting for the answer")))
        sentences.append(self._get_next_step_sentence(move))
        if day := move._get_closing_dates().get(self._origin):
            sentences.append(self.env._(
                "If it stays unpaid, the subscription is closed on %(day)s.", day=format_date(self.env, day)))
        if move.subscription_dunning_restricted:
            sentences.append(self.env._("The customer can change nothing in the portal until it is paid."))
        return ' '.join(sentences)

    def _get_next_step_sentence(self, move):
        """Return what comes next in the dunning of an invoice, in words.

        :param account.move move: the invoice
        :rtype: str
        """
        self.ensure_one()
        if move._is_blocked():
            return self.env._("Left alone, because the invoice is blocked or excluded from follow-up.")
        if move._has_money_underway():
            return self.env._("Nothing more is done until the payment under way has an answer.")
        step = move._get_steps_left()[:1]
        if not step:
            return self.env._("No step is left.")
        return self.env._(
            "Next step, day %(number)s on %(day)s: %(actions)s.", number=step.day_offset,
            day=format_date(self.env, move._get_step_date(step)), actions=step.description)
