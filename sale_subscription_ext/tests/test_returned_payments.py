from unittest.mock import patch

from odoo.tests import freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.dunning_common import SubscriptionDunningCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-01 10:00:00')
class TestReturnedPayments(SubscriptionDunningCommon):
    """Money which had paid an invoice and went back: chargebacks, returned debits, payments undone."""

    def _create_paid(self, **values):
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id, **values)
        self._collect_on('2026-06-01')
        self.assertEqual((order.invoice_ids.payment_state, order.charge_state), ('paid', 'paid'))
        return order

    def _get_payment(self, order):
        return order.invoice_ids.transaction_ids.payment_id

    def test_a_payment_which_is_cancelled_fails_and_is_dunned_without_another_charge(self):
        order = self._create_paid()
        self._get_payment(order).action_cancel()
        self.assertEqual(order.charge_state, 'failed', "It isn't paid, whether the cron has noticed or not")
        self._collect_until('2026-06-20', '2026-07-05', times=2)
        move = order.invoice_ids
        self.assertRecordValues(move, [{'payment_state': 'not_paid', 'subscription_charge_state': 'failed'}])
        self.assertEqual(self._get_steps(move), [
            (0, '2026-06-20'), (3, '2026-06-23'), (7, '2026-06-27'), (14, '2026-07-04')])
        self.assertEqual(len(self.requests), 1, "Nobody is charged again by itself for what they took back")
        mails = self._get_mails(order, 'payment_failed')
        self.assertEqual(len(mails), 4)
        self.assertIn("the money went back", mails[0].body)
        self.assertIn(self.Link.search([('move_id', '=', move.id)])._get_url(), mails[0].body)

    def test_a_payment_without_a_journal_entry_which_is_rejected_closes_nothing_at_once(self):
        self.charged.auto_close_days = 10
        self.provider.journal_id.inbound_payment_method_line_ids.payment_account_id = False
        # As in databases with full accounting, where bank statements book what was paid.
        Move = type(self.env['account.move'])
        self.startPatcher(patch.object(Move, '_get_invoice_in_payment_state', lambda move: 'in_payment'))
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_on('2026-06-01')
        payment = self._get_payment(order)
        self.assertEqual((order.invoice_ids.payment_state, order.charge_state), ('in_payment', 'paid'))
        self.assertFalse(payment.move_id)
        payment.action_reject()
        self._collect_on('2026-06-20')
        self.assertEqual((order.charge_state, order.subscription_state), ('failed', 'progress'))
        self.assertEqual(self._get_steps(order.invoice_ids), [(0, '2026-06-20')])
        self._collect_on('2026-06-30')
        self.assertEqual(order.subscription_state, 'closed')

    def test_a_charge_which_its_provider_cancels_afterwards_is_money_which_went_back(self):
        order = self._create_paid()
        charge = self._get_charges(order)
        charge._set_canceled(extra_allowed_states=('done',))
        charge._post_process()
        self._collect_on('2026-06-20')
        self.assertEqual((order.invoice_ids.payment_state, order.charge_state), ('not_paid', 'failed'))
        self.assertIn("went back", self._get_story(order))
        self.assertNotIn("failed", self._get_story(order))
        self._collect_until('2026-06-21', '2026-06-30')
        self.assertEqual((len(self._get_steps(order.invoice_ids)), len(self.requests)), (3, 1))

    def test_what_the_customer_had_paid_online_shows_too_where_contracts_are_charged(self):
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id, collection_mode='send')
        order.collection_mode = 'charge'
        payment = self._create_transaction(
            'redirect', amount=30.0, currency_id=order.currency_id.id, reference="By the customer",
            invoice_ids=[(6, 0, order.invoice_ids.ids)])
        payment._set_done()
        payment._post_process()
        payment.payment_id.action_cancel()
        self._collect_on('2026-06-20')
        self.assertEqual((order.charge_state, order.invoice_ids.subscription_charge_state), ('failed', 'failed'))
        self.assertEqual((self._get_steps(order.invoice_ids), self.requests), ([(0, '2026-06-20')], []))

    def test_a_person_may_charge_what_went_back(self):
        order = self._create_paid()
        self._get_payment(order).action_cancel()
        self._collect_on('2026-06-20')
        order.invoice_ids._request_charge()
        self._collect_on('2026-06-20')
        self.assertEqual((order.invoice_ids.payment_state, order.charge_state), ('paid', 'paid'))
        self.assertEqual((len(self.requests), order.is_in_dunning), (2, False))

    def test_a_disputed_invoice_which_waits_for_its_charge_is_charged_once_it_is_released(self):
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        order.invoice_ids.action_toggle_block_payment()
        self._collect_on('2026-06-01')
        order.invoice_ids.action_toggle_block_payment()
        self._collect_on('2026-06-02')
        self.assertEqual((order.invoice_ids.payment_state, len(self.requests)), ('paid', 1))
        self.assertNotIn("went back", self._get_story(order))

    def test_what_had_paid_an_invoice_pays_the_draft_which_replaces_it(self):
        for price, charged in ((30.0, []), (20.0, []), (45.0, [15.0])):
            with self.subTest(price=price):
                order = self._create_paid()
                self.requests.clear()
                move = order.invoice_ids
                wizard = self.env['account.move.reversal'].with_context(
                    active_model='account.move', active_ids=move.ids).create({'journal_id': move.journal_id.id})
                draft = self.env['account.move'].browse(wizard.modify_moves()['res_id'])
                draft.invoice_line_ids.price_unit = price
                draft.action_post()
                self._collect_until('2026-06-01', '2026-06-03')
                self.assertEqual((draft.amount_residual, order.charge_state), (0.0, 'paid'))
                self.assertEqual([amount for _reference, amount in self.requests], charged)
                self.assertFalse(order.is_in_dunning)
                self._assert_ledgers_hold(order)
