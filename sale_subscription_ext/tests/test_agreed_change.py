from datetime import date

from odoo.fields import Command
from odoo.tests import freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.test_document import DocumentCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-01-17 10:00:00')
class TestAgreedChanges(DocumentCommon):
    """What is agreed for a day to come is in the forecast and on the documents, as it is billed when it comes."""

    def _confirm_later(self, order, values=None, day=None, added=()):
        """Confirm an amendment for the next period, or for a day."""
        timing = {'amendment_timing': 'date', 'effective_date': day} if day else {'amendment_timing': 'next_period'}
        amendment = self._amend(order, values, added=added, **timing)
        amendment.action_confirm()
        return amendment

    def _assert_forecast_comes_true(self, order, *days):
        """Check that the forecast is what is billed on some days, taxes included."""
        forecast = order.get_subscription_forecast(len(days))
        billed, known = [], order.invoice_ids
        for day in days:
            with freeze_time(f'{day} 10:00:00'):
                self._run_cron('ir_cron_run_lifecycle')
                self._bill(day, order)
            new, known = order.invoice_ids - known, order.invoice_ids
            billed.append((date.fromisoformat(day), self.currency.round(
                sum(new.mapped('amount_total_in_currency_signed')))))
        self.assertEqual([(invoice['date'], invoice['amount_total']) for invoice in forecast], billed)
        self._assert_ledgers_hold(order)

    def test_a_change_of_the_next_period_is_in_the_next_invoice(self):
        order = self._create_billed()
        self._confirm_later(order, {0: {'product_uom_qty': 3}})
        facts = self._get_facts(order)
        self.assertIn("from 02/01/2026 on: $\N{NO-BREAK SPACE}90.00 every month", facts['Agreed Change'])
        self.assertEqual(facts['Next Invoice'], "02/01/2026: $\N{NO-BREAK SPACE}90.00, incl. tax")
        self.assertEqual(order.order_line.product_uom_qty, 1.0, "Nothing is left of looking at it")
        self._assert_forecast_comes_true(order, '2026-02-01', '2026-03-01')

    def test_a_change_in_the_middle_of_a_period_has_an_invoice_of_its_own(self):
        tax = self.env['account.tax'].create({'name': "19%", 'amount': 19.0})
        taxed = {'tax_ids': [Command.set(tax.ids)]}
        order = self._create_billed({'product_id': self.service.id, **taxed})
        self._confirm_later(order, {0: {'product_uom_qty': 3}}, day='2026-01-25', added=[
            {'product_id': self.support.id, **taxed}, {'product_id': self.installation.id, **taxed}])
        self.assertTrue(self._get_facts(order)['Next Invoice'].startswith("01/25/2026: "))
        self.assertIn(False, [line['order_line_id'] for line in order.get_subscription_forecast(1)[0]['lines']])
        self._assert_forecast_comes_true(order, '2026-01-25', '2026-02-01')

    def test_what_is_billed_before_a_change_stays_at_the_old_terms(self):
        self.monthly.downgrade_policy = 'credit'
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 4})
        self._confirm_later(order, {0: {'product_uom_qty': 2}}, day='2026-02-15')
        self.assertEqual(self._get_facts(order)['Next Invoice'], "02/01/2026: $\N{NO-BREAK SPACE}120.00, incl. tax")
        self._assert_forecast_comes_true(order, '2026-02-01', '2026-02-15', '2026-03-01')

    def test_a_change_which_gives_money_back_is_said_as_such(self):
        self.monthly.downgrade_policy = 'credit'
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 4})
        self._confirm_later(order, {0: {'product_uom_qty': 2}}, day='2026-01-25')
        self.assertRegex(self._get_facts(order)['Next Invoice'], r"01/25/2026: \$.13\.55 are given back")
        self.assertEqual(order._get_next_charge(), (date(2026, 2, 1), 60.0), "Nobody is charged what is given back")
        self._assert_forecast_comes_true(order, '2026-01-25', '2026-02-01')

    def test_a_change_of_the_period_which_is_billed_ahead_counts(self):
        self.monthly.invoice_lead_days = 5
        order = self._create_billed()
        self._confirm_later(order, {0: {'product_uom_qty': 3}}, added=[{'product_id': self.installation.id}])
        self._assert_forecast_comes_true(order, '2026-01-27')

    def test_a_change_in_arrears_splits_the_period(self):
        self.monthly.bill_in = 'arrears'
        order = self._create_order(start_date='2026-01-01', confirm=True)
        self._confirm_later(order, {0: {'product_uom_qty': 3}}, day='2026-01-25')
        self._assert_forecast_comes_true(order, '2026-02-01', '2026-03-01')

    def test_several_changes_count_one_after_the_other(self):
        order = self._create_billed(self.service, self.support)
        self._confirm_later(order, {0: {'product_uom_qty': 3}})
        self._confirm_later(order, {1: {'product_uom_qty': 0}}, day='2026-03-01')
        text = self._get_facts(order)['Agreed Change'].replace('\N{NO-BREAK SPACE}', ' ')
        self.assertEqual(text.splitlines(), [
            "from 02/01/2026 on: $ 210.00 every month, excl. tax",
            "from 03/01/2026 on: $ 90.00 every month, excl. tax"])
        self._assert_forecast_comes_true(order, '2026-02-01', '2026-03-01', '2026-04-01')

    def test_what_a_change_says_to_follow_is_billed_so(self):
        tax = self.env['account.tax'].create({'name': "10%", 'amount': 10.0})
        taxed = {'tax_ids': [Command.set(tax.ids)]}
        cases = {
            'at once': ({0: {'product_uom_qty': 2}}, {}, '2026-02-01'),
            'next period': ({0: {'product_uom_qty': 2}}, {'amendment_timing': 'next_period'}, '2026-02-01'),
            'later': ({0: {'product_uom_qty': 2}}, {'amendment_timing': 'date', 'effective_date': '2026-02-15'},
                      '2026-03-01'),
            'another product': ({0: {'product_id': self.support.id, **taxed}}, {}, '2026-02-01'),
            'another plan': ({0: {'plan_id': self.yearly.id, 'price_unit': 300.0}}, {'plan_id': self.yearly.id},
                             '2027-01-01'),
        }
        for name, (values, order_values, day) in cases.items():
            with self.subTest(name):
                order = self._create_billed({'product_id': self.service.id, **taxed})
                amendment = self._amend(order, values, **order_values)
                [following] = amendment._get_first_invoice().following
                self.assertEqual(str(following.date), day)
                amendment.action_confirm()
                coming = {invoice['date']: invoice['amount_total'] for invoice in order.get_subscription_forecast(4)}
                self.assertEqual(coming[following.date], following.amount)

    def test_what_follows_a_change_in_arrears_is_a_whole_period(self):
        self.monthly.bill_in = 'arrears'
        order = self._create_order(start_date='2026-01-01', confirm=True)
        amendment = self._amend(order, {0: {'product_uom_qty': 2}})
        [following] = amendment._get_first_invoice().following
        amendment.action_confirm()
        coming = {invoice['date']: invoice['amount_total'] for invoice in order.get_subscription_forecast(3)}
        self.assertEqual((following.date, coming[following.date]), (date(2026, 3, 1), following.amount))

    def test_a_change_which_cannot_be_made_any_more_is_left_out(self):
        order = self._create_billed()
        self._confirm_later(order, {0: {'price_unit': 50.0}})
        order.order_line.price_unit = 40.0
        self.assertNotIn('Agreed Change', self._get_facts(order))
        self.assertEqual(order.get_subscription_forecast(1)[0]['amount_total'], 40.0)

    def test_a_new_billing_day_is_said_from_when_on_beside_the_billed_period(self):
        order = self._create_billed()
        order._change_billing_day(date(2026, 2, 10))
        facts = self._get_facts(order)
        self.assertEqual(facts['Period'], "01/01/2026 – 01/31/2026")
        self.assertEqual(facts['Billing Day'], "day 10 of the month, from 02/10/2026 on")

    def test_a_confirmed_renewal_is_said_on_the_contract(self):
        order = self._create_billed()
        renewal = self.Order.browse(order.action_renew()['res_id'])
        renewal.action_confirm()
        self.assertEqual(self._get_facts(order)['Renewed By'], f"{renewal.name}, from 02/01/2026 on")
        self.assertEqual(self._get_facts(renewal)['Renewal Of'], f"{order.name}, from 02/01/2026 on")

    def test_a_change_for_a_day_after_the_pause_keeps_its_day(self):
        order = self._create_billed()
        amendment = self._confirm_later(order, {0: {'price_unit': 50.0}}, day='2026-03-01')
        order._pause_subscriptions(date(2026, 1, 17), date(2026, 2, 10))
        self.assertEqual(self._get_facts(order)['Agreed Change'], f"{amendment.name}, from 03/01/2026 on")

    def test_a_planned_pause_is_said_with_the_next_invoice(self):
        order = self._create_billed()
        order._pause_subscriptions(date(2026, 1, 25), date(2026, 3, 10))
        facts = self._get_facts(order)
        self.assertEqual(facts['Pause'], "01/25/2026 – 03/09/2026")
        self.assertEqual(facts['Next Invoice'], "03/10/2026")
        order.end_date = '2026-03-01'
        self.assertEqual(self._get_facts(order)['Pause'], "from 01/25/2026 on, until the end")
        order._close_subscriptions(self.reason)
        self.assertNotIn('Pause', self._get_facts(order))
        later = self._create_billed()
        later._pause_subscriptions(date(2026, 2, 15))
        facts = self._get_facts(later)
        self.assertEqual(facts['Pause'], "from 02/15/2026 on, until it is resumed")
        self.monthly.pause_policy = 'credit'
        self.assertIn("what is paid for these days is given back", self._get_facts(later)['Pause'])
        self.assertEqual(facts['Next Invoice'], "02/01/2026: $\N{NO-BREAK SPACE}15.00, incl. tax")

    def test_a_change_after_a_pause_waits_for_its_end(self):
        order = self._create_billed()
        amendment = self._confirm_later(order, {0: {'product_uom_qty': 3}}, day='2026-02-15')
        order._pause_subscriptions(date(2026, 2, 10))
        self.assertEqual([invoice['date'] for invoice in order.get_subscription_forecast(3)], [date(2026, 2, 1)])
        with freeze_time('2026-02-11 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
            facts = self._get_facts(order)
        self.assertEqual(facts['Agreed Change'], f"{amendment.name}, when the subscription goes on")

    def test_the_printed_contract_says_it(self):
        order = self._create_billed()
        self._confirm_later(order, {0: {'product_uom_qty': 3}})
        text = self._render_report('sale_subscription_ext.action_report_subscription_contract', order)
        for expected in ("from 01/02/2026 on: $ 90,00 every month, excl. tax",
                         "Next Invoice 01/02/2026: $ 90,00, incl. tax"):
            with self.subTest(expected):
                self.assertIn(expected, text)
