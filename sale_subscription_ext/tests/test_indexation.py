from datetime import date
from unittest.mock import patch

import psycopg2

from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import freeze_time, new_test_user
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.test_indexation_ends import CRON, IndexationCommon


@freeze_time('2026-03-10 10:00:00')
class TestIndexation(IndexationCommon):

    def _bill_on(self, day, orders=None):
        with freeze_time(f'{day} 10:00:00'):
            return self._bill(day, orders)

    # === PREVIEW === #

    def test_a_preview_says_what_each_subscription_would_cost_and_changes_none(self):
        monthly = self._create_order(start_date='2026-03-15', confirm=True)
        yearly = self._create_order(self.support, plan=self.yearly, start_date='2025-09-01', confirm=True)
        self._bill('2026-03-10')
        before = self.Event.search_count([]), monthly.write_date, monthly.message_ids.ids
        record = self._index(monthly | yearly, confirm=False)
        self.assertRecordValues(record.line_ids.sorted('effective_date'), [
            {'old_amount': 30.0, 'new_amount': 33.0, 'mrr_change': 3.0, 'effective_date': date(2026, 4, 15)},
            {'old_amount': 120.0, 'new_amount': 132.0, 'mrr_change': 1.0, 'effective_date': date(2026, 9, 1)},
        ])
        self.assertEqual((self.Event.search_count([]), monthly.write_date, monthly.message_ids.ids), before)
        self.assertEqual(monthly.recurring_total, 30.0)
        self.assertFalse(monthly.coming_price_text)

    def test_what_is_left_out_says_why(self):
        ending = self._create_order(start_date='2026-03-01', end_date='2026-03-31', confirm=True)
        fixed = self._create_order(start_date='2026-03-01', confirm=True)
        fixed.order_line.is_price_fixed = True
        closed = self._create_order(start_date='2026-03-01', confirm=True)
        closed._close_subscriptions(self.reason)
        silent = self._create_order(
            start_date='2026-03-01', confirm=True, partner_id=self.env['res.partner'].create({'name': "Silent"}).id)
        record = self._index(ending | fixed | closed | silent, confirm=False, is_announced=True)
        self.assertEqual(set(record.line_ids.mapped('state')), {'skipped'})
        reasons = {line.order_id: line.reason for line in record.line_ids}
        self.assertIn("ends before", reasons[ending])
        self.assertIn("fixed", reasons[fixed])
        self.assertIn("isn't running", reasons[closed])
        self.assertIn("no e-mail address", reasons[silent])
        with self.assertRaisesRegex(UserError, "No price would change"):
            record.action_confirm()

    def test_another_percentage_needs_another_preview(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        record = self._index(order, confirm=False)
        record.percentage = 20.0
        self.assertFalse(record.line_ids)
        with self.assertRaisesRegex(UserError, "complete preview"):
            record.action_confirm()

    def test_all_which_fit_are_those_of_plan_tag_category_and_company(self):
        tag = self.env['res.partner.category'].create({'name': "Retail"})
        category = self.env['product.category'].create({'name': "Indexed"})
        self.service.categ_id = category
        tagged = self._create_order(self.service, self.support, start_date='2026-03-01', confirm=True)
        self._create_order(
            start_date='2026-03-01', confirm=True,
            partner_id=self.env['res.partner'].create({'name': "Other", 'email': 'other@example.com'}).id)
        self._create_order(plan=self.quarterly, start_date='2026-03-01', confirm=True)
        self.partner.category_id = tag
        record = self._index(
            self.Order, confirm=False, selection='domain', plan_ids=self.monthly.ids,
            partner_category_ids=tag.ids, product_category_ids=category.ids)
        self.assertEqual(record.line_ids.order_id, tagged)
        self.assertEqual(record.line_ids.new_amount, 153.0, "Only the line of the category changes")

    # === METHODS === #

    def test_an_index_table_decides_within_floor_and_cap(self):
        index = self.env['subscription.price.index'].create({'name': "CPI", 'value_ids': [
            Command.create({'month': '2025-01-20', 'value': 118.6}),
            Command.create({'month': '2026-01-01', 'value': 121.4}),
        ]})
        order = self._create_order(start_date='2026-03-01', confirm=True)
        values = {'method': 'index', 'index_id': index.id, 'base_month': '2025-01-31', 'reference_month': '2026-01-15'}
        for limits, expected in (
            ({}, 30.71), ({'has_cap': True, 'cap': 2.0}, 30.6), ({'has_floor': True, 'floor': 3.0}, 30.9),
            ({'base_month': '2026-01-31', 'reference_month': '2025-01-15', 'has_floor': True, 'floor': 0.0}, 30.0),
        ):
            with self.subTest(limits=limits):
                record = self._index(order, confirm=False, **{**values, **limits})
                self.assertEqual(record.line_ids.new_amount, expected)
        with self.assertRaisesRegex(UserError, "CPI has no value for February 2026"):
            self._index(order, **{**values, 'reference_month': '2026-02-01'})

    def test_an_amount_is_added_to_each_price_in_its_currency_only(self):
        order = self._create_order(
            {'product_id': self.service.id, 'product_uom_qty': 2, 'discount': 10},
            start_date='2026-03-01', confirm=True)
        record = self._index(order, confirm=False, method='amount', amount=2.5)
        self.assertEqual(record.line_ids.new_amount, 58.5)
        euro = self.env.ref('base.EUR') if self.currency.name != 'EUR' else self.env.ref('base.USD')
        other = self._index(order, confirm=False, method='amount', amount=2.5, currency_id=euro.id)
        self.assertIn("Its currency is", other.line_ids.reason)

    # === APPLICATION === #

    def test_prices_are_billed_at_the_next_period_and_booked_as_expansion(self):
        orders = self._create_order(start_date='2026-03-01', confirm=True) | self._create_order(
            start_date='2026-03-15', confirm=True)
        self._bill('2026-03-15')
        record = self._index(orders)
        self._run_on('2026-04-01')
        self.assertEqual(orders.mapped('recurring_total'), [33.0, 30.0])
        self.assertEqual(record.state, 'partial')
        self._run_on('2026-04-15')
        self._run_on('2026-04-15')
        self.assertEqual(orders.mapped('recurring_total'), [33.0, 33.0], "Twice is once")
        self.assertEqual(record.state, 'done')
        events = self.Event.search([('order_id', 'in', orders.ids), ('event_type', '=', 'expansion')])
        self.assertEqual(
            sorted((str(event.event_date), event.mrr_change, event.is_price_change) for event in events),
            [('2026-04-01', 3.0, True), ('2026-04-15', 3.0, True)])
        self._bill_on('2026-04-15')
        self.assertEqual(
            self._get_ledger(orders[1], 'date_start', 'amount'), [('2026-03-15', 30.0), ('2026-04-15', 33.0)])
        self._assert_ledgers_hold(orders)

    def test_billing_never_bills_the_old_price_though_the_cron_did_not_run(self):
        self.monthly.invoice_lead_days = 5
        order = self._create_order(start_date='2026-02-01', confirm=True)
        record = self._index(order)
        self._bill_on('2026-04-27')
        self.assertEqual(self._get_ledger(order, 'date_start', 'amount'), [
            ('2026-02-01', 30.0), ('2026-03-01', 30.0), ('2026-04-01', 33.0), ('2026-05-01', 33.0)])
        self.assertEqual(record.state, 'done')
        self._assert_ledgers_hold(order)

    def test_the_cron_leaves_the_old_price_to_what_is_not_billed_yet(self):
        self.monthly.bill_in = 'arrears'
        order = self._create_order(start_date='2026-03-01', confirm=True)
        self._index(order)
        self._run_on('2026-04-01')
        self.assertEqual(order.recurring_total, 33.0)
        self._bill_on('2026-05-01')
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'amount'), [('2026-03-01', 30.0), ('2026-04-01', 33.0)])
        self._assert_ledgers_hold(order)

    def test_a_forecast_knows_the_price_to_come(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        self._index(order, date='2026-05-01')
        self._bill('2026-03-10')
        self.assertEqual(
            [invoice['amount_untaxed'] for invoice in order.get_subscription_forecast(3)], [30.0, 33.0, 33.0])

    def test_a_line_which_was_changed_meanwhile_keeps_its_price(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        record = self._index(order)
        order.order_line.price_unit = 40.0
        self._run_on('2026-04-01')
        self.assertEqual(order.recurring_total, 40.0)
        self.assertEqual((record.line_ids.state, record.state), ('skipped', 'done'))
        self.assertIn("changed meanwhile", ''.join(order.message_ids.mapped('body')))

    def test_a_period_billed_meanwhile_postpones_the_price(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        record = self._index(order, confirm=False)
        self._bill_on('2026-04-01')
        with freeze_time('2026-04-02 10:00:00'):
            record.action_confirm()
        self._run_on('2026-04-02')
        self.assertEqual(record.line_ids.effective_date, date(2026, 5, 1))
        self._bill_on('2026-05-01')
        self.assertEqual(self._get_ledger(order, 'date_start', 'amount'), [
            ('2026-03-01', 30.0), ('2026-04-01', 30.0), ('2026-05-01', 33.0)])
        self._assert_ledgers_hold(order)

    def test_what_is_not_applied_can_be_called_off(self):
        one, other, third = (self._create_order(start_date='2026-03-01', confirm=True) for _index in range(3))
        record = self._index(one | other | third)
        record.line_ids.filtered(lambda line: line.order_id == one).action_cancel()
        other.action_cancel_price_changes()
        self.assertEqual(record.state, 'announced')
        record.action_cancel()
        self.assertEqual(record.state, 'cancel')
        self._run_on('2026-04-01')
        self.assertEqual((one | other | third).mapped('recurring_total'), [30.0] * 3)

    def test_nobody_is_indexed_twice(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        self._index(order)
        again = self._index(order, confirm=False)
        self.assertIn("about to change already", again.line_ids.reason)
        with self.assertRaises(psycopg2.errors.UniqueViolation), mute_logger('odoo.sql_db'), self.cr.savepoint():
            again.line_ids.sudo().state = 'to_apply'
            self.env.flush_all()
        again.line_ids.invalidate_recordset()
        self._run_on('2026-04-01')
        later = self._index(order, confirm=False, date='2027-03-15')
        self.assertEqual(later.line_ids.effective_date, date(2027, 4, 1))
        sooner = self._index(order, confirm=False, date='2027-03-01')
        self.assertIn("less than 12 months", sooner.line_ids.reason)

    # === ANNOUNCEMENT === #

    def test_customers_are_told_once_and_early_enough(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        self._bill('2026-03-10')
        record = self._index(order, is_announced=True, announce_days=30)
        self.assertEqual(record.line_ids.effective_date, date(2026, 5, 1), "1 April is less than 30 days ahead")
        self._run_on('2026-03-31')
        self.assertEqual(record.line_ids.state, 'to_announce')
        Mail = self.env['mail.mail']
        domain = [('model', '=', 'sale.order'), ('res_id', '=', order.id), ('subject', 'like', "New prices")]
        self.assertFalse(Mail.search(domain))
        self._run_on('2026-04-01')
        self._run_on('2026-04-01')
        mail = Mail.search(domain)
        self.assertEqual(len(mail), 1)
        self.assertIn("33.00", mail.body_html)
        self.assertEqual(record.line_ids.state, 'to_apply')
        with self.assertRaises(psycopg2.errors.CheckViolation), mute_logger('odoo.sql_db'), self.cr.savepoint():
            record.line_ids.sudo().state = 'to_announce'
            self.env.flush_all()
        record.line_ids.invalidate_recordset()
        self._bill_on('2026-05-01')
        self.assertEqual(self._get_ledger(order, 'amount'), [(30.0,), (30.0,), (33.0,)])

    def test_what_is_announced_late_takes_effect_late(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        record = self._index(order, is_announced=True, announce_days=30)
        self._bill_on('2026-05-01')
        self.assertEqual(self._get_ledger(order, 'amount'), [(30.0,)] * 3, "Nobody was told")
        self._run_on('2026-05-05')
        self.assertEqual(record.line_ids.effective_date, date(2026, 7, 1))
        self._bill_on('2026-07-01')
        self.assertEqual(self._get_ledger(order, 'amount'), [(30.0,)] * 4 + [(33.0,)])

    def test_each_customer_reads_its_language(self):
        self.env['res.lang']._activate_lang('fr_FR')
        template = self.env.ref('sale_subscription_ext.mail_template_indexation')
        template.with_context(lang='fr_FR').subject = "Nouveaux prix"
        french = self.env['res.partner'].create({'name': "Bois", 'email': 'bois@example.com', 'lang': 'fr_FR'})
        orders = self._create_order(start_date='2026-03-01', confirm=True) | self._create_order(
            start_date='2026-03-01', confirm=True, partner_id=french.id)
        self._index(orders, is_announced=True, announce_days=10, date='2026-04-01')
        self._run_on('2026-03-25')
        for order, subject in zip(orders, ("New prices", "Nouveaux prix"), strict=True):
            self.assertEqual(self.env['mail.mail'].search_count(
                [('model', '=', 'sale.order'), ('res_id', '=', order.id), ('subject', 'like', subject)]), 1)

    # === COMPANIES AND RIGHTS === #

    def test_each_company_goes_by_its_own_date(self):
        other = self.env['res.company'].create({'name': "East", 'subscription_tz': 'Pacific/Auckland'})
        self.env.user.company_ids += other
        here = self._create_order(start_date='2026-03-01', confirm=True)
        there = self._create_order(start_date='2026-03-01', company_id=other.id)
        there.action_confirm()
        self._index(here)
        self._index(there, company_id=other.id)
        with freeze_time('2026-03-31 13:00:00'):
            self._run_cron(CRON)
        self.assertEqual((here.recurring_total, there.recurring_total), (30.0, 33.0))
        self._run_on('2026-04-01')
        self.assertEqual(here.recurring_total, 33.0)

    def test_one_which_fails_does_not_stop_the_others(self):
        bad, good = (self._create_order(start_date='2026-03-01', confirm=True) for _index in range(2))
        record = self._index(bad | good)
        Change = self.env.registry['subscription.price.change']
        apply = Change._apply

        def apply_unless_bad(changes):
            if bad.id in changes.order_id.ids:
                raise ValueError("Something is wrong with it.")
            return apply(changes)

        with patch.object(Change, '_apply', apply_unless_bad), mute_logger(
                'odoo.addons.sale_subscription_ext.models.subscription_indexation_work_mixin'):
            self._run_on('2026-04-01')
        self.assertEqual(bad.recurring_total, 30.0)
        self.assertIn("Something is wrong", bad.message_ids[0].body)
        self.assertEqual(good.recurring_total, 33.0)
        self.assertEqual(set(record.line_ids.mapped('state')), {'skipped', 'applied'})

    def test_only_administrators_of_sales_index_prices(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        record = self._index(order)
        user = new_test_user(
            self.env, 'seller', 'sales_team.group_sale_salesman_all_leads', company_id=self.company.id)
        self.assertEqual(record.line_ids.with_user(user).new_amount, 33.0, "Salespeople see what is coming")
        for call in (
            lambda: self.env['subscription.indexation'].with_user(user).create({}),
            record.with_user(user).action_preview, record.with_user(user).action_confirm,
            record.with_user(user).action_cancel, record.line_ids.with_user(user).action_cancel,
            order.with_user(user).action_cancel_price_changes,
            lambda: record.line_ids.with_user(user).write({'state': 'cancel'}),
            lambda: record.line_ids.change_ids.with_user(user).write({'new_price_unit': 1.0}),
            lambda: self.env['subscription.price.index'].with_user(user).create({'name': "Mine"}),
        ):
            with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_model'):
                call()
        with self.assertRaisesRegex(UserError, "can't be set"):
            record.state = 'done'
        with self.assertRaisesRegex(UserError, "can't be set"):
            record.create({'name': "Ready", 'percentage': 5.0, 'state': 'announced'})

    def test_other_companies_see_nothing_of_it(self):
        order = self._create_order(start_date='2026-03-01', confirm=True)
        record = self._index(order)
        company = self.env['res.company'].create({'name': "Elsewhere"})
        stranger = new_test_user(
            self.env, 'stranger', 'sales_team.group_sale_manager', company_id=company.id,
            company_ids=[Command.set(company.ids)])
        for model in ('subscription.indexation', 'subscription.indexation.line', 'subscription.price.change'):
            self.assertFalse(self.env[model].with_user(stranger).search([]), model)
        with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_rule'):
            record.with_user(stranger).action_cancel()

    def test_a_preview_asks_as_many_queries_for_many_as_for_few(self):
        def count(number):
            orders = self.Order.union(*(
                self._create_order(start_date='2026-03-01', confirm=True) for _index in range(number)))
            record = self._index(orders, confirm=False)
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.cr.sql_log_count
            record.action_preview()
            self.env.flush_all()
            return self.cr.sql_log_count - before
        count(1)
        self.assertLessEqual(count(12) - count(2), 3)
