from odoo.exceptions import AccessError, UserError
from odoo.fields import Date
from odoo.tests import freeze_time, new_test_user

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestCredit(SaleSubscriptionCommon):
    """What credit notes and left-out periods do to the billing ledger."""

    def _reverse(self, moves, is_modify=False):
        wizard = self.env['account.move.reversal'].with_context(
            active_model='account.move', active_ids=moves.ids).create({'journal_id': moves.journal_id.id})
        wizard.reverse_moves(is_modify=is_modify)
        return wizard.new_move_ids

    def test_a_posted_credit_note_lets_the_period_be_billed_again(self):
        order = self._create_order(confirm=True)
        refund = self._reverse(self._bill('2026-01-31'))
        period = order.order_line.period_ids
        self.assertFalse(period.is_credited, "A draft credits nothing")
        refund.action_post()
        self.assertTrue(period.is_credited)
        self.assertEqual(period.state, 'billed')
        self.assertFalse(self._bill('2026-01-31'), "Nobody said that it should be billed again")
        period.action_bill_again()
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-01-31'))
        second = self._bill('2026-01-31')
        self.assertEqual(second.amount_untaxed, 30.0)
        self.assertEqual((period.state, period.is_credited, period.invoice_id), ('billed', False, second))
        self._assert_ledgers_hold(order)

    def test_several_partial_credit_notes_add_up(self):
        order = self._create_order({'product_id': self.service.id, 'product_uom_qty': 3}, confirm=True)
        move = self._bill('2026-01-31')
        period = order.order_line.period_ids
        for quantity, is_credited in ((1, False), (2, True)):
            refund = self._reverse(move)
            refund.invoice_line_ids.quantity = quantity
            refund.action_post()
            self.assertEqual(period.is_credited, is_credited)

    def test_a_credit_note_over_the_quantity_at_a_lower_price_is_no_full_credit(self):
        order = self._create_order(confirm=True)
        refund = self._reverse(self._bill('2026-01-31'))
        refund.invoice_line_ids.price_unit = 10.0
        refund.action_post()
        self.assertFalse(order.order_line.period_ids.is_credited)

    def test_an_undone_credit_note_counts_no_more(self):
        order = self._create_order(confirm=True)
        refund = self._reverse(self._bill('2026-01-31'))
        refund.action_post()
        refund.button_draft()
        self.assertFalse(order.order_line.period_ids.is_credited)
        refund.action_post()
        self.assertTrue(order.order_line.period_ids.is_credited)
        refund.button_draft()
        refund.button_cancel()
        self.assertFalse(order.order_line.period_ids.is_credited)

    def test_a_credited_period_can_be_left_out(self):
        order = self._create_order(confirm=True)
        self._reverse(self._bill('2026-01-31')).action_post()
        order.order_line.period_ids.action_leave_out()
        self.assertEqual(self._get_ledger(order, 'state', 'amount'), [('waived', 0.0)])
        self.assertEqual(len(self._bill('2026-02-28')), 1)

    def test_a_credit_note_gives_no_more_back_than_is_left(self):
        order = self._create_order(confirm=True)
        invoice = self._bill('2026-01-31')
        with freeze_time('2026-02-13 10:00:00'):
            order._plan_closing(self.reason, money='credit')  # 14 of 28 days are left
            refund = self._reverse(invoice)
            with self.assertRaisesRegex(UserError, r"15\.00.* at the most.*cancel RINV"):
                refund.action_post()
            refund.invoice_line_ids.price_unit = 15.0
            refund.action_post()
        self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 0.0)

    def test_days_for_which_no_money_is_left_are_given_back_too(self):
        order = self._create_order(confirm=True)
        refund = self._reverse(self._bill('2026-01-31'))
        refund.invoice_line_ids.price_unit = 20.0
        refund.action_post()
        order._plan_closing(self.reason, money='credit')  # 27 of 28 days, but 10 of 30 are left
        days = Date.to_date('2026-01-31'), Date.to_date('2026-02-28')
        self.assertEqual(
            [(vals['state'], str(vals['date_end']), vals['amount'], vals['price_unit'])
             for vals in order.order_line._prepare_credit_periods(*days)],
            [('billed', '2026-02-01', 0.0, 0.0)])

    def test_an_invoice_of_which_days_were_given_back_can_be_modified(self):
        order = self._create_order(confirm=True)
        invoice = self._bill('2026-01-31')
        with freeze_time('2026-02-13 10:00:00'):
            order._plan_closing(self.reason, money='credit')
            self._reverse(invoice, is_modify=True).action_post()
        self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 15.0)
        self.assertEqual(self._get_billed_amount(order), 15.0)

    def test_modify_moves_the_periods_to_the_new_draft(self):
        order = self._create_order(self.service, self.support, start_date='2025-12-31', confirm=True)
        moves = self._bill('2026-01-31')
        drafts = self._reverse(moves, is_modify=True)
        periods = order.order_line.period_ids
        self.assertEqual(periods.invoice_id, drafts)
        self.assertEqual(set(periods.mapped('state')), {'billed'})
        self.assertFalse(any(periods.mapped('is_credited')))
        self.assertFalse(self._bill('2026-01-31'))
        drafts[0].invoice_line_ids[0].price_unit = 20.0
        drafts.action_post()
        self.assertEqual(sum(periods.mapped('amount')), 290.0)
        self._assert_ledgers_hold(order)

    def test_a_billed_period_is_neither_billed_again_nor_left_out(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        period = order.order_line.period_ids
        with self.assertRaisesRegex(UserError, "credited can be billed again"):
            period.action_bill_again()
        with self.assertRaisesRegex(UserError, "credit note first"):
            period.action_leave_out()

    def test_the_period_of_a_deleted_draft_can_be_left_out(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_order(confirm=True)
        self._bill('2026-01-31').unlink()
        order.order_line.period_ids.action_leave_out()
        self.assertFalse(self._bill('2026-01-31'))
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))

    def test_the_next_period_can_be_left_out_beforehand(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'plan_id': self.quarterly.id}, confirm=True)
        self._bill('2026-01-31')
        order.action_leave_out_next_period()
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-03-31'))
        self.assertFalse(self._bill('2026-02-28'))
        self.assertEqual(self._bill('2026-03-31').amount_untaxed, 30.0)
        self.assertEqual(order.mrr, 70.0, "Nothing was given up for good")
        self.assertTrue(any("02/28/2026 – 03/30/2026" in message.body for message in order.message_ids))
        self._assert_ledgers_hold(order)

    def test_strangers_touch_no_period(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        stranger = new_test_user(self.env, 'stranger', groups='sales_team.group_sale_salesman')
        other = new_test_user(self.env, 'other', groups='sales_team.group_sale_salesman')
        order.user_id = other
        for method in ('action_bill_again', 'action_leave_out'):
            with self.subTest(method=method), self.assertRaises(AccessError):
                getattr(order.order_line.period_ids.with_user(stranger), method)()
        with self.assertRaises(AccessError):
            order.with_user(stranger).action_leave_out_next_period()

    # === CREDIT NOTES OF THE LEDGER === #

    def _pause_and_reverse(self):
        """Pause a paid contract for 14 of 28 days, then reverse the credit note which that made."""
        self.monthly.pause_policy = 'credit'
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        with freeze_time('2026-02-14 10:00:00'):
            order._pause_subscriptions()
        note = order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        self.assertEqual(note.amount_untaxed, 15.0)
        reversal = self._reverse(note)
        reversal.action_post()
        self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 30.0)
        return order, order.order_line.period_ids.filtered(lambda row: row.kind == 'credit'), reversal

    def test_a_reversed_credit_of_the_ledger_counts_no_more(self):
        order, credit, _reversal = self._pause_and_reverse()
        self.assertEqual((credit.is_credited, credit.billing_status), (True, 'reversed'))
        with freeze_time('2026-02-21 10:00:00'):
            order._resume_subscriptions()
        self.assertEqual(
            sum(order.invoice_ids.mapped('amount_untaxed_signed')), 30.0, "The days were paid: they cost nothing again")
        self.assertEqual(len(self._bill('2026-02-28')), 1)
        self._assert_ledgers_hold(order)

    def test_days_whose_credit_was_reversed_can_be_given_back_anew(self):
        order, _credit, _reversal = self._pause_and_reverse()
        with freeze_time('2026-02-21 10:00:00'):
            order._plan_closing(self.reason, money='credit')
        self.assertEqual(
            sum(order.invoice_ids.mapped('amount_untaxed_signed')), 23.57, "6 of 28 days follow the last one")
        self._assert_ledgers_hold(order)

    def test_a_reversed_credit_can_be_given_again_by_hand(self):
        order, credit, _reversal = self._pause_and_reverse()
        credit.action_bill_again()
        self.assertEqual((credit.state, credit.is_credited), ('open', False))
        self._bill('2026-02-15', order)
        self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 15.0)

    def _close_and_reverse(self):
        """Close a contract with money back, and reverse the credit note."""
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        with freeze_time('2026-02-13 10:00:00'):
            order._plan_closing(self.reason, money='credit')
        self._reverse(order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')).action_post()
        return order, order.order_line.period_ids.filtered(lambda row: row.kind == 'credit')

    def test_a_reversed_credit_of_a_closed_contract_is_given_again_by_the_next_run(self):
        order, credit = self._close_and_reverse()
        self.assertFalse(order.next_invoice_date)
        credit.action_bill_again()
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-14'))
        self._bill('2026-02-15')
        self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 15.0)
        self.assertRecordValues(order, [{'next_invoice_date': False, 'subscription_state': 'closed'}])
        self._assert_ledgers_hold(order)

    def test_days_which_are_about_to_be_given_back_again_are_charged_after_a_reopening(self):
        order, credit = self._close_and_reverse()
        credit.action_bill_again()
        with freeze_time('2026-02-21 10:00:00'):
            order._reopen_subscriptions()
        self._bill('2026-02-21')
        self.assertEqual(
            sum(order.invoice_ids.mapped('amount_untaxed_signed')), 22.5, "7 of 28 days weren't served")
        self._assert_ledgers_hold(order)

    def test_a_credit_counts_again_when_its_reversal_is_undone(self):
        order, credit, reversal = self._pause_and_reverse()
        reversal.button_draft()
        reversal.button_cancel()
        self.assertEqual((credit.is_credited, credit.billing_status), (False, 'given_back'))
        self.assertEqual(self._get_billed_amount(order), 15.0)

    def test_a_credit_does_not_count_again_when_the_period_was_credited_otherwise(self):
        order, _credit, reversal = self._pause_and_reverse()
        invoice = order.invoice_ids.sorted('id')[:1]
        self._reverse(invoice).action_post()
        with self.assertRaisesRegex(UserError, "given back twice"), self.env.cr.savepoint():
            reversal.button_draft()

    def test_an_invoice_counts_again_when_its_credit_note_is_reversed(self):
        order = self._create_order(confirm=True)
        refund = self._reverse(self._bill('2026-01-31'))
        refund.action_post()
        period = order.order_line.period_ids
        period.action_leave_out()
        self._reverse(refund).action_post()
        self.assertEqual((period.state, period.is_credited, period.amount), ('billed', False, 30.0))
        self._assert_ledgers_hold(order)

    def test_an_invoice_does_not_count_again_when_its_periods_were_billed_again(self):
        order = self._create_order(confirm=True)
        first = self._bill('2026-01-31')
        refund = self._reverse(first)
        refund.action_post()
        order.order_line.period_ids.action_bill_again()
        self._bill('2026-01-31')
        second = order.invoice_ids.filtered(lambda move: move.move_type == 'out_invoice').sorted('id')[-1:]
        reversal = self._reverse(refund)
        with self.assertRaisesRegex(UserError, f"billed by {second.name} .*since"), self.env.cr.savepoint():
            reversal.action_post()
        with self.assertRaisesRegex(UserError, f"billed by {second.name} .*since"), self.env.cr.savepoint():
            refund.button_draft()
        self._reverse(second).action_post()
        reversal.action_post()
        period = order.order_line.period_ids
        self.assertEqual((period.state, period.is_credited, period.invoice_id), ('billed', False, first))
        self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed_signed')), 30.0)
        self._assert_ledgers_hold(order)

    def test_a_credit_note_can_be_undone_while_nothing_else_bills_its_periods(self):
        order = self._create_order(confirm=True)
        first = self._bill('2026-01-31')
        refund = self._reverse(first)
        refund.action_post()
        period = order.order_line.period_ids
        period.action_bill_again()
        self.monthly.collection_mode = order.collection_mode = 'draft'
        self._bill('2026-01-31').unlink()
        self.assertEqual((period.state, period.invoice_id.id), ('open', False))
        refund.button_draft()
        refund.unlink()
        self.assertEqual((period.state, period.invoice_id), ('billed', first))
        self.assertFalse(self._bill('2026-01-31'))

    def test_a_document_which_is_reversed_is_not_undone_before_its_reversal(self):
        order, credit, reversal = self._pause_and_reverse()
        with self.assertRaisesRegex(UserError, f"is reversed by {reversal.name}"), self.env.cr.savepoint():
            credit.invoice_id.button_draft()
        reversal.button_draft()
        credit.invoice_id.button_draft()
        self.assertEqual(credit.billing_status, 'draft')
        self._assert_ledgers_hold(order)

    def test_days_are_not_given_back_twice_by_reversals_of_reversals(self):
        order, _credit, reversal = self._pause_and_reverse()
        self._reverse(order.invoice_ids.sorted('id')[:1]).action_post()
        with self.assertRaisesRegex(UserError, "given back twice"), self.env.cr.savepoint():
            self._reverse(reversal).action_post()

    def test_days_are_not_given_back_again_when_their_period_was_credited(self):
        order, credit, _reversal = self._pause_and_reverse()
        self._reverse(order.invoice_ids.sorted('id')[:1]).action_post()
        with self.assertRaisesRegex(UserError, "given back twice"), self.env.cr.savepoint():
            credit.action_bill_again()

    def test_a_credit_is_not_reversed_when_its_days_were_charged_again(self):
        self.monthly.pause_policy = 'credit'
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        with freeze_time('2026-02-14 10:00:00'):
            order._pause_subscriptions()
        with freeze_time('2026-02-21 10:00:00'):
            order._resume_subscriptions()
        note = order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        with self.assertRaisesRegex(UserError, "paid twice from 02/21/2026"), self.env.cr.savepoint():
            self._reverse(note).action_post()
