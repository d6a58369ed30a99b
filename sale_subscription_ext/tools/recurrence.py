"""When the periods of a recurring line start and end: dates in, dates out, no ORM.

The one rule everything here follows: occurrence *k* is the anchor + *k* intervals, its day clamped to the length of
the month it falls in, and it is always counted from the anchor, never from the occurrence before. So an anchor of
31 January gives 28 February and then 31 March again, and a yearly 29 February comes back in each leap year.

Periods are half-open: ``start`` is the first day served, ``end`` the first day that is not (the next occurrence).
"""

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal, NamedTuple

Unit = Literal['day', 'week', 'month', 'year']
Alignment = Literal['anniversary', 'calendar', 'month_day']

DAYS_PER_UNIT = {'day': 1, 'week': 7}
MONTHS_PER_UNIT = {'month': 1, 'year': 12}

# How many intervals an anchor may be moved back to find a month that has the wished day: a year's months recur within
# 12 intervals, a 29 February within 8 yearly ones (1896 to 1904).
MAX_STEPS_BACK = 48


class Period(NamedTuple):
    """The days from ``start`` to the day before ``end``; ``index`` is the number of the occurrence that begins the
    natural period they lie in (0 = the anchor's, negative before it).
    """

    start: date
    end: date
    index: int


def occurrence(anchor: date, value: int, unit: Unit, index: int) -> date:
    """Return the anchor + ``index`` intervals, the day clamped to the month's length.

    :param anchor: the billing day; occurrence 0
    :param value: units in an interval, 1 or more
    :param unit: ``day``, ``week``, ``month`` or ``year``
    :param index: which occurrence; negative ones lie before the anchor
    :raises ValueError: if the interval is not one, or the date falls outside years 1 to 9999
    """
    months, days = _get_interval(value, unit)
    if days:
        return date.fromordinal(anchor.toordinal() + index * days)
    return _get_day_in_month(_get_month_number(anchor) + index * months, anchor.day)


def period_at(anchor: date, value: int, unit: Unit, day: date) -> Period:
    """Return the natural period that contains ``day``, which may lie before the anchor.

    The index is computed, not searched for: the time it takes does not depend on how far ``day`` is.

    :raises ValueError: as :func:`occurrence`
    """
    months, days = _get_interval(value, unit)
    if days:
        index = (day - anchor).days // days
    else:
        # The occurrence of this index is in the day's month or an earlier one, the next one in a later month.
        # Only when it is in the same month can it still be after the day.
        index = (_get_month_number(day) - _get_month_number(anchor)) // months
        if occurrence(anchor, value, unit, index) > day:
            index -= 1
    return Period(occurrence(anchor, value, unit, index), occurrence(anchor, value, unit, index + 1), index)


def next_occurrence(anchor: date, value: int, unit: Unit, day: date) -> date:
    """Return the first occurrence strictly after ``day``, also when ``day`` is an occurrence or before the anchor.

    :raises ValueError: as :func:`occurrence`
    """
    return period_at(anchor, value, unit, day).end


def span_end(start: date, anchor: date, value: int, unit: Unit) -> date:
    """Return the day after a span of time which begins on any day.

    A span which begins on an occurrence of the anchor ends on the next one, so that chains of spans don't drift.

    :param start: the first day
    :param anchor: the date which occurrences are counted from
    :param value: how many units the span has
    :param unit: day, week, month or year
    """
    period = period_at(anchor, value, unit, start)
    return period.end if period.start == start else occurrence(start, value, unit, 1)


def split_periods(anchor: date, value: int, unit: Unit, start: date, end: date) -> Iterator[Period]:
    """Cut the days from ``start`` to the day before ``end`` at the occurrences.

    :return: the pieces in order, lazily; no piece for an empty span. Each has its own clipped start and end and the
        index of the natural period it lies in, whose full dates ``period_at(anchor, value, unit, piece.start)`` gives.
    :raises ValueError: at once, if ``end`` is before ``start``; and as :func:`occurrence`
    """
    _get_interval(value, unit)
    if end < start:
        raise ValueError(f'A span cannot end ({end}) before it starts ({start}).')
    return _split_periods(anchor, value, unit, start, end)


def _split_periods(anchor: date, value: int, unit: Unit, start: date, end: date) -> Iterator[Period]:
    while start < end:
        period = period_at(anchor, value, unit, start)
        piece = Period(start, min(period.end, end), period.index)
        yield piece
        start = piece.end


def aligned_anchor(start: date, value: int, unit: Unit, alignment: Alignment, month_day: int = 1) -> date:
    """Return the anchor of a line that starts on ``start``, so that its first stub has the natural denominator.

    * ``anniversary``: the start itself.
    * ``calendar``: days: the start; weeks: the Monday on or before it; months: the last 1st of a month on or before it
      on the grid of ``value`` months counted from January of that year (quarters begin in January, April, July and
      October); years: 1 January of that year.
    * ``month_day``: the last date on or before the start whose day is ``month_day``, or the last day of a shorter
      month (31 is the last day of every month). Any month will do, also for quarters and years.

    With ``month_day`` such a date can itself be clamped: for the 31st and a start on 10 March it is 28 February, and an
    anchor of 28 February would have lost the 31. Then an earlier anchor is returned, whole intervals before, in the
    nearest month that has the day: 31 January for monthly, 31 August (past 30 November) for quarterly periods. If none
    of the last 48 intervals has it (the 31st, yearly from February), it is the nearest with the largest day
    (29 February). Either way the last such date on or before the start is an occurrence of the returned anchor, later
    ones are clamped from ``month_day`` itself, and the period at the start may have an index above 0.

    :param start: first day served
    :param month_day: 1 to 31, only read with the ``month_day`` alignment
    :raises ValueError: for an unknown alignment, a month day with days or weeks or outside 1 to 31, and as
        :func:`occurrence`
    """
    months, _days = _get_interval(value, unit)
    if alignment == 'anniversary':
        return start
    if alignment == 'calendar':
        return _get_calendar_anchor(start, value, unit)
    if alignment == 'month_day':
        if not months:
            raise ValueError(f'A day of the month can only be set for periods of months or years, not of a {unit}.')
        if not 1 <= month_day <= 31:
            raise ValueError(f'The day of the month must be between 1 and 31, not {month_day}.')
        return _get_month_day_anchor(start, months, month_day)
    raise ValueError(f'Unknown alignment {alignment!r}: use anniversary, calendar or month_day.')


def _get_calendar_anchor(start: date, value: int, unit: Unit) -> date:
    if unit == 'week':
        return start - timedelta(days=start.weekday())
    if unit == 'month':
        return start.replace(month=start.month - (start.month - 1) % value, day=1)
    if unit == 'year':
        return start.replace(month=1, day=1)
    return start


def _get_month_day_anchor(start: date, months: int, month_day: int) -> date:
    number = _get_month_number(start)
    if _get_day_in_month(number, month_day) > start:
        number -= 1
    numbers = range(number, _get_month_number(date.min) - 1, -months)[:MAX_STEPS_BACK + 1]
    # Of equal days the first counts, which is the nearest to the start.
    return max((_get_day_in_month(number, month_day) for number in numbers), key=lambda day: day.day)


def _get_interval(value: int, unit: Unit) -> tuple[int, int]:
    """Return an interval as (months, days), one of which is 0."""
    if unit not in MONTHS_PER_UNIT and unit not in DAYS_PER_UNIT:
        raise ValueError(f'Unknown unit {unit!r}: use day, week, month or year.')
    if value < 1:
        raise ValueError(f'A period must last at least 1 {unit}, not {value}.')
    return value * MONTHS_PER_UNIT.get(unit, 0), value * DAYS_PER_UNIT.get(unit, 0)


def _get_month_number(day: date) -> int:
    """Return the months from January of year 0, so that months can be added and subtracted."""
    return day.year * 12 + day.month - 1


def _get_day_in_month(month_number: int, day: int) -> date:
    """Return that day of that month, or the month's last day if it is shorter."""
    year, month0 = divmod(month_number, 12)
    return date(year, month0 + 1, min(day, monthrange(year, month0 + 1)[1]))
