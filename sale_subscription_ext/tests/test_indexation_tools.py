from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from odoo.tests import BaseCase, tagged

from odoo.addons.sale_subscription_ext.tests.strategies import thorough
from odoo.addons.sale_subscription_ext.tools import indexation

prices = st.integers(-10**7, 10**7).map(lambda cents: cents / 100)
percentages = st.integers(-9900, 50000).map(lambda number: number / 100)
values = st.integers(1, 10**6).map(lambda number: number / 10)


@tagged('post_install', '-at_install')
class TestIndexationTools(BaseCase):

    def test_worked_amounts(self):
        for price, percentage, expected in (
            (30.0, 5, 31.5), (29.99, 3.2, 30.95), (0.05, 10, 0.06), (-10.0, 2.5, -10.25), (100.0, -3, 97.0),
            (1.15, 0, 1.15), (2.675, 0, 2.675), (0.5, 1, 0.51),
        ):
            with self.subTest(price=price, percentage=percentage):
                self.assertEqual(indexation.indexed_price(price, indexation.percent_rate(percentage), 2), expected)

    def test_half_a_cent_is_rounded_away_from_zero(self):
        half = indexation.percent_rate(0.5)
        self.assertEqual(indexation.indexed_price(1.0, half, 2), 1.01)
        self.assertEqual(indexation.indexed_price(-1.0, half, 2), -1.01)

    def test_an_amount_never_makes_a_price_negative(self):
        self.assertEqual(indexation.raised_price(30.0, 2.5, 2), 32.5)
        self.assertEqual(indexation.raised_price(1.0, -2.5, 2), 0.0)
        self.assertEqual(indexation.raised_price(1.234, 0.0, 2), 1.234)

    def test_what_makes_no_sense_is_refused(self):
        for call in (lambda: indexation.index_rate(0, 100), lambda: indexation.index_rate(100, -1),
                     lambda: indexation.limit_rate(Fraction(0), floor=3, cap=2)):
            with self.assertRaises(ValueError):
                call()

    @thorough
    @given(values, values, values)
    def test_an_index_over_two_spans_is_the_product_of_both(self, first, second, third):
        rate = indexation.index_rate
        self.assertEqual(
            (1 + rate(first, second)) * (1 + rate(second, third)), 1 + rate(first, third))

    @thorough
    @given(percentages, percentages, percentages)
    def test_a_limited_rate_lies_between_floor_and_cap(self, percentage, one, other):
        floor, cap = sorted((one, other))
        rate = indexation.percent_rate(percentage)
        limited = indexation.limit_rate(rate, floor, cap)
        self.assertLessEqual(indexation.percent_rate(floor), limited)
        self.assertLessEqual(limited, indexation.percent_rate(cap))
        if floor <= percentage <= cap:
            self.assertEqual(limited, rate)

    @thorough
    @given(prices, percentages, st.integers(0, 6))
    def test_a_price_is_at_most_half_a_unit_off(self, price, percentage, digits):
        exact = Fraction(str(price)) * (1 + indexation.percent_rate(percentage))
        new = Fraction(str(indexation.indexed_price(price, indexation.percent_rate(percentage), digits)))
        if percentage:
            self.assertLessEqual(abs(new - exact), Fraction(1, 2 * 10**digits))
        else:
            self.assertEqual(new, Fraction(str(price)))

    @thorough
    @given(prices, percentages)
    def test_a_discount_changes_as_the_price_does(self, price, percentage):
        rate = indexation.percent_rate(percentage)
        self.assertEqual(indexation.indexed_price(-price, rate, 2), -indexation.indexed_price(price, rate, 2))

    @thorough
    @given(prices.filter(lambda price: price > 0), percentages, percentages)
    def test_a_higher_rate_never_makes_a_lower_price(self, price, one, other):
        low, high = sorted((indexation.percent_rate(one), indexation.percent_rate(other)))
        if low and high:
            self.assertLessEqual(indexation.indexed_price(price, low, 2), indexation.indexed_price(price, high, 2))
