from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import freeze_time, new_test_user

from odoo.addons.sale_subscription_ext.tests.bulk_common import BulkCommon


@freeze_time('2026-01-17 10:00:00')
class TestBulkChange(BulkCommon):

    def _show_discounts(self):
        self.env.user.group_ids = [Command.link(self.env.ref('sale.group_discount_per_so_line').id)]

    def _today(self):
        return {'amendment_timing': 'date', 'effective_date': '2026-01-17'}

    def _get_lines(self, orders, product):
        return orders.order_line.filtered(lambda line: line.product_id == product and not line.end_date)

    def test_a_product_is_replaced_on_all_which_have_it(self):
        orders = self._create_orders(2)
        other = self._create_order(self.support, start_date='2026-01-01', confirm=True)
        self._bill('2026-01-17')
        better = self._create_service("Better Hosting", 60.0, recurring_invoice=True)
        wizard = self._open(
            (orders | other).action_change(), change='swap', product_id=self.service.id, new_product_id=better.id)
        self.assertIn("14.51", wizard.preview)  # 29.03 for the new one, 14.52 for the old one
        before = self.Order.search_count([])
        report = self._get_report(wizard)
        self.assertEqual(self._get_states(report), {orders[0].id: 'done', orders[1].id: 'done', other.id: 'skipped'})
        self.assertEqual(self.Order.search_count([]), before + 2, "The preview left no trace")
        self.assertEqual(orders.mapped('mrr'), [60.0, 60.0])
        for order in orders:
            self.assertEqual(order.invoice_ids.sorted('id')[-1].amount_untaxed, 14.51)
        self.assertEqual(report.line_ids[0].made_order_id.subscription_id, orders[0])
        self._assert_ledgers_hold(orders | other)

    def test_the_plan_is_changed_from_a_date(self):
        orders = self._create_orders(2)
        self._bill('2026-01-17')
        wizard = self._open(
            orders.action_change(), change='plan', plan_id=self.yearly.id, amendment_timing='date',
            effective_date='2026-02-01')
        self.assertIn("02/01/2026", wizard.preview)
        report = self._get_report(wizard)
        self.assertEqual(set(self._get_states(report).values()), {'done'})
        self.assertEqual(orders.plan_id, self.monthly)
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(orders.plan_id, self.yearly)
        self._assert_ledgers_hold(orders)

    def test_a_change_asks_for_what_is_missing(self):
        self._show_discounts()
        orders = self._create_orders(2)
        for values, message in (
            ({'change': 'swap'}, "product to replace"),
            ({'change': 'swap', 'product_id': self.service.id, 'new_product_id': self.installation.id}, "recurring"),
            ({'change': 'add', 'new_product_id': self.support.id, 'quantity': 0}, "product to add"),
            ({'change': 'remove'}, "product to remove"),
            ({'change': 'quantity', 'quantity': 2}, "how many of it"),
            ({'change': 'quantity', 'product_id': self.service.id, 'quantity': 0}, "how many of it"),
            ({'change': 'discount', 'discount': 101}, "up to 100"),
            ({'change': 'discount'}, "above 0"),
            ({'change': 'plan'}, "new plan"),
            ({'change': 'plan', 'plan_id': self.yearly.id, 'amendment_timing': 'date'}, "from which day"),
        ):
            with self.subTest(values=values):
                wizard = self._open(orders.action_change(), **values)
                text = ' '.join(wizard.preview.striptags().split())
                self.assertRegex(text, f"^2 selected: .*{message}", "It is said once, not of each")
                with self.assertRaisesRegex(UserError, message):
                    wizard.action_apply()

    def test_the_preview_of_another_plan_says_what_the_amendment_costs(self):
        self.service.lst_price = 30.0
        self.env['product.pricelist.item'].create({
            'pricelist_id': self.pricelist.id, 'applied_on': '1_product',
            'product_tmpl_id': self.service.product_tmpl_id.id,
            'plan_id': self.yearly.id, 'compute_price': 'fixed', 'fixed_price': 240.0,
        })
        orders = self._create_orders(2)
        self._bill('2026-01-17')
        for timing in ('now', 'next_period'):
            wizard = self._open(
                orders.action_change(), change='plan', plan_id=self.yearly.id, amendment_timing=timing)
            amendment = orders[0]._create_amendment('change', amendment_timing=timing)
            amendment.plan_id = self.yearly
            preview = amendment._get_amendment_preview()
            self.assertEqual(preview.mrr_change, -10.0)
            self.assertGreater(preview.total, 0.0)
            text = ' '.join(wizard.preview.striptags().split())
            self.assertIn("MRR $ 30.00 becomes $ 20.00", text)
            self.assertIn(f"due then: $ {preview.total:.2f}", text)

    def test_a_product_is_removed_from_all_which_have_something_else(self):
        both = self._create_order(self.service, self.support, start_date='2026-01-01', confirm=True)
        only = self._create_orders(1)
        other = self._create_order(self.support, start_date='2026-01-01', confirm=True)
        self._bill('2026-01-17')
        wizard = self._open(
            (both | only | other).action_change(), change='remove', product_id=self.service.id, **self._today())
        self.assertIn("Close it instead", wizard.preview)
        report = self._get_report(wizard)
        self.assertEqual(self._get_states(report), {both.id: 'done', only.id: 'skipped', other.id: 'skipped'})
        self.assertIn("no product", report.line_ids.filtered(lambda line: line.order_id == other).message)
        self.assertFalse(self._get_lines(both, self.service))
        self.assertTrue(self._get_lines(only, self.service))
        credit = both.invoice_ids.sorted('id')[-1]
        self.assertRecordValues(credit, [{'move_type': 'out_refund', 'amount_untaxed': 14.52}])  # 15 of 31 days of 30
        self._assert_ledgers_hold(both | only | other)

    def test_a_quantity_is_changed_on_all_which_have_another_one(self):
        orders = self._create_orders(2)
        self._get_lines(orders[1], self.service).product_uom_qty = 3
        self._bill('2026-01-17')
        wizard = self._open(orders.action_change(), change='quantity', product_id=self.service.id, quantity=3)
        report = self._get_report(wizard)
        self.assertEqual(self._get_states(report), {orders[0].id: 'done', orders[1].id: 'skipped'})
        self.assertIn("in another quantity", report.line_ids[1].message)
        self.assertEqual(self._get_lines(orders, self.service).mapped('product_uom_qty'), [3.0, 3.0])
        self.assertEqual(orders.mapped('mrr'), [90.0, 90.0])
        self.assertEqual(orders[0].invoice_ids.sorted('id')[-1].amount_untaxed, 29.03)  # 60 for 15 of 31 days
        self._assert_ledgers_hold(orders)

    def test_a_quantity_is_one_of_the_unit_of_the_product_and_of_one_line(self):
        dozen = self._create_order(
            {'product_id': self.service.id, 'product_uom_id': self.env.ref('uom.product_uom_dozen').id},
            start_date='2026-01-01', confirm=True)
        twice = self._create_order(self.service, self.service, start_date='2026-01-01', confirm=True)
        self._bill('2026-01-17')
        wizard = self._open((dozen | twice).action_change(), change='quantity', product_id=self.service.id, quantity=36)
        report = self._get_report(wizard)
        self.assertEqual(self._get_states(report), {dozen.id: 'done', twice.id: 'skipped'})
        self.assertIn("on several lines", report.line_ids.filtered(lambda line: line.order_id == twice).message)
        self.assertEqual(self._get_lines(dozen, self.service).product_uom_qty, 3.0)

    def test_a_discount_is_given_on_a_product_or_on_all(self):
        self._show_discounts()
        orders = self._create_orders(1) | self._create_order(
            self.service, self.support, start_date='2026-01-01', confirm=True)
        self._bill('2026-01-17')
        values = {'change': 'discount', 'discount': 10.0, **self._today()}
        report = self._get_report(self._open(orders.action_change(), product_id=self.support.id, **values))
        self.assertEqual(self._get_states(report), {orders[0].id: 'skipped', orders[1].id: 'done'})
        self.assertIn("with another discount", report.line_ids[0].message)
        report = self._get_report(self._open(orders.action_change(), **values))
        self.assertEqual(set(self._get_states(report).values()), {'done'})
        self.assertEqual(set(orders.order_line._get_served_lines().mapped('discount')), {10.0})
        again = self._open(orders.action_change(), **values)
        self.assertIn("this discount already", again.preview)
        self._assert_ledgers_hold(orders)

    def test_discounts_are_for_who_sees_them(self):
        user = new_test_user(self.env, 'bulk_seller', groups='sales_team.group_sale_manager')
        group = self.env.ref('sale.group_discount_per_so_line')

        def get_changes():
            fields = self.env['subscription.bulk.change'].with_user(user).fields_get(['change'])
            return [change for change, _label in fields['change']['selection']]
        user.group_ids -= group
        self.assertEqual(get_changes(), ['swap', 'add', 'remove', 'quantity', 'plan'])
        user.group_ids += group
        self.assertEqual(get_changes(), ['swap', 'add', 'remove', 'quantity', 'discount', 'plan'])
