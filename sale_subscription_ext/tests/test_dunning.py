from contextlib import suppress
from unittest.mock import patch

from psycopg2 import IntegrityError

from odoo.exceptions import UserError
from odoo.fields import Date
from odoo.tests import freeze_time, new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.dunning_common import SubscriptionDunningCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-01 10:00:00')
class TestDunning(SubscriptionDunningCommon):
    """What is done about unpaid invoices, on which day, once, and until when."""

    # === SENT INVOICES === #

    def test_the_shipped_policy_takes_its_steps_on_days_0_3_7_and_14(self):
        order = self._create_unpaid()
        move = order.invoice_ids
        self._collect_until('2026-06-01', '2026-06-20', times=2)
        self.assertEqual(self._get_steps(move), [
            (0, '2026-06-01'), (3, '2026-06-04'), (7, '2026-06-08'), (14, '2026-06-15')])
        self.assertEqual(len(self._get_mails(order, 'unpaid_reminder')), 3, "On day 0 the invoice itself is mailed")
        self.assertFalse(self.requests, "Nothing is charged where invoices are sent")
        self.assertEqual(len(order.activity_ids), 1)
        self.assertEqual(order.subscription_state, 'progress')

    def test_an_invoice_is_dunned_from_its_due_date_on(self):
        term = self.env.ref('account.account_payment_term_15days')
        order = self._create_unpaid(payment_term_id=term.id)
        self._collect_on('2026-06-15')
        self.assertFalse(order.is_in_dunning)
        self._collect_on('2026-06-16')
        self.assertTrue(order.is_in_dunning)
        self.assertEqual(str(order.invoice_ids.subscription_dunning_date), '2026-06-16')
        self.assertEqual(len(self._get_mails(order, 'unpaid_reminder')), 1, "The invoice was mailed long ago")

    def test_steps_which_were_missed_are_taken_together(self):
        order = self._create_unpaid()
        self._collect_on('2026-06-10')
        self.assertEqual(self._get_steps(order.invoice_ids), [
            (0, '2026-06-10'), (3, '2026-06-10'), (7, '2026-06-10')])
        self.assertEqual(len(self._get_mails(order, 'unpaid_reminder')), 1, "One e-mail tells enough")

    def test_drafts_for_review_are_a_persons_matter(self):
        plan = self._create_plan("Reviewed", 1, 'month', collection_mode='draft')
        order = self._create_unpaid(plan)
        order.invoice_ids.action_post()
        self._collect_on('2026-06-20')
        self.assertFalse(order.is_in_dunning)

    def test_a_plan_without_policy_leaves_invoices_alone(self):
        self.monthly.dunning_policy_id = False
        order = self._create_unpaid()
        self._collect_on('2026-06-20')
        self.assertFalse(order.is_in_dunning)

    def test_invoices_of_plain_orders_are_left_alone(self):
        order = self._create_order(self.installation, plan=self.env['subscription.plan'], confirm=True)
        move = order._create_invoices()
        move.action_post()
        self._collect_on('2026-06-30')
        self.assertFalse(move.subscription_dunning_date)

    # === BLOCKED === #

    def test_a_blocked_invoice_is_left_alone_until_it_is_released(self):
        order = self._create_unpaid()
        move = order.invoice_ids
        self._collect_on('2026-06-01')
        move.action_toggle_block_payment()
        self._collect_until('2026-06-02', '2026-06-09')
        self.assertEqual(len(self._get_steps(move)), 1)
        self.assertIn("blocked", order.dunning_notice)
        move.action_toggle_block_payment()
        self._collect_on('2026-06-10')
        self.assertEqual(len(self._get_steps(move)), 3)

    def test_an_invoice_which_is_excluded_from_follow_up_is_left_alone(self):
        order = self._create_unpaid()
        order.invoice_ids.no_followup = True
        self._collect_on('2026-06-30')
        self.assertFalse(order.is_in_dunning)

    # === CHARGED INVOICES === #

    def test_day_0_is_the_first_failed_charge(self):
        self.answer = 'decline'
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_until('2026-06-03', '2026-06-18', times=2)
        self.assertEqual(self._get_steps(order.invoice_ids), [
            (0, '2026-06-03'), (3, '2026-06-06'), (7, '2026-06-10'), (14, '2026-06-17')])
        self.assertEqual(len(self.requests), 4, "The first charge, and three tries more")
        self.assertEqual(len(self._get_mails(order, 'payment_failed')), 4)

    def test_what_else_a_step_does_waits_for_the_answer_of_its_charge(self):
        self.answer = 'decline'
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_until('2026-06-01', '2026-06-03')
        self.answer = 'timeout'
        self._collect_until('2026-06-04', '2026-06-12', times=2)
        entry = order.invoice_ids.subscription_dunning_entry_ids[:1]
        self.assertEqual((entry.day_offset, entry.state), (3, 'asked'))
        self.assertEqual(len(self._get_mails(order, 'payment_failed')), 1, "Nobody knows whether it is paid")
        self.assertIn("under way", order.dunning_notice)

    @patch.dict(const.REPEATABLE_HOURS, {'none': 23})
    def test_a_charge_which_wants_the_customer_when_asked_about_again_is_dunned_with_the_link(self):
        self.answer = 'timeout'
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_on('2026-06-01')
        self.assertFalse(order.is_in_dunning)
        self.answer = 'draft'
        with freeze_time('2026-06-01 10:30:00'):
            self._collect()
        self.assertEqual(self._get_steps(order.invoice_ids), [(0, '2026-06-01')])
        link = self.Link.search([('move_id', '=', order.invoice_ids.id)])
        self.assertIn(link._get_url(), self._get_mails(order, 'payment_failed').body)

    def test_a_charge_which_succeeds_ends_the_dunning_without_another_word(self):
        self.answer = 'decline'
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_until('2026-06-01', '2026-06-03')
        self.answer = 'done'
        self._collect_until('2026-06-04', '2026-06-20')
        self.assertEqual(order.invoice_ids.payment_state, 'paid')
        self.assertFalse(order.is_in_dunning)
        self.assertEqual(len(self._get_mails(order, 'payment_failed')), 1)
        self.assertEqual(len(self.requests), 2)

    def test_a_refusal_for_good_is_never_charged_again_and_the_customer_is_told(self):
        self.answer = 'hard'
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_until('2026-06-01', '2026-06-20')
        self.assertEqual(len(self.requests), 1)
        self.assertEqual(len(self._get_steps(order.invoice_ids)), 4)
        mails = self._get_mails(order, 'payment_failed')
        self.assertEqual(len(mails), 4)
        self.assertIn("refused it for good", mails[0].body)

    def test_the_limit_of_the_card_networks_is_kept(self):
        self.charged.dunning_policy_id = self._create_policy(*((day, 'retry_charge') for day in range(1, 5)))
        self.answer = 'decline'
        order = self._create_unpaid(self.charged, payment_token_id=self.token.id)
        self._collect_on('2026-06-01')
        for number in range(12):  # by hand
            values = order.invoice_ids._prepare_charge_values()
            self.Transaction.create({**values, 'reference': f"By hand {number}"})._set_error("Declined.")
        self._collect_until('2026-06-02', '2026-06-06', times=2)
        self.assertEqual(len(self._get_charges(order)), 15)
        self.assertEqual(len(self.requests), 3)
        self.assertEqual(len(self._get_steps(order.invoice_ids)), 4, "Steps go on, they only charge no more")

    def test_a_charge_without_a_method_is_dunned_too(self):
        order = self._create_unpaid(self.charged)
        self._collect_until('2026-06-01', '2026-06-04')
        self.assertEqual(len(self._get_steps(order.invoice_ids)), 2)
        self.assertFalse(self.requests)

    def test_what_a_customer_tries_to_pay_is_no_failed_charge(self):
        term = self.env.ref('account.account_payment_term_15days')
        order = self._create_unpaid(payment_term_id=term.id)
        tx = self._create_transaction(
            'token', amount=30.0, currency_id=order.currency_id.id, token_id=self.token.id,
            invoice_ids=[(6, 0, order.invoice_ids.ids)], reference="By the customer")
        tx._set_error("Declined.")
        tx._post_process()
        self._collect_on('2026-06-02')
        self.assertFalse(order.is_in_dunning)

    # === ONCE === #

    def test_an_invoice_of_several_contracts_is_dunned_once(self):
        self.monthly.consolidate = True
        self.monthly.dunning_policy_id = self._create_policy((1, 'send_mail', 'restrict_portal', 'pause'))
        orders = self._create_order(confirm=True) | self._create_order(confirm=True)
        move = self._bill('2026-06-01', orders)
        self.assertEqual(len(move), 1)
        self._collect_until('2026-06-01', '2026-06-03')
        self.assertEqual(len(self._get_steps(move)), 1)
        self.assertEqual(len(self._get_mails(orders, 'unpaid_reminder')), 1)
        self.assertEqual(orders.mapped('subscription_state'), ['paused', 'paused'])
        self.assertTrue(all(order._is_portal_restricted() for order in orders))

    def test_the_database_refuses_a_step_which_was_taken(self):
        order = self._create_unpaid()
        self._collect_on('2026-06-01')
        entry = order.invoice_ids.subscription_dunning_entry_ids
        for values in ({'day_offset': 1}, {'step_id': False}):
            with self.assertRaises(IntegrityError), mute_logger('odoo.sql_db'), self.env.cr.savepoint():
                entry.sudo().copy(values)

    def test_a_step_which_fails_stops_no_other_and_is_tried_again(self):
        bad, good = self._create_unpaid(), self._create_unpaid()
        Move = type(self.env['account.move'])
        carry_out = Move._carry_out

        def fail_on_bad(move, steps):
            if move == bad.invoice_ids:
                raise UserError(move.env._("Not today."))
            return carry_out(move, steps)

        with patch.object(Move, '_carry_out', fail_on_bad), mute_logger(
            'odoo.addons.sale_subscription_ext.models.subscription_lifecycle_mixin',
        ):
            self._collect_on('2026-06-01')
            self._collect_on('2026-06-01')
        self.assertEqual(self._get_steps(good.invoice_ids), [(0, '2026-06-01')])
        self.assertFalse(self._get_steps(bad.invoice_ids))
        self.assertEqual(len(bad.activity_ids), 1, "Somebody is asked once")
        self._collect_on('2026-06-02')
        self.assertEqual(self._get_steps(bad.invoice_ids), [(0, '2026-06-02')])

    def test_a_step_which_was_interrupted_leaves_no_trace_and_is_taken_by_the_next_run(self):
        order = self._create_unpaid()

        class Killed(BaseException):
            pass

        def die(move, *_args):
            send_mail(move, *_args)
            raise Killed

        Move = type(self.env['account.move'])
        send_mail = Move._send_unpaid_mail
        with suppress(Killed), self.env.cr.savepoint(), patch.object(Move, '_send_unpaid_mail', die):
            self._collect_on('2026-06-04')
        self.env.invalidate_all()
        self.assertFalse(self._get_steps(order.invoice_ids))
        self._collect_on('2026-06-04')
        self.assertEqual(len(self._get_steps(order.invoice_ids)), 2)
        self.assertEqual(len(self._get_mails(order, 'unpaid_reminder')), 1)

    def test_a_contract_which_somebody_else_holds_is_left_to_the_next_run(self):
        held, free = self._create_unpaid(), self._create_unpaid()
        Order = type(self.Order)
        lock_batch = Order._lock_batch
        with patch.object(Order, '_lock_batch', lambda orders, domain, limit: lock_batch(orders, domain, limit) - held):
            self._collect_on('2026-06-04')
        self.assertFalse(self._get_steps(held.invoice_ids))
        self.assertEqual(len(self._get_steps(free.invoice_ids)), 2)
        self._collect_on('2026-06-04')
        self.assertEqual(len(self._get_steps(held.invoice_ids)), 2)

    def test_each_company_goes_by_its_own_date(self):
        company = self._create_company(name="Down Under", subscription_tz='Pacific/Auckland')
        partner = self.env['res.partner'].create({'name': "Sheep Ltd", 'email': 'sheep@example.com'})
        there = self._create_unpaid(day='2026-06-02', company_id=company.id, partner_id=partner.id)
        here = self._create_unpaid(day='2026-06-02')
        with freeze_time('2026-06-01 20:00:00'):  # 2 June in Auckland
            self._collect()
        self.assertEqual((there.is_in_dunning, here.is_in_dunning), (True, False))

    def test_a_policy_can_be_changed_while_it_is_applied(self):
        order = self._create_unpaid()
        self._collect_until('2026-06-01', '2026-06-05')
        third, seventh = self.policy.step_ids[1:3]
        third.unlink()
        seventh.day_offset = 6
        self.policy.step_ids = [(0, 0, {'day_offset': 2, 'send_mail': True})]
        self._collect_until('2026-06-05', '2026-06-16')
        self.assertEqual(self._get_steps(order.invoice_ids), [
            (0, '2026-06-01'), (3, '2026-06-04'), (6, '2026-06-07'), (14, '2026-06-15')])

    # === THE END === #

    def test_dunning_stops_the_moment_money_arrives(self):
        self.monthly.dunning_policy_id = self._create_policy(
            (0, 'send_mail', 'restrict_portal', 'create_activity'), (3, 'send_mail'))
        order = self._create_unpaid()
        self._collect_on('2026-06-01')
        self.assertTrue(order._is_portal_restricted())
        self._pay(order.invoice_ids)
        self.assertFalse(order.is_in_dunning)
        self.assertFalse(order._is_portal_restricted())
        self.assertFalse(order.activity_ids)
        self._collect_until('2026-06-02', '2026-06-10')
        self.assertEqual(len(self._get_steps(order.invoice_ids)), 1)

    def test_a_part_of_the_money_does_not_stop_it(self):
        order = self._create_unpaid()
        self._collect_on('2026-06-01')
        self._pay(order.invoice_ids, 10.0)
        self._collect_on('2026-06-04')
        self.assertEqual(len(self._get_steps(order.invoice_ids)), 2)
        self.assertIn("20.00", self._get_mails(order, 'unpaid_reminder').body)

    def test_a_credit_note_ends_it(self):
        order = self._create_unpaid()
        self._collect_on('2026-06-04')
        self.env['account.move.reversal'].with_context(
            active_model='account.move', active_ids=order.invoice_ids.ids,
        ).create({'journal_id': order.invoice_ids.journal_id.id}).reverse_moves()
        order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund').action_post()
        lines = order.invoice_ids.line_ids.filtered(lambda line: line.display_type == 'payment_term')
        lines.filtered(lambda line: not line.reconciled).reconcile()
        self.assertFalse(order.is_in_dunning, "At once, as with money")
        self.assertFalse(order.dunning_notice)
        self._collect_on('2026-06-08')
        self.assertEqual(len(self._get_mails(order, 'unpaid_reminder')), 1)

    def test_a_payment_which_is_not_booked_yet_holds_the_next_step(self):
        order = self._create_unpaid()
        self._collect_on('2026-06-01')
        tx = self._create_transaction(
            'redirect', amount=30.0, currency_id=order.currency_id.id,
            invoice_ids=[(6, 0, order.invoice_ids.ids)], reference="On its way")
        for state in ('pending', 'done'):
            getattr(tx, f'_set_{state}')()
            # Only the payments of real providers are on their way while they are pending.
            with patch.object(const, 'MANUAL_PROVIDERS', ('custom',)):
                self._collect_on('2026-06-05')
            self.assertEqual(len(self._get_steps(order.invoice_ids)), 1, state)

    def test_money_which_goes_back_begins_a_new_dunning_from_that_day_on(self):
        order = self._create_unpaid()
        self._collect_until('2026-06-01', '2026-06-05')
        payment = self._pay(order.invoice_ids)
        payment.move_id.line_ids.remove_move_reconcile()
        self.assertEqual(order.invoice_ids.payment_state, 'not_paid')
        self._collect_until('2026-06-20', '2026-06-24')
        self.assertEqual(self._get_steps(order.invoice_ids), [
            (0, '2026-06-01'), (3, '2026-06-04'), (0, '2026-06-20'), (3, '2026-06-23')])

    # === PAUSE === #

    def test_a_contract_which_was_paused_goes_on_when_the_invoice_is_paid(self):
        self.monthly.dunning_policy_id = self._create_policy((1, 'pause', 'send_mail'))
        order = self._create_unpaid()
        self._collect_on('2026-06-02')
        self.assertEqual((order.subscription_state, order.paused_as_unpaid), ('paused', True))
        self.assertIn("paused", self._get_mails(order, 'unpaid_reminder').body)
        self._flush_tracking()
        self.assertNotIn(f"Your subscription {order.name} is paused", order.message_ids.mapped('subject'))
        with freeze_time('2026-06-05 10:00:00'):
            self._pay(order.invoice_ids)
            self._collect()
        self.assertEqual((order.subscription_state, order.paused_as_unpaid), ('progress', False))
        self._assert_ledgers_hold(order)

    def test_who_is_paused_and_credited_for_all_of_an_unpaid_invoice_stays_paused_and_is_asked_for_nothing(self):
        self.monthly.write({
            'pause_policy': 'credit', 'dunning_policy_id': self._create_policy(
                (0, 'pause', 'create_activity', 'send_mail')).id})
        order = self._create_unpaid()
        self._collect_until('2026-06-01', '2026-06-02', times=2)
        self.assertEqual(order.invoice_ids.mapped('payment_state'), ['paid', 'reversed'])
        self.assertEqual((order.subscription_state, order.is_in_dunning), ('paused', False))
        self.assertFalse(order.activity_ids)
        self.assertFalse(self._get_mails(order, 'unpaid_reminder'))
        self._flush_tracking()
        self.assertEqual(len(order.message_ids.filtered(lambda message: 'is paused' in (message.subject or ''))), 1)

    def test_a_pause_by_hand_is_not_ended_by_a_payment(self):
        order = self._create_unpaid()
        self._collect_on('2026-06-01')
        order._pause_subscriptions()
        self._pay(order.invoice_ids)
        self._collect_on('2026-06-05')
        self.assertEqual(order.subscription_state, 'paused')

    def test_an_invoice_of_a_renewed_contract_pauses_what_followed_it(self):
        self.monthly.dunning_policy_id = self._create_policy((10, 'pause', 'restrict_portal'))
        order = self._create_unpaid()
        renewal = order._create_renewal()
        renewal.action_confirm()
        self._bill('2026-07-01', renewal)
        with freeze_time('2026-07-01 10:00:00'):
            self.Order.sudo()._cron_run_lifecycle()
        self.assertEqual((order.subscription_state, renewal.subscription_state), ('renewed', 'progress'))
        self._collect_on('2026-07-02')
        self.assertEqual(renewal.subscription_state, 'paused')
        self.assertTrue(renewal._is_portal_restricted())

    # === PORTAL === #

    def test_a_restricted_customer_signs_no_change_until_the_invoice_is_paid(self):
        self.monthly.dunning_policy_id = self._create_policy((7, 'restrict_portal'))
        order = self._create_unpaid()
        self._collect_on('2026-06-08')
        amendment = self.Order.browse(order.action_change()['res_id'])
        amendment.order_line.product_uom_qty = 2
        amendment.write({'require_signature': True, 'require_payment': False})
        amendment.action_quotation_sent()
        self.assertFalse(amendment._has_to_be_signed())
        amendment._validate_order()
        self.assertEqual(amendment.state, 'sent')
        with self.assertRaisesRegex(UserError, "is overdue. Please pay it first"):
            order._check_portal_restriction()
        self._pay(order.invoice_ids)
        self.assertTrue(amendment._has_to_be_signed())
        amendment._validate_order()
        self.assertEqual((amendment.state, order.mrr), ('sale', 60.0))
        order._check_portal_restriction()

    # === WHAT STAFF SEE === #

    def test_the_contract_says_where_its_dunning_stands(self):
        order = self._create_unpaid()
        self.assertFalse(order.dunning_notice)
        self._collect_until('2026-06-01', '2026-06-05')
        for text in (
            order.invoice_ids.name, "30.00", "in dunning since 06/01/2026",
            "Last step, day 3 on 06/04/2026: e-mail sent",
            "Next step, day 7 on 06/08/2026: charge again, e-mail",
        ):
            with self.subTest(text=text):
                self.assertIn(text, order.dunning_notice)

    def test_contracts_in_dunning_can_be_filtered(self):
        unpaid, paid = self._create_unpaid(), self._create_unpaid()
        self._pay(paid.invoice_ids)
        self._collect_on('2026-06-02')
        orders = unpaid | paid
        found = self.Order.search([('id', 'in', orders.ids), ('is_in_dunning', '=', True)])
        rest = self.Order.search([('id', 'in', orders.ids), ('is_in_dunning', '=', False)])
        self.assertEqual((found, rest), (unpaid, paid))

    def test_a_salesperson_sees_the_dunning_of_own_contracts_only(self):
        user = new_test_user(self.env, 'dunning-seller', 'sales_team.group_sale_salesman')
        mine = self._create_unpaid(user_id=user.id)
        other = self._create_unpaid(user_id=self.env.user.id)
        self._collect_on('2026-06-04')
        entries = self.Entry.with_user(user).search([('move_id', 'in', (mine | other).invoice_ids.ids)])
        self.assertEqual(entries.order_ids, mine)
        self.assertIn("unpaid", mine.with_user(user).dunning_notice)
        self.assertEqual(self.Order.with_user(user).search([('is_in_dunning', '=', True)]), mine)
        links = self.Link.with_user(user).search([])
        self.assertEqual(links.order_ids, mine)

    def test_a_policy_says_what_it_does_and_refuses_nonsense(self):
        self.assertEqual(self.policy.summary, "0, 3, 7, 14")
        self.assertEqual(self.policy.step_ids[1].description, "charge again, e-mail")
        for values in ({'day_offset': 3, 'send_mail': True}, {'day_offset': -1, 'send_mail': True}, {'day_offset': 5}):
            with self.assertRaises(IntegrityError), mute_logger('odoo.sql_db'), self.env.cr.savepoint():
                self.env['subscription.dunning.step'].create({'policy_id': self.policy.id, **values})

    def test_nothing_is_done_in_a_copy_of_a_database(self):
        order = self._create_unpaid()
        self.env['ir.config_parameter'].set_param('database.is_neutralized', True)
        self._collect_on('2026-06-20')
        self.assertFalse(order.is_in_dunning)
        self.assertEqual(order.start_date, Date.to_date('2026-06-01'))

    # === PREPAID === #

    def test_a_draft_which_waits_for_its_payment_is_dunned_from_its_due_date_on(self):
        prepaid = self._create_plan("Prepaid", 1, 'month', collection_mode='prepaid')
        order = self._create_unpaid(prepaid)
        move = order.invoice_ids
        self.assertEqual(move.state, 'draft')
        self._collect_until('2026-06-01', '2026-06-05')
        self.assertEqual(self._get_steps(move), [(0, '2026-06-01'), (3, '2026-06-04')])
        self.assertEqual(move.state, 'draft')
        link = self.Link.search([('move_id', '=', move.id)])
        self.assertEqual(link.state, 'valid')
        tx = self._create_transaction(
            'redirect', amount=30.0, currency_id=order.currency_id.id, invoice_ids=[(6, 0, move.ids)],
            reference="Prepaid")
        tx._set_done()
        tx._post_process()
        self.assertEqual((move.state, move.payment_state), ('posted', 'paid'))
        self.assertFalse(order.is_in_dunning)
        self.assertEqual(link.state, 'paid')

    def test_a_saved_method_of_a_prepaid_contract_is_charged_again(self):
        prepaid = self._create_plan("Prepaid", 1, 'month', collection_mode='prepaid')
        self.answer = 'decline'
        order = self._create_unpaid(prepaid, payment_token_id=self.token.id)
        self._collect_on('2026-06-01')
        self._collect_on('2026-06-04')
        self.answer = 'done'
        self._collect_on('2026-06-04')
        self.assertEqual(len(self.requests), 2)
        self.assertEqual(order.invoice_ids.payment_state, 'paid')
        self.assertFalse(order.is_in_dunning)
