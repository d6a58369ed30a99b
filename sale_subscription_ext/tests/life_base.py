from contextlib import ExitStack, contextmanager
from datetime import date
from fractions import Fraction

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.life_expectations import DAY, Expectations

START = date(2026, 1, 31)

QUANTITIES = st.sampled_from([1.0, 2.0, 3.0, 0.5])
# So that a day costs a cent at least, also in a year and with the highest discount.
PRICES = st.integers(1100, 50000).map(lambda cents: cents / 100)
DISCOUNTS = st.sampled_from([0.0, 0.0, 0.0, 10.0, 33.33])
LINES = st.fixed_dictionaries({
    'product': st.sampled_from(['service', 'support']),
    'product_uom_qty': QUANTITIES, 'price_unit': PRICES, 'discount': DISCOUNTS,
})
POLICIES = st.fixed_dictionaries({
    'pause_policy': st.sampled_from(['skip', 'credit']),
    'downgrade_policy': st.sampled_from(['period_end', 'credit', 'no_credit']),
    'bill_in': st.sampled_from(['advance', 'advance', 'arrears']),
    'invoice_lead_days': st.sampled_from([0, 0, 0, 5]),
    'billing_alignment': st.sampled_from(['anniversary', 'anniversary', 'calendar']),
    'first_period': st.sampled_from(['prorate', 'prorate', 'full', 'free']),
    'trial_value': st.sampled_from([0, 0, 0, 14]),
    'trial_end': st.sampled_from(['invoice', 'pause', 'close']),
    'term_value': st.sampled_from([0, 0, 2, 3]),
    'term_end': st.sampled_from(['continue', 'renew', 'close']),
})


class LifeBase(RuleBasedStateMachine):
    """A contract whose days pass, the lifecycle first, then billing, as the crons; nothing happens to it otherwise."""

    case = None  # the test which plays it

    def __init__(self):
        super().__init__()
        self.env = self.case.env
        self.Order = self.case.Order.sudo()  # as crons run
        self.stack = ExitStack()
        self.stack.callback(self.env.invalidate_all)
        savepoint = self.env.cr.savepoint()
        self.stack.callback(savepoint.close, rollback=True)
        self.clock = self.stack.enter_context(freeze_time(f'{START} 10:00:00'))
        self.today = START
        self.expected = Expectations(self.case)
        self.closed_while_paused = self.Order.browse()
        self.is_refused = False  # the last step, by a sentence

    def teardown(self):
        """Whatever became of the contract, it can still be ended, or begun again."""
        try:
            if hasattr(self, 'first'):
                self.find_a_way_out()
        finally:
            self.stack.close()

    @initialize(
        lines=st.lists(LINES, min_size=1, max_size=3), plan=st.sampled_from(['monthly', 'quarterly']),
        policies=POLICIES, option=st.one_of(st.none(), LINES))
    def confirm(self, lines, plan, policies, option):
        plan = self.case[plan]
        plan.write({**policies, 'trial_unit': 'day', 'term_unit': 'month'})
        self.case.yearly.write({
            **policies, 'billing_alignment': 'anniversary', 'trial_value': 0, 'term_value': 0,
            'first_period': 'prorate',
        })
        values = list(map(self.prepare_line, lines))
        if option:
            values += [
                {'display_type': 'line_section', 'name': "Options", 'is_optional': True, 'sequence': 90},
                {**self.prepare_line(option), 'product_uom_qty': 0.0, 'sequence': 91},
            ]
        # Who charges a method which isn't there can't be paid after a trial.
        mode = 'send' if policies['trial_end'] == 'invoice' or not policies['trial_value'] else 'charge'
        self.first = self.case._create_order(*values, plan=plan, start_date=START, collection_mode=mode)
        before = self.expected.look(self.first)
        self.first.action_confirm()
        self.expected.learn(before, self.chain, self.today)
        self.run_crons()

    def prepare_line(self, line):
        values = {name: value for name, value in line.items() if name != 'product'}
        return {'product_id': self.case[line['product']].id, **values}

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

    def is_in(self, *states):
        return self.order.subscription_state in states

    # === STEPS === #

    @contextmanager
    def watch(self, **facts):
        """Compare before and after, and note what follows from it."""
        chain = self.chain
        before = self.expected.look(chain)
        paused = chain.filtered(lambda order: order._is_paused())
        yield
        chain = self.chain
        chain.invoice_ids.filtered(lambda move: move.state == 'draft').action_post()  # somebody reviewed them
        self.closed_while_paused -= chain.filtered(lambda order: order.subscription_state != 'closed')
        self.closed_while_paused |= paused & chain.filtered(lambda order: order.subscription_state == 'closed')
        self.expected.learn(before, chain, self.today, **facts)

    @contextmanager
    def step(self, **facts):
        """Let the product say no with a sentence; nothing of the step is left then."""
        self.is_refused = False
        with self.watch(**facts):
            savepoint = self.env.cr.savepoint()
            try:
                yield
                self.env.flush_all()
            except UserError as error:
                self.is_refused = True
                self.case.assertGreater(len(str(error)), 20)
                savepoint.rollback()
                self.env.invalidate_all()
            finally:
                savepoint.close(rollback=False)

    @rule(days=st.one_of(st.integers(1, 10), st.integers(11, 70)))
    def time_passes(self, days):
        for _day in range(days):
            self.expected.note_day(self.chain, self.today, self.closed_while_paused)
            self.today += DAY
            self.clock.move_to(f'{self.today} 10:00:00')
            self.run_crons()

    def run_crons(self):
        in_chain = Domain('id', 'in', self.chain.ids)
        changes = Domain('subscription_id', 'in', self.chain.ids) & self.Order._get_due_amendments_domain()
        steps = self.Order._get_lifecycle_steps()
        dated = [get_domain() for get_domain, _process in steps]
        dated += [self.Order._get_due_domain(), self.Order._get_price_change_due_domain()]
        if not self.Order.search_count((in_chain & Domain.OR(dated)) | changes, limit=1):
            return
        self.apply_changes(changes)
        for get_domain, process in steps:
            self.run_step(in_chain & get_domain(), process)
        self.apply_changes(changes)
        indexation = self.env['subscription.indexation'].sudo()
        self.run_step(in_chain & self.Order._get_price_change_due_domain(), indexation._apply_orders)
        self.bill()

    def apply_changes(self, changes):
        for amendment in self.Order.search(changes, order='effective_date, id'):
            # A change for which the contract isn't there any more asks somebody, and is tried again.
            self.run_step(changes & Domain('id', '=', amendment.id), lambda orders: orders._apply_due_amendments(),
                          allowed=UserError)

    def run_step(self, domain, process, allowed=()):
        def fail(order, error):
            if not isinstance(error, allowed):
                raise error
            order._log_amendment_error(error)

        if self.Order.search_count(domain, limit=1):
            with self.watch():
                self.Order._run_in_batches(domain, process, fail, commit=False)

    def bill(self):
        if any(order.next_invoice_date and order.next_invoice_date <= self.today for order in self.chain):
            with self.watch():
                self.chain._bill_subscriptions()
        self.case.assertFalse([order.billing_error for order in self.chain if order.billing_error])

    # === WHAT ALWAYS HOLDS === #

    @invariant()
    def ledgers_hold(self):
        if not hasattr(self, 'first'):
            return
        chain = self.chain
        self.case._assert_ledgers_hold(chain)
        self.expected.check(chain, self.today)
        self.check_invoices(chain)
        self.check_mrr(chain)

    def check_invoices(self, chain):
        """What is invoiced is what the ledger says, less what accountants gave back; what is sold once, once."""
        lines = chain.order_line.filtered('is_recurring').invoice_lines.filtered(
            lambda line: line.parent_state == 'posted')
        invoiced = sum(-line.move_id.direction_sign * line.price_subtotal for line in lines)
        rows = chain.order_line.period_ids.filtered(lambda row: row.state == 'billed' and not row.is_credited)
        booked = sum(row.amount - self.get_given_back_by_hand(row) for row in rows)
        self.case.assertAlmostEqual(invoiced, booked, 2)
        for line in chain.order_line.filtered(lambda line: not line.is_recurring and not line.display_type):
            self.case.assertLessEqual(line.qty_invoiced, line.product_uom_qty)
        services = chain.order_line.filtered(lambda line: line.product_id == self.case.service)
        begun = services.filtered(
            lambda line: not line.renewed_line_id and line.parent_line_id.product_id != line.product_id)
        self.case.assertLessEqual(
            len(chain.order_line.filtered(lambda line: line.product_id == self.case.setup)), len(begun))

    def get_given_back_by_hand(self, row):
        """Return what accountants gave back of a row without giving back all of it."""
        return row._get_lines_taking_back()._get_amount_taken_back()

    def check_mrr(self, chain):
        for order in chain.filtered(lambda order: order.state == 'sale'):  # a quotation shows what it would be
            is_counted = order.subscription_state in ('progress', 'closing') and not order._is_paused() and (
                order.state_before_closing != 'trial')
            served = order.order_line._get_served_lines() if is_counted else ()
            expected = sum(
                self.case.currency.round(float(
                    Fraction(str(line.price_unit)) * Fraction(str(line.product_uom_qty))
                    * (1 - Fraction(str(line.discount)) / 100)
                    / {'month': 1, 'year': 12}[line.plan_id.billing_period_unit] / line.plan_id.billing_period_value))
                for line in served)
            self.case.assertAlmostEqual(order.mrr, expected, delta=0.0101 * max(len(served), 1))

    def find_a_way_out(self):
        """Any contract can be closed, any which stopped goes on; one whose policies credit costs what was served."""
        for order in self.chain.filtered(lambda order: order.subscription_state == 'renewal'):
            order._action_cancel()
        order = self.order
        if order.subscription_state == 'closed':
            with self.watch():
                order._reopen_subscriptions()
            self.case.assertEqual(order.subscription_state, 'progress')
        elif order.subscription_state == 'paused':
            self.resume()
            order = self.order  # a renewal may have waited for it
        self.bill()
        self.expected.check(self.chain, self.today)  # what is given back with tomorrow's billing counts already
        with self.watch(money=('credit', 'bill')):
            order._plan_closing(self.case.reason, money='credit')
        self.case.assertEqual(order.subscription_state, 'closed')
        self.expected.note_day(self.chain, self.today, self.closed_while_paused)
        self.today += DAY
        self.ledgers_hold()
        if self.expected.is_crediting(self.chain):
            self.expected.check_life(self.chain)
