from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from odoo.fields import Command

from odoo.addons.sale_subscription_ext.tests.life_accounting import AccountedLife
from odoo.addons.sale_subscription_ext.tests.life_base import LINES, PRICES


class Life(AccountedLife):
    """A contract with all that can happen to it."""

    @precondition(lambda self: self.is_in('progress'))
    @rule(line=LINES, which=st.integers(0, 5), what=st.sampled_from(['change', 'add', 'remove', 'swap']),
          timing=st.sampled_from(['now', 'now', 'next_period', 'date']), wait=st.integers(0, 45))
    def amend(self, line, which, what, timing, wait):
        with self.step():
            amendment = self.env['sale.order'].browse(self.order.action_change()['res_id'])
            amendment.write({'amendment_timing': timing, 'effective_date': self.today + timedelta(days=wait)})
            lines = amendment.order_line.filtered('product_uom_qty')
            amended = lines[which % len(lines)]
            if what == 'add':
                amendment.order_line = [Command.create(self.prepare_line(line))]
            elif what == 'remove':
                amended.product_uom_qty = 0.0
            elif what == 'swap':
                amended.product_id = (self.case.service | self.case.support) - amended.product_id
            else:
                amended.write({name: line[name] for name in ('product_uom_qty', 'price_unit', 'discount')})
            self.confirm_amendment(amendment)

    @precondition(lambda self: self.is_in('progress'))
    @rule(line=LINES, which=st.integers(0, 5))
    def edit_directly(self, line, which):
        served = self.order.order_line._get_served_lines()
        with self.step(is_direct=True):
            served[which % len(served)].write({name: line[name] for name in ('product_uom_qty', 'price_unit')})

    @precondition(lambda self: self.is_in('progress', 'closing') and self.order._get_option_lines())
    @rule(quantity=st.sampled_from([0.0, 1.0, 2.0]))
    def choose_option(self, quantity):
        with self.step(is_direct=True):
            self.order._set_option_quantity(self.order._get_option_lines()[:1], quantity)

    @precondition(lambda self: self.is_in('progress'))
    @rule()
    def switch_plan(self):
        with self.step():
            amendment = self.env['sale.order'].browse(self.order.action_change()['res_id'])
            amendment.plan_id = self.case.yearly if self.order.plan_id != self.case.yearly else self.case.monthly
            self.confirm_amendment(amendment)

    def confirm_amendment(self, amendment):
        """Confirm a change; where no date is wished, only a downgrade waits, and only by the plan's policy."""
        order, mrr = self.order, self.order.mrr
        policy = order.plan_id.downgrade_policy
        amendment.action_confirm()
        if amendment.amendment_timing == 'now':
            is_waiting = not amendment.applied_date
            self.case.assertTrue(policy == 'period_end' or not is_waiting)
            self.case.assertTrue(policy != 'period_end' or is_waiting or (
                self.case.currency.compare_amounts(order.mrr, mrr) >= 0))

    @precondition(lambda self: self.is_in('progress', 'paused'))
    @rule(wait=st.integers(0, 20), length=st.one_of(st.none(), st.integers(1, 60)))
    def pause(self, wait, length):
        start = self.today + timedelta(days=wait)
        with self.step():
            self.order._pause_subscriptions(start, length and start + timedelta(days=length))

    @precondition(lambda self: self.is_in('paused'))
    @rule()
    def resume(self):
        with self.step():
            self.order._resume_subscriptions()
        self.run_crons()

    @precondition(lambda self: self.is_in('trial', 'progress', 'paused', 'closing'))
    @rule(wait=st.integers(0, 40), money=st.sampled_from(['keep', 'credit']), bill=st.booleans())
    def close(self, wait, money, bill):
        with self.step(money=(money, 'bill' if bill else 'leave_out')):
            self.order._plan_closing(
                self.case.reason, date=self.today + timedelta(days=wait), money=money, bill=bill)

    @precondition(lambda self: self.is_in('closing'))
    @rule()
    def undo_closing(self):
        with self.step():
            self.order.action_undo_closing()
        self.run_crons()

    @precondition(lambda self: self.is_in('closed'))
    @rule()
    def reopen(self):
        with self.step():
            self.order._reopen_subscriptions()
        self.run_crons()

    @precondition(lambda self: self.is_in('progress', 'closing'))
    @rule(price=PRICES, drop=st.booleans())
    def renew(self, price, drop):
        with self.step():
            self.prepare_renewal(price, drop).action_confirm()
        self.run_crons()

    @precondition(lambda self: self.is_in('progress', 'closing'))
    @rule(price=PRICES, drop=st.booleans())
    def offer_renewal(self, price, drop):
        with self.step():
            self.prepare_renewal(price, drop)

    @precondition(lambda self: self.order._get_renewal_quotation())
    @rule()
    def accept_renewal(self):
        with self.step():
            self.order._get_renewal_quotation().action_confirm()
        self.run_crons()

    def prepare_renewal(self, price, drop):
        renewal = self.env['sale.order'].browse(self.order.action_renew()['res_id'])
        recurring = renewal.order_line.filtered('product_uom_qty')
        if drop and len(recurring) > 1:
            recurring[-1].unlink()
        recurring[0].price_unit = price
        return renewal

    @precondition(lambda self: self.is_in('progress', 'closing', 'paused'))
    @rule()
    def hand_over(self):
        other = (self.case.partner | self.case.successor) - self.order.partner_id
        with self.step():
            self.order._hand_over({'partner_id': other.id, 'user_id': self.env.uid})

    @precondition(lambda self: self.is_in('progress'))
    @rule(wait=st.integers(0, 40), percentage=st.sampled_from([3.5, 10.0, -5.0]))
    def index(self, wait, percentage):
        with self.step():
            indexation = self.env['subscription.indexation'].create({
                'name': "Prices", 'date': self.today + timedelta(days=wait), 'percentage': percentage,
                'is_announced': False, 'selection': 'list', 'order_ids': [Command.set(self.order.ids)],
                'months_between': 0,
            })
            indexation.action_preview()
            indexation.action_confirm()
        self.run_crons()

    @precondition(lambda self: self.is_in('progress'))
    @rule(wait=st.integers(0, 40))
    def change_billing_day(self, wait):
        with self.step():
            self.env['subscription.change.day'].create({
                'order_ids': [Command.set(self.order.ids)],
                'billing_date': self.order._get_first_unbilled_day() + timedelta(days=wait),
            }).action_apply()

    @precondition(lambda self: self.is_in('progress'))
    @rule()
    def leave_out_next_period(self):
        with self.step(by_hand=frozenset(self.order.order_line)):
            self.order.action_leave_out_next_period()
