from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

BILLING_CRON = 'ir_cron_bill_subscriptions_1'


class BillingRunCommon(SaleSubscriptionCommon):
    """Billing runs by hand and the billing cron, as the server runs it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Run = cls.env['subscription.billing.run']
        cls.other_partner = cls.env['res.partner'].create({'name': "Paper Ltd", 'email': 'paper@example.com'})

    def _create_run(self, preview=True, **values):
        run = self.Run.create({'date': '2026-01-31', **values})
        if preview:
            run.action_preview()
        return run

    def _start(self, run):
        """Start a run and let the cron do it."""
        run.action_start()
        self._run_cron(BILLING_CRON)

    def _create_orders(self, count, **values):
        return self.Order.union(*(self._create_order(confirm=True, **values) for _i in range(count)))

    def _create_orders_of(self, company, count):
        """Create running subscriptions of another company."""
        orders = self.Order.with_company(company).create([{
            'partner_id': self.partner.id, 'company_id': company.id, 'plan_id': self.monthly.id,
            'order_line': [Command.create({'product_id': self.service.id})],
        } for _i in range(count)])
        orders.action_confirm()
        return orders

    def _set_hold(self, is_held):
        self.env['res.config.settings'].create({'subscription_billing_hold': is_held}).execute()

    def _count_triggers(self):
        cron = self.env.ref(f'sale_subscription_ext.{BILLING_CRON}')
        return self.env['ir.cron.trigger'].search_count([('cron_id', '=', cron.id)])

    def _fail_on(self, order):
        """Let the invoice of one subscription fail."""
        prepare_invoice = type(self.Order)._prepare_invoice

        def fail_on_bad(record):
            if record.id == order.id:
                raise UserError(record.env._("The journal is on holiday."))
            return prepare_invoice(record)

        return patch.object(type(self.Order), '_prepare_invoice', fail_on_bad)


@freeze_time('2026-01-31 10:00:00')
class TestBillingRunWork(BillingRunCommon):

    def test_start_records_the_wish_and_the_crons_do_it(self):
        orders = self._create_orders(3)
        run = self._create_run()
        before = self._count_triggers()
        run.action_start()
        self.assertEqual((run.state, run.progress, self._count_triggers() - before), ('running', 0.0, 1))
        self.assertFalse(orders.invoice_ids)
        with patch.object(const, 'BILLING_BATCH_SIZE', 2):
            self._run_cron(BILLING_CRON)
        self.assertEqual((run.state, run.progress, run.billed_count), ('done', 100.0, 3))
        self.assertEqual(run.invoice_ids, orders.invoice_ids)
        self.assertEqual(set(run.invoice_ids.mapped('state')), {'posted'})
        self.assertTrue(run.start_time and run.end_time)
        self.assertEqual(run.line_ids[0].action_view_invoices()['res_id'], run.line_ids[0].invoice_ids.id)
        self._assert_ledgers_hold(orders)

    def test_a_run_whose_time_is_over_goes_on_with_the_next_cron(self):
        orders = self._create_orders(3)
        run = self._create_run()
        run.action_start()
        with (
            patch.object(const, 'BILLING_BATCH_SIZE', 2),
            patch.object(type(self.env['ir.cron']), '_commit_progress', lambda cron, *args, **kwargs: 0.0),
        ):
            self.Order._cron_bill_subscriptions()
            self.assertEqual((run.state, run.billed_count, run.todo_count), ('running', 2, 1))
            self.Order._cron_bill_subscriptions()
            self.Order._cron_bill_subscriptions()
        self.assertEqual((run.state, len(orders.invoice_ids)), ('done', 3))

    def test_a_run_bills_as_of_its_day(self):
        order = self._create_order(start_date='2026-01-10', confirm=True)
        run = self._create_run(date='2026-01-15')
        self._start(run)
        self.assertEqual(str(order.invoice_ids.invoice_date), '2026-01-15')

    def test_a_run_bills_nothing_twice(self):
        order = self._create_order(confirm=True)
        run, again = self._create_run(), self._create_run()
        self._start(run)
        self._start(again)
        self.assertEqual(len(order.invoice_ids), 1)
        self.assertEqual((again.state, again.line_ids.state), ('done', 'skipped'))
        self.assertIn("isn't due any more", again.line_ids.reason)
        with self.assertRaisesRegex(UserError, "can't be started"):
            run.action_start()
        again = self._create_run()
        self.assertFalse(again.line_ids)
        with self.assertRaisesRegex(UserError, "nothing to bill"):
            again.action_start()

    def test_errors_are_reported_and_can_be_retried(self):
        good, bad = self._create_orders(2)
        run = self._create_run()
        with self._fail_on(bad):
            self._start(run)
        lines = run.line_ids.grouped('order_id')
        self.assertEqual((lines[good].state, lines[bad].state, run.state), ('billed', 'error', 'done'))
        self.assertEqual(lines[bad].reason, "The journal is on holiday.")
        self.assertEqual(lines[bad].action_view_order()['res_id'], bad.id)
        run.action_retry_errors()
        self.assertEqual((run.state, bad.billing_error), ('running', False))
        self._run_cron(BILLING_CRON)
        self.assertEqual((lines[bad].state, lines[bad].reason, run.state), ('billed', False, 'done'))
        self.assertEqual((len(good.invoice_ids), len(bad.invoice_ids)), (1, 1))
        with self.assertRaisesRegex(UserError, "nothing to bill"):
            run.action_retry_errors()

    def test_a_stopped_run_waits_and_goes_on(self):
        orders = self._create_orders(3)
        run = self._create_run()
        run.action_start()
        bill_orders = type(self.Run)._bill_orders

        def stop_after_the_first(runs, batch, date):
            if run.state == 'running':
                run.with_env(runs.env).action_stop()
            return bill_orders(runs, batch, date)

        with (
            patch.object(const, 'BILLING_BATCH_SIZE', 1),
            patch.object(type(self.Run), '_bill_orders', stop_after_the_first),
        ):
            self._run_cron(BILLING_CRON)
        self.assertEqual((run.state, run.billed_count, run.todo_count, run.is_waiting), ('stopped', 1, 2, True))
        self._run_cron(BILLING_CRON)
        self.assertEqual(len(orders.invoice_ids), 1, "Automatic billing doesn't go on with it")
        self.assertFalse(orders.filtered('billing_error'))
        self._start(run)
        self.assertEqual((run.state, len(orders.invoice_ids)), ('done', 3))

    def test_a_cancelled_run_leaves_the_rest_to_automatic_billing(self):
        order = self._create_order(confirm=True)
        run = self._create_run()
        run.action_cancel()
        self.assertEqual(run.line_ids.state, 'skipped')
        self._run_cron(BILLING_CRON)
        self.assertEqual(len(order.invoice_ids), 1)
        self.assertFalse(run.billed_count)
        run.unlink()

    def test_a_run_which_billed_something_is_kept(self):
        self._create_orders(1)
        run = self._create_run()
        self._start(run)
        with self.assertRaisesRegex(UserError, "kept as its report"):
            run.unlink()

    def test_without_a_worker_a_run_does_not_start(self):
        self._create_orders(1)
        run = self._create_run()
        self.env['res.config.settings'].create({'subscription_billing_workers': 0}).execute()
        with self.assertRaisesRegex(UserError, "No billing worker is on"):
            run.action_start()

    def test_the_report_adds_up_by_plan_and_currency(self):
        self._create_orders(2)
        self._create_order(plan=self.yearly, confirm=True)
        run = self._create_run()
        self._start(run)
        self.assertIn("Every year", run.totals)
        self.assertIn("90.00", run.totals)
        self.assertIn("60.00", run.totals)

    def test_drafts_are_confirmed_together_from_the_review_list(self):
        self.monthly.collection_mode = 'draft'
        self._create_orders(2)
        self._create_order(plan=self.yearly, confirm=True)
        run = self._create_run()
        self._start(run)
        self.assertEqual(run.review_count, 2)
        action = run.action_view_review()
        drafts = self.env[action['res_model']].search(action['domain'])
        self.assertEqual(drafts.mapped('state'), ['draft', 'draft'])
        drafts.invoice_date = '2026-01-31'
        drafts.action_validate_moves_with_confirmation()
        self.assertEqual(drafts.mapped('state'), ['posted', 'posted'])
        run.invalidate_recordset()
        self.assertEqual(run.review_count, 2, "Confirmed, they wait to be sent")
        drafts.is_move_sent = True
        run.invalidate_recordset()
        self.assertEqual(run.review_count, 0)

    def test_each_company_has_its_runs(self):
        self.env.user.group_ids += self.env.ref('base.group_multi_company')
        other = self.setup_other_company(name="Far East")['company']
        other.subscription_tz = 'UTC'
        here = self._create_order(confirm=True)
        there = self._create_orders_of(other, 1)
        run = self._create_run(company_id=other.id)
        self.assertEqual(run.line_ids.order_id, there)
        self._start(run)
        self.assertEqual(there.invoice_ids.company_id, other)
        self.assertEqual(len(here.invoice_ids), 1, "By the automatic run of its company")
        automatic = self.Run.search([('origin', '=', 'automatic')])
        self.assertEqual((automatic.company_id, automatic.line_ids.order_id), (self.company, here))
