from odoo.exceptions import UserError
from odoo.fields import Date
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

LIFECYCLE_CRON = 'ir_cron_run_lifecycle'


@freeze_time('2026-01-01 10:00:00')
class TestPause(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.crediting = cls._create_plan("Crediting", 1, 'month', pause_policy='credit')

    def _pause(self, orders, **values):
        """Pause orders through the dialog."""
        action = orders.action_pause()
        wizard = self.env[action['res_model']].with_context(**action['context']).create(values)
        wizard.action_apply()
        return wizard

    def test_a_paused_contract_is_not_billed_and_resuming_bills_only_what_comes(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-20 10:00:00'):
            self._pause(order)
            self.assertRecordValues(order, [{
                'subscription_state': 'paused', 'mrr': 0.0, 'paused_from': Date.to_date('2026-01-20'),
                'next_invoice_date': False,
            }])
            self._assert_ledgers_hold(order)
        self.assertFalse(self._bill('2026-03-01'))
        with freeze_time('2026-03-11 10:00:00'):
            action = order.action_resume()
            wizard = self.env[action['res_model']].with_context(**action['context']).create({})
            wizard.action_apply()
            self.assertRecordValues(order, [{
                'subscription_state': 'progress', 'mrr': 30.0, 'paused_from': False,
                'next_invoice_date': Date.to_date('2026-03-11'),
            }])
            self.assertEqual(self._bill('2026-03-11').amount_untaxed, 20.32)  # 30 × 21/31
            self.assertEqual(order.next_invoice_date, Date.to_date('2026-04-01'), "Dates never shift by a pause")
        self.assertEqual(self._get_events(order), [
            ('new', '2026-01-01', 30.0), ('pause', '2026-01-20', -30.0), ('resume', '2026-03-11', 30.0)])
        self.assertEqual(sum(self.Event.search([('order_id', '=', order.id)]).mapped('contract_change')), 1)
        self._assert_ledgers_hold(order)

    def test_paid_days_are_forfeited_by_default(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            wizard = self._pause(order)
            self.assertIn("are kept", wizard.preview)
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
        self.assertEqual(len(order.invoice_ids), 1)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
        self._assert_ledgers_hold(order)

    def test_paid_days_are_credited_where_the_plan_says_so(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            self._pause(order)
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
        # Paid 30, given back 22/31, charged again 12/31.
        self.assertEqual(sorted(order.invoice_ids.mapped('amount_untaxed')), [11.61, 21.29, 30.0])
        self.assertEqual(self._get_billed_amount(order), 20.32)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
        self._assert_ledgers_hold(order)

    def test_a_pause_with_an_end_credits_its_days_only(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            self._pause(order, pause_until='2026-01-20')
        self.assertEqual(sorted(order.invoice_ids.mapped('amount_untaxed')), [9.68, 30.0])  # 10/31
        with freeze_time('2026-01-20 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(len(order.invoice_ids), 2)
        self.assertEqual(order.subscription_state, 'progress')
        self._assert_ledgers_hold(order)

    def test_a_second_pause_credits_what_was_charged_again(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        for start, end in (('2026-01-05', '2026-01-10'), ('2026-01-15', '2026-01-20')):
            with freeze_time(f'{start} 10:00:00'):
                self._pause(order)
            with freeze_time(f'{end} 10:00:00'):
                order._resume_subscriptions()
        self.assertEqual(self._get_billed_amount(order), 20.32)  # 30 × 21/31
        self._assert_ledgers_hold(order)

    def test_days_are_charged_again_at_the_price_at_which_they_were_given_back(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        order.order_line.write({'price_unit': 60.0, 'product_uom_qty': 2})  # from February on
        with freeze_time('2026-01-10 10:00:00'):
            self._pause(order)
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
        self.assertEqual(self._get_billed_amount(order), 20.32)  # 30 × 21/31
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 120.0)
        self._assert_ledgers_hold(order)

    def test_days_are_charged_again_also_where_another_price_was_decided_for_them(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            self._pause(order)
            self.env['subscription.price.change'].sudo().create({
                'order_line_id': order.order_line.id, 'state': 'to_apply', 'effective_date': '2026-01-01',
                'apply_date': '2026-02-01', 'old_price_unit': 30.0, 'new_price_unit': 33.0})
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
        self.assertEqual(self._get_billed_amount(order), 20.32)  # 30 × 21/31

    def test_what_somebody_gave_away_by_hand_is_not_charged_again(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        refund = self._bill('2026-01-01')._reverse_moves([{'invoice_date': '2026-01-01'}])
        refund.invoice_line_ids.price_unit = 20.0
        refund.action_post()
        # 10.00 is left to give back for the 22 days from the 10th on: 0.4545 a day.
        for pause, left, resume, charged in (('10', 0.0, '20', 5.45), ('21', 0.45, '30', 1.36)):
            with freeze_time(f'2026-01-{pause} 10:00:00'):
                self._pause(order)
            self.assertEqual(self._get_billed_amount(order), 20.0 + left)
            with freeze_time(f'2026-01-{resume} 10:00:00'):
                order._resume_subscriptions()
            self.assertEqual(self._get_billed_amount(order), 20.0 + charged)
        self._assert_ledgers_hold(order)

    def test_days_which_somebody_gave_away_by_hand_stay_free(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        invoice = self._bill('2026-01-01')
        refund = invoice._reverse_moves([{'invoice_date': '2026-01-01'}])
        refund.invoice_line_ids.write({'quantity': 0.5, 'price_unit': 60.0})
        refund.action_post()
        self.assertFalse(order.order_line.period_ids.is_credited, "The period counts, but no money of it is left")
        with freeze_time('2026-01-10 10:00:00'):
            self._pause(order)
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
        self.assertEqual(order.invoice_ids.filtered(lambda move: move.move_type == 'out_invoice'), invoice)
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 30.0)
        self._assert_ledgers_hold(order)

    def test_the_dialog_of_a_pause_under_way_begins_with_its_end(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._pause(order, pause_until='2026-01-20')
        action = order.action_pause()
        dialog = self.env[action['res_model']].with_context(**action['context']).create({})
        self.assertEqual(dialog.pause_until, Date.to_date('2026-01-20'))

    def test_a_longer_pause_credits_the_days_added(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            self._pause(order, pause_until='2026-01-20')
            self._pause(order, pause_until='2026-01-25')
        with freeze_time('2026-01-25 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(self._get_billed_amount(order), 15.48)  # 30 × 16/31
        self._assert_ledgers_hold(order)

    def test_arrears_are_billed_to_the_pause_and_from_its_end_on(self):
        # 100 a month in arrears, paused from the 15th, resumed on the 20th: 14/31, then 12/31.
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order({'product_id': self.service.id, 'price_unit': 100.0}, plan=arrears, confirm=True)
        with freeze_time('2026-01-15 10:00:00'):
            self._pause(order, pause_until='2026-01-20')
            self.assertEqual(order.next_invoice_date, Date.to_date('2026-01-15'))
            self.assertEqual(self._bill('2026-01-15').amount_untaxed, 45.16)
        with freeze_time('2026-01-20 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 38.71)
        self._assert_ledgers_hold(order)

    def test_what_was_served_before_a_pause_is_billed_after_it_when_it_was_not_before(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order({'product_id': self.service.id, 'price_unit': 100.0}, plan=arrears, confirm=True)
        with freeze_time('2026-01-15 10:00:00'):
            self._pause(order)
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
        self.assertEqual(sum(self._bill('2026-02-01').mapped('amount_untaxed')), 83.87)
        self._assert_ledgers_hold(order)

    def test_a_pause_after_the_period_is_planned_and_nothing_of_it_is_billed_even_if_the_cron_is_late(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-10 10:00:00'):
            self._pause(order, pause_when='period_end', pause_until='2026-04-01')
        self.assertRecordValues(order, [{
            'subscription_state': 'progress', 'mrr': 30.0, 'paused_from': Date.to_date('2026-02-01')}])
        self.assertFalse(self._bill('2026-02-01'))
        with freeze_time('2026-02-03 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'paused')
        self.assertEqual(self._get_events(order)[-1], ('pause', '2026-02-01', -30.0))
        with freeze_time('2026-04-02 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(self._get_events(order)[-1], ('resume', '2026-04-01', 30.0))
        self.assertEqual(self._bill('2026-04-02').amount_untaxed, 30.0)
        self._assert_ledgers_hold(order)

    def test_a_planned_pause_can_be_withdrawn(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._pause(order, pause_when='period_end')
        self.assertFalse(order.next_invoice_date)
        order.action_resume()
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
        self.assertFalse(order.paused_from)

    def test_impossible_pauses_are_refused(self):
        order = self._create_order(confirm=True, end_date='2026-06-30')
        for values, message in (
            ({'pause_when': 'date', 'pause_from': '2025-12-01'}, "can't be paused before"),
            ({'pause_when': 'date', 'pause_from': '2026-07-01'}, "ends on"),
            ({'pause_until': '2026-01-01'}, "must resume after"),
            ({'pause_when': 'date'}, "Choose the first day"),
        ):
            with self.subTest(values=values), self.assertRaisesRegex(UserError, message):
                self._pause(order, **values)
        self.assertEqual(order.subscription_state, 'progress')

    def test_a_paused_contract_is_not_changed(self):
        order = self._create_order(confirm=True)
        self._pause(order)
        with self.assertRaisesRegex(UserError, "Resume it before"):
            order.order_line.price_unit = 50.0
        with self.assertRaisesRegex(UserError, "Resume it before"):
            order.order_line = [(0, 0, {'product_id': self.support.id})]

    def test_a_paused_contract_can_be_closed_and_reopened(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._pause(order)
        with freeze_time('2026-02-10 10:00:00'):
            order._close_subscriptions(self.reason)
            self.assertEqual(order.subscription_state, 'closed')
            self._assert_ledgers_hold(order)
        with freeze_time('2026-03-01 10:00:00'):
            order._reopen_subscriptions()
        self.assertEqual(order.mrr, 30.0)
        self.assertEqual(sum(self.Event.search([('order_id', '=', order.id)]).mapped('contract_change')), 1)
        self._assert_ledgers_hold(order)

    def test_what_a_pause_gave_back_is_charged_again_when_the_contract_was_closed_meanwhile(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-01-11 10:00:00'):
            self._pause(order)  # 21 days of 31 given back
        with freeze_time('2026-01-15 10:00:00'):
            order._close_subscriptions(self.reason)
        with freeze_time('2026-01-22 10:00:00'):
            self.assertIn("01/11/2026 – 01/21/2026", order._get_resume_preview())
            order._reopen_subscriptions()
        charged = order.invoice_ids.sorted('id')[-1]
        self.assertRecordValues(charged, [{'move_type': 'out_invoice', 'amount_untaxed': 9.68}])  # 10 days
        self._assert_ledgers_hold(order)

    def test_a_paused_contract_closed_and_reopened_on_one_day_is_billed_from_that_day(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._pause(order)
        with freeze_time('2026-03-11 10:00:00'):
            order._close_subscriptions(self.reason)
            order._reopen_subscriptions()
        self.assertEqual(order.order_line.next_period_start, Date.to_date('2026-03-11'))
        self._assert_ledgers_hold(order)

    def test_a_pause_ends_also_when_the_end_of_the_contract_is_announced(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._pause(order, pause_until='2026-02-01')
        order._plan_closing(self.reason, date=Date.to_date('2026-03-31'))
        self.assertRecordValues(order, [{'subscription_state': 'closing', 'mrr': 0.0}])
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertRecordValues(order, [{
            'subscription_state': 'closing', 'mrr': 30.0, 'next_invoice_date': Date.to_date('2026-02-01')}])
        self._assert_ledgers_hold(order)

    def test_a_planned_pause_begins_also_when_the_end_of_the_contract_is_announced(self):
        order = self._create_order(plan=self.crediting)
        self._flush_tracking()
        order.action_confirm()
        self._bill('2026-01-01')
        self._pause(order, pause_when='date', pause_from='2026-01-11')
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'), money='keep')
        self._flush_tracking()
        with freeze_time('2026-01-11 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertRecordValues(order, [{'subscription_state': 'closing', 'mrr': 0.0}])
        self.assertIn(f"Your subscription {order.name} is paused", order.message_ids.mapped('subject'))
        self.assertEqual(
            order.invoice_ids.sorted('id')[-1].amount_untaxed, 9.68,
            "10 of 31 days; what is paid beyond the end was to be kept")
        pause = self.Event.search([('order_id', '=', order.id), ('event_type', '=', 'pause')])
        self.assertEqual(str(pause.event_date), '2026-01-11')
        with freeze_time('2026-01-12 10:00:00'):
            order.action_undo_closing()
        self.assertEqual(order.subscription_state, 'paused')
        self.assertEqual(order.invoice_ids.sorted('id')[-1].amount_untaxed, 10.65, "The pause is longer than the end")
        self._assert_ledgers_hold(order)

    def test_a_planned_pause_can_be_withdrawn_while_the_end_is_announced(self):
        order = self._create_order(confirm=True)
        self._pause(order, pause_when='date', pause_from='2026-01-11')
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        order.action_resume()
        self.assertRecordValues(order, [{'paused_from': False, 'subscription_state': 'closing'}])
        with self.assertRaisesRegex(UserError, "resumed"):
            order.action_resume()

    def test_a_pause_which_outlasts_the_contract_never_ends(self):
        self.monthly.bill_in = 'arrears'
        order = self._create_order(confirm=True)
        self._pause(order, pause_when='date', pause_from='2026-01-11', pause_until='2026-01-25')
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        with freeze_time('2026-01-11 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        with freeze_time('2026-01-26 10:00:00'):  # nobody was billed meanwhile, so it isn't closed
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(order.subscription_state, 'closing')
            self._bill('2026-01-26')
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'closed')
        self.assertEqual(
            self.Event.search([('order_id', '=', order.id)]).mapped('event_type').count('resume'), 0)
        self._assert_ledgers_hold(order)

    def test_a_line_which_ends_after_the_pause_is_charged_until_its_end(self):
        order = self._create_order(plan=self.crediting, confirm=True)
        self._bill('2026-01-01')
        old = order.order_line
        with freeze_time('2026-01-05 10:00:00'):
            old.product_id = self.support  # from the next period on
        self.assertEqual(str(old.end_date), '2026-01-31')
        with freeze_time('2026-01-11 10:00:00'):
            self._pause(order)
        with freeze_time('2026-01-16 10:00:00'):
            preview = order._get_resume_preview().replace('\N{NO-BREAK SPACE}', '')
            self.assertIn("15.48 incl. tax are invoiced now", preview)
            order._resume_subscriptions()
        self.assertAlmostEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 25.16)  # 26 of 31 days
        self._assert_ledgers_hold(order)

    def test_a_pause_which_is_planned_for_after_the_end_never_begins(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._pause(order, pause_when='date', pause_from='2026-01-21')
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        with freeze_time('2026-01-25 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'closed')
        self.assertFalse(self.Event.search([('order_id', '=', order.id), ('event_type', '=', 'pause')]))
        self._assert_ledgers_hold(order)

    def test_pausing_and_resuming_are_told_in_emails(self):
        order = self._create_order()
        self._flush_tracking()
        order.action_confirm()
        self._flush_tracking()
        self._pause(order)
        self._flush_tracking()
        order._resume_subscriptions()
        self._flush_tracking()
        subjects = [subject for subject in order.message_ids.mapped('subject') if subject]
        self.assertEqual(sorted(subjects), sorted([
            f"Your subscription {order.name}", f"Your subscription {order.name} is paused",
            f"Your subscription {order.name} goes on"]))
