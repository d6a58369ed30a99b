"""Formulas of recurring revenue: numbers in, numbers out, unrounded, no ORM.

Amounts are untaxed, in one currency; movements (new, expansion, contraction, churn, reactivation) are given as positive
amounts. ``start`` is the value at the beginning of the span looked at, movements are those within it. Rates are shares
(0.05 is 5 %). Integers, floats and decimals may be passed, without mixing floats and decimals. **None is returned where
the denominator is 0**: a rate of nothing is empty, not 0 and not infinite.

Movement identity: start + new + expansion + reactivation - contraction - churn = end.
"""

from decimal import Decimal

from .recurrence import DAYS_PER_UNIT, MONTHS_PER_UNIT, Unit


def monthly(amount: float, value: int, unit: Unit, days_per_month: float = 30.4375) -> float | None:
    """Return the month value (MRR) of what a period costs.

    n months: ÷ n; n years: ÷ 12n; n weeks: × days per month ÷ 7n; n days: × days per month ÷ n.

    :param amount: net untaxed price of one period; negative for a recurring discount
    :param value: units in a period, 1 or more
    :param unit: ``day``, ``week``, ``month`` or ``year``
    :param days_per_month: only read for days and weeks; 30.4375 is 365.25 ÷ 12
    :raises ValueError: for another unit or a negative value
    """
    if value < 0:
        raise ValueError(f'A period must last at least 1 {unit}, not {value}.')
    if unit in MONTHS_PER_UNIT:
        return _divide(amount, value * MONTHS_PER_UNIT[unit])
    if unit in DAYS_PER_UNIT:
        if isinstance(amount, Decimal):
            days_per_month = Decimal(str(days_per_month))
        return _divide(amount * days_per_month, value * DAYS_PER_UNIT[unit])
    raise ValueError(f'Unknown unit {unit!r}: use day, week, month or year.')


def churn_rate(lost: float, start: float) -> float | None:
    """Return the share of customers (or contracts) lost: lost ÷ those at the start. Those won since do not count."""
    return _divide(lost, start)


def gross_churn(churn: float, contraction: float, start: float) -> float | None:
    """Return the share of MRR lost: (churn + contraction) ÷ start."""
    return _divide(churn + contraction, start)


def net_churn(
    churn: float, contraction: float, expansion: float, reactivation: float, start: float,
) -> float | None:
    """Return the share of MRR lost after what came back: (churn + contraction - expansion - reactivation) ÷ start.

    Negative when more came back than was lost.
    """
    return _divide(churn + contraction - expansion - reactivation, start)


def grr(churn: float, contraction: float, start: float) -> float | None:
    """Return gross revenue retention: (start - churn - contraction) ÷ start, which is 1 - gross churn."""
    return _divide(start - churn - contraction, start)


def nrr(churn: float, contraction: float, expansion: float, start: float) -> float | None:
    """Return net revenue retention: (start + expansion - contraction - churn) ÷ start. Reactivation does not count."""
    return _divide(start + expansion - contraction - churn, start)


def quick_ratio(
    new: float, expansion: float, reactivation: float, contraction: float, churn: float,
) -> float | None:
    """Return MRR gained ÷ MRR lost: (new + expansion + reactivation) ÷ (contraction + churn)."""
    return _divide(new + expansion + reactivation, contraction + churn)


def arpa(mrr: float, customers: float) -> float | None:
    """Return the average MRR of an account: MRR ÷ paying customers."""
    return _divide(mrr, customers)


def arpc(mrr: float, contracts: float) -> float | None:
    """Return the average MRR of a contract: MRR ÷ running contracts."""
    return _divide(mrr, contracts)


def lifetime(churn_rate: float | None) -> float | None:
    """Return how long a customer stays on average: 1 ÷ churn rate, in the months (or other spans) of that rate.

    A churn rate that is itself None gives None.
    """
    return None if churn_rate is None else _divide(1, churn_rate)


def ltv(arpa: float | None, churn_rate: float | None, gross_margin: float = 1) -> float | None:
    """Return what a customer is worth over its lifetime: ARPA × gross margin ÷ monthly churn rate.

    :param arpa: MRR of an account; None gives None
    :param churn_rate: monthly; None gives None
    :param gross_margin: share of the revenue kept, 1 for revenue
    """
    if arpa is None or churn_rate is None:
        return None
    return _divide(arpa * gross_margin, churn_rate)


def yearly_growth(net_new: float, months: float, start: float) -> float | None:
    """Return the growth of a year at the pace seen: net new MRR ÷ months × 12 ÷ start, without compounding.

    :param net_new: MRR at the end - MRR at the start of the span
    :param months: length of the span
    :param start: MRR at the start of the span
    """
    return _divide(net_new * 12, months * start)


def _divide(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
