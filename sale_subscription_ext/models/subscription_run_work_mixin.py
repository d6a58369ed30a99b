import time
from functools import partial

from psycopg2.extensions import TransactionRollbackError

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain

from .. import const
from .subscription_preview_mixin import BillingPreview


class SubscriptionRunWorkMixin(models.AbstractModel):
    """What the billing crons do for a billing run: compute its preview, bill it, write its report."""

    _name = 'subscription.run.work.mixin'
    _description = "Work on Billing Runs"

    # === CRON === #

    @api.model
    def _work_on_runs(self):
        """Compute previews and bill what runs were started for, as long as there is time; for crons.

        :return: whether everything was done
        :rtype: bool
        """
        pending = Domain('state', '=', 'draft') & Domain('line_ids.state', '=', 'pending')
        for run in self.sudo().search(pending | Domain('state', '=', 'running'), order='id'):
            if run.state == 'draft':
                run._continue_preview(commit=True)
            elif run.state == 'running' and not run._work():
                return False
        return True

    # === BUSINESS METHODS - PREVIEW === #

    def _get_contracts_domain(self):
        """Return the domain of the subscriptions in the scope of the run, those which can't be billed too.

        :rtype: Domain
        """
        self.ensure_one()
        domain = Domain([
            ('company_id', '=', self.company_id.id),
            ('subscription_state', 'in', const.BILLED_STATES),
            ('next_invoice_date', '<=', self.date),
        ])
        if self.plan_ids:
            domain &= Domain('plan_id', 'in', self.plan_ids.ids)
        if self.partner_ids:
            domain &= Domain('partner_id', 'child_of', self.partner_ids.ids)
        if self.collection_mode:
            domain &= Domain('collection_mode', '=', self.collection_mode)
        return domain

    def _collect_contracts(self):
        """Write a line for each subscription in the scope of the run, to be computed."""
        self.ensure_one()
        orders = self.env['sale.order'].search(self._get_contracts_domain(), order='id')
        self.env['subscription.billing.run.line'].create([
            {'run_id': self.id, 'order_id': order.id} for order in orders])

    def _withdraw_preview(self):
        """Forget the previews of runs."""
        self.line_ids.unlink()
        self.filtered(lambda run: run.state == 'previewed').state = 'draft'

    def _continue_preview(self, commit, deadline=None):
        """Compute the lines of the run which are to be computed, batch by batch.

        :param bool commit: commit batch by batch and leave a run alone which another worker computes, for crons
        :param float deadline: when to leave the rest to the billing crons
        :return: whether it is complete
        :rtype: bool
        """
        self.ensure_one()
        Line = self.env['subscription.billing.run.line']
        while not commit or self.try_lock_for_update(allow_referencing=True):
            lines = Line.search(
                [('run_id', '=', self.id), ('state', '=', 'pending')], order='id', limit=const.BILLING_BATCH_SIZE)
            lines |= lines._get_lines_of_groups()
            if not lines:
                if self.state == 'draft':
                    self.state = 'previewed'
                return True
            if deadline and time.monotonic() > deadline:
                return False
            try:
                lines._preview()
                has_time = not commit or self.env['ir.cron']._commit_progress()
            except TransactionRollbackError:
                if not commit:
                    raise
                self.env.cr.rollback()  # a subscription was changed meanwhile, the next cron goes on
                return False
            if not has_time:
                return False
        return False

    # === BUSINESS METHODS - RUN === #

    def _collect_retried(self):
        """Take in what the preview said would be skipped and billing has to try: it moves on what has nothing to
        bill, and records what is wrong. What failed before is left out.
        """
        self.ensure_one()
        orders = self.env['sale.order']
        self.env['subscription.billing.run.line'].search([
            ('run_id', '=', self.id), ('state', '=', 'skipped'), ('order_id', 'any', orders._get_due_domain(self.date)
                                                                  & orders._get_not_failed_domain(self.date)),
        ]).state = 'todo'

    def _start(self):
        """Let the billing crons work on the run.

        :raise UserError: when there is nothing to do or nobody to do it
        """
        self.ensure_one()
        self.env['sale.order']._check_billing_hold()
        if not self.todo_count:
            raise UserError(self.env._("There is nothing to bill in this run."))
        self.write({
            'state': 'running', 'wait_reason': False, 'end_time': False,
            'start_time': self.start_time or fields.Datetime.now(),
        })
        self._close_activities()
        self._trigger_workers()

    def _close_activities(self):
        """Mark as done what asked somebody to look at runs which waited."""
        self.activity_feedback(['sale_subscription_ext.mail_activity_type_billing_run'])

    @api.model
    def _trigger_workers(self):
        """Wake up the billing crons which are on.

        :raise UserError: when none is
        """
        crons = self.env['res.config.settings']._get_billing_crons().filtered('active')
        if not crons:
            raise UserError(self.env._(
                "No billing worker is on. An administrator can switch them on in the settings of Subscriptions."))
        for cron in crons:
            cron._trigger()

    def _work(self):
        """Bill what is left of a started run.

        :return: whether all was done before the time was over
        :rtype: bool
        """
        self.ensure_one()
        engine = self.env['sale.order']
        todo = self.env['subscription.billing.run.line']._search([
            ('run_id', '=', self.id), ('state', '=', 'todo'), ('run_id.state', '=', 'running')])
        domain = engine._get_due_domain(self.date) & engine._get_not_held_domain() & Domain(
            'id', 'in', todo.subselect('order_id'))
        _made, is_done = engine._run_in_batches(
            domain,
            lambda orders: self._bill_orders(orders, self.date),
            lambda order, error: self._fail_order(order, error, self.date),
            commit=True,
            lock=partial(engine._lock_groups, domain),
        )
        if is_done:
            try:
                self._finish()
            except TransactionRollbackError:  # another worker is at it
                self.env.cr.rollback()
        return is_done

    def _finish(self):
        """Close a run in which nothing is left to do; what another worker is billing right now is left to it."""
        if not self.try_lock_for_update(allow_referencing=True) or self.state != 'running':
            return
        Line = self.env['subscription.billing.run.line']
        todo = Line.search([('run_id', '=', self.id), ('state', '=', 'todo')])
        due = Line.search([
            ('id', 'in', todo.ids), ('order_id', 'any', self.env['sale.order']._get_due_domain(self.date))])
        (todo - due)._set_skipped(self.env._("It isn't due any more: billed elsewhere, closed or stopped meanwhile."))
        if not due:
            self.write({'state': 'done', 'end_time': fields.Datetime.now()})
        self.env['ir.cron']._commit_progress()

    # === BUSINESS METHODS - REPORT === #

    def _bill_orders(self, orders, date):
        """Bill locked subscriptions and report it in these runs, one for each company; without any, only bill.

        :param orders: the subscriptions
        :param datetime.date date: the as-of date, each company's today if not given
        :return: ids of the new invoices
        :rtype: list[int]
        """
        moves = orders.with_context(sale_subscription_ext_billing_run_ids=tuple(self.ids))._bill_locked(date)
        if self:
            self._record_billed(orders, moves)
        return moves.ids

    def _fail_order(self, order, error, date):
        """Record on a subscription and in its run why it couldn't be billed.

        :param order: the subscription
        :param Exception error: what happened
        :param datetime.date date: the as-of date, the company's today if not given
        """
        order._set_billing_error(error, date)
        self._write_lines({order: {'state': 'error', 'reason': order.billing_error}})

    def _record_billed(self, orders, moves):
        """Report what became of subscriptions.

        :param orders: subscriptions which were billed
        :param moves: their new invoices
        """
        nothing = {'state': 'skipped', **BillingPreview(reason=self.env._("Nothing to bill."))._asdict()}
        values = {order: dict(nothing) for order in orders}
        for move in moves:
            sign = -move.direction_sign
            billed = move.invoice_line_ids.sale_line_ids.order_id.with_env(self.env)
            shares = move._get_subscription_shares(billed, move.amount_untaxed, move.amount_total)
            for order, (untaxed, total) in shares.items():
                vals = values.setdefault(order, dict(nothing))
                earlier_reason = vals['state'] == 'billed' and vals['reason']
                vals.update(state='billed', reason=move._get_mail_obstacle() or earlier_reason)
                vals['invoice_count'] += 1
                vals['own_invoice_count'] += order == billed[:1]
                vals['amount_untaxed'] += sign * untaxed
                vals['amount_tax'] += sign * (total - untaxed)
                vals['amount_total'] += sign * total
        self._write_lines(values)

    def _write_lines(self, values):
        """Write the lines of subscriptions in the run of their company, new ones where there are none.

        :param dict values: {subscription: values}
        """
        Line = self.env['subscription.billing.run.line']
        order_ids = [order.id for order in values]
        existing = {line.order_id.id: line for line in Line.search(
            [('run_id', 'in', self.ids), ('order_id', 'in', order_ids)])}
        runs = {run.company_id: run for run in self}
        vals_list = []
        for order, vals in values.items():
            if line := existing.get(order.id):
                line.write(vals)
            elif run := runs.get(order.company_id):
                vals_list.append({'run_id': run.id, 'order_id': order.id, **vals})
        Line.create(vals_list)
