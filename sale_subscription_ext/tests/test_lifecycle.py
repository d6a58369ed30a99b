from unittest.mock import patch

from psycopg2 import IntegrityError

from odoo.exceptions import UserError, ValidationError
from odoo.fields import Date
from odoo.tests import Form, freeze_time
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestLifecycle(SaleSubscriptionCommon):

    def test_confirming_a_quotation_with_a_plan_starts_a_subscription(self):
        order = self._create_order(self.service, self.installation)
        self.assertEqual(order.subscription_state, 'draft')
        self.assertEqual(order.stage_id.subscription_state, 'draft')
        order.action_confirm()
        self.assertRecordValues(order, [{
            'state': 'sale', 'is_subscription': True, 'subscription_state': 'progress',
            'start_date': Date.to_date('2026-01-31'), 'next_invoice_date': Date.to_date('2026-01-31'),
            'recurring_total': 30.0, 'mrr': 30.0, 'arr': 360.0,
        }])
        self.assertEqual(order.stage_id.subscription_state, 'progress')
        recurring, one_off = order.order_line
        self.assertRecordValues(recurring, [{
            'is_recurring': True, 'plan_id': self.monthly.id, 'anchor_date': Date.to_date('2026-01-31'),
            'start_date': Date.to_date('2026-01-31'), 'next_period_start': Date.to_date('2026-01-31'),
        }])
        self.assertRecordValues(one_off, [{'is_recurring': False, 'plan_id': False, 'anchor_date': False}])
        self._assert_ledgers_hold(order)

    def test_two_orders_confirmed_at_once_keep_their_own_lines(self):
        orders = self._create_order(self.service) | self._create_order(self.support, plan=self.yearly)
        orders.action_confirm()
        self.assertEqual(orders.mapped('mrr'), [30.0, 10.0])
        events = self.Event.search([('order_id', 'in', orders.ids)], order='id')
        self.assertRecordValues(events, [
            {'order_id': orders[0].id, 'mrr_change': 30.0, 'contract_change': 1, 'customer_change': 1},
            {'order_id': orders[1].id, 'mrr_change': 10.0, 'contract_change': 1, 'customer_change': 0},
        ])

    def test_a_plain_order_is_untouched(self):
        order = self._create_order(
            {'product_id': self.installation.id, 'price_unit': 123.0, 'discount': 10.0},
            plan=self.env['subscription.plan'], confirm=True)
        self.assertRecordValues(order.order_line, [{'price_unit': 123.0, 'discount': 10.0}])
        self.assertRecordValues(order, [{
            'is_subscription': False, 'subscription_state': False, 'stage_id': False, 'next_invoice_date': False,
            'invoice_status': 'to invoice', 'mrr': 0.0,
        }])
        move = order._create_invoices()
        self.assertEqual(move.amount_untaxed, 110.7)
        self.assertEqual(order.invoice_status, 'invoiced')
        self.assertFalse(self.Event.search([('order_id', '=', order.id)]))

    def test_a_plain_order_can_be_cancelled_and_set_back(self):
        order = self._create_order(self.installation, plan=self.env['subscription.plan'], confirm=True)
        order.action_cancel()
        order.action_draft()
        self.assertEqual(order.state, 'draft')

    def test_a_recurring_product_without_a_plan_is_refused_at_confirmation(self):
        order = self._create_order(self.service, plan=self.env['subscription.plan'])
        self.assertIn("recurring plan", order.subscription_warning)
        with self.assertRaisesRegex(UserError, "Choose a recurring plan"):
            order.action_confirm()

    def test_a_product_which_may_be_sold_once_is_without_a_plan(self):
        self.service.sell_once = True
        order = self._create_order(self.service, plan=self.env['subscription.plan'], confirm=True)
        self.assertFalse(order.is_subscription)
        self.assertEqual(order._create_invoices().amount_untaxed, 30.0)

    def test_the_default_plan_of_a_product_fills_an_order_without_one(self):
        self.service.default_plan_id = self.quarterly
        order = self._create_order(self.service, plan=self.env['subscription.plan'])
        self.assertEqual(order.plan_id, self.quarterly)
        self.assertEqual(order.order_line.plan_id, self.quarterly)

    def test_a_line_can_have_a_plan_of_its_own(self):
        order = self._create_order(self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id})
        self.assertEqual(order.order_line.mapped('plan_id'), self.monthly | self.yearly)
        order.plan_id = self.quarterly
        self.assertEqual(order.order_line[0].plan_id, self.quarterly, "A line without its own plan follows the order")
        self.assertEqual(order.order_line[1].plan_id, self.yearly, "A line keeps its own plan")
        order.action_confirm()
        self.assertEqual(order.mrr, 20.0)
        self.assertEqual(order.recurring_total, 30.0, "Lines on other plans aren't in the total of the order's plan")

    def test_the_plan_of_a_line_survives_editing_in_the_form(self):
        with Form(self.env['sale.order']) as form:
            form.partner_id = self.partner
            form.plan_id = self.monthly
            with form.order_line.new() as line:
                line.product_id = self.service
            with form.order_line.new() as line:
                line.product_id = self.support
                line.plan_id = self.yearly
            form.plan_id = self.quarterly
        self.assertEqual(form.record.order_line.mapped('plan_id.name'), ["Every quarter", "Every year"])

    def test_a_start_in_the_past_is_told(self):
        order = self._create_order(start_date='2025-11-30', confirm=True)
        self.assertEqual(order.next_invoice_date, Date.to_date('2025-11-30'))
        self.assertTrue(any("3 invoices are due" in message.body for message in order.message_ids))

    def test_days_before_the_first_unbilled_day_are_left_out(self):
        order = self._create_order(start_date='2025-11-30', next_invoice_date='2026-01-30', confirm=True)
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'date_end', 'state'), [('2025-11-30', '2026-01-30', 'waived')])
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-01-30'))
        self._assert_ledgers_hold(order)

    def test_an_end_before_the_start_is_refused(self):
        order = self._create_order(start_date='2026-02-10', end_date='2026-02-01')
        with self.assertRaisesRegex(UserError, "before it starts"):
            order.action_confirm()
        self.assertEqual(order.subscription_state, 'draft')

    def test_closing_writes_churn_and_stops_billing(self):
        order = self._create_order(self.service, self.support, confirm=True)
        self._bill('2026-01-31')
        action = order.action_close()
        wizard = self.env[action['res_model']].with_context(**action['context']).create({
            'close_reason_id': self.reason.id, 'close_note': "Went to the seaside"})
        wizard.action_apply()
        self.assertRecordValues(order, [{
            'subscription_state': 'closed', 'close_reason_id': self.reason.id, 'mrr': 0.0,
            'close_date': Date.to_date('2026-01-31'), 'end_date': Date.to_date('2026-01-31'),
            'next_invoice_date': False,
        }])
        churn = self.Event.search([('order_id', '=', order.id), ('event_type', '=', 'churn')], order='id')
        self.assertEqual(churn.mapped('mrr_change'), [-30.0, -120.0])
        self.assertEqual(churn.mapped('contract_change'), [-1, 0])
        self.assertEqual(churn.mapped('customer_change'), [-1, 0])
        self.assertEqual(churn.close_reason_id, self.reason)
        self.assertFalse(self._bill('2027-01-31'))
        self.assertTrue(any("Went to the seaside" in message.body for message in order.message_ids))
        self._assert_ledgers_hold(order)

    def test_closing_leaves_out_what_is_due_and_unbilled(self):
        order = self._create_order(confirm=True)
        order._close_subscriptions(self.reason)
        self.assertEqual(self._get_ledger(order, 'date_start', 'state'), [('2026-01-31', 'waived')])
        self.assertFalse(self._bill('2026-02-28'))

    def test_closing_bills_what_was_served_if_wished(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        hours = self._create_service("Hours", 50.0, recurring_invoice=True, invoice_policy='delivery')
        order = self._create_order(self.service, hours, plan=arrears, start_date='2026-01-01', confirm=True)
        order.order_line[1].qty_delivered = 3
        with freeze_time('2026-01-20 10:00:00'):
            wizard = self.env['subscription.close'].create({
                'order_ids': order.ids, 'close_reason_id': self.reason.id})
            self.assertTrue(wizard.has_unbilled)
            self.assertEqual(wizard.unbilled, 'bill')
            wizard.action_apply()
        self.assertEqual(order.subscription_state, 'closed')
        self.assertEqual(order.invoice_ids.amount_untaxed, 169.35)  # 30 × 20/31 + 3 × 50
        self.assertEqual(order.invoice_ids.invoice_date, Date.to_date('2026-01-20'))
        self._assert_ledgers_hold(order)

    def test_closing_a_parked_subscription_covers_every_served_day(self):
        order = self._create_order(start_date='2022-06-01', confirm=True)
        self._bill('2026-01-31')
        self.assertTrue(order.billing_parked)
        wizard = self.env['subscription.close'].create({
            'order_ids': order.ids, 'close_reason_id': self.reason.id})
        with self.assertRaisesRegex(UserError, "missed periods"):
            wizard.action_apply()
        wizard.unbilled = 'leave_out'
        wizard.action_apply()
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'date_end', 'state'), [('2022-06-01', '2026-02-01', 'waived')])
        self._assert_ledgers_hold(order)

    def test_closing_before_the_start_leaves_no_revenue_behind(self):
        order = self._create_order(start_date='2026-06-01', confirm=True)
        order._close_subscriptions(self.reason)
        events = self.Event.search([('order_id', '=', order.id)], order='id')
        self.assertEqual(events.mapped(lambda event: str(event.event_date)), ['2026-06-01', '2026-06-01'])

    def test_a_closed_subscription_cannot_be_cancelled_and_started_again(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        order._close_subscriptions(self.reason)
        with self.assertRaisesRegex(UserError, "can't be cancelled"):
            order.action_cancel()

    def test_a_cancelled_start_in_arrears_bills_its_first_period_after_all(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, confirm=True)
        order.action_cancel()
        order.action_draft()
        self.assertFalse(order.next_invoice_date)
        order.action_confirm()
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 30.0)

    def test_a_line_of_a_withdrawn_contract_is_kept(self):
        order = self._create_order(self.service, self.support, confirm=True)
        order.action_cancel()
        order.action_draft()
        with self.assertRaisesRegex(UserError, "Set its quantity to 0"):
            order.order_line[0].unlink()

    def test_one_contract_which_cannot_be_closed_does_not_stop_the_others(self):
        orders = self.Order.union(*(
            self._create_order(start_date='2026-01-01', end_date='2026-01-30', confirm=True) for _i in range(3)))
        self._bill('2026-01-31')
        close = type(self.Order)._close_subscriptions

        def fail_on_second(contracts, *args, **kwargs):
            if orders[1] in contracts:
                raise UserError(self.env._("Not today."))
            return close(contracts, *args, **kwargs)

        with (
            patch.object(type(self.Order), '_close_subscriptions', fail_on_second),
            mute_logger('odoo.addons.sale_subscription_ext.models.subscription_lifecycle_mixin'),
        ):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(orders.mapped('subscription_state'), ['closed', 'progress', 'closed'])
        self.assertTrue(any("Not today." in message.body for message in orders[1].message_ids))

    def test_a_plan_in_use_cannot_be_deleted(self):
        self._create_order(confirm=True)
        with mute_logger('odoo.sql_db'), self.assertRaises(IntegrityError), self.cr.savepoint():
            self.monthly.unlink()

    def test_a_closed_subscription_cannot_be_closed_again(self):
        order = self._create_order(confirm=True)
        order._close_subscriptions(self.reason)
        with self.assertRaisesRegex(UserError, "running"):
            order.action_close()
        with self.assertRaisesRegex(UserError, "can't become"):
            order._update_subscription_state('paused')

    def test_the_customer_leaves_with_the_last_contract_only(self):
        first, second = self._create_order(confirm=True), self._create_order(confirm=True)
        first._close_subscriptions(self.reason)
        second._close_subscriptions(self.reason)
        events = self.Event.search([('order_id', 'in', (first | second).ids)], order='id')
        self.assertEqual(events.mapped('customer_change'), [1, 0, 0, -1])
        self.assertEqual(events.mapped('contract_change'), [1, 1, -1, -1])

    def test_a_billed_subscription_cannot_be_cancelled(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        with self.assertRaisesRegex(UserError, "Close it instead"):
            order.action_cancel()
        self.assertEqual(order.subscription_state, 'progress')

    def test_cancelling_before_the_first_invoice_takes_the_start_back(self):
        order = self._create_order(confirm=True)
        order.action_cancel()
        self.assertRecordValues(order, [{'state': 'cancel', 'subscription_state': False, 'stage_id': False}])
        events = self.Event.search([('order_id', '=', order.id)], order='id')
        self.assertEqual(events.mapped('event_type'), ['new', 'correction'])
        self.assertEqual(sum(events.mapped('contract_change')), 0)
        self._assert_ledgers_hold(order)

    def test_a_cancelled_subscription_can_be_confirmed_again(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31').button_draft()
        order.invoice_ids.unlink()
        order.action_cancel()
        order.action_draft()
        self.assertEqual(order.subscription_state, 'draft')
        order.action_confirm()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertEqual(len(self._bill('2026-01-31')), 1)

    def test_a_contract_whose_last_day_is_over_is_closed(self):
        order = self._create_order(start_date='2026-01-01', end_date='2026-01-30', confirm=True)
        later = self._create_order(start_date='2026-01-01', end_date='2026-01-31', confirm=True)
        self._bill('2026-01-31')
        self._run_cron('ir_cron_run_lifecycle')
        self.assertRecordValues(order, [{
            'subscription_state': 'closed', 'close_date': Date.to_date('2026-01-30'),
            'close_reason_id': self.env.ref('sale_subscription_ext.close_reason_end_of_contract').id,
        }])
        self.assertEqual(later.subscription_state, 'progress')

    def test_what_becomes_due_shows_in_orders_to_invoice_even_if_billing_is_off(self):
        orders = self._create_order(confirm=True) | self._create_order(confirm=True)
        self._bill('2026-01-31')
        self.assertEqual(orders.mapped('invoice_status'), ['invoiced', 'invoiced'])
        with freeze_time('2026-02-28 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(orders.mapped('invoice_status'), ['to invoice', 'to invoice'])
        self.assertEqual(orders.order_line.mapped('qty_to_invoice'), [1.0, 1.0])

    def test_a_copy_is_a_quotation_of_what_is_served(self):
        order = self._create_order(self.service, self.support, confirm=True)
        self._bill('2026-01-31')
        order.order_line[1].write({'product_id': self.installation.id, 'price_unit': 5.0})
        copy = order.copy()
        self.assertRecordValues(copy, [{
            'subscription_state': 'draft', 'plan_id': self.monthly.id, 'start_date': False, 'next_invoice_date': False,
        }])
        self.assertEqual(len(copy.order_line), len(order.order_line) - 1)

    def test_a_card_cannot_be_dragged_to_a_stage_of_another_state(self):
        order = self._create_order(confirm=True)
        closed = self.env['subscription.stage'].search([('subscription_state', '=', 'closed')], limit=1)
        with self.assertRaisesRegex(UserError, "can't be moved"):
            order.stage_id = closed

    def test_a_card_can_be_dragged_inside_its_state_and_sends_the_mail_of_the_stage(self):
        template = self.env['mail.template'].create({
            'name': "Rate us", 'model_id': self.env['ir.model']._get_id('sale.order'), 'subject': "Rate us",
            'use_default_to': True, 'body_html': "<p>How are we doing?</p>",
        })
        stage = self.env['subscription.stage'].create({
            'name': "Happy", 'subscription_state': 'progress', 'mail_template_id': template.id, 'sequence': 25})
        order = self._create_order(confirm=True)
        self._flush_tracking()
        order.stage_id = stage
        self._flush_tracking()
        self.assertTrue(order.message_ids.filtered(lambda message: message.subject == "Rate us"))

    def test_no_stage_mail_when_the_plan_says_so(self):
        self.monthly.send_mails = False
        order = self._create_order(confirm=True)
        self._flush_tracking()
        self.assertFalse(order.message_ids.filtered(lambda message: message.message_type == 'auto_comment'))

    def test_no_stage_mail_when_the_caller_says_so(self):
        order = self._create_order(confirm=True)
        self._flush_tracking()
        order.with_context(tracking_disable=True)._close_subscriptions(self.reason)
        self._flush_tracking()
        self.assertFalse(order.message_ids.filtered(lambda message: "is closed" in (message.subject or '')))

    def test_the_last_stage_of_a_state_stays(self):
        stages = self.env['subscription.stage'].search([('subscription_state', '=', 'closed')])
        with self.assertRaisesRegex(ValidationError, "at least one stage"):
            stages.unlink()

    def test_what_was_signed_cannot_be_changed_on_a_running_subscription(self):
        order = self._create_order(confirm=True)
        for values in ({'plan_id': self.yearly.id}, {'start_date': '2025-01-01'}):
            with self.subTest(values=values), self.assertRaisesRegex(UserError, "running subscription"):
                order.write(values)
        order.write({'plan_id': self.monthly.id, 'start_date': '2026-01-31'})  # the same again is no change
        self.assertEqual(order.plan_id, self.monthly)

    def test_an_archived_plan_keeps_billing_its_contracts(self):
        order = self._create_order(confirm=True)
        self.monthly.active = False
        self.assertEqual(len(self._bill('2026-01-31')), 1)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))

    def test_the_schedule_of_a_plan_in_use_cannot_change(self):
        self._create_order(confirm=True)
        with self.assertRaisesRegex(UserError, "Create another plan"):
            self.monthly.billing_period_value = 2
