import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from odoo.tests import BaseCase, tagged

from odoo.addons.sale_subscription_ext.tests.cases import read_cases
from odoo.addons.sale_subscription_ext.tests.strategies import intervals, thorough
from odoo.addons.sale_subscription_ext.tools import metrics

RATES = ('churn_rate', 'gross_churn', 'net_churn', 'grr', 'nrr')

amounts = st.decimals(-100_000, 100_000, places=2)
movements = st.decimals(0, 100_000, places=2)
positives = st.decimals(1, 100_000, places=2)
days_per_month = st.sampled_from((30, 30.4375, 30.44))


@tagged('post_install', '-at_install')
class TestMetrics(BaseCase):

    def test_worked_figures(self):
        for case in read_cases('metrics', 'more_metrics'):
            with self.subTest(**case):
                result = getattr(metrics, case['function'])(**json.loads(case['arguments']))
                if not case['expected']:
                    self.assertIsNone(result)
                    continue
                digits = 4 if case['function'] in RATES else 2
                self.assertEqual(round(result, digits), float(case['expected']))

    def test_a_negative_period_or_an_unknown_unit_is_refused_with_a_sentence(self):
        for unit in ('day', 'week', 'month', 'year'):
            with self.subTest(unit=unit), self.assertRaisesRegex(ValueError, f'at least 1 {unit}, not -1'):
                metrics.monthly(100, -1, unit)
        for unit in ('quarter', 'months', '', False, None):
            with self.subTest(unit=unit), self.assertRaisesRegex(ValueError, 'use day, week, month or year'):
                metrics.monthly(100, 1, unit)

    def test_decimals_stay_decimals(self):
        self.assertEqual(metrics.monthly(Decimal(1200), 1, 'year'), Decimal(100))
        self.assertEqual(metrics.monthly(Decimal(7), 1, 'week'), Decimal('30.4375'))
        self.assertEqual(metrics.monthly(Decimal(1), 1, 'day', days_per_month=30.44), Decimal('30.44'))
        self.assertEqual(metrics.lifetime(Decimal('0.05')), Decimal(20))
        self.assertEqual(metrics.ltv(Decimal(100), Decimal('0.05')), Decimal(2000))

    @thorough
    @given(amounts, intervals, st.integers(1, 12), days_per_month)
    def test_a_month_value_does_not_depend_on_how_often_it_is_billed(self, amount, interval, factor, days):
        value, unit = interval
        self.assertAlmostEqual(
            metrics.monthly(float(amount * factor), value * factor, unit, days),
            metrics.monthly(float(amount), value, unit, days),
            places=6,
        )

    @thorough
    @given(amounts, st.integers(1, 10), days_per_month)
    def test_a_year_is_twelve_months_and_a_week_seven_days(self, amount, value, days):
        for amount_ in (amount, float(amount)):
            self.assertEqual(
                metrics.monthly(amount_, value, 'year', days), metrics.monthly(amount_, 12 * value, 'month', days))
            self.assertEqual(
                metrics.monthly(amount_, value, 'week', days), metrics.monthly(amount_, 7 * value, 'day', days))

    @thorough
    @given(amounts, days_per_month)
    def test_one_month_is_its_amount_and_the_days_of_a_month_are_too(self, amount, days):
        self.assertEqual(metrics.monthly(amount, 1, 'month', days), amount)
        self.assertEqual(metrics.monthly(amount, 1, 'day', days), amount * Decimal(str(days)))

    @thorough
    @given(amounts, amounts, intervals)
    def test_month_values_add_up_and_keep_their_sign(self, one, other, interval):
        values = [metrics.monthly(float(amount), *interval) for amount in (one, other, one + other)]
        self.assertAlmostEqual(values[0] + values[1], values[2], places=4)
        self.assertEqual(metrics.monthly(float(-one), *interval), -values[0])

    @thorough
    @given(churn=movements, contraction=movements, expansion=movements, reactivation=movements, start=positives)
    def test_rates_agree_with_each_other(self, churn, contraction, expansion, reactivation, start):
        gross = metrics.gross_churn(churn=churn, contraction=contraction, start=start)
        net = metrics.net_churn(
            churn=churn, contraction=contraction, expansion=expansion, reactivation=reactivation, start=start)
        kept = metrics.grr(churn=churn, contraction=contraction, start=start)
        grown = metrics.nrr(churn=churn, contraction=contraction, expansion=expansion, start=start)
        self.assertAlmostEqual(kept, 1 - gross, places=9)
        self.assertAlmostEqual(grown, kept + expansion / start, places=9)
        self.assertAlmostEqual(net, 1 - grown - reactivation / start, places=9)
        self.assertLessEqual(net, gross)
        self.assertLessEqual(kept, grown)

    @thorough
    @given(new=movements, expansion=movements, reactivation=movements, contraction=movements, churn=positives)
    def test_a_quick_ratio_above_one_is_growth(self, new, expansion, reactivation, contraction, churn):
        quick = metrics.quick_ratio(
            new=new, expansion=expansion, reactivation=reactivation, contraction=contraction, churn=churn)
        self.assertEqual(quick > 1, new + expansion + reactivation > contraction + churn)

    @thorough
    @given(mrr=positives, customers=st.integers(1, 1000), lost=st.integers(1, 1000), margin=st.decimals('0.01', 1))
    def test_a_lifetime_value_is_the_months_times_the_margin(self, mrr, customers, lost, margin):
        arpa = metrics.arpa(mrr=mrr, customers=customers)
        churn = metrics.churn_rate(lost=Decimal(lost), start=1000)
        value = metrics.ltv(arpa=arpa, churn_rate=churn, gross_margin=margin)
        self.assertAlmostEqual(value, arpa * margin * metrics.lifetime(churn_rate=churn), places=6)

    @thorough
    @given(net_new=amounts, months=st.integers(1, 36), start=positives)
    def test_yearly_growth_is_twelve_times_the_average_month(self, net_new, months, start):
        average_month = net_new / months / start
        self.assertAlmostEqual(
            metrics.yearly_growth(net_new=net_new, months=months, start=start), 12 * average_month, places=9)
        self.assertEqual(
            metrics.yearly_growth(net_new=net_new, months=12, start=start), net_new / start)
