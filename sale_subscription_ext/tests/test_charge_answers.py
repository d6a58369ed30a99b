from contextlib import suppress
from datetime import timedelta
from unittest.mock import patch

import requests
from psycopg2.errors import SerializationFailure

from odoo import fields
from odoo.exceptions import UserError, ValidationError
from odoo.tests import freeze_time, tagged
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.models.payment_provider import PaymentUnanswered
from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestChargeAnswers(SubscriptionChargeCommon):
    """What providers answer, or don't: a “no” fails, no answer is asked about again, nothing is charged twice."""

    def setUp(self):
        super().setUp()
        self.startPatcher(patch.dict(const.REPEATABLE_HOURS, {'none': 23}))

    def _charge(self, answer, order=None):
        order = order or self._create_charged()
        self.answer = answer
        if not order.invoice_ids:
            self._bill('2026-06-16', order)
        self._collect()
        return order

    def _wait(self, minutes=const.ASK_AGAIN_MINUTES + 1):
        """Let time pass for payments: their dates move back."""
        for tx in self.Transaction.search([('subscription_invoice_id', '!=', False)]):
            tx.subscription_sent_date -= timedelta(minutes=minutes)

    def test_a_decline_fails_the_charge_once_and_says_so(self):
        order = self._charge('decline')
        self.assertRecordValues(order.invoice_ids, [{
            'subscription_charge_state': 'failed', 'payment_state': 'not_paid', 'subscription_charge_count': 1}])
        self.assertEqual(order.charge_state, 'failed')
        self.assertIn("insufficient funds", self._get_story(order))
        self._collect()
        self.assertEqual(len(self.requests), 1, "A decline isn't tried again by itself")

    def test_what_the_provider_cancels_is_a_failure(self):
        order = self._charge('cancel')
        self._collect()
        self.assertEqual((len(self.requests), order.charge_state), (1, 'failed'))

    def test_a_decline_of_what_was_paid_otherwise_meanwhile_is_no_failure(self):
        order = self._charge('pending')
        self.env['account.payment.register'].with_context(
            active_model='account.move', active_ids=order.invoice_ids.ids).create({})._create_payments()
        self._get_charges(order)._set_error("No money")
        self._collect()
        self.assertEqual((order.charge_state, order.invoice_ids.subscription_charge_state), ('paid', 'done'))

    def test_the_hook_of_dunning_is_called_once_for_each_failed_payment(self):
        calls = []
        move_class = type(self.env['account.move'])
        handle = move_class._handle_charge_failure

        def note(move, transaction, is_hard):
            calls.append((move, transaction, is_hard))
            return handle(move, transaction, is_hard)

        with patch.object(move_class, '_handle_charge_failure', note):
            order = self._charge('decline')
            charge = self._get_charges(order)
            charge._post_process()
            charge._set_error("Again")
            charge._post_process()
        self.assertEqual(calls, [(order.invoice_ids, charge, False)])

    def test_after_a_decline_a_requested_charge_is_a_new_payment(self):
        order = self._charge('decline')
        order.invoice_ids._request_charge()
        self._charge('done', order)
        first, second = self._get_charges(order)
        self.assertEqual((first.state, second.state), ('error', 'done'))
        self.assertNotEqual(first.reference, second.reference)
        self.assertEqual(order.invoice_ids.payment_state, 'paid')

    def test_no_answer_keeps_the_payment_open(self):
        order = self._charge('timeout')
        self.assertRecordValues(self._get_charges(order), [{'state': 'pending', 'subscription_no_answer': True}])
        self.assertEqual((order.invoice_ids.subscription_charge_state, order.charge_state), ('unknown', 'unknown'))
        self.assertIn("did not answer", self._get_story(order))
        with self.assertRaisesRegex(UserError, "under way"):
            order.invoice_ids._request_charge()
        self.assertFalse(order.invoice_ids._has_to_be_paid(), "The customer can't pay a second time meanwhile")

    def test_no_answer_is_asked_about_with_the_same_payment(self):
        order = self._charge('timeout')
        self._collect()
        self.assertEqual(len(self.requests), 1, "Not at once")
        self._wait()
        self._charge('done', order)
        self.assertEqual(len(self.requests), 2)
        self.assertEqual(len(set(self.requests)), 1, "The same request under the same key")
        self.assertRecordValues(self._get_charges(order), [{'state': 'done', 'subscription_no_answer': False}])
        self.assertEqual((order.charge_state, order.invoice_ids.payment_state), ('paid', 'paid'))

    def test_a_no_to_the_second_question_is_a_decline(self):
        order = self._charge('timeout')
        self._wait()
        self._charge('decline', order)
        self.assertEqual((self._get_charges(order).state, order.charge_state), ('error', 'failed'))

    def test_a_second_answer_which_wants_the_customer_is_a_failure(self):
        order = self._charge('timeout')
        self._wait()
        self._charge('draft', order)
        self.assertEqual((self._get_charges(order).state, order.charge_state), ('error', 'failed'))
        self.assertIn("asks the customer to confirm", self._get_story(order))

    def test_a_second_answer_may_be_that_the_payment_takes_days(self):
        order = self._charge('timeout')
        self._wait()
        self._charge('pending', order)
        self.assertRecordValues(self._get_charges(order), [{'state': 'pending', 'subscription_no_answer': False}])
        self.assertEqual(order.charge_state, 'pending')

    def test_silence_is_told_once_however_often_the_provider_is_asked(self):
        order = self._charge('timeout')
        messages = len(order.message_ids), len(order.invoice_ids.message_ids)
        for _time in range(2):
            self._wait()
            self._charge('timeout', order)
        self.assertEqual(len(self.requests), 3)
        self.assertEqual((self._get_charges(order).state, order.charge_state), ('pending', 'unknown'))
        self.assertEqual((len(order.message_ids), len(order.invoice_ids.message_ids)), messages)

    def test_a_notification_answers_what_the_request_did_not(self):
        for state, charge_state in (('done', 'paid'), ('error', 'failed')):
            with self.subTest(state=state):
                order = self._charge('timeout', self._create_charged())
                charge = self._get_charges(order)
                with patch.object(type(charge), '_apply_updates', lambda tx, data: (
                        tx._set_done() if data['state'] == 'done' else tx._set_error("No money"))), \
                        patch.object(type(charge), '_extract_amount_data', lambda tx, data: None):
                    charge._process('none', {'state': state})
                    charge._process('none', {'state': state})
                charge._post_process()
                self.assertEqual((charge.state, order.charge_state), (state, charge_state))

    def test_late_and_duplicate_notifications_change_nothing(self):
        order = self._charge('done')
        charge = self._get_charges(order)
        messages = len(order.message_ids)
        with mute_logger('odoo.addons.payment.models.payment_transaction'):
            charge._set_done()
            charge._set_error("Late")
            charge._set_pending()
            charge._set_canceled()
        charge._post_process()
        self.assertEqual((charge.state, order.charge_state), ('done', 'paid'))
        self.assertEqual(len(order.invoice_ids.transaction_ids.payment_id), 1)
        self.assertEqual(len(order.message_ids), messages)

    def test_money_which_comes_after_a_decline_is_booked(self):
        order = self._charge('decline')
        charge = self._get_charges(order)
        charge._set_done()
        charge._post_process()
        self.assertEqual((order.charge_state, order.invoice_ids.amount_residual), ('paid', 0.0))

    def test_a_payment_which_takes_days_is_under_way(self):
        order = self._charge('pending')
        self.assertEqual((order.charge_state, order.invoice_ids.subscription_charge_state), ('pending', 'sent'))
        self._wait()
        self._collect()
        self.assertEqual(len(self.requests), 1, "It was answered: nothing is to be asked")
        self._get_charges(order)._set_done()
        self._collect()
        self.assertEqual(order.charge_state, 'paid')

    def test_a_payment_left_behind_by_a_killed_worker_is_asked_about(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        charge = move._prepare_charge()
        self._collect()
        self.assertFalse(self.requests, "Its worker may be at it")
        self._wait()
        self._collect()
        self.assertEqual(self.requests, [(charge.reference, 30.0)])
        self.assertEqual(order.charge_state, 'paid')

    def test_what_no_provider_can_be_asked_is_left_to_a_person(self):
        const.REPEATABLE_HOURS['none'] = 0
        order = self._charge('timeout')
        self._wait()
        self._charge('done', order)
        self.assertEqual((len(self.requests), order.charge_state), (1, 'unknown'))
        left_behind = self._create_charged()
        self._bill('2026-06-16', left_behind)._prepare_charge()
        self._wait()
        self._collect()
        self.assertEqual((len(self.requests), left_behind.charge_state), (1, 'unknown'))

    def test_a_key_which_may_have_been_forgotten_is_not_used_again(self):
        order = self._charge('timeout')
        self._wait()
        with freeze_time(fields.Datetime.now() + timedelta(hours=24)):
            self._charge('done', order)
        self.assertEqual((len(self.requests), order.charge_state), (1, 'unknown'))

    def test_what_was_paid_otherwise_meanwhile_is_not_asked_for_again(self):
        order = self._charge('timeout')
        self.env['account.payment.register'].with_context(
            active_model='account.move', active_ids=order.invoice_ids.ids).create({})._create_payments()
        self.assertEqual(order.charge_state, 'unknown', "Money may have been taken: a person has to look")
        self._wait()
        self._charge('done', order)
        self.assertEqual((len(self.requests), order.charge_state), (1, 'unknown'))

    def test_an_answer_which_is_not_understood_is_no_answer(self):
        def fail(tx):
            raise KeyError('status')

        with mute_logger('odoo.addons.sale_subscription_ext.models.subscription_charge_transaction_mixin'):
            order = self._charge(fail)
        self.assertEqual(order.charge_state, 'unknown')

    def test_a_customer_cannot_begin_to_pay_what_is_being_charged(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        move._prepare_charge()
        self.assertFalse(move._has_to_be_paid())
        with self.assertRaisesRegex(ValidationError, "being charged"):
            self._create_transaction(
                'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)])

    def test_no_answer_to_a_customer_who_pays_with_a_saved_method_is_asked_about_too(self):
        order = self._create_order(plan=self.monthly, confirm=True)
        move = self._bill('2026-06-16', order)
        payment = self._create_transaction(
            'token', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)],
            token_id=self.token.id, reference='Web', partner_id=self.partner.id)
        self.answer = 'timeout'
        payment._charge_with_token()
        payment._post_process()
        self.assertEqual((payment.state, order.charge_state), ('pending', 'unknown'))
        self._wait()
        self.answer = 'done'
        self._collect()
        self.assertEqual((len(set(self.requests)), move.payment_state, order.charge_state), (1, 'paid', 'paid'))

    def test_a_decline_of_a_customer_who_pays_online_fails_nothing(self):
        order = self._create_order(plan=self.monthly, confirm=True)
        move = self._bill('2026-06-16', order)
        payment = self._create_transaction(
            'token', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)],
            token_id=self.token.id, reference='Web', partner_id=self.partner.id)
        self.answer = 'decline'
        payment._charge_with_token()
        payment._post_process()
        self.assertEqual((payment.state, order.charge_state, move.subscription_charge_state), ('error', 'none', False))

    def test_a_payment_which_the_customer_has_to_confirm_fails(self):
        order = self._charge('draft')
        self.assertEqual(order.charge_state, 'failed')
        self.assertIn("asks the customer to confirm", self._get_story(order))

    def test_a_hard_decline_is_not_tried_again_with_the_same_method(self):
        order = self._charge('hard')
        move = order.invoice_ids
        self.assertEqual(move.subscription_charge_state, 'refused')
        with self.assertRaisesRegex(UserError, "refused the payment method .* for good"):
            move._request_charge()
        order.payment_token_id = self._create_token(payment_details="1111")
        move._request_charge()
        self._charge('done', order)
        self.assertEqual(move.payment_state, 'paid')

    def test_an_invoice_is_tried_fifteen_times_at_most_in_thirty_days(self):
        order = self._charge('decline')
        move = order.invoice_ids
        for _try in range(const.MAX_CHARGES - 1):
            move._request_charge()
            self._collect()
        self.assertEqual(len(self.requests), const.MAX_CHARGES)
        with self.assertRaisesRegex(UserError, "tried 15 times in 30 days"):
            move._request_charge()
        with freeze_time('2026-07-17 10:00:00'):
            self.assertFalse(move._get_charge_limit_error())

    def test_a_booking_which_fails_is_made_up_for(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        with patch.object(type(self.Transaction), '_create_payment', side_effect=UserError("Locked")):
            charge = move._prepare_charge()
            with patch.object(self.cr, 'rollback', lambda: None), mute_logger(
                    'odoo.addons.sale_subscription_ext.models.subscription_charge_transaction_mixin'):
                charge._send_charge()
        self.assertEqual(charge.state, 'done')
        charge.is_post_processed = False
        charge.subscription_settled_state = False
        self._collect()
        self.assertEqual((len(self.requests), move.payment_state, order.charge_state), (1, 'paid', 'paid'))

    def test_a_worker_goes_on_when_another_one_was_faster_at_locking(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        lock, calls = type(move)._lock_next_charge, []

        def lock_late(moves, last_id):
            calls.append(last_id)
            if len(calls) == 1:
                raise SerializationFailure("could not serialize access due to concurrent update")
            return lock(moves, last_id)

        with patch.object(type(move), '_lock_next_charge', lock_late), patch.object(
                self.cr, 'rollback', lambda: None), patch('time.sleep'):
            self._collect()
        self.assertEqual((len(self.requests), move.payment_state), (1, 'paid'))

    def test_workers_who_are_always_late_leave_the_rest_to_the_others(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        with patch.object(type(move), '_lock_next_charge', side_effect=SerializationFailure), patch.object(
                self.cr, 'rollback', lambda: None), patch('time.sleep'):
            self.assertTrue(self.Order._charge_due_invoices())
        self.assertEqual((self.requests, move.subscription_charge_state), ([], 'waiting'))

    def test_money_which_goes_back_shows_on_the_contract_and_is_not_charged_again(self):
        order = self._charge('done')
        order.invoice_ids.transaction_ids.payment_id.move_id.line_ids.remove_move_reconcile()
        self._collect()
        self.assertEqual((order.charge_state, len(self.requests)), ('failed', 1))
        self.assertIn("went back", self._get_story(order))


@tagged('post_install', '-at_install')
class TestProviderRequests(SubscriptionChargeCommon):
    """The request layer tells no answer from a “no”."""

    def _request(self, outcome):
        with patch.object(requests, 'request', side_effect=[outcome]), \
                mute_logger('odoo.addons.payment.models.payment_provider'):
            return self.provider._send_api_request('POST', 'payments', reference='S1')

    def _respond(self, status, text):
        response = requests.Response()
        response.status_code = status
        response._content = text.encode()
        response.url = 'https://provider.example.com'
        return response

    def test_no_answer(self):
        for outcome in (
            requests.exceptions.ConnectTimeout(), requests.exceptions.ReadTimeout(),
            requests.exceptions.ConnectionError(), self._respond(500, "Oops"), self._respond(503, ""),
            self._respond(409, "{}"), self._respond(429, "{}"), self._respond(200, "<html>"),
            self._respond(400, '{"error": {"type": "idempotency_error"}}'),
        ):
            with self.subTest(outcome=repr(outcome)), self.assertRaises(PaymentUnanswered):
                self._request(outcome)

    def test_a_no(self):
        for outcome in (self._respond(402, '{"error": "declined"}'), self._respond(401, "{}"), self._respond(404, "")):
            with self.subTest(outcome=repr(outcome)), self.assertRaises(ValidationError) as error:
                self._request(outcome)
            self.assertNotIsInstance(error.exception, PaymentUnanswered)

    def test_an_answer(self):
        self.assertEqual(self._request(self._respond(200, '{"status": "paid"}')), {'status': 'paid'})

    def test_a_payment_remembers_what_its_provider_said(self):
        order = self._create_charged()
        charge = self._bill(str(order.next_invoice_date), order)._prepare_charge()
        for outcome, no_answer, is_hard in (
            (requests.exceptions.ReadTimeout(), True, False),
            (self._respond(402, '{"error": {"decline_code": "stolen_card"}}'), False, True),
            (self._respond(402, '{"error": {"decline_code": "insufficient_funds"}}'), False, False),
        ):
            with patch.object(requests, 'request', side_effect=[outcome]), \
                    mute_logger('odoo.addons.payment.models.payment_provider'), \
                    suppress(ValidationError):
                charge._send_api_request('POST', 'payments')
                self.fail("It must raise")
            self.assertEqual(
                (charge.subscription_no_answer, charge.subscription_hard_decline), (no_answer, is_hard))

    def test_asked_again_only_a_decline_is_a_no(self):
        order = self._create_charged()
        charge = self._bill(str(order.next_invoice_date), order)._prepare_charge()
        for status, no_answer in ((401, True), (422, True), (402, False)):
            charge.subscription_no_answer = True
            with patch.object(requests, 'request', side_effect=[self._respond(status, "{}")]), \
                    mute_logger('odoo.addons.payment.models.payment_provider'), \
                    suppress(ValidationError):
                charge._send_api_request('POST', 'payments')
                self.fail("It must raise")
            self.assertEqual(charge.subscription_no_answer, no_answer, status)
