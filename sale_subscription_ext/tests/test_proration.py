from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from odoo.tests import BaseCase, tagged

from odoo.addons.sale_subscription_ext.tests.cases import read_cases
from odoo.addons.sale_subscription_ext.tests.strategies import anchors, dates, indexes, intervals, spans, thorough
from odoo.addons.sale_subscription_ext.tools.proration import get_remaining_spans, ratio
from odoo.addons.sale_subscription_ext.tools.recurrence import occurrence, period_at

DAY = timedelta(days=1)


def arguments_of(case):
    days = (date.fromisoformat(case[name]) for name in ('start', 'end', 'anchor'))
    return *days, int(case['value']), case['unit']


def prorate(amount, share):
    exact = Decimal(amount) * share.numerator / share.denominator
    return exact.quantize(Decimal('0.01'), ROUND_HALF_UP)


@tagged('post_install', '-at_install')
class TestProration(BaseCase):

    def test_worked_ratios(self):
        for case in read_cases('ratios', 'more_ratios'):
            with self.subTest(**case):
                result = ratio(*arguments_of(case))
                self.assertIsInstance(result, Fraction)
                self.assertEqual(result, sum(map(Fraction, case['expected'].split('+'))))

    def test_worked_amounts(self):
        for case in read_cases('amounts'):
            with self.subTest(**case):
                self.assertEqual(prorate(case['amount'], ratio(*arguments_of(case))), Decimal(case['expected']))

    def test_a_span_that_ends_before_it_starts_is_refused(self):
        with self.assertRaisesRegex(ValueError, 'cannot end'):
            ratio(date(2026, 1, 2), date(2026, 1, 1), date(2026, 1, 1), 1, 'month')

    def test_a_wrong_interval_is_refused_also_for_an_empty_span(self):
        for value, unit in ((0, 'month'), (-1, 'day'), (1, 'quarter')):
            with self.subTest(value=value, unit=unit), self.assertRaises(ValueError):
                ratio(date(2026, 1, 1), date(2026, 1, 1), date(2026, 1, 1), value, unit)

    @thorough
    @given(anchors, intervals, indexes)
    def test_a_whole_period_is_one(self, anchor, interval, index):
        start, end = occurrence(anchor, *interval, index), occurrence(anchor, *interval, index + 1)
        self.assertEqual(ratio(start, end, anchor, *interval), 1)

    @thorough
    @given(anchors, intervals, indexes, st.integers(0, 30))
    def test_whole_periods_are_counted(self, anchor, interval, index, count):
        start, end = occurrence(anchor, *interval, index), occurrence(anchor, *interval, index + count)
        self.assertEqual(ratio(start, end, anchor, *interval), count)

    @thorough
    @given(anchors, intervals, dates)
    def test_no_days_cost_nothing(self, anchor, interval, day):
        self.assertEqual(ratio(day, day, anchor, *interval), 0)

    @thorough
    @given(anchors, intervals, dates)
    def test_a_day_costs_its_share_of_its_whole_period(self, anchor, interval, day):
        period = period_at(anchor, *interval, day)
        self.assertEqual(ratio(day, day + DAY, anchor, *interval), Fraction(1, (period.end - period.start).days))

    @thorough
    @given(anchors, intervals, spans(8))
    def test_one_big_span_costs_what_many_small_ones_do(self, anchor, interval, span):
        parts = sum(ratio(start, end, anchor, *interval) for start, end in pairwise(span))
        self.assertEqual(ratio(span[0], span[-1], anchor, *interval), parts)

    @thorough
    @given(anchors, intervals, dates, st.integers(0, 120))
    def test_a_span_costs_what_its_days_do(self, anchor, interval, start, length):
        days = sum(
            ratio(start + offset * DAY, start + (offset + 1) * DAY, anchor, *interval) for offset in range(length)
        )
        self.assertEqual(ratio(start, start + length * DAY, anchor, *interval), days)

    @thorough
    @given(anchors, intervals, spans(4))
    def test_a_longer_span_costs_more(self, anchor, interval, span):
        outer, inner = ratio(span[0], span[3], anchor, *interval), ratio(span[1], span[2], anchor, *interval)
        if (span[0], span[3]) == (span[1], span[2]):
            self.assertEqual(outer, inner)
        else:
            self.assertGreater(outer, inner)

    @thorough
    @given(anchors, intervals, spans(), indexes)
    def test_any_occurrence_serves_as_anchor_unless_it_was_clamped(self, anchor, interval, span, index):
        anchor = anchor.replace(day=min(anchor.day, 28))
        other = occurrence(anchor, *interval, index)
        self.assertEqual(ratio(*span, anchor, *interval), ratio(*span, other, *interval))

    def test_remaining_spans_hold_each_day_which_nobody_took_once(self):
        first = date(2026, 1, 1)

        @thorough
        @given(
            end=st.integers(0, 40),
            taken=st.lists(st.tuples(st.integers(-5, 45), st.integers(-5, 45)).map(sorted), max_size=4),
        )
        def check(end, taken):
            spans = get_remaining_spans(first, first + end * DAY, [
                (first + start * DAY, first + stop * DAY) for start, stop in taken])
            left = [day for day in range(end) if not any(start <= day < stop for start, stop in taken)]
            self.assertEqual([
                (day - first).days for start, stop in spans
                for day in (start + index * DAY for index in range((stop - start).days))
            ], left)
            for before, after in pairwise(spans):
                self.assertLess(before[1], after[0])

        check()
