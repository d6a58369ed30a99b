import logging
from datetime import timedelta

from odoo import models
from odoo.exceptions import LockError, UserError
from odoo.fields import Domain

from .subscription_invoicing_mixin import SubscriptionParked

_logger = logging.getLogger(__name__)


class SubscriptionAmendmentApplyMixin(models.AbstractModel):
    """What a confirmed amendment does to its contract: lines, ledger rows, invoice, movements."""

    _name = 'subscription.amendment.apply.mixin'
    _description = "Applying Subscription Amendments"

    # === ACTION METHODS === #

    def action_open_apply_dialog(self):
        """Show what applying an amendment today costs, or gives back, before anybody does it.

        :return: a window action
        :rtype: dict
        :raise UserError: when it can't be applied today
        """
        self.ensure_one()
        self._check_applicable()
        self._check_amendment_conflicts(self._get_earliest_day())
        self._check_missing_changes()
        dialog = self.env['subscription.amendment.dialog'].create({
            'order_id': self.id, 'amount_total': self._get_amendment_preview(self._get_earliest_day()).total})
        return dialog._get_records_action(name=self.env._("Apply %(name)s Now", name=self.name), target='new')

    def action_apply_amendment(self):
        """Apply amendments today, without waiting for the customer, the next period or the agreed date.

        :raise UserError: when one conflicts with what was changed in the meantime, or was applied already
        """
        self._check_applicable()
        for order in self:
            order.write({'amendment_timing': 'date', 'effective_date': order._subscription_today()})
        waiting = self.filtered(lambda order: order.state == 'sale')
        waiting._check_amendment_conflicts()
        waiting._confirm_amendments()
        (self - waiting).action_confirm()

    def _check_applicable(self):
        """Refuse to apply what isn't an amendment, was applied or cancelled.

        :raise UserError: naming the orders
        """
        self.check_access('write')
        if wrong := self.filtered(lambda order: (
                not order.amendment_type or order.applied_date or order.state == 'cancel')):
            raise UserError(self.env._(
                "%(names)s: only amendments which weren't applied yet can be applied.",
                names=', '.join(wrong.mapped('name'))))

    # === BUSINESS METHODS - CONFIRMATION === #

    def _get_missing_change_message(self):
        """Return that an amendment changes nothing, where that is so: not when it takes effect, but what is served.

        :return: a sentence which says what to do, or nothing
        :rtype: str|bool
        """
        self.ensure_one()
        order = self.sudo()  # who confirms may be the customer, who sees the amendment only
        if order.plan_id != order.subscription_id.plan_id or order.order_line._get_line_changes():
            return False
        return self.env._(
            "%(name)s changes nothing on subscription %(contract)s. Change a product, a quantity, a price or the plan,"
            " or add something, before it is sent or confirmed.",
            name=self.name, contract=order.subscription_id.name)

    def _check_missing_changes(self):
        """Refuse amendments which aren't confirmed yet and change nothing.

        :raise UserError: saying what to do
        """
        for order in self.filtered(lambda order: order.amendment_type and order.state in ('draft', 'sent')):
            if message := order._get_missing_change_message():
                raise UserError(message)

    def _confirm_amendments(self):
        """Apply confirmed amendments, or let them wait for their date.

        :raise UserError: when another transaction is at work on a contract
        """
        for order in self:
            order._lock_contract()
            order.order_line.sudo()._rebase()  # who confirms may be the customer, or see the amendment only
            order.effective_date = order._get_effective_day()
            if order.effective_date <= order._subscription_today():
                order._apply_amendment()
                continue
            order.sudo().agreed_amounts = order._prepare_agreed_amounts()  # only the engine writes it
            order._log_scheduled()

    def _lock_contract(self):
        """Lock the contract of an amendment, after checking the right on it.

        :raise UserError: when another transaction is at work on it
        """
        self.ensure_one()
        self.subscription_id.check_access('write')
        try:
            self.subscription_id.sudo().lock_for_update(allow_referencing=True)
        except LockError as error:
            raise UserError(self.env._(
                "Subscription %(name)s is being billed right now. Try again in a minute.",
                name=self.subscription_id.sudo().name)) from error

    def _apply_due_amendments(self):
        """Apply locked amendments whose date has come, the oldest first.

        :return: ids of the invoices
        :rtype: list[int]
        """
        moves = self.env['account.move']
        for order in self.sorted(lambda order: (order.effective_date, order.id)):
            order.subscription_id.lock_for_update(allow_referencing=True)
            order._check_amendment_conflicts()
            order.order_line._rebase()
            moves |= order._apply_amendment()
        return moves.ids

    def _apply_amendments_before_billing(self, date=None):
        """Apply confirmed amendments which change what is about to be billed; its rows are billed along.

        What begins with the period which is billed ahead counts too. One which can't be applied is left behind with
        its reason, and the subscription is billed as it is.

        :param datetime.date date: the as-of date of the billing
        """
        waiting = self.env['sale.order'].search(
            self._get_waiting_amendments_domain() & Domain('subscription_id', 'in', self.ids),
            order='effective_date, id')
        for order in waiting:
            contract = order.subscription_id
            day = date or contract._subscription_today()
            if order.effective_date > day and not order._begins_with_unbilled_period():
                continue
            try:
                with self.env.cr.savepoint():
                    order._apply_along_with_billing()
            except UserError as error:
                order._log_amendment_error(error)

    def _begins_with_unbilled_period(self):
        """Return whether an amendment takes effect with the first period of its contract, or of what it changes, which
        isn't billed yet: billed ahead, it is billed as changed.

        :rtype: bool
        """
        self.ensure_one()
        changed = self.order_line._get_line_changes()
        days = {day for change in changed if (day := change.parent.next_period_start)}
        return self.effective_date == self.subscription_id._get_first_unbilled_day() or days == {self.effective_date}

    def _apply_along_with_billing(self):
        """Apply a confirmed amendment, and leave its invoice to the billing which is under way.

        :raise UserError: when it conflicts with what was changed in the meantime
        """
        self.ensure_one()
        self._check_amendment_conflicts()
        self.order_line._rebase()
        self._apply_amendment(is_invoiced=False)

    def _log_amendment_error(self, error):
        """Say once why a confirmed amendment couldn't be applied, and ask its salesperson to look at it.

        :param Exception error: what happened
        """
        self.ensure_one()
        if isinstance(error, LockError):
            return  # the contract is being billed; the next run tries again
        activity_type = self.env.ref('sale_subscription_ext.mail_activity_type_amendment_error')
        if activity_type in self.activity_ids.activity_type_id:
            return
        if not isinstance(error, UserError):
            _logger.warning("Amendment %s could not be applied", self.name, exc_info=error)
        self.activity_schedule(
            activity_type_id=activity_type.id, note=str(error),
            user_id=(self.user_id or self.team_id.user_id or self.create_uid).id)

    def _report_conflicting_changes(self):
        """Ask the salespeople of confirmed amendments of contracts which can't be applied any more to look at them."""
        for contract in self:
            for amendment in contract._get_agreed_amendments():
                if conflicts := amendment._get_amendment_conflicts():
                    amendment._log_amendment_error(UserError('\n'.join(conflicts)))

    # === BUSINESS METHODS - APPLY === #

    def _apply_amendment(self, is_invoiced=True):
        """Change the contract as agreed: its lines, the ledger, one invoice, the movements.

        The right on the order was checked; the contract is locked and changed by the engine.

        :param bool is_invoiced: whether the invoice is made here; otherwise the billing which is under way makes it
        :return: the invoice or credit note, if there is one
        :rtype: account.move
        :raise UserError: when what is changed can't be billed
        """
        self.ensure_one()
        amendment = self.sudo().with_context(
            sale_subscription_ext_amendment_id=self.id, sale_subscription_ext_changing=True,
            sale_subscription_ext_starting=True, sale_subscription_ext_no_setup=True, sale_no_log_for_new_lines=True)
        contract, day = amendment.subscription_id, self.effective_date
        changes = amendment.order_line._get_line_changes()
        texts, amounts = amendment._get_change_texts(changes), self._prepare_agreed_amounts()
        is_waiting_for_billing = contract._is_waiting_for_billing()
        parents = contract.order_line.browse([change.parent.id for change in changes if change.parent])
        # What was served until now and isn't billed yet stays at the old terms.
        served = parents._get_served_lines()
        served._open_served_periods(dict.fromkeys(served, day))
        rows = self.env['subscription.period'].sudo().create(amendment._prepare_change_rows(changes, day))
        new_lines = amendment._write_line_changes(changes, day)
        if amendment.plan_id != contract.plan_id:
            contract.plan_id = amendment.plan_id
        movements = contract._record_mrr_movements(event_date=dict.fromkeys(contract.order_line, day))
        amendment.write({'applied_date': contract._subscription_today(), 'agreed_amounts': amounts})
        moves = self.env['account.move']
        if is_invoiced and not is_waiting_for_billing:
            moves = amendment._invoice_amendment(rows, new_lines)
            amendment.amendment_invoice_id = moves[:1]
        amendment._log_applied(texts, movements, moves)
        # The others see the contract as it is now.
        contract._update_open_quotations()
        return moves

    def _is_waiting_for_billing(self):
        """Return whether the billing run has to look at a contract first, and takes a change along.

        :rtype: bool
        """
        self.ensure_one()
        is_due = self.next_invoice_date and self.next_invoice_date <= self._subscription_today()
        return bool(is_due or self.billing_parked or self._is_billing_held())

    def _prepare_change_rows(self, changes, day):
        """Prepare the ledger rows of a change: the old terms given back, the new ones charged, for billed days.

        :param list[LineChange] changes: see `_get_line_changes`
        :param datetime.date day: the first day served as changed
        :return: values of `credit` and `proration` rows
        :rtype: list[dict]
        """
        self.ensure_one()
        if not self._is_money_given_back():
            return []
        changed = {
            change.parent: change for change in changes
            if change.parent and (change.kind != 'change' or change.line._is_other_money(change.parent))
        }
        parents = self.order_line.browse([parent.id for parent in changed])
        end = max((parent.next_period_start for parent in parents if parent.next_period_start), default=day)
        vals_list = []
        for row in parents.sudo()._get_charged_rows(day, end):
            change = changed[row.order_line_id]
            vals_list += row._prepare_credits(day, end)
            if change.kind == 'change':
                vals_list += row._prepare_charges(day, end, change.line._get_price_terms())
        return [{**vals, 'amendment_id': self.id} for vals in vals_list]

    def _write_line_changes(self, changes, day):
        """Change, end and start the lines of the contract.

        :param list[LineChange] changes: see `_get_line_changes`
        :param datetime.date day: the first day served as changed
        :return: the recurring lines which start
        :rtype: sale.order.line
        """
        self.ensure_one()
        contract = self.subscription_id
        starting = [change for change in changes if change.is_start()]
        dates = [(self._get_first_day_to_bill(change, day), self._get_anchor(change)) for change in starting]
        vals_list = []
        for kind, line, parent in changes:
            if kind == 'change':
                line._write_to_contract(parent)
            if kind in ('remove', 'swap'):
                parent.end_date = day - timedelta(days=1)
            if kind in ('add', 'swap', 'once'):
                vals_list.append(line._prepare_contract_line(parent_line_id=parent.id))
        new_lines = iter(contract.order_line.create(vals_list))
        contract.order_line.browse([change.parent.id for change in changes if change.kind == 'remove'])._offer_again()
        new_by_line = {
            change.line: next(new_lines) for change in changes if change.kind in ('add', 'swap', 'once')}
        for line, new_line in new_by_line.items():
            if owner := line.setup_parent_id:
                new_line.setup_parent_id = new_by_line.get(owner) or owner._get_amended_line()
        started = contract.order_line.browse()
        for change, (first_day_to_bill, anchor) in zip(starting, dates, strict=True):
            line = new_by_line.get(change.line, change.parent)
            line._begin(day, first_day_to_bill, anchor)
            started |= line
        started._remember_line_taxes()
        return started

    def _get_first_day_to_bill(self, change, day):
        """Return from when on a line which starts is billed: at a downgrade without credit, not what is paid already.

        :param LineChange change: by which a line starts
        :param datetime.date day: the first day served as changed
        :rtype: datetime.date
        """
        self.ensure_one()
        if self._is_money_given_back():
            return day
        contract = self.subscription_id.sudo()
        return max(day, change.parent.next_period_start or contract._get_first_unbilled_day())

    def _get_anchor(self, change):
        """Return the billing day which a line that starts follows: that of the line it takes over from, that of a
        line with the same plan, that of the order's plan.

        :param LineChange change: by which a line starts
        :rtype: datetime.date
        """
        self.ensure_one()
        contract = self.subscription_id.sudo()
        lines = contract.order_line.filtered('anchor_date')
        peers = lines.filtered(lambda other: other.plan_id == change.line.plan_id and not other.end_date)
        main = lines.filtered(lambda other: other.plan_id == contract.plan_id)
        return change.parent.anchor_date or (peers[:1] or main[:1] or lines[:1]).anchor_date

    def _invoice_amendment(self, rows, new_lines):
        """Make the invoice of a change: its ledger rows, what is due of new lines, what is sold once.

        :param subscription.period rows: what is given back and charged
        :param sale.order.line new_lines: recurring lines which start
        :return: the invoice or credit note, if there is one
        :rtype: account.move
        :raise UserError: when it can't be billed
        """
        self.ensure_one()
        contract = self.subscription_id.with_context(sale_subscription_ext_changing=False)
        try:
            due = contract._open_ledger_rows(lines=new_lines)
        except SubscriptionParked as error:
            raise UserError(str(error)) from error  # the web client knows the host's exceptions only
        rows = rows.union(*due.get(contract, {}).values())
        return contract._invoice_change_rows(rows)

    # === BUSINESS METHODS - CANCEL === #

    def _cancel_amendments(self):
        """Take back amendments which weren't applied yet.

        :raise UserError: when one was
        """
        if applied := self.filtered('applied_date'):
            raise UserError(self.env._(
                "%(names)s changed the subscription already and can't be cancelled. Make another change instead.",
                names=', '.join(applied.mapped('name'))))
        for order in self.filtered(lambda order: order.state == 'sale'):
            order.subscription_id.sudo()._message_log(body=self.env._(
                "Change %(name)s was cancelled.", name=order.name))
