"""What the property tests draw from, and how long they try."""

import os
from datetime import date

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from odoo.addons.sale_subscription_ext.tools.recurrence import occurrence

LONG = os.environ.get('SUBSCRIPTION_LONG_TESTS') == '1'

# The same 200 examples each time, so that a red build stays red; 5000 new ones on demand.
thorough = settings(deadline=None, database=None, derandomize=not LONG, max_examples=5000 if LONG else 200)

# For examples which write a lot into the database: few, and not made smaller when one fails, which takes hours.
slow = settings(
    thorough, max_examples=1000 if LONG else 25, phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much])

# Whole lives of contracts: two hundred in the suite, some minutes; hours on demand.
lives = settings(slow, max_examples=2000 if LONG else 200, stateful_step_count=30 if LONG else 10)

# 1900 and 2100 are no leap years, 2000 is.
dates = st.dates(date(1890, 1, 1), date(2110, 12, 31))
month_ends = dates.map(lambda day: occurrence(day.replace(day=1), 1, 'month', 1)).map(
    lambda day: date.fromordinal(day.toordinal() - 1))
leap_days = st.integers(1892, 2108).filter(lambda year: year % 4 == 0 and year not in (1900, 2100)).map(
    lambda year: date(year, 2, 29))
anchors = st.one_of(dates, month_ends, leap_days)

day_intervals = st.one_of(
    st.tuples(st.integers(1, 400), st.just('day')),
    st.tuples(st.integers(1, 53), st.just('week')),
)
month_intervals = st.one_of(
    st.tuples(st.sampled_from((1, 2, 3, 4, 5, 6, 7, 11, 12, 18, 24, 36)), st.just('month')),
    st.tuples(st.integers(1, 5), st.just('year')),
)
intervals = st.one_of(day_intervals, month_intervals)
indexes = st.integers(-60, 60)


@st.composite
def spans(draw, count=2):
    """Draw ordered dates at most some years apart, often whole months or nothing."""
    first = draw(anchors)
    return sorted([first, *(
        draw(st.one_of(
            st.integers(0, 1500).map(lambda days: date.fromordinal(first.toordinal() + days)),
            st.integers(0, 48).map(lambda months: occurrence(first, 1, 'month', months)),
        ))
        for _index in range(count - 1)
    )])
