from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import freeze_time, new_test_user

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.test_billing_run import BILLING_CRON, BillingRunCommon


@freeze_time('2026-01-31 10:00:00')
class TestBillingGuard(BillingRunCommon):

    def _record_day(self, day, count):
        """Report that so many subscriptions were billed on a day, as its automatic run would have."""
        run = self.Run.sudo().create({'date': day, 'origin': 'automatic', 'state': 'done'})
        orders = self.Order.create([{'partner_id': self.partner.id} for _i in range(count)])
        self.env['subscription.billing.run.line'].sudo().create([
            {'run_id': run.id, 'order_id': order.id, 'state': 'billed'} for order in orders])

    def test_automatic_billing_is_reported_in_one_run_a_day(self):
        good, bad = self._create_orders(2)
        with self._fail_on(bad):
            self._run_cron(BILLING_CRON)
        later = self._create_order(confirm=True)
        self._run_cron(BILLING_CRON)
        run = self.Run.search([])
        self.assertEqual((len(run), run.origin, run.state, str(run.date)), (1, 'automatic', 'done', '2026-01-31'))
        self.assertEqual({line.order_id: line.state for line in run.line_ids},
                         {good: 'billed', bad: 'error', later: 'billed'})
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(BILLING_CRON)
            self.assertEqual(len(self.Run.search([])), 2)
            self._run_cron(BILLING_CRON)
            self.assertEqual(len(self.Run.search([])), 2, "A day without anything due has no run")

    def test_a_run_larger_than_the_limit_waits_in_preview(self):
        self.company.subscription_max_run = 2
        orders = self._create_orders(3)
        self._run_cron(BILLING_CRON)
        self.assertFalse(orders.invoice_ids)
        run = self.Run.search([])
        self.assertEqual((run.state, run.origin, run.is_waiting), ('previewed', 'limit', True))
        self.assertEqual(run.line_ids.order_id, orders)
        self.assertEqual(run.line_ids.mapped('amount_untaxed'), [30.0] * 3)
        self.assertIn("3 subscriptions are due; by the settings, an automatic run bills 2", run.wait_reason)
        self.assertIn(self.env.user, run.activity_ids.user_id)
        orders |= self._create_orders(1)
        self._run_cron(BILLING_CRON)
        self.assertEqual(self.Run.search([]), run, "It waits, and nothing is billed")
        self.assertFalse(orders.invoice_ids)
        self._start(run)
        self.assertEqual((run.state, run.billed_count, len(orders.invoice_ids)), ('done', 3, 4))
        self.assertFalse(run.activity_ids)

    def test_automatic_billing_leaves_a_started_run_to_its_workers(self):
        self.company.subscription_max_run = 2
        self._create_orders(3)
        run = self._create_run()
        run.action_start()
        self.assertFalse(self.Order._bill_subscriptions())
        self.assertEqual(self.Run.search([]), run, "What the run bills isn't too much for another run")

    def test_a_run_within_the_limit_goes_on(self):
        self.company.subscription_max_run = 2
        orders = self._create_orders(2)
        self._run_cron(BILLING_CRON)
        self.assertEqual(len(orders.invoice_ids), 2)

    def test_who_is_responsible_is_asked(self):
        user = new_test_user(self.env, 'billing', 'account.group_account_invoice', company_id=self.company.id)
        self.company.write({'subscription_max_run': 1, 'subscription_billing_user_id': user.id})
        self._create_orders(2)
        self._run_cron(BILLING_CRON)
        self.assertEqual(self.Run.search([]).activity_ids.user_id, user)

    def test_bill_now_is_not_kept_by_a_run_which_waits(self):
        self.company.subscription_max_run = 1
        orders = self._create_orders(2)
        self._run_cron(BILLING_CRON)
        orders[0].action_bill_now()
        self.assertEqual(len(orders.invoice_ids), 1)

    def test_a_company_whose_run_waits_does_not_keep_the_others(self):
        other = self.setup_other_company(name="Far East")['company']
        other.write({'subscription_tz': 'UTC', 'subscription_max_run': 1})
        here = self._create_order(confirm=True)
        there = self._create_orders_of(other, 2)
        self._run_cron(BILLING_CRON)
        self.assertEqual((len(here.invoice_ids), len(there.invoice_ids)), (1, 0))

    def test_a_run_of_more_than_twice_the_usual_waits(self):
        for day in ('2026-01-26', '2026-01-27', '2026-01-28'):
            self._record_day(day, 1)
        orders = self._create_orders(6)
        self._run_cron(BILLING_CRON)
        run = self.Run.search([('origin', '=', 'limit')])
        self.assertEqual((run.state, len(run.line_ids), len(orders.invoice_ids)), ('previewed', 6, 0))
        self.assertIn("more than twice the usual, which is 1", run.wait_reason)

    def test_without_three_earlier_days_nothing_is_unusual(self):
        for day in ('2026-01-27', '2026-01-28'):
            self._record_day(day, 1)
        orders = self._create_orders(6)
        self._run_cron(BILLING_CRON)
        self.assertEqual(len(orders.invoice_ids), 6)

    def test_the_peak_of_the_month_is_usual(self):
        for day, count in (('2025-12-31', 4), ('2026-01-26', 1), ('2026-01-27', 1), ('2026-01-28', 1)):
            self._record_day(day, count)
        orders = self._create_orders(6)
        self._run_cron(BILLING_CRON)
        self.assertEqual(len(orders.invoice_ids), 6)

    def test_small_numbers_vary_by_chance(self):
        for usual, count, expected in ((1, 3, False), (1, 5, True), (9, 18, False), (9, 19, True), (1000, 2001, True)):
            with self.subTest(usual=usual, count=count):
                self.assertEqual(self.Run._is_unusual(count, usual), expected)

    def test_one_switch_holds_all_billing(self):
        order = self._create_order(confirm=True)
        run = self._create_run()
        self._set_hold(True)
        for bill in (order.action_bill_now, order._create_invoices, run.action_start, self.Order._bill_subscriptions,
                     lambda: order._close_subscriptions(self.reason, bill=True)):
            with self.assertRaisesRegex(UserError, "All billing is on hold"):
                bill()
        self._run_cron(BILLING_CRON)
        self.assertFalse(order.invoice_ids)
        self.assertTrue(run.is_billing_held)
        self.assertFalse(order.billing_error, "It is no error of the subscription")
        self._set_hold(False)
        self._run_cron(BILLING_CRON)
        self.assertEqual(len(order.invoice_ids), 1)

    def test_the_switch_stops_a_run_which_is_under_way(self):
        bill_orders = type(self.Run)._bill_orders

        def hold_after_the_first(runs, batch, date):
            self.env['ir.config_parameter'].set_param('sale_subscription_ext.billing_hold', True)
            return bill_orders(runs, batch, date)

        for origin in ('manual', 'automatic'):
            with self.subTest(origin=origin):
                orders = self._create_orders(3)
                if origin == 'manual':
                    self._create_run().action_start()
                with (
                    patch.object(const, 'BILLING_BATCH_SIZE', 1),
                    patch.object(type(self.Run), '_bill_orders', hold_after_the_first),
                    patch.object(type(self.env['ir.cron']), '_commit_progress', lambda cron, *args, **kwargs: 60.0),
                ):
                    self.Order._cron_bill_subscriptions()
                self.assertEqual(len(orders.invoice_ids), 1)
                self._set_hold(False)
                self._run_cron(BILLING_CRON)
                self.assertEqual(len(orders.invoice_ids), 3)
                self.assertFalse(self.Run.search([('state', '!=', 'done')]))
