from odoo.exceptions import UserError
from odoo.fields import Date
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

LIFECYCLE_CRON = 'ir_cron_run_lifecycle'


@freeze_time('2026-01-01 10:00:00')
class TestClosing(SaleSubscriptionCommon):

    def _close(self, orders, **values):
        """Close orders through the dialog."""
        action = orders.action_close()
        wizard = self.env[action['res_model']].with_context(**action['context']).create({
            'close_reason_id': self.reason.id, **values})
        wizard.action_apply()
        return wizard

    def test_a_closing_at_the_end_of_the_period_serves_and_counts_until_then(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-15 10:00:00'):
            self._close(order, close_when='period_end', close_note="Too far away")
            self.assertRecordValues(order, [{
                'subscription_state': 'closing', 'mrr': 30.0, 'end_date': Date.to_date('2026-01-31'),
                'close_date': Date.to_date('2026-01-31'), 'next_invoice_date': False,
                'close_reason_id': self.reason.id, 'close_note': "Too far away",
            }])
            self.assertEqual(order.stage_id.subscription_state, 'closing')
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(order.subscription_state, 'closing')
            self._assert_ledgers_hold(order)
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'closed')
        self.assertEqual(self._get_events(order), [('new', '2026-01-01', 30.0), ('churn', '2026-01-31', -30.0)])
        self.assertEqual(order.close_reason_id, self.reason, "The announced reason stays")
        self._assert_ledgers_hold(order)

    def test_a_fixed_end_alone_is_no_closing(self):
        order = self._create_order(confirm=True, end_date='2026-06-30')
        self.assertEqual(order.subscription_state, 'progress')

    def test_the_days_until_an_announced_end_are_billed_in_proportion(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._close(order, close_when='date', close_on='2026-02-14')
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 15.0)  # 30 × 14/28
        self.assertFalse(order.next_invoice_date)

    def test_what_is_paid_beyond_the_end_is_credited_when_wished(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-11 10:00:00'):
            wizard = self.env['subscription.close'].create({
                'order_ids': order.ids, 'close_reason_id': self.reason.id, 'money': 'credit'})
            self.assertTrue(wizard.has_paid_rest)
            self.assertIn("19.35", wizard.preview)  # 30 × 20/31
            wizard.action_apply()
        credit = order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        self.assertEqual(credit.amount_untaxed, 19.35)
        self.assertEqual(credit.state, 'posted')
        self.assertEqual(self._get_billed_amount(order), 10.65)
        self._assert_ledgers_hold(order)

    def test_an_announced_end_gives_the_rest_back_on_its_day(self):
        order = self._create_order(plan=self.yearly, confirm=True)
        self._bill('2026-01-01')
        self._close(order, close_when='date', close_on='2026-06-30', money='credit')
        self.assertEqual(len(order.invoice_ids), 1)
        story = ' '.join(order.message_ids.mapped('body')).replace('&nbsp;', ' ')
        self.assertIn("When the subscription ends: $ 15.12 incl. tax, invoiced for later days, are credited.", story)
        with freeze_time('2026-07-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        credit = order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        self.assertEqual(credit.amount_untaxed, 15.12)  # 30 × 184/365
        self._assert_ledgers_hold(order)

    def test_money_which_no_provider_can_send_back_is_asked_of_a_person(self):
        paid, unpaid = (self._create_order(confirm=True) for _i in range(2))
        self._register_payment(self._bill('2026-01-01', paid))
        self._bill('2026-01-01', unpaid)
        with freeze_time('2026-01-11 10:00:00'):
            self._close(paid | unpaid, money='refund')
            credits = (paid | unpaid).invoice_ids.filtered(lambda move: move.move_type == 'out_refund').sorted('id')
            self.assertEqual(credits.mapped('subscription_refund_state'), ['wanted', 'wanted'])
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(credits.mapped('subscription_refund_state'), ['manual', False])
        self.assertEqual(len(paid.activity_ids), 1)
        self.assertFalse(unpaid.activity_ids, "The credit note pays the open invoice, there is nothing to send back")

    def test_arrears_are_billed_to_the_announced_end_before_the_contract_closes(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, confirm=True)
        self._close(order, close_when='date', close_on='2026-01-20')
        with freeze_time('2026-01-21 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(order.subscription_state, 'closing', "Not before it is billed to the end")
            self.assertEqual(self._bill('2026-01-21').amount_untaxed, 19.35)
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'closed')
        self._assert_ledgers_hold(order)

    def test_arrears_from_before_a_change_are_billed_when_the_contract_closes(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, confirm=True)
        with freeze_time('2026-02-13 10:00:00'):
            order.order_line.price_unit = 60.0
        with freeze_time('2026-02-20 10:00:00'):
            order._plan_closing(self.reason)
        self.assertEqual(self._get_ledger(order, 'date_start', 'date_end', 'state', 'amount'), [
            ('2026-01-01', '2026-02-01', 'billed', 30.0), ('2026-02-01', '2026-02-13', 'billed', 12.86),
            ('2026-02-13', '2026-02-21', 'billed', 17.14)])

    def test_arrears_are_left_out_at_the_announced_end_when_wished(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, confirm=True)
        self._close(order, close_when='date', close_on='2026-01-20', unbilled='leave_out')
        with freeze_time('2026-01-21 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(order.subscription_state, 'closed')
            self.assertFalse(self._bill('2026-02-21'))
        self._assert_ledgers_hold(order)

    def test_a_closing_can_be_undone(self):
        order = self._create_order(confirm=True, end_date='2026-12-31')
        self._bill('2026-01-01')
        self._close(order, close_when='date', close_on='2026-02-14')
        self._bill('2026-02-01')
        order.action_undo_closing()
        self.assertRecordValues(order, [{
            'subscription_state': 'progress', 'end_date': Date.to_date('2026-12-31'), 'close_date': False,
            'close_reason_id': False, 'mrr': 30.0, 'next_invoice_date': Date.to_date('2026-02-15'),
        }])
        self.assertEqual(self._bill('2026-02-15').amount_untaxed, 15.0, "The rest of the period is a stub")
        self.assertEqual(self._get_events(order), [('new', '2026-01-01', 30.0)])
        self._assert_ledgers_hold(order)

    def test_closing_again_only_moves_the_end(self):
        order = self._create_order(confirm=True, end_date='2026-12-31')
        self._close(order, close_when='date', close_on='2026-03-31')
        self._close(order, close_when='date', close_on='2026-05-31')
        self.assertEqual(order.end_date, Date.to_date('2026-05-31'))
        order.action_undo_closing()
        self.assertEqual(order.end_date, Date.to_date('2026-12-31'))

    def test_a_contract_cannot_be_closed_in_the_past_or_after_its_end(self):
        order = self._create_order(confirm=True, end_date='2026-03-31')
        with self.assertRaisesRegex(UserError, "in the past"):
            self._close(order, close_when='date', close_on='2025-12-31')
        with self.assertRaisesRegex(UserError, "anyway"):
            self._close(order, close_when='date', close_on='2026-04-30')
        self.assertEqual(order.subscription_state, 'progress')

    def test_the_end_of_a_closing_contract_is_not_edited(self):
        order = self._create_order(confirm=True)
        self._close(order, close_when='date', close_on='2026-03-31')
        with self.assertRaisesRegex(UserError, "set by its closing"):
            order.end_date = '2026-04-30'

    def test_a_reopened_contract_leaves_the_gap_unbilled(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-31 10:00:00'):
            self._close(order)
        with freeze_time('2026-03-11 10:00:00'):
            action = order.action_reopen()
            wizard = self.env[action['res_model']].with_context(**action['context']).create({})
            self.assertEqual(wizard.kind, 'reopen')
            self.assertIn("nothing is billed", wizard.preview)
            wizard.action_apply()
            self.assertRecordValues(order, [{
                'subscription_state': 'progress', 'mrr': 30.0, 'end_date': False, 'close_date': False,
                'next_invoice_date': Date.to_date('2026-03-11'),
            }])
            self.assertEqual(self._bill('2026-03-11').amount_untaxed, 20.32)  # 30 × 21/31
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'date_end', 'state'),
            [('2026-01-01', '2026-02-01', 'billed'), ('2026-02-01', '2026-03-11', 'waived'),
             ('2026-03-11', '2026-04-01', 'billed')])
        self.assertEqual(self._get_events(order)[-1], ('reactivation', '2026-03-11', 30.0))
        self.assertEqual(self.Event.search([('order_id', '=', order.id)]).mapped('contract_change'), [1, -1, 1])
        self._assert_ledgers_hold(order)

    def test_a_contract_reopened_in_a_credited_period_charges_the_rest_again(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            self._close(order, money='credit')
        with freeze_time('2026-01-21 10:00:00'):
            order._reopen_subscriptions()
        self.assertEqual(sorted(order.invoice_ids.mapped('amount_untaxed')), [10.65, 20.32, 30.0])  # 11/31, 21/31
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
        self._assert_ledgers_hold(order)

    def test_a_final_invoice_which_is_deleted_is_made_again_unless_its_period_is_left_out(self):
        self.monthly.write({'bill_in': 'arrears', 'collection_mode': 'draft'})
        order = self._create_order(confirm=True)
        with freeze_time('2026-01-10 10:00:00'):
            order._plan_closing(self.reason)
            order.invoice_ids.unlink()
        final = self._bill('2026-01-12')
        self.assertRecordValues(final, [{'state': 'draft', 'amount_untaxed': 9.68}])  # 10 of 31 days
        final.button_cancel()
        order.order_line.period_ids.action_leave_out()
        self.assertFalse(self._bill('2026-01-12'))
        self._assert_ledgers_hold(order)

    def test_nothing_is_left_out_beyond_the_end_of_a_line(self):
        self.monthly.bill_in = 'arrears'
        order = self._create_order(self.service, self.support, confirm=True)
        removed = order.order_line[1]
        amendment = self.Order.browse(order.action_change()['res_id'])
        amendment.write({'amendment_timing': 'date', 'effective_date': '2026-01-11'})
        amendment.order_line.filtered(lambda line: line.product_id == self.support).product_uom_qty = 0.0
        with freeze_time('2026-01-11 10:00:00'):
            amendment.action_confirm()
            self.assertEqual(str(removed.end_date), '2026-01-10')
        with freeze_time('2026-01-20 10:00:00'):
            order._plan_closing(self.reason, bill=False)
        self.assertEqual(order.order_line.mapped('next_period_start'), [
            Date.to_date('2026-01-21'), Date.to_date('2026-01-11')])
        self._assert_ledgers_hold(order)

    def test_a_contract_closed_and_reopened_again_is_charged_once(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            order._plan_closing(self.reason, money='credit')  # 21 days of 31
            order._reopen_subscriptions()  # charges them again
            order._plan_closing(self.reason, money='keep')
        with freeze_time('2026-01-20 10:00:00'):
            order._reopen_subscriptions()  # they are paid
            self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 30.0)
            order._plan_closing(self.reason, money='credit')
        with freeze_time('2026-01-21 10:00:00'):
            order._reopen_subscriptions()
        self.assertAlmostEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 30.0)
        self._assert_ledgers_hold(order)

    def test_a_contract_reopened_in_a_period_which_was_kept_is_served_on_it(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            self._close(order)
        with freeze_time('2026-01-21 10:00:00'):
            order._reopen_subscriptions()
        self.assertEqual(len(order.invoice_ids), 1)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
        self._assert_ledgers_hold(order)

    def test_several_contracts_close_together_and_the_dialog_says_what_happens(self):
        orders = self._create_order(confirm=True) | self._create_order(self.support, confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-11 10:00:00'):
            action = orders.action_close()
            wizard = self.env[action['res_model']].with_context(**action['context']).create({
                'close_reason_id': self.reason.id})
            for order in orders:
                self.assertIn(order.name, wizard.preview)
            wizard.action_apply()
        self.assertEqual(orders.mapped('subscription_state'), ['closed', 'closed'])

    def test_an_announced_end_is_told_in_an_email_and_the_undoing_too(self):
        order = self._create_order()
        self._flush_tracking()
        order.action_confirm()
        self._flush_tracking()
        self._close(order, close_when='date', close_on='2026-03-31')
        self._flush_tracking()
        order.action_undo_closing()
        self._flush_tracking()
        subjects = order.message_ids.filtered('subject').mapped('subject')
        self.assertEqual(len([subject for subject in subjects if "ends on 03/31/2026" in subject]), 1)
        self.assertEqual(len([subject for subject in subjects if subject.endswith("goes on")]), 1)
        self.assertEqual(
            len([subject for subject in subjects if subject == f"Your subscription {order.name}"]), 1,
            "The welcome isn't sent again")
