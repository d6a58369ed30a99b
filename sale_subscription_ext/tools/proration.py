"""Which share of a period's price some days cost. Amounts and their rounding stay with the caller and its currency."""

from collections.abc import Iterable
from datetime import date
from fractions import Fraction

from .recurrence import Unit, period_at, split_periods


def ratio(start: date, end: date, anchor: date, value: int, unit: Unit) -> Fraction:
    """Return the days served divided by the days of the whole natural period they lie in.

    A span over several periods is cut at the occurrences, each piece keeps its own denominator: monthly from the 1st,
    25 January to 2 February is 7/31 + 2/28, a whole period is 1 however long it is, and the ratios of adjoining spans
    sum exactly. Multiply the amount of one period by it and round once.

    :param start: first day served; may be before the anchor
    :param end: first day no longer served; the start itself gives 0
    :param anchor: the line's billing day, see :mod:`.recurrence`, with ``value`` and ``unit`` its interval
    :raises ValueError: if ``end`` is before ``start``, or the interval is not one
    """
    total = Fraction(0)
    for piece in split_periods(anchor, value, unit, start, end):
        period = period_at(anchor, value, unit, piece.start)
        total += Fraction((piece.end - piece.start).days, (period.end - period.start).days)
    return total


def get_remaining_spans(start: date, end: date, taken: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    """Return what is left of the days from ``start`` to the day before ``end``, in order, without those of other spans.

    :param taken: spans (first day, first day no longer in it) in any order; they may overlap each other and reach
        beyond the days asked for
    """
    spans = []
    for taken_start, taken_end in sorted(taken):
        if taken_start >= taken_end:
            continue
        if start < min(taken_start, end):
            spans.append((start, min(taken_start, end)))
        start = max(start, taken_end)
    if start < end:
        spans.append((start, end))
    return spans
