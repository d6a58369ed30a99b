from odoo.tests import freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.payment_common import SubscriptionPaymentCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestPaymentLife(SubscriptionPaymentCommon):
    """What customers are asked for when a trial begins, and when a contract is renewed or changed."""

    def _offer(self, order, **values):
        order.write({
            'require_payment': True, 'require_signature': False, 'prepayment_percent': 1.0, **values})
        order.action_quotation_sent()
        return order

    def _pay(self, order):
        tx = self._create_transaction(
            'redirect', amount=order._get_payable_amount(), currency_id=order.currency_id.id,
            sale_order_ids=[(6, 0, order.ids)], reference=order.name)
        tx._set_done()
        tx._post_process()
        return tx

    def _create_running(self):
        order = self._create_order(plan=self.calendar, start_date='2026-06-01', confirm=True)
        self._bill('2026-06-01', order)
        return order

    def _change(self, order, quantity, **values):
        amendment = self.Order.browse(order.action_change()['res_id'])
        amendment.order_line.product_uom_qty = quantity
        return self._offer(amendment, **values)

    def test_a_trial_costs_nothing_until_it_ends(self):
        trial = self._create_plan("Trial", 1, 'month', trial_value=10, trial_unit='day')
        order = self._offer(self._create_order(plan=trial))
        self.assertRecordValues(order, [{'first_invoice_label': "Due today", 'first_invoice_total': 0.0}])
        self.assertIn("every month from 06/26/2026", order.following_text)
        self.assertFalse(order.has_missed_periods)
        self.assertTrue(order._can_be_accepted_for_free())

    def test_what_is_sold_once_is_paid_when_the_trial_begins(self):
        trial = self._create_plan("Trial", 1, 'month', trial_value=10, trial_unit='day')
        order = self._offer(self._create_order(self.service, self.installation, plan=trial))
        self.assertEqual(order._get_payable_amount(), 200.0)
        tx = self._pay(order)
        self.assertEqual((order.subscription_state, order.invoice_ids.amount_total), ('trial', 200.0))
        self.assertEqual((tx.invoice_ids, tx.invoice_ids.amount_residual), (order.invoice_ids, 0.0))
        self.assertEqual(str(order.next_invoice_date), '2026-06-26')
        self.assertTrue(order._is_paid())
        self._assert_ledgers_hold(order)

    def test_a_trial_which_began_in_the_past_is_billed_from_its_end(self):
        trial = self._create_plan("Trial", 1, 'month', trial_value=10, trial_unit='day')
        order = self._create_order(plan=trial, start_date='2026-04-01')
        self.assertTrue(order.has_missed_periods)
        self.assertEqual(
            [str(period.start) for period in order._get_missed_periods()], ['2026-04-11', '2026-05-11', '2026-06-11'])
        self.assertEqual(order.first_invoice_total, 90.0)
        order.action_confirm()
        self.assertEqual(sum(self._bill('2026-06-16', order).mapped('amount_total')), 90.0)

    def test_a_renewal_asks_for_nothing_before_it_takes_over(self):
        order = self._create_running()
        renewal = self.Order.browse(order.action_renew()['res_id'])
        renewal.order_line.price_unit = 36.0
        self._offer(renewal)
        self.assertRecordValues(renewal, [{
            'first_invoice_label': "First invoice on 07/01/2026", 'first_invoice_total': 36.0}])
        self.assertIn("every month from 08/01/2026", renewal.following_text)
        self.assertEqual(renewal._get_payable_amount(), 0.0)
        self.assertTrue(renewal._can_be_accepted_for_free())
        renewal._validate_order()
        self.assertEqual((renewal.subscription_state, renewal._get_payable_amount()), ('renewal', 0.0))

    def test_a_renewal_which_is_due_is_paid_at_once(self):
        order = self._create_running()
        renewal = self.Order.browse(order.action_renew()['res_id'])
        self._offer(renewal)
        with freeze_time('2026-07-01 10:00:00'):
            renewal.invalidate_recordset()
            self.assertEqual((renewal.first_invoice_label, renewal._get_payable_amount()), ("Due today", 30.0))
            tx = self._pay(renewal)
        self.assertEqual((order.subscription_state, renewal.subscription_state), ('renewed', 'progress'))
        self.assertEqual(tx.invoice_ids, renewal.invoice_ids)
        self.assertEqual(renewal.invoice_ids.amount_residual, 0.0)
        self._assert_ledgers_hold(order | renewal)

    def test_a_paid_change_is_made_and_its_invoice_is_paid(self):
        order = self._create_running()
        amendment = self._change(order, 3)
        self.assertRecordValues(amendment, [{'first_invoice_label': "Due today", 'first_invoice_total': 30.0}])
        self.assertEqual(amendment._get_prepayment_required_amount(), 30.0)
        tx = self._pay(amendment)
        self.assertEqual((amendment.state, order.mrr), ('sale', 90.0))
        self.assertRecordValues(amendment.amendment_invoice_id, [{'amount_total': 30.0, 'amount_residual': 0.0}])
        self.assertEqual(tx.invoice_ids, amendment.amendment_invoice_id)
        self.assertEqual(order.invoice_ids.sorted('id')[0].amount_residual, 30.0, "Another invoice isn't paid by it")
        self.assertTrue(amendment._is_paid())
        self._assert_ledgers_hold(order)

    def test_a_change_which_gives_money_back_asks_for_no_payment(self):
        self.calendar.downgrade_policy = 'credit'
        order = self._create_running()
        order.order_line.product_uom_qty = 3
        self._bill('2026-06-16', order)
        amendment = self._change(order, 1)
        self.assertEqual(amendment._get_payable_amount(), 0.0)
        self.assertTrue(amendment._can_be_accepted_for_free())
        amendment._validate_order()
        self.assertEqual(order.mrr, 30.0)
        self._assert_ledgers_hold(order)

    def test_a_change_of_a_later_day_asks_for_no_payment_yet(self):
        amendment = self._change(self._create_running(), 3, amendment_timing='date', effective_date='2026-06-20')
        self.assertEqual(amendment.first_invoice_label, "Due for this change on 06/20/2026")
        self.assertEqual(amendment._get_payable_amount(), 0.0)
        self.assertTrue(amendment._can_be_accepted_for_free())

    def test_what_is_sold_once_on_a_running_contract_is_billed_at_once(self):
        order = self._create_running()
        amendment = self.Order.browse(order.action_upsell()['res_id'])
        amendment.order_line = [(0, 0, {'product_id': self.installation.id})]
        self.assertEqual(amendment.amendment_total, 200.0)
        amendment.action_confirm()
        self.assertEqual(amendment.amendment_invoice_id.amount_total, 200.0)
        self.assertEqual(order.mrr, 30.0)
        self._assert_ledgers_hold(order)
