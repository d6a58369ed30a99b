"""What a price becomes by indexation: numbers in, numbers out, no ORM.

Rates are shares (1/20 is a rise by 5 %) and exact; floats are taken as the decimals they are written as. A price is
rounded once, half away from zero, to the digits which prices have.
"""

from fractions import Fraction


def percent_rate(percentage: float) -> Fraction:
    """Return a percentage as a rate: 2.5 gives 1/40."""
    return _exact(percentage) / 100


def index_rate(base: float, reference: float) -> Fraction:
    """Return by how much an index rose from one month to another: reference ÷ base - 1.

    :param base: the value of the base month
    :param reference: the value of the month which is compared with it
    :raises ValueError: unless both are greater than 0
    """
    if base <= 0 or reference <= 0:
        raise ValueError(f'Values of an index are greater than 0, not {base} and {reference}.')
    return _exact(reference) / _exact(base) - 1


def limit_rate(rate: Fraction, floor: float | None = None, cap: float | None = None) -> Fraction:
    """Return a rate, at least the floor and at most the cap.

    :param rate: a share
    :param floor: in percent, None for no floor; 0 lets prices never fall
    :param cap: in percent, None for no cap
    :raises ValueError: if the floor is above the cap
    """
    if floor is not None and cap is not None and floor > cap:
        raise ValueError(f'The floor of {floor} % is above the cap of {cap} %.')
    if floor is not None:
        rate = max(rate, percent_rate(floor))
    if cap is not None:
        rate = min(rate, percent_rate(cap))
    return rate


def indexed_price(price: float, rate: Fraction, digits: int) -> float:
    """Return a price changed by a rate and rounded; a negative price, a discount, changes in the same proportion.

    A price which doesn't change stays as it is, digits beyond the precision too.
    """
    return _round(_exact(price) * (1 + rate), digits) if rate else price


def raised_price(price: float, amount: float, digits: int) -> float:
    """Return a price changed by an amount and rounded, never below 0."""
    return max(_round(_exact(price) + _exact(amount), digits), 0.0) if amount else price


def _exact(number: float) -> Fraction:
    return Fraction(str(number))


def _round(value: Fraction, digits: int) -> float:
    scaled = abs(value) * 10 ** digits
    whole = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    rounded = float(Fraction(whole, 10 ** digits))
    return -rounded if value < 0 else rounded
