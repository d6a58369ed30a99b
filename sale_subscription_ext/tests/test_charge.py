from datetime import datetime, timedelta

from odoo.exceptions import UserError, ValidationError
from odoo.tests import freeze_time, tagged
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestCharge(SubscriptionChargeCommon):
    """Invoices of contracts in mode `charge`: queued, charged, paid."""

    def test_an_invoice_is_posted_queued_and_charged(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        self.assertRecordValues(move, [{
            'state': 'posted', 'subscription_charge_state': 'waiting', 'payment_state': 'not_paid'}])
        self.assertEqual(order.charge_state, 'waiting')
        self._collect()
        self.assertRecordValues(move, [{
            'subscription_charge_state': 'done', 'subscription_charge_count': 1, 'payment_state': 'paid'}])
        self.assertEqual(order.charge_state, 'paid')
        self.assertEqual([amount for _reference, amount in self.requests], [30.0])
        charge = self._get_charges(order)
        self.assertRecordValues(charge, [{
            'state': 'done', 'operation': 'offline', 'token_id': self.token.id, 'subscription_invoice_id': move.id,
            'is_post_processed': True}])
        self.assertEqual((charge.invoice_ids, charge.sale_order_ids), (move, self.Order))
        self.assertEqual(move.amount_residual, 0.0)

    def test_collecting_again_charges_nothing_again(self):
        order = self._create_charged()
        self._bill('2026-06-16', order)
        self._collect()
        self._collect()
        self.assertEqual(len(self.requests), 1)

    def test_an_invoice_made_ahead_is_charged_when_its_period_begins(self):
        self.charged.invoice_lead_days = 10
        order = self._create_charged(start_date='2026-06-20')
        self._bill('2026-06-16', order)
        self._collect()
        self.assertFalse(self.requests)
        self.assertEqual(str(order.invoice_ids.subscription_charge_date), '2026-06-20')
        with freeze_time('2026-06-20 10:00:00'):
            self._collect()
        self.assertEqual(len(self.requests), 1)

    def test_a_contract_in_another_mode_is_not_charged(self):
        order = self._create_charged(plan=self.monthly)
        self._bill('2026-06-16', order)
        self._collect()
        self.assertFalse(self.requests)
        self.assertEqual(order.charge_state, 'none')

    def test_a_credit_is_used_before_the_rest_is_charged(self):
        order = self._create_charged(start_date='2026-05-16')
        first = self._bill('2026-05-16', order)
        self._collect()
        refund = first._reverse_moves([{'invoice_date': first.invoice_date}])
        refund.invoice_line_ids.price_unit = 10.0
        refund.action_post()
        self._bill('2026-06-16', order)
        self.requests.clear()
        self._collect()
        self.assertEqual([amount for _reference, amount in self.requests], [20.0])
        self.assertEqual(set(order.invoice_ids.mapped('amount_residual')), {0.0})

    def test_a_payment_by_another_way_stops_the_charge(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        self._pay(move)
        self.assertEqual(move.subscription_charge_state, 'done')
        self._collect()
        self.assertFalse(self.requests)

    def test_a_payment_between_queue_and_provider_stops_the_charge(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        charge = move._prepare_charge()
        self._pay(move)
        charge._send_charge()
        self.assertFalse(self.requests)
        self.assertEqual((charge.state, move.subscription_charge_state), ('cancel', 'done'))

    def test_a_part_paid_between_queue_and_provider_leaves_the_rest_to_charge(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        charge = move._prepare_charge()
        self._pay(move, 12.0)
        charge._send_charge()
        self.assertEqual((charge.state, move.subscription_charge_state), ('cancel', 'waiting'))
        self._collect()
        self.assertEqual([amount for _reference, amount in self.requests], [18.0])
        self.assertEqual(move.amount_residual, 0.0)

    def test_a_customer_who_pays_right_now_is_not_charged(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        payment = self._create_transaction(
            'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)], reference='Web')
        payment.flush_recordset()
        self.cr.execute("UPDATE payment_transaction SET create_date = %s", [datetime.now()])
        self.env.invalidate_all()
        self._collect()
        self.assertFalse(self.requests)
        self.cr.execute("UPDATE payment_transaction SET create_date = %s", [datetime.now() - timedelta(hours=2)])
        self.env.invalidate_all()
        self._collect()
        self.assertEqual(len(self.requests), 1, "A page which was left doesn't hold the charge up for ever")

    def test_a_payment_of_the_order_which_is_under_way_holds_the_charge(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        payment = self._create_transaction(
            'redirect', amount=30.0, currency_id=move.currency_id.id, sale_order_ids=[(6, 0, order.ids)],
            reference='Link', state='pending')
        payment.flush_recordset()
        for age, requests in ((timedelta(days=3), 0), (timedelta(days=15), 1)):
            self.cr.execute("UPDATE payment_transaction SET create_date = %s", [datetime.now() - age])
            self.env.invalidate_all()
            self._collect()
            self.assertEqual(len(self.requests), requests, "A transfer which nobody makes isn't waited for for ever")

    def test_an_invoice_which_a_person_confirms_is_charged_too(self):
        order = self._create_charged()
        move = order._create_invoices()
        self.assertEqual((move.state, move.subscription_charge_state), ('draft', False))
        move.action_post()
        self.assertEqual(move.subscription_charge_state, 'waiting')
        self._collect()
        self.assertEqual((move.payment_state, order.charge_state), ('paid', 'paid'))

    def test_a_contract_is_not_paid_while_a_later_invoice_is_neither_charged_nor_paid(self):
        order = self._create_charged()
        self._bill('2026-06-16', order)
        self._collect()
        self.assertEqual(order.charge_state, 'paid')
        order.collection_mode = 'send'
        later = self._bill('2026-07-16', order)
        self.assertEqual((later.subscription_charge_state, order.charge_state), (False, 'none'))
        later.action_toggle_block_payment()
        self.assertEqual(order.charge_state, 'none', "A disputed invoice isn't paid either")
        later.action_toggle_block_payment()
        self._pay(later)
        self.assertEqual(order.charge_state, 'paid')

    def test_a_contract_is_not_paid_while_the_draft_of_a_modified_invoice_is_not_confirmed(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        self._collect()
        wizard = self.env['account.move.reversal'].with_context(
            active_model='account.move', active_ids=move.ids).create({'journal_id': move.journal_id.id})
        draft = self.env['account.move'].browse(wizard.modify_moves()['res_id'])
        self.assertEqual((draft.state, order.charge_state), ('draft', 'none'))
        draft.action_post()
        self.assertEqual(order.charge_state, 'paid')

    def test_an_invoice_is_not_replaced_while_its_payment_is_under_way(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        self.answer = 'pending'
        self._collect()
        wizard = self.env['account.move.reversal'].with_context(
            active_model='account.move', active_ids=move.ids).create({'journal_id': move.journal_id.id})
        with self.assertRaisesRegex(UserError, "a payment for it is under way"):
            wizard.modify_moves()

    def test_a_contract_does_not_wait_for_an_invoice_which_was_cancelled(self):
        order = self._create_charged(payment_token_id=False)
        move = self._bill('2026-06-16', order)
        self._collect()
        self.assertEqual(order.charge_state, 'failed')
        move.button_draft()
        move.button_cancel()
        self.assertEqual(order.charge_state, 'none')

    def test_without_a_method_nothing_is_sent_and_the_contract_says_so(self):
        order = self._create_charged(payment_token_id=False)
        self._bill('2026-06-16', order)
        self._collect()
        self.assertFalse(self.requests)
        self.assertEqual(order.charge_state, 'failed')
        self.assertIn("no usable payment method", self._get_story(order))

    def test_switching_the_mode_takes_waiting_invoices_out_of_the_queue(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        order.collection_mode = 'send'
        self.assertFalse(move.subscription_charge_state)
        self._collect()
        self.assertFalse(self.requests)
        order.collection_mode = 'charge'
        self._collect()
        self.assertFalse(self.requests, "What was billed to be paid otherwise isn't charged by surprise")
        move._request_charge()
        self._collect()
        self.assertEqual(move.payment_state, 'paid')

    def test_a_method_of_somebody_else_is_refused(self):
        other = self._create_token(partner_id=self.env['res.partner'].create({'name': "Stranger"}).id)
        with self.assertRaisesRegex(ValidationError, "can't pay for"):
            self._create_charged(payment_token_id=other.id)

    def test_nothing_is_charged_in_a_copy_of_the_database(self):
        order = self._create_charged()
        self._bill('2026-06-16', order)
        self.env['ir.config_parameter'].sudo().set_param('database.is_neutralized', 'true')
        self._collect()
        self.assertFalse(self.requests)

    def test_a_renewal_is_charged_to_the_same_method(self):
        order = self._create_charged()
        self._bill('2026-06-16', order)
        renewal = self.Order.browse(order.action_renew()['res_id'])
        self.assertEqual((renewal.payment_token_id, renewal.collection_mode), (self.token, 'charge'))

    def test_contracts_with_different_methods_do_not_share_an_invoice(self):
        self.charged.consolidate = True
        second = self._create_token(payment_details="1111")
        orders = self._create_charged() | self._create_charged() | self._create_charged(payment_token_id=second.id)
        moves = self._bill('2026-06-16', orders)
        self.assertEqual(sorted(moves.mapped('amount_total')), [30.0, 60.0])
        self._collect()
        self.assertEqual(sorted(amount for _reference, amount in self.requests), [30.0, 60.0])

    def test_who_is_handed_a_contract_does_not_pay_what_was_billed_before(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        stranger = self.env['res.partner'].create({'name': "Stranger"})
        order._hand_over({'partner_id': stranger.id, 'partner_invoice_id': stranger.id})
        self.assertFalse(order.payment_token_id)
        self.assertIn("No payment method is saved", order.subscription_notice)
        order.payment_token_id = self._create_token(partner_id=stranger.id)
        self.assertFalse(move._get_charge_token())
        self._collect()
        self.assertEqual((self.requests, move.subscription_charge_state), ([], 'failed'))

    @mute_logger('odoo.sql_db')
    def test_the_database_refuses_a_second_open_charge_of_an_invoice(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        move._prepare_charge()
        with self.assertRaisesRegex(Exception, "one_open_charge"), self.cr.savepoint():
            self.Transaction.create({**move._prepare_charge_values(), 'reference': 'Again'})

    def test_a_requested_charge_says_why_it_cannot_be_made(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        self._collect()
        with self.assertRaisesRegex(UserError, "nothing left to charge"):
            move._request_charge()

    def _pay(self, move, amount=None):
        wizard = self.env['account.payment.register'].with_context(
            active_model='account.move', active_ids=move.ids).create({})
        if amount:
            wizard.amount = amount
        wizard._create_payments()
