from odoo.exceptions import UserError
from odoo.fields import Command, Date
from odoo.tests import Form, freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestDirectChange(SaleSubscriptionCommon):

    def _get_movements(self, order):
        return [
            (event.event_type, str(event.event_date), event.mrr_change)
            for event in self.Event.search([('order_id', '=', order.id)], order='id')
        ]

    def test_a_change_before_the_first_invoice_counts_from_the_start(self):
        order = self._create_order(confirm=True)
        order.order_line.product_uom_qty = 3
        self.assertEqual(self._get_movements(order), [('new', '2026-01-31', 30.0), ('expansion', '2026-01-31', 60.0)])
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 90.0, "Nothing is prorated")
        self._assert_ledgers_hold(order)

    def test_a_change_after_an_invoice_counts_from_the_first_unbilled_day(self):
        order = self._create_order(confirm=True)
        first = self._bill('2026-01-31')
        order.order_line.price_unit = 20.0
        self.assertEqual(
            self._get_movements(order), [('new', '2026-01-31', 30.0), ('contraction', '2026-02-28', -10.0)])
        self.assertEqual(first.amount_untaxed, 30.0)
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 20.0)
        self.assertTrue(any("from 02/28/2026 on" in message.body for message in order.message_ids))
        self._assert_ledgers_hold(order)

    def test_several_values_changed_at_once_are_one_movement(self):
        order = self._create_order(confirm=True)
        order.order_line.write({'product_uom_qty': 2, 'price_unit': 25.0, 'discount': 10})
        self.assertEqual(self._get_movements(order)[1:], [('expansion', '2026-01-31', 15.0)])

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
            self._get_movements(order)[1:], [('contraction', '2026-02-28', -30.0), ('expansion', '2026-02-28', 120.0)])
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
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 30.0)
        self._assert_movements_sum(order)

    def test_an_offered_line_is_served_from_when_it_gets_a_quantity(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'product_uom_qty': 0}, confirm=True)
        self._bill('2026-01-31')
        order.order_line[1].product_uom_qty = 1
        self.assertEqual(order.order_line[1].start_date, Date.to_date('2026-02-28'))
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 150.0)
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
        self.assertEqual(len(self._get_movements(order)), 1)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 430.0)

    def _assert_movements_sum(self, order):
        self.assertEqual(sum(change for _type, _date, change in self._get_movements(order)), order.mrr)
