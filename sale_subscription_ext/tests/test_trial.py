from unittest.mock import patch

from odoo.fields import Date
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

LIFECYCLE_CRON = 'ir_cron_run_lifecycle'


@freeze_time('2024-03-05 10:00:00')
class TestTrial(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trial = cls._create_plan("Trial", 1, 'month', trial_value=10, trial_unit='day')

    def _without_payment_method(self):
        return patch.object(type(self.Order), '_has_payment_method', lambda order: False)

    def test_a_trial_is_neither_billed_nor_counted(self):
        order = self._create_order(plan=self.trial, confirm=True)
        self.assertRecordValues(order, [{
            'subscription_state': 'trial', 'mrr': 0.0, 'start_date': Date.to_date('2024-03-05'),
            'trial_end_date': Date.to_date('2024-03-15'), 'next_invoice_date': Date.to_date('2024-03-15'),
        }])
        self.assertEqual(order.stage_id.subscription_state, 'trial')
        self.assertFalse(self._bill('2024-03-14'))
        self.assertFalse(self.Event.search([('order_id', '=', order.id)]))
        self._assert_ledgers_hold(order)

    def test_the_first_billed_day_is_the_billing_day_and_revenue_is_new_from_then_on(self):
        order = self._create_order(plan=self.trial, confirm=True)
        with freeze_time('2024-03-16 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        self.assertRecordValues(order, [{'subscription_state': 'progress', 'mrr': 30.0}])
        self.assertEqual(self._get_events(order), [('new', '2024-03-15', 30.0)])
        self.assertEqual(self._bill('2024-03-16').amount_untaxed, 30.0)
        self.assertEqual(order.next_invoice_date, Date.to_date('2024-04-15'))
        self._assert_ledgers_hold(order)

    def test_a_trial_before_a_calendar_period_bills_the_rest_of_it(self):
        # 10 days from 5 March, 50 000 a month by the calendar: 17/31 from 15 March on.
        plan = self._create_plan(
            "Calendar", 1, 'month', trial_value=10, trial_unit='day', billing_alignment='calendar')
        order = self._create_order({'product_id': self.service.id, 'price_unit': 50000.0}, plan=plan, confirm=True)
        with freeze_time('2024-03-15 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(self._bill('2024-03-15').amount_untaxed, 27419.35)
        self._assert_ledgers_hold(order)

    def test_the_first_stub_after_a_trial_follows_the_plan(self):
        plan = self._create_plan(
            "Free start", 1, 'month', trial_value=10, trial_unit='day', billing_alignment='calendar',
            first_period='free')
        order = self._create_order(plan=plan, confirm=True)
        with freeze_time('2024-03-15 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertFalse(self._bill('2024-03-15'))
        self.assertEqual(self._bill('2024-04-01').amount_untaxed, 30.0)
        self._assert_ledgers_hold(order)

    def test_the_customer_is_reminded_once(self):
        order = self._create_order(plan=self.trial, confirm=True)
        self._flush_tracking()
        for day in ('2024-03-11', '2024-03-12', '2024-03-12', '2024-03-13'):
            with freeze_time(f'{day} 10:00:00'):
                self._run_cron(LIFECYCLE_CRON)
        reminders = order.message_ids.filtered(lambda message: "ends soon" in (message.subject or ''))
        self.assertEqual(len(reminders), 1)
        self.assertEqual(order.trial_reminder_date, Date.to_date('2024-03-12'))

    def test_without_a_payment_method_the_plan_decides(self):
        orders = self.Order
        for policy in ('invoice', 'pause', 'close'):
            plan = self.trial.copy({'name': policy, 'trial_end': policy})
            orders |= self._create_order(plan=plan, confirm=True)
        with freeze_time('2024-03-15 10:00:00'), self._without_payment_method():
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(orders.mapped('subscription_state'), ['progress', 'paused', 'closed'])
        self.assertEqual(orders.mapped('mrr'), [30.0, 0.0, 0.0])
        events = self.Event.search([('order_id', 'in', orders.ids)])
        self.assertEqual(events.mapped('event_type'), ['new'], "A trial which came to nothing never counts")
        self._assert_ledgers_hold(orders)

    def test_a_trial_which_paused_counts_as_new_when_it_resumes(self):
        plan = self.trial.copy({'trial_end': 'pause'})
        order = self._create_order(plan=plan, confirm=True)
        with freeze_time('2024-03-15 10:00:00'), self._without_payment_method():
            self._run_cron(LIFECYCLE_CRON)
        with freeze_time('2024-04-05 10:00:00'):
            order._resume_subscriptions()
        self.assertEqual(self._get_events(order), [('new', '2024-04-05', 30.0)])
        self.assertEqual(self._bill('2024-04-05').amount_untaxed, 9.68)  # 30 × 10/31, never the past
        self.assertEqual(sum(self.Event.search([('order_id', '=', order.id)]).mapped('contract_change')), 1)
        self._assert_ledgers_hold(order)

    def test_a_trial_can_be_closed_now_or_at_its_end_and_reopened(self):
        now, later = (self._create_order(plan=self.trial, confirm=True) for _i in range(2))
        now._close_subscriptions(self.reason)
        self.assertEqual(now.subscription_state, 'closed')
        later._plan_closing(self.reason, date=later._get_current_period_end())
        self.assertRecordValues(later, [{
            'subscription_state': 'closing', 'mrr': 0.0, 'end_date': Date.to_date('2024-03-14')}])
        with freeze_time('2024-03-15 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(later.subscription_state, 'closed')
        self.assertFalse(self.Event.search([('order_id', 'in', (now | later).ids)]))
        with freeze_time('2024-05-01 10:00:00'):
            later._reopen_subscriptions()
        self.assertEqual(self._get_events(later), [('new', '2024-05-01', 30.0)])
        self._assert_ledgers_hold(now | later)

    def test_an_undone_closing_leads_back_into_the_trial(self):
        order = self._create_order(plan=self.trial, confirm=True)
        order._plan_closing(self.reason, date=Date.to_date('2024-03-10'))
        order.action_undo_closing()
        self.assertEqual(order.subscription_state, 'trial')
        with freeze_time('2024-03-15 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'progress')
        self._assert_ledgers_hold(order)

    def test_a_trial_can_be_cancelled_and_confirmed_again(self):
        order = self._create_order(plan=self.trial, confirm=True)
        order.action_cancel()
        self.assertFalse(order.subscription_state)
        order.action_draft()
        order.action_confirm()
        self.assertEqual(order.subscription_state, 'trial')
        self._assert_ledgers_hold(order)

    def test_what_changes_during_a_trial_is_billed_after_it(self):
        order = self._create_order(plan=self.trial, confirm=True)
        order.order_line.product_uom_qty = 2
        order.order_line = [(0, 0, {'product_id': self.support.id})]
        self.assertFalse(self.Event.search([('order_id', '=', order.id)]))
        with freeze_time('2024-03-15 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.mrr, 180.0)
        self.assertEqual(self._bill('2024-03-15').amount_untaxed, 180.0)
        self._assert_ledgers_hold(order)

    def test_the_trial_of_a_quotation_can_be_set_by_hand(self):
        order = self._create_order(plan=self.trial, trial_end_date='2024-03-20', confirm=True)
        self.assertEqual(order.order_line.anchor_date, Date.to_date('2024-03-20'))

    def test_a_contract_billed_elsewhere_before_has_its_trial_behind_it(self):
        order = self._create_order(
            plan=self.trial, start_date='2024-01-01', next_invoice_date='2024-04-01', confirm=True)
        self.assertEqual(order.subscription_state, 'progress')
        self.assertFalse(order.trial_end_date)

    def test_one_time_lines_are_invoiced_during_the_trial_if_wished(self):
        order = self._create_order(self.service, self.installation, plan=self.trial, confirm=True)
        self.assertEqual(order._create_invoices().amount_untaxed, 200.0)
        self._assert_ledgers_hold(order)
