from calendar import monthrange
from datetime import date, timedelta
from itertools import pairwise
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from odoo.tests import BaseCase, tagged

from odoo.addons.sale_subscription_ext.tests.cases import read_cases
from odoo.addons.sale_subscription_ext.tests.strategies import (
    anchors,
    dates,
    day_intervals,
    indexes,
    intervals,
    month_intervals,
    spans,
    thorough,
)
from odoo.addons.sale_subscription_ext.tools import recurrence
from odoo.addons.sale_subscription_ext.tools.recurrence import (
    Period,
    aligned_anchor,
    next_occurrence,
    occurrence,
    period_at,
    split_periods,
)

DAY = timedelta(days=1)


def month_length(day):
    return monthrange(day.year, day.month)[1]


def interval_of(case):
    return int(case['value']), case['unit']


@tagged('post_install', '-at_install')
class TestOccurrence(BaseCase):

    def test_worked_occurrences(self):
        for case in read_cases('occurrences', 'more_occurrences'):
            with self.subTest(**case):
                self.assertEqual(
                    occurrence(date.fromisoformat(case['anchor']), *interval_of(case), int(case['index'])),
                    date.fromisoformat(case['expected']),
                )

    def test_an_interval_below_one_is_refused_with_a_sentence(self):
        for value in (0, -1):
            for unit in ('day', 'week', 'month', 'year'):
                with self.subTest(value=value, unit=unit), self.assertRaisesRegex(
                    ValueError, f'A period must last at least 1 {unit}, not {value}',
                ):
                    occurrence(date(2026, 1, 1), value, unit, 1)

    def test_an_unknown_unit_is_refused_with_a_sentence(self):
        for unit in ('quarter', 'months', '', False, None):
            with self.subTest(unit=unit), self.assertRaisesRegex(ValueError, 'use day, week, month or year'):
                occurrence(date(2026, 1, 1), 1, unit, 1)

    def test_a_date_outside_the_calendar_is_a_value_error(self):
        for unit in ('day', 'week', 'month', 'year'):
            for anchor, index in ((date.max, 1), (date.min, -1)):
                with self.subTest(unit=unit, index=index), self.assertRaises(ValueError):
                    occurrence(anchor, 1, unit, index)

    @thorough
    @given(anchors, intervals)
    def test_the_first_occurrence_is_the_anchor(self, anchor, interval):
        self.assertEqual(occurrence(anchor, *interval, 0), anchor)

    @thorough
    @given(anchors, intervals, indexes)
    def test_occurrences_strictly_increase_with_their_index(self, anchor, interval, index):
        self.assertLess(occurrence(anchor, *interval, index), occurrence(anchor, *interval, index + 1))

    @thorough
    @given(anchors, month_intervals, indexes)
    def test_month_ends_never_drift(self, anchor, interval, index):
        day = occurrence(anchor, *interval, index)
        self.assertEqual(day.day, min(anchor.day, month_length(day)))

    @thorough
    @given(anchors, month_intervals, indexes)
    def test_months_and_years_are_whole_months_apart(self, anchor, interval, index):
        value, unit = interval
        day = occurrence(anchor, value, unit, index)
        months = (day.year - anchor.year) * 12 + day.month - anchor.month
        self.assertEqual(months, index * value * (12 if unit == 'year' else 1))

    @thorough
    @given(anchors, day_intervals, indexes)
    def test_days_and_weeks_are_whole_days_apart(self, anchor, interval, index):
        value, unit = interval
        days = (occurrence(anchor, value, unit, index) - anchor).days
        self.assertEqual(days, index * value * (7 if unit == 'week' else 1))

    @thorough
    @given(anchors, st.integers(1, 5), indexes)
    def test_years_are_twelve_months_and_weeks_seven_days(self, anchor, value, index):
        self.assertEqual(occurrence(anchor, value, 'year', index), occurrence(anchor, 12 * value, 'month', index))
        self.assertEqual(occurrence(anchor, value, 'week', index), occurrence(anchor, 7 * value, 'day', index))

    @thorough
    @given(anchors, intervals, indexes)
    def test_every_second_occurrence_is_one_of_the_double_interval(self, anchor, interval, index):
        value, unit = interval
        self.assertEqual(occurrence(anchor, value, unit, 2 * index), occurrence(anchor, 2 * value, unit, index))


@tagged('post_install', '-at_install')
class TestPeriods(BaseCase):

    def test_worked_periods(self):
        for case in read_cases('periods'):
            pieces = [piece.split('/') for piece in case['expected'].split()]
            with self.subTest(**case):
                self.assertEqual(
                    list(split_periods(
                        date.fromisoformat(case['anchor']), *interval_of(case),
                        date.fromisoformat(case['start']), date.fromisoformat(case['end']),
                    )),
                    [Period(date.fromisoformat(start), date.fromisoformat(end), int(index))
                     for start, end, index in pieces],
                )

    def test_finding_a_period_does_not_depend_on_how_far_it_is(self):
        for unit in ('day', 'week', 'month', 'year'):
            for day in (date(1700, 3, 1), date(2026, 3, 1), date(2900, 3, 1)):
                with (
                    self.subTest(unit=unit, day=day),
                    patch.object(recurrence, 'occurrence', wraps=occurrence) as counted,
                ):
                    period_at(date(2026, 1, 31), 1, unit, day)
                    self.assertLessEqual(counted.call_count, 3)

    def test_a_span_that_ends_before_it_starts_is_refused_at_once(self):
        with self.assertRaisesRegex(ValueError, 'cannot end'):
            split_periods(date(2026, 1, 1), 1, 'month', date(2026, 2, 2), date(2026, 2, 1))

    def test_a_wrong_interval_is_refused_also_for_an_empty_span(self):
        for value, unit in ((0, 'month'), (1, 'quarter')):
            with self.subTest(value=value, unit=unit):
                for function in (period_at, next_occurrence):
                    with self.assertRaises(ValueError):
                        function(date(2026, 1, 1), value, unit, date(2026, 2, 1))
                with self.assertRaises(ValueError):
                    split_periods(date(2026, 1, 1), value, unit, date(2026, 2, 1), date(2026, 2, 1))

    @thorough
    @given(anchors, intervals, dates)
    def test_a_period_contains_its_day_and_lies_between_two_occurrences(self, anchor, interval, day):
        period = period_at(anchor, *interval, day)
        self.assertLessEqual(period.start, day)
        self.assertLess(day, period.end)
        self.assertEqual(period.start, occurrence(anchor, *interval, period.index))
        self.assertEqual(period.end, occurrence(anchor, *interval, period.index + 1))

    @thorough
    @given(anchors, intervals, indexes)
    def test_a_period_has_its_first_and_last_day_and_no_other(self, anchor, interval, index):
        period = Period(occurrence(anchor, *interval, index), occurrence(anchor, *interval, index + 1), index)
        self.assertEqual(period_at(anchor, *interval, period.start), period)
        self.assertEqual(period_at(anchor, *interval, period.end - DAY), period)
        self.assertEqual(period_at(anchor, *interval, period.start - DAY).index, index - 1)
        self.assertEqual(period_at(anchor, *interval, period.end).index, index + 1)

    @thorough
    @given(anchors, intervals, indexes)
    def test_the_occurrence_after_an_occurrence_is_the_next(self, anchor, interval, index):
        day, following = occurrence(anchor, *interval, index), occurrence(anchor, *interval, index + 1)
        self.assertEqual(next_occurrence(anchor, *interval, day), following)
        self.assertEqual(next_occurrence(anchor, *interval, following - DAY), following)

    @thorough
    @given(anchors, intervals, spans())
    def test_periods_tile_a_span_without_gap_or_overlap(self, anchor, interval, span):
        start, end = span
        pieces = list(split_periods(anchor, *interval, start, end))
        if start == end:
            self.assertFalse(pieces)
            return
        self.assertEqual((pieces[0].start, pieces[-1].end), (start, end))
        for piece in pieces:
            self.assertLess(piece.start, piece.end)
            self.assertEqual(period_at(anchor, *interval, piece.start).index, piece.index)
            self.assertEqual(period_at(anchor, *interval, piece.end - DAY).index, piece.index)
        for piece, following in pairwise(pieces):
            self.assertEqual(piece.end, following.start)
            self.assertEqual(piece.index + 1, following.index)


@tagged('post_install', '-at_install')
class TestAlignment(BaseCase):

    def test_worked_alignments(self):
        for case in read_cases('alignments'):
            start = date.fromisoformat(case['start'])
            with self.subTest(**case):
                anchor = aligned_anchor(start, *interval_of(case), case['alignment'], int(case['month_day']))
                period = period_at(anchor, *interval_of(case), start)
                self.assertEqual(
                    (anchor, period.start, period.end),
                    tuple(date.fromisoformat(case[name]) for name in ('anchor', 'period_start', 'period_end')),
                )

    def test_a_day_of_the_month_is_refused_for_days_and_weeks(self):
        for unit in ('day', 'week'):
            with self.subTest(unit=unit), self.assertRaisesRegex(ValueError, 'months or years'):
                aligned_anchor(date(2026, 1, 1), 1, unit, 'month_day', 15)

    def test_a_day_no_month_has_is_refused(self):
        for month_day in (-1, 0, 32):
            with self.subTest(month_day=month_day), self.assertRaisesRegex(ValueError, 'between 1 and 31'):
                aligned_anchor(date(2026, 1, 1), 1, 'month', 'month_day', month_day)

    def test_an_unknown_alignment_or_interval_is_refused(self):
        with self.assertRaisesRegex(ValueError, 'Unknown alignment'):
            aligned_anchor(date(2026, 1, 1), 1, 'month', 'fiscal')
        for value, unit in ((0, 'month'), (1, 'quarter')):
            for alignment in ('anniversary', 'calendar', 'month_day'):
                with self.subTest(unit=unit, alignment=alignment), self.assertRaises(ValueError):
                    aligned_anchor(date(2026, 1, 1), value, unit, alignment)

    @thorough
    @given(anchors, intervals, st.sampled_from(('anniversary', 'calendar')))
    def test_an_anchor_begins_the_period_of_the_start(self, start, interval, alignment):
        anchor = aligned_anchor(start, *interval, alignment)
        period = period_at(anchor, *interval, start)
        self.assertLessEqual(anchor, start)
        self.assertEqual((period.start, period.index), (anchor, 0))

    @thorough
    @given(anchors, intervals)
    def test_calendar_periods_begin_on_monday_or_the_first(self, start, interval):
        value, unit = interval
        anchor = aligned_anchor(start, value, unit, 'calendar')
        if unit == 'week':
            self.assertEqual(anchor.weekday(), 0)
            self.assertLess(start - anchor, 7 * DAY)
        elif unit == 'month':
            self.assertEqual((anchor.year, anchor.day, (anchor.month - 1) % value), (start.year, 1, 0))
        elif unit == 'year':
            self.assertEqual(anchor, date(start.year, 1, 1))
        else:
            self.assertEqual(anchor, start)

    @thorough
    @given(anchors, month_intervals, st.integers(1, 31))
    def test_a_month_day_is_the_last_such_date_up_to_the_start(self, start, interval, month_day):
        anchor = aligned_anchor(start, *interval, 'month_day', month_day)
        last = next(
            day for day in (start - days * DAY for days in range(32))
            if day.day == min(month_day, month_length(day))
        )
        period = period_at(anchor, *interval, start)
        self.assertEqual(period.start, last)
        self.assertGreaterEqual(period.index, 0)

    @thorough
    @given(anchors, month_intervals, st.integers(1, 31), indexes)
    def test_a_month_day_never_drifts(self, start, interval, month_day, index):
        anchor = aligned_anchor(start, *interval, 'month_day', month_day)
        day = occurrence(anchor, *interval, index)
        self.assertEqual(day.day, min(month_day, month_length(day)))

    @thorough
    @given(anchors, month_intervals, st.integers(1, 31), st.integers(0, 60))
    def test_aligning_a_later_period_start_gives_the_same_periods(self, start, interval, month_day, index):
        anchor = aligned_anchor(start, *interval, 'month_day', month_day)
        period_start = occurrence(anchor, *interval, index)
        again = aligned_anchor(period_start, *interval, 'month_day', month_day)
        for step in range(5):
            self.assertEqual(
                occurrence(anchor, *interval, index + step),
                occurrence(again, *interval, period_at(again, *interval, period_start).index + step),
            )
