from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import ValidationError
from odoo.tests import freeze_time, new_test_user, tagged
from odoo.tools import mute_logger
from odoo.tools.safe_eval import safe_eval

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.models.payment_provider import PaymentUnanswered
from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon

# What the provider says when it refuses to send money back.
REFUSAL = "The account was closed."


@tagged('post_install', '-at_install')
@freeze_time('2026-06-11 10:00:00')
class TestRefund(SubscriptionChargeCommon):
    """Money which goes back the way it came: once, and whoever doesn't answer may have sent it."""

    def setUp(self):
        super().setUp()
        self.refunds = []

        def refund(tx):
            self._send_back(tx)

        self.startPatcher(patch.object(type(self.Transaction), '_send_refund_request', refund))
        self.startPatcher(patch.object(
            type(self.env['account.payment']), '_compute_amount_available_for_refund',
            lambda payments: payments.update({'amount_available_for_refund': 30.0})))
        self.boss = new_test_user(self.env, 'boss', 'sales_team.group_sale_manager')
        with freeze_time('2026-06-01 10:00:00'):
            self.order = self._create_charged()
            self.move = self._bill('2026-06-01', self.order)
            self._collect()
        self.charge = self._get_charges(self.order)

    def _send_back(self, tx):
        """Answer as the provider which is asked to send money back."""
        self.refunds.append((tx.reference, tx.amount))
        if self.answer == 'timeout':
            error = PaymentUnanswered("Could not establish the connection to the payment provider.")
            tx._note_answer(error)
            raise error
        if self.answer == 'garbled':
            raise KeyError('status')
        tx._note_answer()
        if self.answer == 'decline':
            raise ValidationError(REFUSAL)
        if self.answer == 'done':
            tx._set_done()

    def _refund(self, answer):
        """Close the contract, give the unused rest of the period back, and return the credit note and its refund."""
        self.order._close_subscriptions(self.reason, money='refund')
        credit = self.order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        self.provider.support_refund = 'partial'
        self.answer = answer
        self._run_refunds()
        return credit, credit.transaction_ids

    def _run_refunds(self):
        self.env['account.move']._refund_wanted()

    def _is_listed(self, move):
        action = self.env['ir.actions.act_window']._for_xml_id('sale_subscription_ext.account_move_action_resolve')
        return move in self.env['account.move'].with_user(self.boss).search(safe_eval(action['domain']))

    def test_a_refund_is_sent_once_and_booked(self):
        credit, refund = self._refund('done')
        self._run_refunds()
        self.assertEqual(self.refunds, [(refund.reference, -19.0)])  # 30 × 19/30
        self.assertEqual((refund.state, credit.subscription_refund_state), ('done', 'sent'))
        self.assertEqual((credit.payment_state, refund.payment_id.amount), ('paid', 19.0))
        self.assertFalse(self._is_listed(credit))

    def test_no_answer_to_a_refund_is_left_to_a_person_and_never_sent_again(self):
        for answer in ('timeout', 'garbled'):
            with self.subTest(answer=answer), self.env.cr.savepoint() as savepoint, \
                    mute_logger('odoo.addons.sale_subscription_ext.models.subscription_charge_transaction_mixin'):
                credit, refund = self._refund(answer)
                self._run_refunds()
                self._collect()
                self.assertRecordValues(refund, [{'state': 'pending', 'subscription_no_answer': True}])
                self.assertEqual((credit.subscription_refund_state, credit.payment_state), ('unknown', 'not_paid'))
                self.assertIn("did not say whether it did", credit.subscription_charge_message)
                self.assertIn(refund.reference, self._get_story(self.order))
                self.assertTrue(self._is_listed(credit))
                self.assertFalse(self.order.activity_ids)
                self.assertEqual(len(self.refunds), 1)
                savepoint.rollback()
                self.refunds.clear()

    def test_a_refund_without_an_answer_pays_no_other_invoice(self):
        credit, _refund = self._refund('timeout')
        self.order._reopen_subscriptions()
        self._bill('2026-07-01', self.order)
        self.answer = 'done'
        self._collect()
        self.assertEqual(credit.amount_residual, 19.0, "Who knows whether the customer has it already")

    def test_it_was_refunded(self):
        credit, refund = self._refund('timeout')
        credit.with_user(self.boss).action_confirm_charged()
        self.assertEqual((refund.state, credit.payment_state), ('done', 'paid'))
        self.assertEqual(credit.subscription_refund_state, 'sent')
        self.assertFalse(self._is_listed(credit))

    def test_it_was_not_refunded_and_a_person_is_asked_to_do_it(self):
        credit, refund = self._refund('timeout')
        credit.with_user(self.boss).action_confirm_not_charged()
        self.assertEqual((refund.state, credit.subscription_refund_state), ('error', 'manual'))
        self.assertIn("by hand", self.order.activity_ids.note)
        self._run_refunds()
        self.assertEqual(len(self.refunds), 1)

    def test_a_refusal_is_a_persons_matter_and_says_why(self):
        credit, refund = self._refund('decline')
        self.assertEqual((refund.state, credit.subscription_refund_state), ('error', 'manual'))
        self.assertFalse(self._is_listed(credit))
        self.assertEqual(len(self.order.activity_ids), 1)
        self.assertIn(REFUSAL, self.order.activity_ids.note)
        self._run_refunds()
        self.assertEqual(len(self.refunds), 1)

    def test_a_provider_which_was_switched_off_is_not_asked(self):
        self.order._close_subscriptions(self.reason, money='refund')
        self.provider.support_refund = 'partial'
        credit = self.order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        refund = credit._prepare_refunds()
        self.provider.state = 'disabled'
        refund._send_wanted_refund()
        self.assertEqual((self.refunds, refund.state, credit.subscription_refund_state), ([], 'error', 'manual'))

    def test_a_refund_which_takes_days_waits_for_its_event(self):
        credit, refund = self._refund('accepted')
        self.assertEqual((refund.state, credit.subscription_refund_state), ('pending', 'sent'))
        refund._set_done()
        refund._post_process()
        self.assertEqual((credit.payment_state, credit.subscription_refund_state), ('paid', 'sent'))
        refund._set_error(REFUSAL, extra_allowed_states=('done',))
        refund._post_process()
        self.assertEqual(credit.subscription_refund_state, 'manual', "The money came back to us")
        self.assertEqual(len(self.order.activity_ids), 1)

    def test_a_refund_left_behind_by_a_killed_worker_is_a_persons_matter(self):
        self.order._close_subscriptions(self.reason, money='refund')
        self.provider.support_refund = 'partial'
        credit = self.order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        refund = credit._prepare_refunds()
        self._collect()
        self.assertEqual(refund.state, 'draft', "Its worker may be at it")
        refund.subscription_sent_date = fields.Datetime.now() - timedelta(minutes=const.ASK_AGAIN_MINUTES + 1)
        self._collect()
        self.assertEqual((refund.state, credit.subscription_refund_state, self.refunds), ('pending', 'unknown', []))

    def test_what_a_notification_says_of_a_refund_is_about_the_one_without_an_answer(self):
        credit, refund = self._refund('timeout')
        other = self.charge._create_child_transaction(5.0, is_refund=True)
        self.assertNotEqual(other, refund)
        found = self.charge._create_child_transaction(19.0, is_refund=True, provider_reference='re_1')
        self.assertEqual((found, found.provider_reference), (refund, 're_1'))
        refund._note_answer()
        refund._set_done()
        refund._post_process()
        self.assertEqual((credit.payment_state, credit.subscription_refund_state), ('paid', 'sent'))
        self.assertNotEqual(self.charge._create_child_transaction(19.0, is_refund=True), refund)
