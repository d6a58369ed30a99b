from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import NamedTuple

from odoo.addons.sale_subscription_ext.tools import recurrence

DAY = timedelta(days=1)


def days_of(start, end):
    """Return the days from `start` on, `end` excluded."""
    return (start + timedelta(days=offset) for offset in range((end - start).days))


class OrderView(NamedTuple):
    """What matters of a contract at a moment."""

    state: str
    is_paused: bool
    paused_from: date
    close_date: date
    end_date: date
    close_money: str
    close_unbilled: str
    mrr: float
    first_unbilled_day: date


class LineView(NamedTuple):
    """What matters of a line at a moment."""

    asked: Counter  # how often a day is charged, less how often it is given back
    unbilled: frozenset  # days of rows which wait to be billed
    given_back: frozenset  # days which the ledger gave back
    quantity: float
    price: Fraction  # of a whole period
    anchor: date
    start: date
    end: date
    next_start: date


@dataclass
class LineStory:
    """What is expected of a line: when it was served, at which terms, and what policies left unpaid or unserved."""

    served: set = field(default_factory=set)
    # Days which were paid and aren't served, because a policy keeps the money.
    kept: set = field(default_factory=set)
    # Days which are served and not paid, because a policy, or somebody, gives them away.
    free: set = field(default_factory=set)
    # (first day, price of a whole period): what the days cost, and what MRR is counted from.
    prices: list = field(default_factory=list)
    # (first day, billing day)
    anchors: list = field(default_factory=list)
    # A line without quantity is served as long as it is paid; one which gets a quantity, from when it is billed.
    served_until: date = date.max
    served_from: date = date.min
    # Accountants changed amounts by hand: what the days cost isn't their price any more.
    is_touched: bool = False

    def snapshot(self):
        return replace(
            self, served=set(self.served), kept=set(self.kept), free=set(self.free), prices=list(self.prices),
            anchors=list(self.anchors))

    def get_price(self, day):
        return [price for start, price in self.prices if start <= day][-1]

    def get_anchor(self, day):
        return [anchor for start, anchor in self.anchors if start <= day][-1]


class Expectations:
    """Says from policies and steps alone which days are paid, and what they cost; the product isn't asked."""

    def __init__(self, case):
        self.case = case
        self.stories = defaultdict(LineStory)
        self.applied = case.env['sale.order']  # the amendments which were applied before the present step

    # === WHAT IS === #

    def look(self, chain):
        """Return the state of contracts and lines, for `learn` to compare with what it is after a step."""
        chain.env.flush_all()
        orders = {
            order: OrderView(
                order.subscription_state, order._is_paused(), order.paused_from, order.close_date, order.end_date,
                order.close_money, order.close_unbilled, order.mrr,
                min((line.next_period_start for line in order.order_line if (
                    line.next_period_start and line.plan_id == order.plan_id and line.product_uom_qty
                    and not line.end_date)), default=None))
            for order in chain
        }
        lines = {line: self.look_at_line(line) for line in chain.order_line.filtered('anchor_date')}
        return orders, lines

    def look_at_line(self, line):
        asked, unbilled, given_back = Counter(), set(), set()
        for row in line.period_ids.filtered(lambda row: row.state != 'waived' and not row.is_credited):
            for day in days_of(row.date_start, row.date_end):
                asked[day] += -1 if row.kind == 'credit' else 1
            if row.kind == 'credit':
                given_back.update(days_of(row.date_start, row.date_end))
            if row.state == 'open':
                unbilled.update(days_of(row.date_start, row.date_end))
        price = Fraction(str(line.price_unit)) * Fraction(str(line.product_uom_qty)) * (
            1 - Fraction(str(line.discount)) / 100)
        return LineView(
            asked, frozenset(unbilled), frozenset(given_back - (+asked).keys()), line.product_uom_qty, price,
            line.anchor_date, line.start_date, line.end_date, line.next_period_start)

    # === WHAT A STEP MEANS === #

    def learn(self, before, chain, today, *, money=None, is_direct=False, by_hand=frozenset()):
        """Conclude from what changed which days policies keep or give away, and from when on other terms count.

        :param tuple before: see `look`
        :param sale.order chain: the contracts now
        :param datetime.date today: the day of the step
        :param tuple money: what a closing at once does with what is paid and what is unbilled
        :param bool is_direct: whether lines were edited directly, which counts from the first unbilled day
        :param frozenset by_hand: lines of which somebody credited or left out days
        """
        orders, lines = self.look(chain)
        for order, now in orders.items():
            self.learn_of_order(order, before[0].get(order), now, before[1], money)
        for line, now in lines.items():
            was = before[1].get(line)
            if was:
                self.learn_of_change(line, was, now, before[0][line.order_id], orders[line.order_id], is_direct)
            else:
                self.learn_of_start(line, now, before, orders)
            if line in by_hand:
                self.accept(line, was, now)
        self.applied = chain.amendment_ids.filtered('applied_date')

    def learn_of_order(self, order, was, now, lines, money):
        if not was:
            return
        if now.is_paused and not was.is_paused:
            self.stop(order, lines, now.paused_from, order.plan_id.pause_policy == 'skip')
        if was.is_paused and not now.is_paused:
            for line in order.order_line:
                story = self.stories[line]
                if story.served_until != date.max:  # an option which was dropped: there is nothing to go on with
                    story.served_until = min(story.served_until, was.paused_from)
        if now.state == 'closed' and was.state != 'closed':
            paid, unbilled = money or (was.close_money or 'keep', was.close_unbilled or 'bill')
            self.stop(order, lines, now.close_date + DAY, paid == 'keep')
            if unbilled == 'leave_out':
                # Its last day is served unless it is paused.
                self.give_away_unbilled(order, lines, now.close_date if was.is_paused else now.close_date + DAY)
        if now.state == 'renewed' and was.state != 'renewed':
            renewal = order.renewal_ids.filtered(lambda renewal: renewal.subscription_state == 'progress')
            for line in order.order_line:  # what the renewal goes on with is paid here still
                self.stop_line(line, lines, renewal.start_date, line in renewal.order_line.renewed_line_id)

    def stop(self, order, lines, day, is_kept):
        for line in order.order_line:
            self.stop_line(line, lines, day, is_kept)

    def stop_line(self, line, lines, day, is_kept):
        """Service stops: what is paid beyond is kept or given back."""
        story = self.stories[line]
        story.kept = {kept for kept in story.kept if is_kept or kept < day}
        if is_kept and line in lines:
            story.kept |= {paid for paid, times in lines[line].asked.items() if times and paid >= day}

    def give_away_unbilled(self, order, lines, day):
        for line in order.order_line:
            if line in lines:
                was = lines[line]
                self.stories[line].free |= {unbilled for unbilled in was.unbilled if unbilled < day}
                self.stories[line].free |= set(days_of(was.next_start, max(was.next_start, day)))

    def is_money_kept(self, order, was, now):
        """Return whether a change credits nothing: a downgrade, judged whole, of a plan which says so."""
        return order.plan_id.downgrade_policy == 'no_credit' and (
            order.currency_id.compare_amounts(now.mrr, was.mrr) < 0)

    def learn_of_change(self, line, was, now, order_was, order_now, is_direct):
        story, order = self.stories[line], line.order_id
        is_kept = self.is_money_kept(order, order_was, order_now)
        if now.end and not was.end:
            # A change which something stood in the way of ends the line on the agreed day all the same.
            story.served = {day for day in story.served if day <= now.end}
            self.stop_line(line, {line: was}, now.end + DAY, is_kept)
        if now.anchor != was.anchor:
            story.anchors.append((now.next_start, now.anchor))
        if now.price != was.price and now.quantity:
            story.prices.append((self.get_day_of_change(line, was, now, is_kept, is_direct), now.price))
        if was.quantity and not now.quantity:
            story.served_until = now.next_start
        if now.quantity and not was.quantity:
            story.served_until = date.max
            # From now on, by an amendment which credits nothing: free until the first day which isn't paid.
            amendment = self.get_amendment(order, line)
            story.served_from = amendment.effective_date if amendment and not is_direct else now.next_start
            story.free |= set(days_of(story.served_from, max(story.served_from, now.next_start))) if is_kept else set()
        if self.is_stopped(order_was, was) and not self.is_stopped(order_now, now):
            # What the contract gave back, if only because somebody wished it so, is charged again with the service.
            story.free -= was.given_back

    def is_stopped(self, order, line):
        """Return whether a line isn't served at a moment, though it was before."""
        return order.state == 'closed' or order.is_paused or not line.quantity

    def get_amendment(self, order, line):
        """Return the amendment of a line which was applied in the present step, the last one."""
        applied = order.amendment_ids.filtered('applied_date') - self.applied
        return applied.filtered(lambda amendment: line in amendment.order_line.parent_line_id).sorted(
            lambda amendment: (amendment.effective_date, amendment.id))[-1:]

    def get_day_of_change(self, line, was, now, is_kept, is_direct):
        """Return from when on a line costs what it costs now."""
        change = line.price_change_ids.filtered(lambda change: (
            change.state == 'applied' and change.effective_date >= was.next_start))[-1:]
        amendment = self.get_amendment(line.order_id, line)
        if is_direct or not was.quantity:
            return now.next_start
        if amendment:
            return max(amendment.effective_date, was.next_start) if is_kept else amendment.effective_date
        return change.effective_date

    def learn_of_start(self, line, now, before, orders):
        story, order = self.stories[line], line.order_id
        story.prices.append((date.min, now.price))
        story.anchors.append((date.min, now.anchor))
        was = before[0].get(order)
        if line.renewed_line_id and (not was or was.state == 'renewal'):
            # Paid on the line which it goes on with.
            paid = before[1].get(line.renewed_line_id)
            story.free |= set(days_of(now.start, max(now.start, paid.next_start))) if paid else set()
        elif was and was.state in ('progress', 'closing') and self.is_money_kept(order, was, orders[order]):
            parent = before[1].get(line.parent_line_id)
            first_day = parent.next_start if parent else was.first_unbilled_day
            story.free |= set(days_of(now.start, max(now.start, first_day)))

    def accept(self, line, was, now):
        """Take what somebody did by hand for what is wished."""
        story = self.stories[line]
        story.is_touched = True
        story.free |= {day for day in days_of(was.next_start, now.next_start) if not now.asked[day]}
        for day in was.asked.keys() | now.asked.keys():
            if was.asked[day] != now.asked[day]:
                (story.free.discard if now.asked[day] else story.free.add)(day)
                (story.kept.add if now.asked[day] else story.kept.discard)(day)

    def note_day(self, chain, day, closed_while_paused):
        """Note which lines were served on the day which ends."""
        for order in chain:
            is_served = order.subscription_state in ('progress', 'closing') and not order._is_paused() or (
                order.subscription_state == 'closed' and order.close_date == day and order not in closed_while_paused)
            if not is_served or (order.end_date and day > order.end_date):
                continue
            for line in order.order_line.filtered('anchor_date'):
                story = self.stories[line]
                if line.start_date <= day and not (line.end_date and day > line.end_date) and (
                        story.served_from <= day < story.served_until):
                    story.served.add(day)

    # === WHAT MUST BE === #

    def check(self, chain, today):
        """Compare the ledger with what is expected, day by day, and its amounts with the price of the days."""
        for line, now in self.look(chain)[1].items():
            self.check_days(line, now, today)
            self.check_amounts(line)

    def check_days(self, line, now, today):
        story = self.stories[line]
        first = min(now.asked, default=now.start)
        for day in days_of(min(first, now.start), today):
            is_served = day in story.served
            if is_served and day >= now.next_start:
                # Not in the ledger yet: only of a contract which is billed later.
                self.case.assertIn(
                    line.order_id.subscription_state, ('progress', 'closing', 'paused', 'renewed'),
                    f"{line.name} was served on {day}, which nobody bills any more: {self.describe(line)}")
                self.case.assertEqual(now.asked[day], 0)
                continue
            expected = not self.is_free(line, day) if is_served else day in story.kept
            self.case.assertEqual(
                now.asked[day], int(expected),
                f"{line.name} on {day}, {'served' if is_served else 'not served'}: {self.describe(line)}")
        wrong = {str(day): times for day, times in now.asked.items() if times not in (0, 1)}
        self.case.assertFalse(wrong, f"{line.name} is paid twice, or less than nothing: {self.describe(line)}")

    def is_free(self, line, day):
        return day in self.stories[line].free or (
            line.plan_id.first_period == 'free' and bool(self.get_first_stub(line, day)))

    def get_first_stub(self, line, day):
        """Return the incomplete first period of the chain, if the day lies in it."""
        first = line.order_id.origin_order_id or line.order_id
        start = first.trial_end_date or first.start_date
        natural = self.get_natural_period(line, day)
        return (start, natural.end) if natural.start < start <= day else None

    def get_natural_period(self, line, day):
        plan = line.plan_id
        return recurrence.period_at(
            self.stories[line].get_anchor(day), plan.billing_period_value, plan.billing_period_unit, day)

    def get_cost(self, line, day):
        """Return what a day of a line costs."""
        start, end = (line.plan_id.first_period == 'full' and self.get_first_stub(line, day)) or (
            self.get_natural_period(line, day)[:2])
        return self.stories[line].get_price(day) / (end - start).days

    def check_amounts(self, line):
        """What the rows of a line come to is what its days cost; each row was rounded once."""
        if self.stories[line].is_touched:
            return
        days, rows = Counter(), line.period_ids.filtered(lambda row: row.state == 'billed')
        for row in rows:
            for day in days_of(row.date_start, row.date_end):
                days[day] += -1 if row.kind == 'credit' else 1
        expected = sum(self.get_cost(line, day) * times for day, times in days.items() if times)
        self.case.assertAlmostEqual(
            sum(rows.mapped('amount')), float(expected), delta=0.00501 * max(len(rows), 1),
            msg=f"{line.name}: {self.describe(line)} at {self.stories[line].prices}")

    def is_crediting(self, chain):
        """Return whether everything which was paid was served, and the other way round, by the policies of a life."""
        return not any(
            self.stories[line].kept or self.stories[line].free or self.stories[line].is_touched
            for line in chain.order_line) and not any(
            line.plan_id.first_period != 'prorate' for line in chain.order_line)

    def check_life(self, chain):
        """A life with policies which credit only costs what its served days cost, whatever happened in it."""
        rows = chain.order_line.period_ids.filtered(lambda row: row.state == 'billed')
        expected = sum(
            self.get_cost(line, day)
            for line in chain.order_line.filtered('anchor_date') for day in self.stories[line].served)
        self.case.assertAlmostEqual(
            sum(rows.mapped('amount')), float(expected), delta=0.00501 * max(len(rows), 1))

    def describe(self, line):
        return [
            (row.kind, row.state, str(row.date_start), str(row.date_end), row.amount, row.is_credited)
            for row in line.period_ids.sorted('id')
        ]
