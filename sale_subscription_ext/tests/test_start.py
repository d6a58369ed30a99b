from odoo.exceptions import UserError
from odoo.tests import Form, freeze_time, new_test_user

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestStartInThePast(SaleSubscriptionCommon):
    """A quotation which starts in the past asks which periods to bill."""

    def _ask(self, order, billing_from='all', **values):
        """Answer the dialog of the Confirm button."""
        action = order.action_ask_missed_periods()
        wizard = self.env[action['res_model']].with_context(**action['context']).create(
            {'billing_from': billing_from, **values})
        wizard.action_confirm()

    def _get_billed_days(self, order, day='2026-01-31'):
        moves = self._bill(day, order)
        return sorted(str(day) for day in moves.invoice_line_ids.mapped('service_start_date'))

    def test_only_missed_periods_are_asked_about(self):
        for start, expected in (
            ('2025-10-15', True), ('2025-12-30', True), ('2025-12-31', True), ('2026-01-01', False),
            ('2026-01-20', False), ('2026-03-01', False), (False, False),
        ):
            with self.subTest(start=start):
                self.assertEqual(self._create_order(start_date=start).has_missed_periods, expected)
        self.assertFalse(self._create_order(self.installation, plan=False).has_missed_periods)
        self.assertFalse(
            self._create_order(start_date='2025-10-15', next_invoice_date='2026-01-15').has_missed_periods)
        order = self._create_order(start_date='2025-10-15', confirm=True)
        self.assertFalse(order.has_missed_periods)

    def test_the_dialog_counts_what_is_due_and_what_the_choice_bills(self):
        order = self._create_order(
            {'product_id': self.service.id, 'product_uom_qty': 2, 'discount': 10.0},
            {'product_id': self.support.id, 'plan_id': self.yearly.id}, start_date='2025-11-10')
        with Form(self.env['subscription.start'].with_context(default_order_id=order.id)) as wizard:
            self.assertEqual((wizard.missed_count, wizard.missed_amount), (3, 3 * 54.0 + 120.0))
            self.assertEqual((wizard.billed_count, wizard.billed_amount), (3, 3 * 54.0 + 120.0))
            self.assertIn("12/09/2025", wizard.periods)
            wizard.billing_from = 'current'
            self.assertEqual((wizard.billed_count, wizard.billed_amount), (2, 54.0 + 120.0))
            wizard.billing_from = 'later'
            wizard.billing_date = '2025-12-10'
            self.assertEqual((wizard.billed_count, wizard.billed_amount), (2, 108.0 + 110.14))  # 120 × 335 / 365
            wizard.billing_date = '2026-02-10'
            self.assertEqual((wizard.billed_count, wizard.billed_amount), (0, 0.0))
        self.assertEqual(order.state, 'draft')

    def test_what_the_dialog_says_is_what_is_billed(self):
        calendar = self._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')
        for billing_from, day in (('all', False), ('current', False), ('later', '2025-12-20')):
            with self.subTest(billing_from=billing_from):
                order = self._create_order(self.service, plan=calendar, start_date='2025-11-10')
                wizard = self.env['subscription.start'].create(
                    {'order_id': order.id, 'billing_from': billing_from, 'billing_date': day})
                said = wizard.billed_count, round(wizard.billed_amount, 2)
                wizard.action_confirm()
                moves = self._bill('2026-01-31', order)
                self.assertEqual((len(moves), round(sum(moves.mapped('amount_untaxed')), 2)), said)
                self._assert_ledgers_hold(order)

    def test_all_missed_periods_can_be_billed(self):
        order = self._create_order(start_date='2025-11-10')
        self._ask(order)
        self.assertEqual(order.subscription_state, 'progress')
        self.assertEqual(self._get_billed_days(order), ['2025-11-10', '2025-12-10', '2026-01-10'])

    def test_billing_can_begin_with_the_present_period_of_each_line(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id}, start_date='2025-11-10')
        self._ask(order, 'current')
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'date_end', 'state', 'product_id'),
            [('2025-11-10', '2026-01-10', 'waived', self.service)])
        self.assertEqual(self._get_billed_days(order), ['2025-11-10', '2026-01-10'])
        self._assert_ledgers_hold(order)

    def test_billing_can_begin_later(self):
        order = self._create_order(start_date='2025-11-10')
        self._ask(order, 'later', billing_date='2026-02-20')
        self.assertEqual(str(order.next_invoice_date), '2026-02-20')
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'date_end', 'state'), [('2025-11-10', '2026-02-20', 'waived')])
        self.assertFalse(self._bill('2026-02-19', order))
        self.assertEqual(self._bill('2026-02-20', order).amount_untaxed, 19.29)  # 30 × 18 / 28
        self.assertEqual(str(order.next_invoice_date), '2026-03-10')
        self._assert_ledgers_hold(order)

    def test_days_outside_the_contract_are_refused(self):
        order = self._create_order(start_date='2025-11-10', end_date='2026-06-30')
        for day, message in (('2025-11-09', "11/10/2025"), (False, "11/10/2025"), ('2026-07-01', "06/30/2026")):
            with self.subTest(day=day), self.assertRaisesRegex(UserError, message):
                wizard = self.env['subscription.start'].create({'order_id': order.id, 'billing_from': 'later'})
                wizard.billing_date = day
                wizard.action_confirm()
        self.assertEqual(order.state, 'draft')

    def test_confirming_without_the_dialog_bills_all(self):
        order = self._create_order(start_date='2025-11-10', confirm=True)
        self.assertEqual(len(self._bill('2026-01-31', order)), 3)

    def test_several_quotations_confirmed_together_say_what_is_due(self):
        orders = self._create_order(start_date='2025-11-10') | self._create_order(start_date='2025-12-10')
        orders.action_confirm()
        for order, count in zip(orders, (3, 2), strict=True):
            self.assertTrue(any(f"{count} invoices are due" in message.body for message in order.message_ids))

    def test_more_than_the_limit_is_said(self):
        self.company.subscription_catch_up = 3
        order = self._create_order(start_date='2025-06-10')
        wizard = self.env['subscription.start'].create({'order_id': order.id})
        self.assertTrue(wizard.is_over_limit)
        wizard.billing_from = 'current'
        self.assertFalse(wizard.is_over_limit)

    def test_what_can_not_be_confirmed_is_not_asked_about(self):
        order = self._create_order(start_date='2025-11-10')
        order._action_cancel()
        with self.assertRaisesRegex(UserError, "not in a state requiring confirmation"):
            order.action_ask_missed_periods()

    def test_a_salesman_without_other_rights_can_answer(self):
        salesman = new_test_user(
            self.env, 'start_salesman', 'sales_team.group_sale_salesman', company_id=self.company.id)
        order = self._create_order(start_date='2025-11-10', user_id=salesman.id).with_user(salesman)
        action = order.action_ask_missed_periods()
        wizard = self.env[action['res_model']].with_user(salesman).with_context(**action['context']).create(
            {'billing_from': 'current'})
        self.assertEqual(wizard.missed_count, 3)
        wizard.action_confirm()
        self.assertEqual(order.subscription_state, 'progress')


@freeze_time('2026-01-31 10:00:00')
class TestBillingStatus(SaleSubscriptionCommon):
    """The list of periods shows what became of each, down to the state of its invoice."""

    def test_the_status_follows_the_invoice(self):
        order = self._create_order(collection_mode='draft', confirm=True)
        move = self._bill('2026-01-31')
        period = order.order_line.period_ids
        self.assertEqual((period.state, period.billing_status), ('billed', 'draft'))
        move.action_post()
        self.assertEqual(period.billing_status, 'posted')
        self.env['account.payment.register'].with_context(
            active_model='account.move', active_ids=move.ids).create({})._create_payments()
        self.assertEqual(period.billing_status, 'paid')

    def test_the_status_follows_the_period(self):
        order = self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        refund = move._reverse_moves([{'invoice_date': '2026-01-31'}])
        refund.action_post()
        period = order.order_line.period_ids
        self.assertEqual(period.billing_status, 'credited')
        period.action_bill_again()
        self.assertEqual(period.billing_status, 'open')
        period.action_leave_out()
        self.assertEqual(period.billing_status, 'waived')
