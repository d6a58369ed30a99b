from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from odoo.exceptions import UserError
from odoo.fields import Command, Domain
from odoo.tests import freeze_time

from .common import SaleSubscriptionCommon
from .strategies import lives

START = date(2026, 1, 31)

QUANTITIES = st.sampled_from([1.0, 2.0, 3.0, 0.5])
PRICES = st.integers(100, 50000).map(lambda cents: cents / 100)
DISCOUNTS = st.sampled_from([0.0, 0.0, 0.0, 10.0, 33.33])
LINES = st.fixed_dictionaries({
    'product': st.sampled_from(['service', 'support']),
    'product_uom_qty': QUANTITIES, 'price_unit': PRICES, 'discount': DISCOUNTS,
})
POLICIES = st.fixed_dictionaries({
    'pause_policy': st.sampled_from(['skip', 'credit']),
    'downgrade_policy': st.sampled_from(['period_end', 'credit', 'no_credit']),
    'bill_in': st.sampled_from(['advance', 'advance', 'arrears']),
    'billing_alignment': st.sampled_from(['anniversary', 'anniversary', 'calendar']),
})


class Life(RuleBasedStateMachine):
    """A contract with all that can happen to it, played day by day: the lifecycle first, then billing, as the crons."""

    case: SaleSubscriptionCommon

    def __init__(self):
        super().__init__()
        self.env = self.case.env
        self.stack = ExitStack()
        self.stack.callback(self.env.invalidate_all)
        savepoint = self.env.cr.savepoint()
        self.stack.callback(savepoint.close, rollback=True)
        self.clock = ExitStack()
        self.stack.callback(self.clock.close)
        self.today = START
        self.served = {}
        self.set_clock(START)

    def teardown(self):
        """Whatever became of the contract, it can still be ended, or begun again."""
        try:
            if hasattr(self, 'order'):
                self.find_a_way_out()
        finally:
            self.stack.close()

    # === TIME === #

    def set_clock(self, day):
        self.clock.close()
        self.clock.enter_context(freeze_time(f'{day} 10:00:00'))
        self.today = day

    def run_crons(self):
        chain = Domain('id', 'in', self.chain.ids)
        engine = self.case.Order.sudo()  # as crons run
        for get_domain, process in engine._get_lifecycle_steps():
            self.run_step(chain & get_domain(), process)
        amendments = Domain('subscription_id', 'in', self.chain.ids)
        self.run_step(
            amendments & self.case.Order._get_due_amendments_domain(), lambda orders: orders._apply_due_amendments(),
            # A change for which the contract isn't there any more asks somebody, and is tried again.
            allowed=UserError)
        if any(order.next_invoice_date and order.next_invoice_date <= self.today for order in self.chain):
            self.chain._bill_subscriptions()
        self.case.assertFalse([order.billing_error for order in self.chain if order.billing_error])

    def run_step(self, domain, process, allowed=()):
        def fail(order, error):
            if not isinstance(error, allowed):
                raise error
            order._log_amendment_error(error)

        self.case.Order.sudo()._run_in_batches(domain, process, fail, commit=False)

    def end_day(self):
        """Note whether the day which ends was served."""
        order = self.order
        is_closed_today = order.subscription_state == 'closed' and order.close_date == self.today
        self.served[self.today] = is_closed_today and not self.was_paused or (
            order.subscription_state in ('progress', 'closing') and not order._is_paused())

    # === WHAT EXISTS === #

    @property
    def chain(self):
        return self.first | self.env['sale.order'].search([
            ('origin_order_id', '=', self.first.id), ('subscription_state', 'not in', ('amendment', False))])

    @property
    def order(self):
        """The contract which runs, or ran last."""
        return self.chain.filtered(lambda order: order.subscription_state not in (
            'renewal', 'renewed', 'draft')).sorted('id')[-1:] or self.first

    @property
    def was_paused(self):
        return self.order.state_before_closing == 'paused'

    def is_in(self, *states):
        return self.order.subscription_state in states

    @contextmanager
    def may_be_refused(self):
        """Let the product say no with a sentence; nothing of the step is left then."""
        savepoint = self.env.cr.savepoint()
        try:
            yield
        except UserError as error:
            self.case.assertGreater(len(str(error)), 20)
            savepoint.rollback()
            self.env.invalidate_all()
        finally:
            savepoint.close(rollback=False)

    # === STEPS === #

    @initialize(
        lines=st.lists(LINES, min_size=1, max_size=3), plan=st.sampled_from(['monthly', 'quarterly']),
        policies=POLICIES)
    def confirm(self, lines, plan, policies):
        plan = self.case[plan]
        plan.write(policies)
        self.case.yearly.write({**policies, 'billing_alignment': 'anniversary'})
        self.first = self.case._create_order(*map(self.prepare_line, lines), plan=plan, start_date=START)
        self.first.action_confirm()
        self.run_crons()

    def prepare_line(self, line):
        values = {name: value for name, value in line.items() if name != 'product'}
        return {'product_id': self.case[line['product']].id, **values}

    @rule(days=st.one_of(st.integers(1, 10), st.integers(11, 70)))
    def time_passes(self, days):
        for _day in range(days):
            self.end_day()
            self.set_clock(self.today + timedelta(days=1))
            self.run_crons()

    @precondition(lambda self: self.is_in('progress'))
    @rule(line=LINES, which=st.integers(0, 5), what=st.sampled_from(['change', 'add', 'remove', 'swap']))
    def amend(self, line, which, what):
        with self.may_be_refused():
            amendment = self.env['sale.order'].browse(self.order.action_change()['res_id'])
            amended = amendment.order_line[which % len(amendment.order_line)]
            if what == 'add':
                amendment.order_line = [Command.create(self.prepare_line(line))]
            elif what == 'remove':
                amended.product_uom_qty = 0.0
            elif what == 'swap':
                amended.product_id = (self.case.service | self.case.support) - amended.product_id
            else:
                amended.write({name: line[name] for name in ('product_uom_qty', 'price_unit', 'discount')})
            amendment.action_confirm()

    @precondition(lambda self: self.is_in('progress'))
    @rule(line=LINES, which=st.integers(0, 5))
    def edit_directly(self, line, which):
        served = self.order.order_line._get_served_lines()
        with self.may_be_refused():
            served[which % len(served)].write({name: line[name] for name in ('product_uom_qty', 'price_unit')})

    @precondition(lambda self: self.is_in('progress'))
    @rule()
    def switch_plan(self):
        with self.may_be_refused():
            amendment = self.env['sale.order'].browse(self.order.action_change()['res_id'])
            amendment.plan_id = self.case.yearly if self.order.plan_id != self.case.yearly else self.case.monthly
            amendment.action_confirm()

    @precondition(lambda self: self.is_in('progress', 'paused'))
    @rule(wait=st.integers(0, 20), length=st.one_of(st.none(), st.integers(1, 60)))
    def pause(self, wait, length):
        start = self.today + timedelta(days=wait)
        with self.may_be_refused():
            self.order._pause_subscriptions(start, length and start + timedelta(days=length))

    @precondition(lambda self: self.is_in('paused'))
    @rule()
    def resume(self):
        with self.may_be_refused():
            self.order._resume_subscriptions()

    @precondition(lambda self: self.is_in('progress', 'paused', 'closing'))
    @rule(wait=st.integers(0, 40), money=st.sampled_from(['keep', 'credit']), bill=st.booleans())
    def close(self, wait, money, bill):
        with self.may_be_refused():
            self.order._plan_closing(
                self.case.reason, date=self.today + timedelta(days=wait), money=money, bill=bill)

    @precondition(lambda self: self.is_in('closing'))
    @rule()
    def undo_closing(self):
        with self.may_be_refused():
            self.order.action_undo_closing()

    @precondition(lambda self: self.is_in('closed'))
    @rule()
    def reopen(self):
        with self.may_be_refused():
            self.order._reopen_subscriptions()
        self.run_crons()

    @precondition(lambda self: self.is_in('progress'))
    @rule(price=PRICES)
    def renew(self, price):
        with self.may_be_refused():
            renewal = self.env['sale.order'].browse(self.order.action_renew()['res_id'])
            renewal.order_line[0].price_unit = price
            renewal.action_confirm()
        self.run_crons()

    @property
    def creditable_invoices(self):
        """Invoices of which nothing was given back: who credits one twice gives the money back twice."""
        return self.order.invoice_ids.filtered(
            lambda move: move.move_type == 'out_invoice' and move.state == 'posted' and not move.reversal_move_ids
            and not move.invoice_line_ids.subscription_period_ids.credit_ids)

    @precondition(lambda self: self.creditable_invoices)
    @rule(again=st.booleans())
    def credit_last_invoice(self, again):
        move = self.creditable_invoices.sorted('id')[-1:]
        with self.may_be_refused():
            move._reverse_moves([{'invoice_date': self.today}], cancel=False).action_post()
            credited = self.chain.order_line.period_ids.filtered('is_credited')
            credited.action_bill_again() if again else credited.action_leave_out()
        self.run_crons()

    # === WHAT ALWAYS HOLDS === #

    @invariant()
    def ledgers_hold(self):
        if not hasattr(self, 'first'):
            return
        self.case._assert_ledgers_hold(self.chain)
        for line in self.chain.order_line.filtered('anchor_date'):
            self.check_coverage(line)
        self.check_money()
        self.check_mrr()

    def check_coverage(self, line):
        """Each served day of a line is in the ledger exactly once; others only where a policy says so."""
        covered = Counter()
        # A credit which was taken back gives nothing.
        for row in line.period_ids.filtered(lambda row: (row.kind, row.state) != ('credit', 'waived')):
            for offset in range((row.date_end - row.date_start).days):
                covered[row.date_start + timedelta(days=offset)] += -1 if row.kind == 'credit' else 1
        for day, is_served in self.served.items():
            if not line.start_date <= day < line.next_period_start or (line.end_date and day > line.end_date):
                continue
            times = covered[day]
            self.case.assertIn(times, {1} if is_served else {0, 1}, f"{line.name} on {day}: {self.describe(line)}")
        wrong = {day: times for day, times in covered.items() if times < 0}
        self.case.assertFalse(wrong, f"{line.name} gives back more than was paid: {self.describe(line)}")

    def describe(self, line):
        return [
            (row.kind, row.state, str(row.date_start), str(row.date_end), row.amount, row.is_credited)
            for row in line.period_ids.sorted('id')
        ]

    def check_money(self):
        """What is invoiced is what the ledger says, row by row the price of the days; each row is rounded once."""
        rows = self.chain.order_line.period_ids
        lines = self.chain.order_line.filtered('is_recurring').invoice_lines.filtered(
            lambda line: line.parent_state == 'posted')
        invoiced = sum(-line.move_id.direction_sign * line.price_subtotal for line in lines)
        booked = sum(rows.filtered(lambda row: row.state == 'billed' and not row.is_credited).mapped('amount'))
        self.case.assertAlmostEqual(invoiced, booked, 2)
        for row in rows.filtered(lambda row: row.state == 'billed' and row.kind != 'credit'):
            price = Fraction(str(row.price_unit)) * Fraction(str(row.quantity)) * (
                1 - Fraction(str(row.discount)) / 100)
            days = self.count_periods(row)
            self.case.assertAlmostEqual(
                row.amount, float(price * days), delta=0.00501, msg=f"{row.kind} {row.date_start} – {row.date_end}")

    def count_periods(self, row):
        """Count how many natural periods a row is: each part by the days of the period in which it lies."""
        plan, anchor = row.order_line_id.plan_id, row.anchor_date or row.order_line_id.anchor_date
        total, day = Fraction(), row.date_start
        while day < row.date_end:
            period = plan._get_natural_period(anchor, day)
            end = min(period.end, row.date_end)
            total += Fraction((end - day).days, (period.end - period.start).days)
            day = end
        return total

    def check_mrr(self):
        for order in self.chain:
            served = order.order_line._get_served_lines() if order.subscription_state in ('progress', 'closing') and (
                not order._is_paused()) else order.order_line.browse()
            expected = sum(
                self.case.currency.round(
                    line.price_subtotal * {'month': 1, 'year': Fraction(1, 12)}[line.plan_id.billing_period_unit]
                    / line.plan_id.billing_period_value)
                for line in served)
            self.case.assertAlmostEqual(order.mrr, float(expected), 2)

    def find_a_way_out(self):
        order = self.order
        if order.subscription_state == 'closed':
            order._reopen_subscriptions()
            self.case.assertEqual(order.subscription_state, 'progress')
        order._plan_closing(self.case.reason)
        self.case.assertEqual(order.subscription_state, 'closed')
        self.case._assert_ledgers_hold(self.chain)


class TestRandomLives(SaleSubscriptionCommon):
    """Hundreds of random lives of contracts; after each step the ledgers, the invoices and the MRR must agree."""

    def __getitem__(self, name):
        return getattr(self, name)

    def test_ledgers_invoices_and_mrr_agree_whatever_happens_to_a_contract(self):
        """Confirmed, changed, switched, paused, resumed, closed, reopened, renewed, credited; time passes."""
        machine = type('Life', (Life,), {'case': self})
        run_state_machine_as_test(machine, settings=lives)
