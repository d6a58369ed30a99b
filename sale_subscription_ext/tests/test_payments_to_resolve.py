from datetime import timedelta
from unittest.mock import patch

from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import Form, freeze_time, new_test_user, tagged
from odoo.tools import mute_logger
from odoo.tools.misc import file_path
from odoo.tools.safe_eval import safe_eval

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestPaymentsToResolve(SubscriptionChargeCommon):
    """What people without the developer mode can do about money which doesn't come in by itself."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.seller = new_test_user(cls.env, 'seller', 'sales_team.group_sale_salesman')
        cls.boss = new_test_user(cls.env, 'boss', 'sales_team.group_sale_manager')

    def _create_failed(self, answer='decline', **values):
        order = self._create_charged(user_id=self.seller.id, **values)
        self.answer = answer
        self._bill('2026-06-16', order)
        self._collect()
        self.answer = 'done'
        return order.invoice_ids

    def _let_pass(self, move, days):
        """Let days pass for the payment of an invoice, and collect."""
        move.transaction_ids.subscription_charge_time -= timedelta(days=days)
        self._collect()

    def _get_list(self, user):
        action = self.env['ir.actions.act_window']._for_xml_id('sale_subscription_ext.account_move_action_resolve')
        return self.env['account.move'].with_user(user).search(safe_eval(action['domain']))

    def test_the_list_holds_what_failed_or_is_unknown_and_says_why(self):
        failed, unknown = self._create_failed(), self._create_failed('timeout')
        paid = self._create_failed('done')
        moves = self._get_list(self.seller)
        self.assertEqual(moves & (failed | unknown | paid), failed | unknown)
        self.assertEqual(
            failed.with_user(self.seller).subscription_charge_message, "Your card has insufficient funds.")
        self.assertIn("did not say what became of it", unknown.with_user(self.seller).subscription_charge_message)
        self.assertEqual(
            failed.with_user(self.seller).subscription_order_ids.ids, failed._get_subscriptions().ids)

    def test_charging_again(self):
        move = self._create_failed()
        move.with_user(self.seller).action_charge_again()
        self.assertEqual(move.subscription_charge_state, 'waiting')
        self._collect()
        self.assertEqual(move.payment_state, 'paid')
        self.assertNotIn(move, self._get_list(self.seller))

    def test_asking_the_provider(self):
        move = self._create_failed('timeout')
        with self.assertRaisesRegex(UserError, "can't be asked again"):
            move.with_user(self.seller).action_ask_provider()
        with patch.dict(const.REPEATABLE_HOURS, {'none': 23}):
            move.with_user(self.seller).action_ask_provider()
            self._collect()
        self.assertEqual((len(set(self.requests)), len(self.requests), move.payment_state), (1, 2, 'paid'))

    def test_it_was_charged(self):
        move = self._create_failed('timeout')
        with self.assertRaisesRegex(UserError, "Only accountants"):
            move.with_user(self.seller).action_confirm_charged()
        move.with_user(self.boss).action_confirm_charged()
        self.assertEqual((move.payment_state, move.subscription_charge_state), ('paid', 'done'))
        self.assertEqual(len(self.requests), 1)

    def test_it_was_not_charged_and_money_which_turns_up_is_still_booked(self):
        move = self._create_failed('timeout')
        move.with_user(self.boss).action_confirm_not_charged()
        self.assertEqual((move.payment_state, move.subscription_charge_state), ('not_paid', 'failed'))
        charge = move.transaction_ids
        charge._set_done()
        charge._post_process()
        self.assertEqual((move.payment_state, move.subscription_charge_state), ('paid', 'done'))

    def test_a_payment_which_is_processed_for_ever_is_listed_and_says_since_when(self):
        move = self._create_failed('pending')
        order = move._get_subscriptions()
        self._let_pass(move, const.PENDING_DAYS - 1)
        self.assertNotIn(move, self._get_list(self.seller))
        self.assertEqual(order.charge_state, 'pending')
        self._let_pass(move, 1)
        self.assertIn(move, self._get_list(self.seller))
        self.assertEqual(order.charge_state, 'unknown')
        self.assertIn("processing the payment since 06/02/2026", move.subscription_charge_message)
        messages = len(order.message_ids)
        self._let_pass(move, 1)
        self.assertEqual((len(order.message_ids), len(self.requests)), (messages, 1))
        with self.assertRaisesRegex(UserError, "can't be asked again"):
            move.with_user(self.seller).action_ask_provider()

    def test_a_payment_which_was_processed_for_too_long_may_turn_out_either_way(self):
        charged, refused, late = (self._create_failed('pending') for _i in range(3))
        for move in charged | refused | late:
            self._let_pass(move, const.PENDING_DAYS)
        charged.with_user(self.boss).action_confirm_charged()
        refused.with_user(self.boss).action_confirm_not_charged()
        late.transaction_ids._note_answer()
        late.transaction_ids._set_done()
        self._collect()
        self.assertEqual([move.payment_state for move in (charged, refused, late)], ['paid', 'not_paid', 'paid'])
        self.assertEqual((charged | refused | late) & self._get_list(self.seller), refused)
        self.assertEqual(len(self.requests), 3)

    def test_a_provider_which_can_be_asked_about_a_payment_is_asked_without_charging_again(self):
        def say(tx):
            self._provide(tx)

        for answer, payment_state, charge_state in (
            ('pending', 'not_paid', 'unknown'), ('timeout', 'not_paid', 'unknown'), ('draft', 'not_paid', 'failed'),
            ('decline', 'not_paid', 'failed'), ('done', 'paid', 'done'),
        ):
            with self.subTest(answer=answer):
                move = self._create_failed('pending')
                self._let_pass(move, const.PENDING_DAYS)
                self.requests.clear()
                self.answer = answer
                with patch.object(type(self.Transaction), '_is_status_known', lambda tx: True), \
                        patch.object(type(self.Transaction), '_send_status_request', say):
                    move.with_user(self.seller).action_ask_provider()
                self.assertEqual((move.payment_state, move.subscription_charge_state), (payment_state, charge_state))
                self.assertEqual(len(self.requests), 1, "Asked once, and not for money")

    def test_marking_as_paid(self):
        moves = self._create_failed() | self._create_failed()
        action = moves.with_user(self.boss).action_resolve_payment()
        dialog = Form(self.env['subscription.payment.resolve'].with_user(self.boss).with_context(**action['context']))
        dialog.save().action_resolve()
        self.assertEqual(set(moves.mapped('payment_state')), {'paid'})
        self.assertEqual(set(moves.mapped('subscription_charge_state')), {'done'})
        self.assertEqual(set(moves._get_subscriptions().mapped('charge_state')), {'paid'})
        with self.assertRaisesRegex(UserError, "nothing is open"):
            self.env['subscription.payment.resolve'].with_user(self.boss).create(
                {'move_ids': [(6, 0, moves.ids)]}).action_resolve()

    def test_marking_as_paid_books_all_instalments(self):
        term = self.env['account.payment.term'].create({'name': "30 now, 70 later", 'line_ids': [
            Command.create({'value': 'percent', 'value_amount': 30.0, 'nb_days': 0}),
            Command.create({'value': 'percent', 'value_amount': 70.0, 'nb_days': 30}),
        ]})
        move = self._create_failed(payment_term_id=term.id)
        self.assertEqual(len(move.line_ids.filtered(lambda line: line.display_type == 'payment_term')), 2)
        self.env['subscription.payment.resolve'].with_user(self.boss).create(
            {'move_ids': [(6, 0, move.ids)], 'resolution': 'paid'}).action_resolve()
        self.assertEqual((move.amount_residual, move.subscription_charge_state), (0.0, 'done'))

    def test_administrators_of_sales_do_not_settle_plain_invoices(self):
        order = self._create_order(self.installation, plan=False, confirm=True)
        move = order._create_invoices()
        move.action_post()
        wizard = self.env['subscription.payment.resolve'].with_user(self.boss).create({'move_ids': [(6, 0, move.ids)]})
        with self.assertRaisesRegex(AccessError, "bill no subscription"):
            wizard.action_resolve()
        self.assertEqual(move.payment_state, 'not_paid')

    def test_writing_off(self):
        move = self._create_failed()
        wizard = self.env['subscription.payment.resolve'].with_user(self.boss).create({
            'move_ids': [(6, 0, move.ids)], 'resolution': 'write_off'})
        with self.assertRaisesRegex(UserError, "bears the loss"):
            wizard.action_resolve()
        loss = self.company_data['default_account_expense']
        wizard.sudo().account_id = loss
        wizard.action_resolve()
        self.assertEqual((move.amount_residual, move.subscription_charge_state), (0.0, 'done'))
        self.assertEqual(self.env['account.move.line'].search(
            [('account_id', '=', loss.id), ('name', 'ilike', move.name)]).balance, 30.0)
        self._assert_ledgers_hold(move._get_subscriptions())

    def test_closing_its_subscription(self):
        move = self._create_failed()
        action = move.with_user(self.seller).action_close_subscriptions()
        self.assertEqual(action['context']['default_order_ids'], move._get_subscriptions().ids)

    def test_a_stranger_may_not_collect(self):
        move = self._create_failed()
        stranger = new_test_user(self.env, 'stranger', 'sales_team.group_sale_salesman')
        with self.assertRaises(AccessError):
            move.with_user(stranger).action_charge_again()

    def test_a_payment_which_cannot_be_booked_is_listed_and_booked_again(self):
        order = self._create_charged(user_id=self.seller.id)
        move = self._bill('2026-06-16', order)
        charge = move._prepare_charge()
        # What a rollback forgets is forgotten by the test.
        with patch.object(type(charge), '_create_payment', side_effect=UserError("The period is locked.")), \
                patch.object(self.cr, 'rollback', lambda: None), \
                mute_logger('odoo.addons.sale_subscription_ext.models.subscription_charge_transaction_mixin'):
            charge._send_charge()
        charge.write({'is_post_processed': False, 'subscription_settled_state': False})
        self.assertIn(move, self._get_list(self.seller))
        self.assertIn("The period is locked.", move.subscription_booking_error)
        move.with_user(self.boss).action_book_again()
        self.assertEqual((move.payment_state, move.subscription_booking_error, len(self.requests)), ('paid', False, 1))

    def test_the_payments_of_a_contract_are_listed_for_accountants_only(self):
        move = self._create_failed()
        order = move._get_subscriptions()
        move._request_charge()
        self._collect()
        self.assertEqual(order.payment_count, 2)
        payments = self.env['payment.transaction'].search(order.action_view_payments()['domain'])
        self.assertEqual(sorted(payments.mapped('state')), ['done', 'error'])
        with self.assertRaises(AccessError):  # payments hold addresses of pages, with their secrets
            payments.with_user(self.seller).mapped('landing_route')

    def test_nothing_is_done_in_a_copy_of_the_database(self):
        move = self._create_failed()
        self.env['ir.config_parameter'].sudo().set_param('database.is_neutralized', 'true')
        with self.assertRaisesRegex(UserError, "copy of a database"):
            move.action_charge_again()

    def test_neutralizing_takes_methods_and_queue_away(self):
        order = self._create_charged()
        self._bill('2026-06-16', order)
        tested = self._create_charged()
        other = self.provider.copy({'state': 'enabled', 'name': "Real"})
        real = self._create_token(provider_id=other.id)
        order.payment_token_id = real
        self.env.flush_all()
        with open(file_path('sale_subscription_ext/data/neutralize.sql'), encoding='utf-8') as file:
            self.cr.execute(file.read())
        self.env.invalidate_all()
        self.assertFalse(order.payment_token_id)
        self.assertEqual(tested.payment_token_id, self.token)
        self.assertEqual((order.invoice_ids.subscription_charge_state, order.charge_state), (False, 'none'))
        self.assertFalse(self.env['res.config.settings']._get_collection_crons().filtered('active'))
