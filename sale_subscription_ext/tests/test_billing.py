from datetime import date, timedelta
from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.fields import Command, Date
from odoo.tests import freeze_time
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestBilling(SaleSubscriptionCommon):

    def test_a_due_subscription_gets_one_posted_invoice_with_its_service_period(self):
        order = self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        self.assertRecordValues(move, [{
            'state': 'posted', 'amount_untaxed': 30.0, 'invoice_date': Date.to_date('2026-01-31'),
            'partner_id': self.partner.id, 'invoice_origin': order.name,
        }])
        self.assertRecordValues(move.invoice_line_ids, [{
            'service_start_date': Date.to_date('2026-01-31'), 'service_end_date': Date.to_date('2026-02-27'),
            'quantity': 1.0, 'price_unit': 30.0, 'sale_line_ids': order.order_line.ids,
        }])
        self.assertIn('01/31/2026 – 02/27/2026', move.invoice_line_ids.name)
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'date_end', 'kind', 'state', 'amount', 'quantity'),
            [('2026-01-31', '2026-02-28', 'regular', 'billed', 30.0, 1.0)])
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))
        self._assert_ledgers_hold(order)

    def test_a_second_run_bills_nothing(self):
        self._create_order(confirm=True)
        self.assertEqual(len(self._bill('2026-01-31')), 1)
        self.assertFalse(self._bill('2026-01-31'))

    def test_month_ends_never_drift(self):
        order = self._create_order(confirm=True)
        for day in ('2026-01-31', '2026-02-28', '2026-03-31', '2026-04-30', '2026-05-31'):
            self.assertEqual(order.next_invoice_date, Date.to_date(day))
            self.assertFalse(self._bill(str(date.fromisoformat(day) - timedelta(days=1))))
            self.assertEqual(len(self._bill(day)), 1)
        self._assert_ledgers_hold(order)

    def test_missed_periods_are_billed_one_invoice_each_oldest_first(self):
        order = self._create_order(start_date='2025-11-30', confirm=True)
        moves = self._bill('2026-01-31')
        self.assertEqual(moves.mapped('invoice_date'), [Date.to_date('2026-01-31')] * 3)
        self.assertEqual(
            [str(line.service_start_date) for line in moves.invoice_line_ids.sorted('service_start_date')],
            ['2025-11-30', '2025-12-30', '2026-01-30'])
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))

    def test_more_missed_periods_than_the_limit_park_the_subscription(self):
        self.company.subscription_catch_up = 3
        order = self._create_order(start_date='2025-09-30', confirm=True)
        self.assertFalse(self._bill('2026-01-31'))
        self.assertTrue(order.billing_parked)
        self.assertIn("More than 3 missed periods", order.billing_error)
        self.assertFalse(self._bill('2026-02-28'), "A parked subscription is left alone")
        self.company.subscription_catch_up = 24
        order.action_retry_billing()
        self.assertFalse(order.billing_parked)
        self.assertEqual(len(order.invoice_ids), 5)

    def test_a_closed_end_shortens_the_last_period(self):
        order = self._create_order(start_date='2026-01-01', end_date='2026-02-14', confirm=True)
        moves = self._bill('2026-01-31') | self._bill('2026-02-28')
        self.assertEqual(moves.mapped('amount_untaxed'), [30.0, 15.0])
        self.assertFalse(order.next_invoice_date)
        self._assert_ledgers_hold(order)

    def test_one_off_lines_join_the_first_invoice_only(self):
        order = self._create_order(self.service, self.installation, confirm=True)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 230.0)
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 30.0)
        self.assertEqual(order.invoice_status, 'invoiced')

    def test_sections_and_notes_go_with_their_lines(self):
        order = self._create_order(
            {'display_type': 'line_section', 'name': "Once", 'sequence': 1},
            {'product_id': self.installation.id, 'sequence': 2},
            {'display_type': 'line_section', 'name': "Each month", 'sequence': 3},
            {'product_id': self.service.id, 'sequence': 4},
            {'display_type': 'line_note', 'name': "Thank you", 'sequence': 5},
        )
        order.action_confirm()
        first, second = self._bill('2026-01-31'), self._bill('2026-02-28')
        self.assertEqual(
            [line.name.split('\n')[0] for line in first.invoice_line_ids.sorted('sequence')],
            ["Once", "Installation", "Each month", "Hosting", "Thank you"])
        self.assertEqual(
            [line.name.split('\n')[0] for line in second.invoice_line_ids.sorted('sequence')],
            ["Each month", "Hosting", "Thank you"])

    def test_lines_on_several_plans_are_billed_each_in_its_time(self):
        order = self._create_order(self.service, {'product_id': self.support.id, 'plan_id': self.quarterly.id})
        order.action_confirm()
        amounts = [sum(self._bill(day).mapped('amount_untaxed')) for day in (
            '2026-01-31', '2026-02-28', '2026-03-31', '2026-04-30')]
        self.assertEqual(amounts, [150.0, 30.0, 30.0, 150.0])
        self.assertEqual(len(order.invoice_ids), 4, "Lines due together share an invoice")

    def test_calendar_plans_prorate_the_first_period(self):
        calendar = self._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')
        order = self._create_order(plan=calendar, start_date='2026-01-25', confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(move.amount_untaxed, 6.77)  # 30 × 7 / 31
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 30.0)

    def test_an_incomplete_first_period_can_be_full_or_free(self):
        for first_period, expected in (('full', [30.0]), ('free', [])):
            with self.subTest(first_period=first_period):
                plan = self._create_plan(
                    first_period, 1, 'month', billing_alignment='calendar', first_period=first_period)
                order = self._create_order(plan=plan, start_date='2026-01-25', confirm=True)
                self.assertEqual(self._bill('2026-01-31', order).mapped('amount_untaxed'), expected)
                self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
                self._assert_ledgers_hold(order)

    def test_a_prorated_line_is_rounded_once(self):
        calendar = self._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')
        line = {'product_id': self.service.id, 'product_uom_qty': 7, 'price_unit': 9.99, 'discount': 10}
        order = self._create_order(line, plan=calendar, start_date='2026-01-25', confirm=True)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 14.21)  # 7 × 9.99 × 0.9 × 7 / 31
        self.assertEqual(self._get_ledger(order, 'quantity', 'price_unit', 'amount'), [(7.0, 9.99, 14.21)])

    def test_arrears_are_billed_at_the_end_of_the_period(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, confirm=True)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))
        self.assertFalse(self._bill('2026-02-27'))
        self.assertEqual(self._bill('2026-02-28').invoice_line_ids.service_start_date, Date.to_date('2026-01-31'))

    def test_invoices_can_be_made_ahead(self):
        ahead = self._create_plan("Ahead", 1, 'month', invoice_lead_days=10)
        order = self._create_order(plan=ahead, start_date='2026-03-15', confirm=True)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-03-05'))
        self.assertEqual(self._bill('2026-03-05').invoice_line_ids.service_start_date, Date.to_date('2026-03-15'))

    def test_delivered_quantities_are_billed_in_arrears(self):
        hours = self._create_service("Hours", 50.0, recurring_invoice=True, invoice_policy='delivery')
        order = self._create_order(hours, confirm=True)
        order.order_line.qty_delivered = 3
        self.assertFalse(self._bill('2026-01-31'))
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 150.0)
        self.assertFalse(self._bill('2026-03-31'), "Nothing was delivered")
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-04-30'))
        order.order_line.qty_delivered = 5
        self.assertEqual(self._bill('2026-04-30').amount_untaxed, 100.0)

    def test_draft_mode_leaves_drafts_for_review(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(move.state, 'draft')
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))
        move.invoice_line_ids.price_unit = 25.0
        move.action_post()
        self.assertEqual(self._get_ledger(order, 'amount', 'state'), [(25.0, 'billed')])

    def test_a_posted_invoice_is_left_to_the_asynchronous_sending(self):
        self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        self.assertTrue(move.is_being_sent)
        self.assertFalse(move.is_move_sent, "Nothing is mailed inside the billing transaction")

    def test_without_an_address_an_invoice_is_posted_and_says_that_it_was_not_sent(self):
        self.partner.email = False
        self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(move.state, 'posted')
        self.assertFalse(move.is_being_sent)
        self.assertTrue(any("no e-mail address" in message.body for message in move.message_ids))

    def test_a_plan_without_template_posts_without_sending(self):
        self.monthly.invoice_mail_template_id = False
        self._create_order(confirm=True)
        self.assertFalse(self._bill('2026-01-31').is_being_sent)

    def test_a_broken_subscription_fails_alone(self):
        good, bad, other = (self._create_order(confirm=True) for _i in range(3))
        prepare_invoice = type(self.Order)._prepare_invoice

        def fail_on_bad(order):
            if order == bad:
                raise UserError(self.env._("The journal is on holiday."))
            return prepare_invoice(order)

        with patch.object(type(self.Order), '_prepare_invoice', fail_on_bad):
            moves = self._bill('2026-01-31')
            self.assertEqual(moves.invoice_line_ids.sale_line_ids.order_id, good | other)
            self.assertEqual(bad.billing_error, "The journal is on holiday.")
            self.assertFalse(bad.order_line.period_ids, "Nothing of it stays")
            self.assertEqual(len(bad.activity_ids), 1)
            self.assertFalse(bad.billing_parked)
            self.assertFalse(self._bill('2026-01-31'), "It isn't tried again on the same day")
            self._bill('2026-02-01')
            self.assertEqual(len(bad.activity_ids), 1, "One activity is enough")
        self.assertEqual(len(self._bill('2026-02-02')), 1)
        self.assertFalse(bad.billing_error)
        self.assertFalse(bad.activity_ids)

    def test_a_subscription_which_keeps_failing_is_tried_daily_and_then_parked(self):
        order = self._create_order(confirm=True)

        def fail(_order):
            raise UserError(self.env._("The journal is on holiday."))

        with patch.object(type(self.Order), '_prepare_invoice', fail):
            for day in ('2026-01-31', '2026-02-01', '2026-02-02', '2026-02-03'):
                self._bill(day)
                self.assertFalse(order.billing_parked)
            self._bill('2026-02-04')
        self.assertTrue(order.billing_parked)
        self.assertFalse(self._bill('2026-02-05'))
        order.action_retry_billing()
        self.assertEqual(len(order.invoice_ids), 1)
        self.assertRecordValues(order, [{'billing_parked': False, 'billing_failure_count': 0, 'billing_error': False}])

    def test_a_negative_total_parks_the_subscription(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'price_unit': -50.0}, confirm=True)
        self.assertFalse(self._bill('2026-01-31'))
        self.assertTrue(order.billing_parked)
        self.assertIn("negative", order.billing_error)

    def test_a_free_subscription_moves_on_without_invoice(self):
        order = self._create_order({'product_id': self.service.id, 'price_unit': 0.0}, confirm=True)
        self.assertFalse(self._bill('2026-01-31'))
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))
        self.assertEqual(self._get_ledger(order, 'state'), [('waived',)])

    def test_a_line_without_quantity_is_skipped(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'product_uom_qty': 0.0}, confirm=True)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 30.0)
        self.assertFalse(order.order_line[1].period_ids)

    def test_deleting_a_draft_makes_its_periods_due_again(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_order(confirm=True)
        self._bill('2026-01-31').unlink()
        self.assertEqual(self._get_ledger(order, 'state'), [('open',)])
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-01-31'))
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 30.0)
        self.assertEqual(self._get_ledger(order, 'state'), [('billed',)])
        self._assert_ledgers_hold(order)

    def test_cancelling_and_reopening_a_draft_moves_its_periods_along(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        move.button_cancel()
        self.assertEqual(self._get_ledger(order, 'state'), [('open',)])
        move.button_draft()
        self.assertEqual(self._get_ledger(order, 'state'), [('billed',)])
        self.assertFalse(self._bill('2026-01-31'))

    def test_an_invoice_whose_periods_were_billed_again_stays_cancelled(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_order(confirm=True)
        first = self._bill('2026-01-31')
        first.button_cancel()
        second = self._bill('2026-01-31')
        with self.assertRaisesRegex(UserError, "billed by another invoice"):
            first.button_draft()
        self.assertEqual(order.order_line.period_ids.invoice_id, second)

    def test_what_a_reviewer_takes_off_a_delivered_line_is_billed_later(self):
        self.monthly.collection_mode = 'draft'
        hours = self._create_service("Hours", 50.0, recurring_invoice=True, invoice_policy='delivery')
        order = self._create_order(hours, confirm=True)
        order.order_line.qty_delivered = 5
        draft = self._bill('2026-02-28')
        draft.invoice_line_ids.quantity = 3
        self.assertEqual(self._get_ledger(order, 'quantity', 'amount'), [(3.0, 150.0)])
        draft.action_post()
        self.assertEqual(self._bill('2026-03-31').amount_untaxed, 100.0)

    def test_a_draft_deleted_after_the_closing_can_be_billed_again(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_order(confirm=True)
        draft = self._bill('2026-01-31')
        order._close_subscriptions(self.reason)
        draft.unlink()
        self.assertEqual(order.invoice_status, 'to invoice')
        self.assertEqual(order._create_invoices().amount_untaxed, 30.0)
        self.assertEqual(order.invoice_status, 'invoiced')

    def test_a_negative_line_is_on_each_of_several_missed_invoices(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'product_uom_qty': -1, 'price_unit': 5.0},
            start_date='2025-12-31', confirm=True)
        self.assertEqual(self._bill('2026-01-31', order).mapped('amount_untaxed'), [25.0, 25.0])

    def test_a_fully_discounted_line_is_shown_beside_others(self):
        order = self._create_order(self.service, {'product_id': self.support.id, 'discount': 100.0}, confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(move.invoice_line_ids.mapped('price_subtotal'), [30.0, 0.0])
        self.assertEqual(self._get_ledger(order, 'state'), [('billed',), ('billed',)])

    def test_a_credit_note_is_mailed_with_the_template_of_credit_notes(self):
        self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        self.monthly.invoice_mail_template_id = self.monthly.invoice_mail_template_id.copy()
        get_template = self.env['account.move.send']._get_default_mail_template_id
        self.assertEqual(get_template(move), self.monthly.invoice_mail_template_id)
        self.assertNotEqual(get_template(move._reverse_moves()), self.monthly.invoice_mail_template_id)

    def test_create_invoice_on_a_parked_subscription_says_why(self):
        order = self._create_order(start_date='2022-01-31', confirm=True)
        with self.assertRaisesRegex(UserError, "missed periods") as error:
            order._create_invoices()
        self.assertIs(type(error.exception), UserError, "The web client knows the host's exceptions only")

    def test_an_unexpected_error_is_told_in_words(self):
        order = self._create_order(confirm=True)
        self.Period.sudo().create(order.order_line._prepare_period('2026-01-31', '2026-02-15', state='waived'))
        with mute_logger('odoo.sql_db', 'odoo.addons.sale_subscription_ext.models.subscription_billing_mixin'):
            self.assertFalse(self._bill('2026-01-31'))
        self.assertIn("The database refused", order.billing_error)
        self.assertNotIn("CONSTRAINT", order.billing_error.upper().replace("EXCLUSION CONSTRAINT", ""))

    def test_each_company_bills_on_its_own_day(self):
        self.env.user.group_ids += self.env.ref('base.group_multi_company')
        other = self.setup_other_company(name="Far East")['company']
        other.subscription_tz = 'Pacific/Auckland'
        here = self._create_order(start_date='2026-02-01', confirm=True)
        there = self.Order.with_company(other).create({
            'partner_id': self.partner.id, 'company_id': other.id, 'plan_id': self.monthly.id,
            'start_date': '2026-02-01', 'order_line': [Command.create({'product_id': self.service.id})],
        })
        there.action_confirm()
        with freeze_time('2026-01-31 12:00:00'):  # February already in Auckland
            moves = self.Order._bill_subscriptions()
        self.assertEqual(moves.company_id, other)
        self.assertEqual(moves.invoice_date, Date.to_date('2026-02-01'))
        self.assertEqual(moves.journal_id.company_id, other)
        self.assertFalse(here.invoice_ids)

    def test_orders_in_a_foreign_currency_are_billed_in_it(self):
        euro = self.setup_other_currency('EUR', rates=[('2020-01-01', 0.5)])
        pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': euro.id})
        order = self._create_order(pricelist_id=pricelist.id, confirm=True)
        self.assertEqual((order.currency_id, order.mrr), (euro, 15.0))
        self.assertEqual(self.Event.search([('order_id', '=', order.id)]).mrr_change, 30.0)
        move = self._bill('2026-01-31')
        self.assertEqual((move.currency_id, move.amount_untaxed), (euro, 15.0))
        self.assertEqual(order.order_line.period_ids.currency_id, euro)

    def test_without_payment_terms_an_invoice_is_due_on_its_date(self):
        self.partner.property_payment_term_id = False
        self._create_order(start_date='2026-01-10', payment_term_id=False, confirm=True)
        self.assertEqual(self._bill('2026-01-12').invoice_date_due, Date.to_date('2026-01-12'))

    def test_taxes_and_fields_of_the_order_reach_the_invoice(self):
        tax = self.company_data['default_tax_sale']
        self.service.taxes_id = tax
        order = self._create_order(client_order_ref="PO 77", confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(move.ref, "PO 77")
        self.assertEqual(move.invoice_line_ids.tax_ids, tax)
        self.assertEqual(move.amount_total, order.amount_total)
        self.assertEqual(move.invoice_user_id, order.user_id)

    def test_billing_chosen_orders_leaves_the_others(self):
        chosen, other = self._create_order(confirm=True), self._create_order(confirm=True)
        self.assertEqual(self._bill('2026-01-31', chosen).invoice_line_ids.sale_line_ids.order_id, chosen)
        self.assertEqual(other.next_invoice_date, Date.to_date('2026-01-31'))

    def test_bill_now_shows_the_invoice_or_says_that_nothing_is_due(self):
        order = self._create_order(confirm=True)
        self.assertEqual(order.action_bill_now()['res_id'], order.invoice_ids.id)
        self.assertEqual(order.action_bill_now()['tag'], 'display_notification')

    def test_the_cron_commits_batch_by_batch(self):
        orders = self.Order.union(*(self._create_order(confirm=True) for _i in range(5)))
        commits = []
        with (
            patch('odoo.addons.sale_subscription_ext.const.BILLING_BATCH_SIZE', 2),
            patch.object(type(self.env['ir.cron']), '_commit_progress',
                         lambda self, *args, **kwargs: commits.append((args, kwargs)) or 60.0),
        ):
            self.Order._cron_bill_subscriptions()
        self.assertEqual(commits, [
            ((), {'remaining': 5}), ((2,), {}), ((2,), {}), ((1,), {}), ((), {'remaining': 0})])
        self.assertEqual(len(orders.invoice_ids), 5)

    def test_more_contracts_in_a_batch_cost_few_queries_each(self):
        def count_queries(number):
            orders = self.Order.union(*(self._create_order(self.service, self.support) for _i in range(number)))
            orders.action_confirm()
            self._flush_tracking()
            self.env.invalidate_all()
            before = self.env.cr.sql_log_count
            self.assertEqual(len(self._bill('2026-01-31', orders)), number)
            self.env.flush_all()
            return self.env.cr.sql_log_count - before

        count_queries(2)  # warms the caches of the registry
        more = count_queries(20) - count_queries(10)
        self.assertLessEqual(more / 10, 20, "Mostly the host's, for chatter and numbers")

    def test_the_cron_stops_when_its_time_is_over(self):
        orders = self.Order.union(*(self._create_order(confirm=True) for _i in range(3)))
        with (
            patch('odoo.addons.sale_subscription_ext.const.BILLING_BATCH_SIZE', 2),
            patch.object(type(self.env['ir.cron']), '_commit_progress', lambda self, *args, **kwargs: 0.0),
        ):
            self.Order._cron_bill_subscriptions()
            self.assertEqual(len(orders.invoice_ids), 2)
            self.Order._cron_bill_subscriptions()
        self.assertEqual(len(orders.invoice_ids), 3)
