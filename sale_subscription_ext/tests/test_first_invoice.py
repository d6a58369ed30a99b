from datetime import date, timedelta

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from odoo.fields import Command
from odoo.tests import Form, freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon
from odoo.addons.sale_subscription_ext.tests.strategies import LONG

TODAY = date(2026, 6, 16)

# Every example makes an order and its invoices, so a failing one is shown as it is and not made smaller.
few = settings(
    deadline=None, database=None, derandomize=not LONG, max_examples=300 if LONG else 40,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

schedules = st.fixed_dictionaries({
    'billing_period': st.sampled_from([(1, 'week'), (10, 'day'), (1, 'month'), (3, 'month'), (1, 'year')]),
    'billing_alignment': st.sampled_from(['anniversary', 'calendar', 'month_day']),
    'billing_month_day': st.sampled_from([1, 15, 31]),
    'first_period': st.sampled_from(['prorate', 'full', 'free']),
    'bill_in': st.sampled_from(['advance', 'advance', 'arrears']),
    'invoice_lead_days': st.sampled_from([0, 0, 7]),
})
lines = st.fixed_dictionaries({
    'plan': st.sampled_from([None, 0, 1]),
    'product_uom_qty': st.sampled_from([0.0, 1.0, 3.0, 2.5]),
    'price_unit': st.integers(0, 20000).map(lambda cents: cents / 100),
    'discount': st.sampled_from([0.0, 0.0, 10.0, 33.33]),
    'taxes': st.sets(st.integers(0, 2), max_size=2),
    'by_delivery': st.sampled_from([False, False, False, True]),
})


@freeze_time('2026-06-16 10:00:00')
class TestFirstInvoice(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.calendar = cls._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')
        cls.taxes = cls.env['account.tax'].create([
            {'name': "19 %", 'amount': 19},
            {'name': "7 % inside", 'amount': 7, 'price_include_override': 'tax_included'},
            {'name': "0.10 each", 'amount_type': 'fixed', 'amount': 0.10},
        ])
        cls.metered = cls._create_service("Traffic", 5.0, recurring_invoice=True, invoice_policy='delivery')
        cls.consulting = cls._create_service("Consulting", 90.0, invoice_policy='delivery')

    def _get_due(self, order):
        return order.first_invoice_untaxed, order.first_invoice_tax, order.first_invoice_total

    def test_the_days_until_the_next_billing_day_are_due_today_and_whole_months_follow(self):
        order = self._create_order(plan=self.calendar)
        self.assertEqual(self._get_due(order), (15.0, 0.0, 15.0))
        self.assertEqual(order.first_invoice_label, "Due today")
        self.assertEqual(order.following_text, "then $\xa030.00 every month from 07/01/2026")

    def test_the_first_period_is_billed_as_the_plan_says(self):
        for first_period, due in (('prorate', 15.0), ('full', 30.0), ('free', 0.0)):
            with self.subTest(first_period=first_period):
                self.calendar.first_period = first_period
                order = self._create_order(plan=self.calendar)
                self.assertEqual(order.first_invoice_total, due)
                self.assertEqual(order.following_text, "then $\xa030.00 every month from 07/01/2026")

    def test_what_is_sold_once_joins_and_each_plan_says_what_follows(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id}, self.installation,
            self.consulting, plan=self.calendar)
        self.assertEqual(order.first_invoice_total, 15.0 + 120.0 + 200.0, "Consulting is billed when delivered")
        self.assertEqual(order.following_text.splitlines(), [
            "then $\xa030.00 every month from 07/01/2026",
            "then $\xa0120.00 every year from 06/16/2027",
        ])

    def test_amounts_carry_the_taxes_of_the_document(self):
        order = self._create_order({'product_id': self.service.id, 'tax_ids': self.taxes[:1].ids}, plan=self.calendar)
        self.assertEqual(self._get_due(order), (15.0, 2.85, 17.85))
        self.assertIn("35.70 every month", order.following_text)

    def test_what_is_billed_at_the_end_of_a_period_is_not_due_today(self):
        self.calendar.bill_in = 'arrears'
        order = self._create_order(self.service, self.installation, plan=self.calendar)
        self.assertEqual(order.first_invoice_total, 200.0)
        self.assertEqual(order.following_text.splitlines(), [
            "then $\xa015.00 on 07/01/2026", "then $\xa030.00 every month from 08/01/2026"])

    def test_delivered_quantities_are_not_due_today(self):
        order = self._create_order(self.metered, self.service)
        self.assertEqual(order.first_invoice_total, 30.0)
        self.assertEqual(order.following_text, "then $\xa035.00 every month from 07/16/2026")

    def test_options_cost_nothing(self):
        order = self._create_order(self.service, {'product_id': self.support.id, 'product_uom_qty': 0})
        self.assertEqual(order.first_invoice_total, 30.0)
        self.assertEqual(order.following_text, "then $\xa030.00 every month from 07/16/2026")

    def test_a_later_start_names_the_day_of_the_first_invoice(self):
        order = self._create_order(plan=self.calendar, start_date='2026-07-22', require_payment=False)
        self.assertEqual(order.first_invoice_label, "First invoice on 07/22/2026")
        self.assertEqual(order.first_invoice_total, 9.68)
        order.require_payment = True
        self.assertEqual(order.first_invoice_label, "Due today", "Who pays online pays it at once")

    def test_a_past_start_makes_everything_due(self):
        order = self._create_order(start_date='2026-04-20')
        self.assertEqual(order.first_invoice_total, 60.0)
        order.next_invoice_date = '2026-05-20'
        self.assertEqual(order.first_invoice_total, 30.0, "What was billed elsewhere isn't due")

    def test_days_ahead_bill_the_next_period_too(self):
        self.calendar.invoice_lead_days = 20
        order = self._create_order(plan=self.calendar)
        self.assertEqual(order.first_invoice_total, 45.0)
        self.assertEqual(order.following_text, "then $\xa030.00 every month from 08/01/2026")

    def test_a_contract_which_ends_says_so(self):
        order = self._create_order(plan=self.calendar, end_date='2026-09-15')
        self.assertEqual(order.following_text.splitlines()[-1], "until 09/15/2026")
        order = self._create_order(plan=self.calendar, end_date='2026-06-25')
        self.assertEqual(self._get_due(order)[2], 10.0)
        self.assertFalse(order.following_text)

    def test_a_form_which_is_not_saved_shows_it_and_stays_clean(self):
        with Form(self.env['sale.order']) as form:
            form.partner_id = self.partner
            form.plan_id = self.calendar
            with form.order_line.new() as line:
                line.product_id = self.service
            self.assertEqual(form.first_invoice_total, 15.0)
            self.assertIn("30.00 every month", form.following_text)
            with form.order_line.edit(0) as line:
                line.product_uom_qty = 2
            self.assertEqual(form.first_invoice_total, 30.0)
        order = form.record
        with Form(order) as form:
            with form.order_line.edit(0) as line:
                line.price_unit = 60.0
            self.assertEqual(form.first_invoice_total, 60.0)
        self.assertEqual(order.first_invoice_total, 60.0)
        self.assertFalse(order.order_line.anchor_date)

    def test_plain_and_confirmed_orders_show_nothing(self):
        plain = self._create_order(self.installation, plan=self.env['subscription.plan'])
        running = self._create_order(confirm=True)
        for order in plain | running:
            self.assertFalse(order.first_invoice_date)
            self.assertFalse(order.following_text)
        self.assertEqual(plain._get_payable_amount(), 200.0)

    def test_the_words_are_those_of_the_language(self):
        self.env['res.lang']._activate_lang('fr_FR')
        order = self._create_order(plan=self.calendar)
        self.assertIn("01/07/2026", order.with_context(lang='fr_FR').following_text)
        self.assertIn("07/01/2026", order.following_text)

    def test_it_takes_few_queries_however_many_lines(self):
        order = self._create_order(*[self.service] * 20, self.installation, plan=self.calendar)
        order._get_first_invoice()
        with self.assertQueryCount(2):
            order._get_first_invoice()

    def test_no_trace_is_left(self):
        order = self._create_order(plan=self.calendar)
        self.env.flush_all()
        order._get_first_invoice()  # decimals are cached
        with self.assertQueries([], flush=True):
            order._get_first_invoice()
        self.assertEqual(order.order_line.mapped('anchor_date'), [False])
        self.assertFalse(order.next_invoice_date)

    @few
    @given(st.tuples(schedules, schedules), st.lists(lines, min_size=1, max_size=4), st.integers(-40, 40),
           st.sampled_from(['round_per_line', 'round_globally']))
    def test_it_is_what_the_billing_then_asks_for(self, plans, drawn, days, method):
        savepoint = self.cr.savepoint()
        try:
            self._check_agreement(plans, drawn, TODAY + timedelta(days=days), method)
        finally:
            savepoint.close(rollback=True)
            self.env.invalidate_all()

    def _check_agreement(self, plans, drawn, start, method):
        """Compare the preview of a quotation with the invoices which are made of it."""
        self.company.tax_calculation_rounding_method = method
        records = self.env['subscription.plan']
        for values in plans:
            value, unit = values['billing_period']
            if unit in ('day', 'week') and values['billing_alignment'] == 'month_day':
                values = {**values, 'billing_alignment': 'calendar'}
            records |= self._create_plan(
                "Drawn", value, unit, **{name: values[name] for name in values if name != 'billing_period'})
        commands = []
        for line in drawn:
            is_recurring = line['plan'] is not None
            once = self.consulting if line['by_delivery'] else self.installation
            recurring = self.metered if line['by_delivery'] else self.service
            commands.append({
                'product_id': (recurring if is_recurring else once).id,
                'tax_ids': [Command.set([self.taxes[index].id for index in line['taxes']])],
                **({'plan_id': records[line['plan']].id} if is_recurring else {}),
                **{name: line[name] for name in ('product_uom_qty', 'price_unit', 'discount')},
            })
        order = self._create_order(*commands, plan=records[0], start_date=start)
        previewed = order._get_first_invoice()
        if not order.is_subscription:
            return
        order.action_confirm()
        moves = order.sudo()._bill_first_invoice()
        for name in ('amount_untaxed', 'amount_tax', 'amount_total'):
            self.assertAlmostEqual(
                getattr(previewed, name), sum(moves.mapped(name)), 2, f"{name} of {previewed} and {moves}")
