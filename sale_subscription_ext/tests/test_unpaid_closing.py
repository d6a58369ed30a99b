from odoo.tests import freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.dunning_common import SubscriptionDunningCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-01 10:00:00')
class TestUnpaidClosing(SubscriptionDunningCommon):
    """Contracts which end because nobody pays, and what comes afterwards."""

    def test_a_contract_is_closed_so_many_days_after_the_oldest_due_date(self):
        self.monthly.auto_close_days = 40
        order = self._create_unpaid()
        self._bill('2026-07-01', order)
        self._collect_on('2026-07-10')
        self.assertEqual(order.subscription_state, 'progress')
        self._collect_on('2026-07-11')
        self.assertRecordValues(order, [{
            'subscription_state': 'closed', 'close_reason_id': self.unpaid.id, 'mrr': 0.0}])
        self.assertEqual((str(order.close_date), self.unpaid.kind), ('2026-07-11', 'involuntary'))
        self.assertIn(order.invoice_ids.sorted('id')[0].name, order.close_note)
        self.assertFalse(order.is_in_dunning, "What was closed isn't asked for any more")
        self._assert_ledgers_hold(order)

    def test_the_first_run_after_that_day_closes_it(self):
        self.monthly.auto_close_days = 10
        order = self._create_unpaid()
        self._collect_on('2026-06-25')
        self.assertEqual((order.subscription_state, str(order.close_date)), ('closed', '2026-06-25'))

    def test_never_means_never(self):
        order = self._create_unpaid()
        self._collect_on('2027-06-01')
        self.assertEqual(order.subscription_state, 'progress')

    def test_a_plan_without_policy_closes_too(self):
        self.monthly.write({'auto_close_days': 10, 'dunning_policy_id': False})
        order = self._create_unpaid()
        self._collect_on('2026-06-11')
        self.assertEqual(order.subscription_state, 'closed')

    def test_a_paid_a_blocked_and_a_newer_invoice_close_nothing(self):
        self.monthly.auto_close_days = 10
        paid, blocked, newer = (self._create_unpaid() for _number in range(3))
        self._pay(paid.invoice_ids)
        blocked.invoice_ids.action_toggle_block_payment()
        self._pay(newer.invoice_ids)
        self._bill('2026-07-01', newer)
        self._collect_on('2026-07-10')
        self.assertEqual((paid | blocked | newer).mapped('subscription_state'), ['progress'] * 3)

    def test_a_payment_without_an_answer_keeps_the_contract_open(self):
        self.charged.auto_close_days = 10
        self.answer = 'timeout'
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_until('2026-06-01', '2026-06-01')
        self._collect_on('2026-06-30')
        self.assertEqual(order.subscription_state, 'progress')

    def test_money_which_went_back_long_after_closes_nothing_at_once(self):
        self.monthly.auto_close_days = 10
        order = self._create_unpaid()
        payment = self._pay(order.invoice_ids)
        payment.move_id.line_ids.remove_move_reconcile()
        self._collect_on('2026-08-01')
        self.assertEqual(order.subscription_state, 'progress')
        self._collect_on('2026-08-11')
        self.assertEqual(order.subscription_state, 'closed')

    def test_what_was_served_until_the_closing_is_billed(self):
        plan = self._create_plan("Arrears", 1, 'month', bill_in='arrears', auto_close_days=10)
        order = self._create_order(plan=plan, start_date='2026-06-01', confirm=True)
        self._bill('2026-07-01', order)
        self._collect_on('2026-07-11')
        self.assertEqual(order.subscription_state, 'closed')
        self.assertEqual(order.invoice_ids.sorted('id').mapped('amount_total'), [30.0, 10.65])  # 11/31 of July
        self._collect_on('2026-07-20')
        self.assertFalse(order.is_in_dunning)

    def test_a_step_of_the_policy_closes_all_contracts_of_the_invoice(self):
        self.monthly.write({'consolidate': True, 'dunning_policy_id': self._create_policy((5, 'close')).id})
        orders = self._create_order(confirm=True) | self._create_order(confirm=True)
        self._bill('2026-06-01', orders)
        self._collect_on('2026-06-06')
        self.assertEqual(orders.mapped('subscription_state'), ['closed'] * 2)
        self.assertEqual(orders.close_reason_id, self.unpaid)

    # === E-MAILS === #

    def test_the_customer_is_warned_once_and_told_when_it_happens(self):
        self.monthly.auto_close_days = 20
        order = self._create_unpaid()
        self._collect_until('2026-06-01', '2026-06-13')
        self.assertFalse(self._get_mails(order, 'closing_warning'))
        self._collect_until('2026-06-14', '2026-06-20')
        warning = self._get_mails(order, 'closing_warning')
        self.assertEqual(len(warning), 1)
        self.assertIn("06/21/2026", warning.body)
        self.assertIn("/subscription/pay/", warning.body)
        self.assertIn("closed on 06/21/2026", order.dunning_notice)
        self._collect_until('2026-06-21', '2026-06-25')
        closed = self._get_mails(order, 'closed_unpaid')
        self.assertEqual(len(closed), 1)
        self.assertIn("was not paid", closed.body)
        self._flush_tracking()
        stage = self.env.ref('sale_subscription_ext.mail_template_subscription_closed')
        self.assertNotIn(
            stage._render_field('subject', order.ids)[order.id], order.message_ids.mapped('subject'),
            "The e-mail of the stage isn't sent as well")

    def test_a_closing_step_is_announced_too(self):
        self.monthly.dunning_policy_id = self._create_policy((0, 'send_mail'), (20, 'close'))
        order = self._create_unpaid()
        self._collect_until('2026-06-13', '2026-06-15')
        self.assertEqual(len(self._get_mails(order, 'closing_warning')), 1)

    # === AFTERWARDS === #

    def test_a_late_payment_asks_whether_to_reopen(self):
        self.monthly.auto_close_days = 10
        order = self._create_unpaid()
        self._collect_on('2026-06-11')
        self.assertFalse(order.has_late_payment)
        with freeze_time('2026-06-20 10:00:00'):
            self._pay(order.invoice_ids)
            self.assertTrue(order.has_late_payment)
            activity = order.activity_ids
            self.assertEqual(activity.activity_type_id.get_external_id()[activity.activity_type_id.id],
                             'sale_subscription_ext.mail_activity_type_late_payment')
            self.assertIn("Press Reopen", activity.note)
            self.assertEqual(order.subscription_state, 'closed')
            order._reopen_subscriptions()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertFalse(order.has_late_payment)
        self._assert_ledgers_hold(order)

    def test_a_reopened_contract_is_not_closed_for_what_was_paid(self):
        self.monthly.auto_close_days = 10
        order = self._create_unpaid()
        self._collect_on('2026-06-11')
        with freeze_time('2026-06-20 10:00:00'):
            self._pay(order.invoice_ids)
            order._reopen_subscriptions()
            self._collect()
        self.assertEqual(order.subscription_state, 'progress')

    def test_a_contract_which_was_closed_for_another_reason_asks_nothing(self):
        order = self._create_unpaid()
        order._close_subscriptions(self.reason)
        self._pay(order.invoice_ids)
        self.assertFalse(order.activity_ids)
