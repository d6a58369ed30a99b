from odoo.exceptions import UserError
from odoo.fields import Command, Date
from odoo.tests import Form, freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestDirectChange(SaleSubscriptionCommon):

    def test_a_change_before_the_first_invoice_counts_from_the_start(self):
        order = self._create_order(confirm=True)
        order.order_line.product_uom_qty = 3
        self.assertEqual(self._get_events(order), [('new', '2026-01-31', 30.0), ('expansion', '2026-01-31', 60.0)])
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 90.0, "Nothing is prorated")
        self._assert_ledgers_hold(order)

    def test_a_change_after_an_invoice_counts_from_the_first_unbilled_day(self):
        order = self._create_order(confirm=True)
        first = self._bill('2026-01-31')
        order.order_line.price_unit = 20.0
        self.assertEqual(
            self._get_events(order), [('new', '2026-01-31', 30.0), ('contraction', '2026-02-28', -10.0)])
        self.assertEqual(first.amount_untaxed, 30.0)
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 20.0)
        self.assertTrue(any("from 02/28/2026 on" in message.body for message in order.message_ids))
        self._assert_ledgers_hold(order)

    def test_several_values_changed_at_once_are_one_movement(self):
        order = self._create_order(confirm=True)
        order.order_line.write({'product_uom_qty': 2, 'price_unit': 25.0, 'discount': 10})
        self.assertEqual(self._get_events(order)[1:], [('expansion', '2026-01-31', 15.0)])

    def test_saving_the_form_changes_the_subscription(self):
        order = self._create_order(self.service, self.installation, confirm=True)
        self._bill('2026-01-31')
        with Form(order) as form:
            with form.order_line.edit(0) as line:
                line.product_uom_qty = 2
            with form.order_line.new() as line:
                line.product_id = self.support
        self.assertEqual(order.mrr, 180.0)
        self.assertEqual(order.order_line[0].price_unit, 30.0, "The host must not price a running line again")
        added = order.order_line[-1]
        self.assertRecordValues(added, [{
            'start_date': Date.to_date('2026-02-28'), 'anchor_date': Date.to_date('2026-01-31'),
            'next_period_start': Date.to_date('2026-02-28'),
        }])
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 180.0)
        self._assert_ledgers_hold(order)

    def test_an_edit_keeps_manual_prices_discounts_and_taxes(self):
        self.env.user.group_ids += self.env.ref('sale.group_discount_per_so_line')
        tax = self.company_data['default_tax_sale']
        order = self._create_order({
            'product_id': self.service.id, 'price_unit': 11.0, 'discount': 5.0, 'tax_ids': [Command.set(tax.ids)],
        }, confirm=True)
        order.order_line.product_uom_qty = 4
        self.assertRecordValues(order.order_line, [{'price_unit': 11.0, 'discount': 5.0, 'tax_ids': tax.ids}])
        order.action_update_prices()
        order.action_update_taxes()
        self.assertRecordValues(order.order_line, [{'price_unit': 11.0, 'discount': 5.0, 'tax_ids': tax.ids}])

    def test_a_line_added_to_a_calendar_contract_bills_the_rest_of_the_period(self):
        calendar = self._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')
        order = self._create_order(plan=calendar, start_date='2026-01-25', confirm=True)
        order.order_line = [Command.create({'product_id': self.support.id})]
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 33.87)  # (30 + 120) × 7 / 31, rounded by line
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 150.0)

    def test_another_product_ends_the_line_and_starts_a_new_one(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        order.order_line.write({'product_id': self.support.id})
        old, new = order.order_line.sorted('id')
        self.assertRecordValues(old | new, [
            {'product_id': self.service.id, 'end_date': Date.to_date('2026-02-27'), 'product_uom_qty': 1, 'mrr': 0.0},
            {'product_id': self.support.id, 'end_date': False, 'product_uom_qty': 1, 'mrr': 120.0},
        ])
        self.assertEqual(order.amount_untaxed, 120.0, "Ended lines leave the totals")
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 120.0)
        self.assertEqual(
            self._get_events(order)[1:], [('contraction', '2026-02-28', -30.0), ('expansion', '2026-02-28', 120.0)])
        self._assert_ledgers_hold(order)

    def test_another_plan_of_a_line_ends_it_and_starts_a_new_one(self):
        order = self._create_order(self.service, self.support, confirm=True)
        self._bill('2026-01-31')
        order.order_line[1].write({'plan_id': self.quarterly.id})
        self.assertEqual(order.order_line.mapped('end_date'), [False, Date.to_date('2026-02-27'), False])
        self.assertEqual(order.mrr, 70.0)
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 150.0)
        self.assertEqual(self._bill('2026-03-31').amount_untaxed, 30.0)
        self._assert_ledgers_hold(order)

    def test_quantity_zero_stops_a_line_and_a_quantity_starts_it_again(self):
        order = self._create_order(self.service, self.support, confirm=True)
        self._bill('2026-01-31')
        order.order_line[1].product_uom_qty = 0
        self.assertEqual(order.mrr, 30.0)
        for day in ('2026-02-28', '2026-03-31', '2026-04-30'):
            self.assertEqual(self._bill(day).amount_untaxed, 30.0)
        order.order_line[1].product_uom_qty = 1
        self.assertEqual(self._get_events(order)[-1], ('expansion', '2026-05-31', 120.0))
        moves = self._bill('2026-05-31')
        self.assertEqual(moves.mapped('amount_untaxed'), [150.0], "What lies between was not served")
        ledger = self._get_ledger(order, 'date_start', 'date_end', 'state')
        self.assertIn(('2026-02-28', '2026-05-31', 'waived'), ledger)
        self._assert_ledgers_hold(order)

    def test_a_stopped_line_does_not_date_new_lines_back(self):
        order = self._create_order(self.service, self.support, confirm=True)
        self._bill('2026-01-31')
        order.order_line[1].product_uom_qty = 0
        for day in ('2026-02-28', '2026-03-31'):
            self._bill(day)
        order.order_line = [Command.create({'product_id': self.support.id})]
        self.assertEqual(order.order_line[-1].start_date, Date.to_date('2026-04-30'))
        self.assertEqual(self._bill('2026-04-30').amount_untaxed, 150.0)

    def test_stopping_the_last_line_is_refused(self):
        order = self._create_order(confirm=True)
        with self.assertRaisesRegex(UserError, "Close it instead"):
            order.order_line.product_uom_qty = 0

    def test_a_change_in_arrears_leaves_the_served_days_at_the_old_terms(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(
            {'product_id': self.service.id, 'product_uom_qty': 10}, plan=arrears, start_date='2026-01-01', confirm=True)
        order.order_line.product_uom_qty = 1  # today, on the 31st
        order.order_line = [Command.create({'product_id': self.support.id})]
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'date_end', 'state', 'quantity'),
            [('2026-01-01', '2026-01-31', 'open', 10.0)])
        self.assertEqual(self._get_events(order)[1][:2], ('contraction', '2026-01-31'))
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'), "All of it waits for the period's end")
        move = self._bill('2026-02-01')
        # 300 × 30/31 + 30 × 1/31 + 120 × 1/31
        self.assertEqual(move.invoice_line_ids.mapped('price_subtotal'), [290.32, 0.97, 3.87])
        self._assert_ledgers_hold(order)

    def test_a_line_with_another_unit_plan_or_product_is_priced_again(self):
        dozen = self.env.ref('uom.product_uom_dozen')
        self.service.uom_ids += dozen
        self.env['product.pricelist.item'].create({
            'pricelist_id': self.env['product.pricelist'].search([], limit=1).id, 'applied_on': '1_product',
            'product_tmpl_id': self.service.product_tmpl_id.id, 'plan_id': self.yearly.id, 'fixed_price': 300.0,
        })
        pricelist = self.env['product.pricelist.item'].search([('plan_id', '=', self.yearly.id)]).pricelist_id
        for is_billed in (False, True):
            for values, price in (
                ({'product_uom_id': dozen.id}, 360.0), ({'plan_id': self.yearly.id}, 300.0),
                ({'product_id': self.support.id}, 120.0), ({'product_id': self.support.id, 'price_unit': 99.0}, 99.0),
            ):
                with self.subTest(is_billed=is_billed, values=values):
                    order = self._create_order(pricelist_id=pricelist.id, confirm=True)
                    if is_billed:
                        self._bill('2026-01-31', order)
                    order.order_line.write(values)
                    self.assertEqual(order.order_line[-1].price_unit, price)
                    self._assert_ledgers_hold(order)

    def test_writing_the_same_again_changes_nothing(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, start_date='2026-01-01', confirm=True)
        line = order.order_line
        line.write({
            'product_uom_qty': 1, 'price_unit': 30.0, 'product_id': self.service.id, 'plan_id': arrears.id})
        self.assertFalse(line.period_ids)
        self.assertEqual(len(self._get_events(order)), 1)

    def test_other_taxes_move_the_mrr_when_they_are_included_in_the_price(self):
        included = self.env['account.tax'].create({
            'name': "20% included", 'amount': 20.0, 'price_include_override': 'tax_included'})
        order = self._create_order(confirm=True)
        order.order_line.tax_ids = included
        self.assertEqual(order.mrr, 25.0)
        self._assert_ledgers_hold(order)

    def test_the_discount_button_on_a_running_contract_discounts_what_recurs(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        self.env['sale.order.discount'].create({
            'sale_order_id': order.id, 'discount_type': 'so_discount', 'discount_percentage': 0.1,
        }).action_apply_discount()
        self.assertEqual(order.mrr, 27.0)
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 27.0)
        self._assert_ledgers_hold(order)

    def test_a_running_line_cannot_become_a_one_time_sale(self):
        order = self._create_order(self.service, self.support, confirm=True)
        with self.assertRaisesRegex(UserError, "one-time sale"):
            order.order_line[0].is_recurring = False

    def test_the_lines_of_a_closed_subscription_stay_as_they_are(self):
        order = self._create_order(confirm=True)
        order._close_subscriptions(self.reason)
        with self.assertRaisesRegex(UserError, "isn't served any more"):
            order.order_line.product_uom_qty = 9
        with self.assertRaisesRegex(UserError, "isn't a running subscription"):
            order.order_line = [Command.create({'product_id': self.support.id})]

    def test_a_recurring_product_does_not_join_a_confirmed_plain_order(self):
        order = self._create_order(self.installation, plan=self.env['subscription.plan'], confirm=True)
        with self.assertRaisesRegex(UserError, "isn't a running subscription"):
            order.order_line = [Command.create({'product_id': self.service.id})]
        self.support.sell_once = True
        order.order_line = [Command.create({'product_id': self.support.id})]
        self.assertEqual(order._create_invoices().amount_untaxed, 320.0)

    def test_what_the_engine_knows_cannot_be_set_by_hand(self):
        order = self._create_order(confirm=True)
        for values in ({'next_invoice_date': '2027-01-01'}, {'subscription_state': 'closed'}, {'mrr': 1.0},
                       {'billing_parked': True}, {'end_date': '2026-01-01'}):
            with self.subTest(values=values), self.assertRaises(UserError):
                order.write(values)
        with self.assertRaises(UserError):
            order.order_line.next_period_start = '2027-01-01'
        self._assert_ledgers_hold(order)

    def test_another_billing_day_bills_the_days_until_it_in_proportion(self):
        order = self._create_order(start_date='2026-01-15', confirm=True)
        self._bill('2026-01-31')
        action = order.action_change_billing_day()
        wizard = self.env[action['res_model']].with_context(**action['context']).create({'billing_date': '2026-03-01'})
        self.assertEqual(wizard.first_unbilled_day, Date.to_date('2026-02-15'))
        wizard.action_apply()
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-15'))
        self.assertEqual(self._bill('2026-02-15').amount_untaxed, 15.0)  # 14 of 28 days
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-03-01'))
        self.assertEqual(self._bill('2026-03-01').amount_untaxed, 30.0)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-04-01'))
        self.assertEqual(len(self._get_events(order)), 1, "MRR stays")
        self._assert_ledgers_hold(order)

    def test_each_line_is_billed_in_proportion_to_the_new_billing_day(self):
        metered = self._create_service("Traffic", 60.0, recurring_invoice=True, invoice_policy='delivery')
        order = self._create_order(self.service, metered, confirm=True, start_date='2026-01-15')
        self._bill('2026-01-31')
        order.order_line[1].qty_delivered = 2
        wizard = self.env['subscription.change.day'].create({
            'order_ids': order.ids, 'day_choice': 'month_day', 'billing_month_day': 1})
        self.assertIn(
            "01/15/2026 – 01/31/2026 of Traffic, 02/15/2026 – 02/28/2026 of Hosting: billed in proportion;"
            " periods are counted from 02/01/2026 on", wizard.preview)
        wizard.action_apply()
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-01'))
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 120.0, "What was delivered")
        self.assertEqual(self._bill('2026-02-15').amount_untaxed, 15.0)  # 14 of 28 days
        self._assert_ledgers_hold(order)

    def test_the_days_to_a_new_billing_day_are_less_than_a_period(self):
        order = self._create_order(plan=self._create_plan("Every week", 1, 'week'), confirm=True)
        self._bill('2026-01-31')
        wizard = self.env['subscription.change.day'].create({'order_ids': order.ids, 'billing_date': '2026-03-02'})
        self.assertIn("02/07/2026 – 02/08/2026: billed in proportion; periods are counted from", wizard.preview)
        wizard.billing_date = '2026-02-28'
        self.assertIn("periods are counted from 02/28/2026 on", wizard.preview)
        self.assertNotIn("in proportion", wizard.preview)

    def test_the_billing_day_does_not_move_into_what_is_billed(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        wizard = self.env['subscription.change.day'].create({'order_ids': order.ids, 'billing_date': '2026-02-10'})
        with self.assertRaisesRegex(UserError, "billed beyond"):
            wizard.action_apply()

    def test_a_locked_order_is_not_swapped_either(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        order.action_lock()
        with self.assertRaises(UserError):
            order.order_line.write({'product_id': self.support.id})
        self.assertEqual(len(order.order_line), 1)

    def test_an_offered_line_is_served_from_when_it_gets_a_quantity(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'product_uom_qty': 0}, confirm=True)
        self._bill('2026-01-31')
        order.order_line[1].product_uom_qty = 1
        self.assertEqual(order.order_line[1].start_date, Date.to_date('2026-02-28'))
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 150.0)
        self._assert_ledgers_hold(order)

    def test_days_which_the_plan_gives_away_stay_free_when_something_changes_or_pauses(self):
        plan = self._create_plan(
            "First free", 1, 'month', billing_alignment='calendar', first_period='free', bill_in='arrears')
        for change in (
            lambda order: order.order_line.write({'price_unit': 60.0}),
            lambda order: (order._pause_subscriptions(), order._resume_subscriptions()),
        ):
            order = self._create_order(plan=plan, start_date='2026-01-12', confirm=True)
            with freeze_time('2026-01-20 10:00:00'):
                change(order)
            self.assertFalse(self._bill('2026-02-01', order))
            self.assertEqual(set(order.order_line.period_ids.mapped('state')), {'waived'})
            self._assert_ledgers_hold(order)

    def test_a_locked_order_is_not_edited_but_billed(self):
        order = self._create_order(confirm=True)
        order.action_lock()
        with self.assertRaisesRegex(UserError, "locked"):
            order.order_line.product_uom_qty = 2
        self.assertEqual(len(self._bill('2026-01-31')), 1)

    def test_one_off_lines_of_a_running_subscription_are_edited_as_ever(self):
        order = self._create_order(self.service, self.installation, confirm=True)
        order.order_line[1].product_uom_qty = 2
        self.assertEqual(len(self._get_events(order)), 1)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 430.0)
