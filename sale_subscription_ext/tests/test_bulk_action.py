from unittest.mock import patch

from psycopg2.errors import SerializationFailure

from odoo.exceptions import AccessError, UserError
from odoo.fields import Date
from odoo.tests import Form, freeze_time, new_test_user
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.bulk_common import BulkCommon

BULK_CRON = 'ir_cron_run_bulk_actions'


@freeze_time('2026-01-17 10:00:00')
class TestBulkAction(BulkCommon):

    def test_the_preview_says_who_is_left_out_and_writes_nothing(self):
        running, closed, quotation = self._create_orders(1), self._create_orders(1), self._create_order()
        closed._close_subscriptions(self.reason)
        wizard = self._open((running | closed | quotation).action_pause())
        self.assertIn("1 of 3 selected", ' '.join(wizard.preview.striptags().split()))
        self.assertIn("can&#39;t be paused", wizard.preview)
        for order in closed | quotation:
            self.assertIn(order.name, wizard.preview)
        self.assertEqual(running.subscription_state, 'progress')
        self.assertFalse(self.Bulk.search([]))

    def test_each_subscription_is_reported_done_or_left_out(self):
        running, closed = self._create_orders(2), self._create_orders(1)
        closed._close_subscriptions(self.reason)
        report = self._get_report(self._open((running | closed).action_pause()))
        self.assertRecordValues(report, [{
            'state': 'done', 'line_count': 3, 'done_count': 2, 'skipped_count': 1, 'error_count': 0, 'progress': 100.0,
            'action_type': 'pause', 'user_id': self.env.uid}])
        self.assertEqual(running.mapped('subscription_state'), ['paused', 'paused'])
        skipped = report.line_ids.filtered(lambda line: line.state == 'skipped')
        self.assertEqual(skipped.order_id, closed)
        self.assertIn("Closed", skipped.message)
        self.assertEqual(skipped.action_view_order()['res_id'], closed.id)
        self._assert_ledgers_hold(running | closed)

    def test_a_name_is_said_once_and_the_same_reason_too(self):
        orders = self._create_orders(2)
        wizard = self._open(
            orders.action_pause(), pause_when='date', pause_from='2026-02-10', pause_until='2026-02-05')
        text = ' '.join(wizard.preview.striptags().split())
        self.assertIn(f"{orders[0].name}, {orders[1].name}: must resume after 02/10/2026.", text)
        self.assertEqual(text.count(orders[0].name), 1)
        report = self._get_report(wizard)
        self.assertTrue(all(line.message.startswith("must resume after") for line in report.line_ids))

    def test_what_can_be_done_to_none_is_refused_at_once(self):
        orders = self._create_order() | self._create_order()
        with self.assertRaisesRegex(UserError, "Only running subscriptions"):
            orders.action_renew()

    def test_one_which_fails_is_left_as_it_was_and_the_others_are_done(self):
        first, bad, last = orders = self._create_orders(3)
        original = type(self.Order)._update_subscription_state

        def fail(records, *args, **kwargs):
            result = original(records, *args, **kwargs)
            if bad in records:
                raise ZeroDivisionError("no such luck")
            return result
        wizard = self._open(orders.action_close(), close_reason_id=self.reason.id)
        with patch.object(type(self.Order), '_update_subscription_state', fail), mute_logger(
                'odoo.addons.sale_subscription_ext.models.subscription_bulk_action'):
            report = self._get_report(wizard)
        self.assertEqual(self._get_states(report), {first.id: 'done', bad.id: 'error', last.id: 'done'})
        self.assertIn("no such luck", report.line_ids[1].message)
        self.assertRecordValues(bad, [
            {'subscription_state': 'progress', 'close_reason_id': False, 'end_date': False, 'mrr': 30.0}])
        self.assertNotIn("was closed", ''.join(bad.message_ids.mapped('body')))
        self._assert_ledgers_hold(orders)
        report.action_retry_errors()
        self.assertEqual(set(self._get_states(report).values()), {'done'})
        self.assertEqual(bad.subscription_state, 'closed')
        self._assert_ledgers_hold(orders)

    def test_errors_of_concurrency_are_nobodys_error(self):
        wizard = self._open(self._create_orders(2).action_pause())
        with self.assertRaises(SerializationFailure), patch.object(
                type(self.Order), '_pause_subscriptions', side_effect=SerializationFailure()):
            wizard.action_apply()

    def test_a_button_pressed_twice_does_it_once(self):
        orders = self._create_orders(2)
        self.env.flush_all()
        wizard = self._open(
            orders.action_change(), change='add', new_product_id=self.support.id)
        report = self._get_report(wizard)
        self.assertEqual(self._get_report(wizard), report)
        self.assertEqual(orders.mapped('mrr'), [150.0, 150.0])

    def test_the_database_keeps_a_dialog_from_being_done_twice(self):
        wizard = self._open(self._create_orders(2).action_pause())
        values = {
            'action_type': 'pause', 'dialog_model': wizard._name, 'dialog_id': wizard.id,
            'company_ids': self.company.ids}
        self.Bulk.sudo().create(values)
        with self.assertRaises(Exception) as caught, mute_logger('odoo.sql_db'), self.cr.savepoint():
            self.Bulk.sudo().create(values)
        self.assertEqual(caught.exception.pgcode, '23505')

    def test_large_selections_are_done_in_the_background_with_progress(self):
        orders = self._create_orders(3)
        wizard = self._open(orders.action_pause())
        with patch.object(const, 'BULK_SIZE_AT_ONCE', 2):
            report = self._get_report(wizard)
        self.assertRecordValues(report, [{'state': 'running', 'todo_count': 3, 'progress': 0.0}])
        self.assertEqual(set(orders.mapped('subscription_state')), {'progress'})
        self._run_cron(BULK_CRON)
        self.assertRecordValues(report, [{'state': 'done', 'done_count': 3, 'progress': 100.0}])
        self.assertEqual(set(orders.mapped('subscription_state')), {'paused'})
        self._run_cron(BULK_CRON)
        self.assertEqual(len(self._get_events(orders)), 6, "Run again, nothing is done again")
        self._assert_ledgers_hold(orders)

    def test_the_rest_can_be_stopped(self):
        orders = self._create_orders(2)
        with patch.object(const, 'BULK_SIZE_AT_ONCE', 1):
            report = self._get_report(self._open(orders.action_pause()))
        report.action_stop()
        self._run_cron(BULK_CRON)
        self.assertRecordValues(report, [{'state': 'stopped', 'skipped_count': 2}])
        self.assertEqual(set(orders.mapped('subscription_state')), {'progress'})
        with self.assertRaisesRegex(UserError, "can't be stopped"):
            report.action_stop()

    def test_a_subscription_which_is_busy_waits_for_the_background(self):
        orders = self._create_orders(2)
        wizard = self._open(orders.action_pause())
        with patch.object(type(self.Order), '_lock_batch', lambda records, domain, limit: records.search(
                domain, order='id', limit=limit) - orders[1]):
            report = self._get_report(wizard)
        self.assertRecordValues(report, [{'state': 'running', 'done_count': 1, 'todo_count': 1}])
        self._run_cron(BULK_CRON)
        self.assertRecordValues(report, [{'state': 'done', 'done_count': 2}])

    def test_prices_seen_in_the_preview_are_those_which_are_taken_over(self):
        orders = self._create_orders(2)
        cheap = self._create_order(self.support, start_date='2026-01-01', confirm=True)
        self.service.list_price = 33.0
        action = (orders | cheap).action_update_subscription_prices()
        wizard = Form(self.env[action['res_model']].with_context(**action['context'])).save()
        self.assertIn("30.00 becomes", wizard.preview.replace('\xa0', ' '))
        with patch.object(const, 'BULK_SIZE_AT_ONCE', 1):
            report = self._get_report(wizard)
        wizard.unlink()
        self._run_cron(BULK_CRON)
        self.assertRecordValues(report, [{'done_count': 2, 'skipped_count': 1}])
        self.assertEqual(orders.mapped('recurring_total'), [33.0, 33.0])
        self.service.list_price = 36.0
        wizard = Form(self.env[action['res_model']].with_context(**action['context'])).save()
        with patch.object(const, 'BULK_SIZE_AT_ONCE', 1):
            report = self._get_report(wizard)
        self.service.list_price = 99.0
        self._run_cron(BULK_CRON)
        self.assertRecordValues(report, [{'done_count': 0, 'skipped_count': 3}])
        self.assertEqual(orders.mapped('recurring_total'), [33.0, 33.0])

    def test_a_closing_in_bulk_follows_its_choices_in_the_background_too(self):
        orders = self._create_orders(2)
        self._bill('2026-01-17')
        wizard = self._open(
            orders.action_close(), close_reason_id=self.reason.id, close_when='date', close_on='2026-01-20',
            money='credit', close_note="Moves")
        with patch.object(const, 'BULK_SIZE_AT_ONCE', 1):
            report = self._get_report(wizard)
        self._run_cron(BULK_CRON)
        self.assertEqual(set(self._get_states(report).values()), {'done'})
        self.assertRecordValues(orders, [{
            'subscription_state': 'closing', 'end_date': Date.to_date('2026-01-20'), 'close_money': 'credit',
            'close_note': "Moves"}] * 2)
        report = self._get_report(self._open(orders.action_undo_closing()))
        self.assertEqual((report.action_type, report.done_count), ('undo_closing', 2))
        self.assertRecordValues(orders, [{'subscription_state': 'progress', 'end_date': False}] * 2)
        self._assert_ledgers_hold(orders)

    def test_paused_and_planned_pauses_go_on_together(self):
        paused, planned, running = orders = self._create_orders(3)
        paused._pause_subscriptions()
        planned._pause_subscriptions(Date.to_date('2026-02-01'))
        report = self._get_report(self._open(orders.action_resume()))
        self.assertEqual(self._get_states(report), {paused.id: 'done', planned.id: 'done', running.id: 'skipped'})
        self.assertEqual(set(orders.mapped('subscription_state')), {'progress'})
        self.assertFalse(any(orders.mapped('paused_from')))

    def test_closed_ones_are_reopened_together(self):
        orders = self._create_orders(2)
        orders._close_subscriptions(self.reason)
        report = self._get_report(self._open(orders.action_reopen()))
        self.assertEqual((report.action_type, report.done_count), ('reopen', 2))
        self.assertEqual(set(orders.mapped('subscription_state')), {'progress'})

    def test_plain_orders_have_no_actions_of_subscriptions_in_their_list(self):
        def get_names(view):
            views = self.Order.get_views([(view and self.env.ref(view).id, 'list')], {'toolbar': True})
            return {action['name'] for action in views['views']['list']['toolbar'].get('action', [])}
        ours = {"Resume", "Reopen", "Undo Closing", "Hand Over", "Change Billing Day", "Update Prices"}
        self.assertLessEqual(ours, get_names('sale_subscription_ext.sale_order_view_list_subscription'))
        self.assertFalse(ours & get_names(False))
        self.assertTrue(get_names(False))


@freeze_time('2026-01-17 10:00:00')
class TestBulkDialogs(BulkCommon):

    def test_a_selection_is_renewed_at_other_prices_for_another_term(self):
        first, second, renewed, closed = orders = self._create_orders(4)
        second.order_line.is_price_fixed = True
        renewed.action_renew()
        closed._close_subscriptions(self.reason)
        wizard = self._open(
            orders.action_renew(), prices='percent', percent=10.0, has_other_term=True, term_value=2, term_unit='year')
        self.assertIn("33.00", wizard.preview)
        report = self._get_report(wizard)
        self.assertEqual(self._get_states(report), {
            first.id: 'done', second.id: 'done', renewed.id: 'skipped', closed.id: 'skipped'})
        self.assertIn(renewed.renewal_ids.name, report.line_ids[2].message)
        self.assertEqual(report.line_ids[:2].made_order_id, (first | second).renewal_ids)
        self.assertEqual((first | second).renewal_ids.order_line.mapped('price_unit'), [33.0, 30.0])
        self.assertRecordValues(first.renewal_ids, [
            {'state': 'draft', 'term_value': 2, 'term_unit': 'year', 'amount_untaxed': 33.0}])
        self.assertEqual(orders.mapped('subscription_state')[:3], ['progress'] * 3)
        self.assertEqual(report.made_count, 2)
        self.assertIn("not e-mailed", report.line_ids[0].message)

    def test_a_selection_is_renewed_at_the_prices_of_today_and_offered_by_mail(self):
        orders = self._create_orders(2)
        orders[1].partner_id = self.env['res.partner'].create({'name': "No Mail"})
        self.service.list_price = 36.0
        wizard = self._open(orders.action_renew(), prices='pricelist', is_emailed=True)
        report = self._get_report(wizard)
        self.assertEqual(self._get_states(report), {orders[0].id: 'done', orders[1].id: 'skipped'})
        renewal = orders[0].renewal_ids
        self.assertRecordValues(renewal, [{'state': 'sent', 'amount_untaxed': 36.0}])
        self.assertIn(self.partner, renewal.message_ids.partner_ids)
        self.assertIn(f"e-mailed to {self.partner.email}", report.line_ids[0].message)

    def test_the_billing_day_moves_to_a_day_of_the_month(self):
        first = self._create_order(start_date='2026-01-15', confirm=True)
        second = self._create_order(start_date='2026-01-05', confirm=True)
        self._bill('2026-01-17')
        wizard = self._open(
            (first | second).action_change_billing_day(), day_choice='month_day', billing_month_day=31)
        report = self._get_report(wizard)
        self.assertEqual(set(self._get_states(report).values()), {'done'})
        self.assertEqual(self._bill('2026-02-15', first).amount_untaxed, 13.93)  # 13 of 28 days
        self.assertEqual(str(first.next_invoice_date), '2026-02-28')
        self._bill('2026-02-28', first)
        self.assertEqual(str(first.next_invoice_date), '2026-03-31', "The 31st doesn't drift")
        self._assert_ledgers_hold(first | second)

    def test_a_billing_day_which_is_billed_already_leaves_some_out(self):
        early, late = self._create_order(start_date='2026-01-05', confirm=True), self._create_order(
            start_date='2026-01-15', confirm=True)
        self._bill('2026-01-17')
        report = self._get_report(
            self._open((early | late).action_change_billing_day(), billing_date='2026-02-10'))
        self.assertEqual(self._get_states(report), {early.id: 'done', late.id: 'skipped'})
        self.assertIn("billed beyond", report.line_ids[1].message)


@freeze_time('2026-01-17 10:00:00')
class TestBulkRights(BulkCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.seller = new_test_user(
            cls.env, 'own', 'sales_team.group_sale_salesman', company_id=cls.company.id)
        cls.colleague = new_test_user(
            cls.env, 'colleague', 'sales_team.group_sale_salesman', company_id=cls.company.id)
        cls.leader = new_test_user(
            cls.env, 'leader', 'sales_team.group_sale_salesman_all_leads', company_id=cls.company.id)

    def test_a_salesperson_hands_own_contracts_over_and_keeps_the_report(self):
        orders = self._create_orders(2, user_id=self.seller.id)
        mine = orders.with_user(self.seller)
        wizard = self._open(mine.action_hand_over(), self.seller, user_id=self.colleague.id)
        report = self._get_report(wizard)
        self.assertEqual(report.done_count, 2)
        self.assertEqual(orders.user_id, self.colleague)
        self.env.invalidate_all()
        [data] = report.web_read({'line_ids': {'fields': {
            'order_id': {'fields': {'display_name': {}}}, 'partner_id': {'fields': {'display_name': {}}},
            'state': {}, 'message': {}}}, 'done_count': {}})
        self.assertEqual([line['state'] for line in data['line_ids']], ['done', 'done'])

    def test_reports_are_read_by_who_asked_and_by_leaders(self):
        orders = self._create_orders(2, user_id=self.seller.id)
        report = self._get_report(self._open(orders.with_user(self.seller).action_pause(), self.seller))
        self.assertFalse(self.Bulk.with_user(self.colleague).search([]))
        self.assertFalse(self.env['subscription.bulk.action.line'].with_user(self.colleague).search([]))
        self.assertEqual(self.Bulk.with_user(self.leader).search([]), report)
        with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_rule'):
            report.with_user(self.colleague).action_retry_errors()
        report.with_user(self.leader).action_retry_errors()
        self.assertEqual(self.Bulk.with_user(self.seller).search([]), report, "It stays with who asked for it")
        for user in (self.seller, self.leader):
            with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_model'):
                report.with_user(user).write({'state': 'running'})
            with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_model'):
                report.with_user(user).line_ids.write({'state': 'todo'})

    def test_what_is_of_others_is_refused(self):
        orders = self._create_orders(2, user_id=self.colleague.id)
        action = orders.action_pause()
        with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_rule'):
            orders.with_user(self.seller).action_pause()
        with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_rule'):
            self._open(action, self.seller).action_apply()

    def test_who_lost_the_right_meanwhile_is_told_so_and_nothing_is_done(self):
        orders = self._create_orders(2, user_id=self.seller.id)
        with patch.object(const, 'BULK_SIZE_AT_ONCE', 1):
            report = self._get_report(self._open(orders.with_user(self.seller).action_pause(), self.seller))
        orders[1].user_id = self.colleague
        with mute_logger('odoo.addons.base.models.ir_rule'):
            self._run_cron(BULK_CRON)
        self.assertEqual(self._get_states(report.sudo()), {orders[0].id: 'done', orders[1].id: 'error'})
        self.assertEqual(orders.mapped('subscription_state'), ['paused', 'progress'])

    def test_another_company_sees_its_part_of_a_report_only(self):
        other = self._create_company(name="Other Company")
        user = new_test_user(
            self.env, 'both', 'sales_team.group_sale_manager', company_id=self.company.id,
            company_ids=[self.company.id, other.id])
        mine = self._create_orders(1)
        theirs = self.env['sale.order'].with_company(other).create({
            'partner_id': self.partner.id, 'plan_id': self.monthly.id, 'company_id': other.id,
            'start_date': '2026-01-01', 'order_line': [(0, 0, {'product_id': self.service.id})]})
        theirs.action_confirm()
        both = [self.company.id, other.id]
        orders = (mine | theirs).with_user(user).with_context(allowed_company_ids=both)
        action = orders.action_pause()
        wizard = orders.env[action['res_model']].with_context(**action['context']).create({})
        report = self._get_report(wizard)
        self.assertEqual(report.done_count, 2)
        for companies, count in ((self.company.ids, 1), (other.ids, 1), (both, 2)):
            seen = self.Bulk.with_user(user).with_context(allowed_company_ids=companies).browse(report.id)
            seen.invalidate_recordset()
            self.assertEqual((len(seen.line_ids), seen.done_count), (count, count))
        third = self._create_company(name="Third Company")
        stranger = new_test_user(self.env, 'stranger', 'sales_team.group_sale_manager', company_id=third.id,
                                 company_ids=third.ids)
        self.assertFalse(self.Bulk.with_user(stranger).search([]))
