from odoo.exceptions import UserError
from odoo.fields import Command, Date
from odoo.tests import Form, freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestHostInvoicing(SaleSubscriptionCommon):
    """Odoo's own ways to invoice an order may not go round the billing ledger."""

    def _create_invoice_by_wizard(self, orders, **values):
        wizard = self.env['sale.advance.payment.inv'].with_context(active_ids=orders.ids).create(values)
        before = orders.invoice_ids
        wizard.create_invoices()
        return orders.invoice_ids - before

    def test_create_invoice_bills_what_is_due_through_the_ledger(self):
        order = self._create_order(self.service, self.installation, confirm=True)
        self.assertEqual(order.invoice_status, 'to invoice')
        self.assertEqual(order.order_line.mapped('qty_to_invoice'), [1.0, 1.0])
        self.assertEqual(order.amount_to_invoice, 230.0)
        move = self._create_invoice_by_wizard(order)
        self.assertEqual((move.state, move.amount_untaxed), ('draft', 230.0))
        self.assertEqual(self._get_ledger(order, 'date_start', 'state'), [('2026-01-31', 'billed')])
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-02-28'))
        self.assertEqual(order.invoice_status, 'invoiced')
        self.assertEqual(order.order_line[0].amount_to_invoice, 0.0)
        self.assertFalse(self._bill('2026-01-31'))
        move.action_post()
        self.assertEqual(order.amount_to_invoice, 0.0)

    def test_create_invoice_never_refunds_periods_which_were_billed(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        self._bill('2026-02-28')
        self.assertEqual(order.order_line.qty_to_invoice, 0.0)
        for values in ({}, {'deduct_down_payments': True}):
            with self.subTest(values=values), self.assertRaisesRegex(UserError, "Nothing is due .* 03/31/2026"):
                self._create_invoice_by_wizard(order, **values)
        with self.assertRaises(UserError):
            order._create_invoices(final=True)
        self.assertEqual(order.invoice_ids.mapped('move_type'), ['out_invoice'] * 2)

    def test_create_invoice_on_plain_orders_and_subscriptions_together(self):
        contract = self._create_order(confirm=True)
        plain = self._create_order(self.installation, plan=self.env['subscription.plan'], confirm=True)
        moves = (contract | plain)._create_invoices()
        self.assertEqual(sum(moves.mapped('amount_untaxed')), 230.0)
        self.assertEqual(len(contract.order_line.period_ids), 1)

    def test_create_invoice_on_a_subscription_without_anything_due_leaves_the_plain_order(self):
        contract = self._create_order(confirm=True)
        self._bill('2026-01-31')
        plain = self._create_order(self.installation, plan=self.env['subscription.plan'], confirm=True)
        self.assertEqual((contract | plain)._create_invoices().amount_untaxed, 200.0)

    def test_a_closed_subscription_is_not_invoiced(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        order._close_subscriptions(self.reason)
        with self.assertRaises(UserError):
            order._create_invoices(final=True)
        self.assertEqual(order.order_line.invoice_status, 'invoiced')

    def test_due_again_shows_in_orders_to_invoice(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        self.assertEqual(order.invoice_status, 'invoiced')
        self.monthly.collection_mode = 'draft'
        with freeze_time('2026-02-28 10:00:00'):
            draft = order._create_invoices()
            draft.unlink()
            self.assertEqual(order.invoice_status, 'to invoice')
            self.assertEqual(order.order_line.untaxed_amount_to_invoice, 30.0)

    def test_a_down_payment_is_for_the_one_off_part(self):
        order = self._create_order(self.service, self.installation, confirm=True)
        down_payment = self._create_invoice_by_wizard(order, advance_payment_method='percentage', amount=50)
        self.assertEqual(down_payment.amount_untaxed, 100.0)
        down_payment.action_post()
        first = self._bill('2026-01-31')
        self.assertEqual(first.amount_untaxed, 130.0, "The down payment is deducted from the first invoice")
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 30.0, "And not again")
        self._assert_ledgers_hold(order)

    def test_a_down_payment_waits_for_what_it_was_made_on(self):
        hardware = self._create_service("Hardware", 1000.0, invoice_policy='delivery')
        order = self._create_order(self.service, hardware, confirm=True)
        self._create_invoice_by_wizard(order, advance_payment_method='percentage', amount=50).action_post()
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 30.0)
        order.order_line[1].qty_delivered = 1
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 530.0)

    def test_prices_and_discounts_given_at_creation_are_kept_with_a_default_plan(self):
        self.service.default_plan_id = self.quarterly
        self.env.user.group_ids += self.env.ref('sale.group_discount_per_so_line')
        order = self._create_order(
            {'product_id': self.service.id, 'price_unit': 11.0, 'discount': 5.0},
            plan=self.env['subscription.plan'])
        self.assertEqual(order.plan_id, self.quarterly)
        self.assertRecordValues(order.order_line, [{'price_unit': 11.0, 'discount': 5.0}])

    def test_a_down_payment_needs_a_one_off_part(self):
        order = self._create_order(confirm=True)
        with self.assertRaisesRegex(UserError, "nothing to ask a down payment for"):
            self._create_invoice_by_wizard(order, advance_payment_method='percentage', amount=50)

    def test_recurring_lines_are_never_to_upsell(self):
        order = self._create_order(confirm=True)
        order.order_line.qty_delivered = 5
        self._bill('2026-01-31')
        self.assertEqual(order.invoice_status, 'invoiced')

    def test_the_credit_limit_counts_what_is_due_only(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        self.assertEqual(order.amount_to_invoice, 0.0)
        self.assertEqual(order.order_line.amount_to_invoice, 0.0)

    def test_an_import_starts_contracts_without_mail_and_without_billing_their_past(self):
        result = self.Order.load(
            ['partner_id', 'plan_id', 'order_line/product_id', 'order_line/product_uom_qty', 'order_line/price_unit',
             'start_date', 'next_invoice_date', 'state', 'close_date', 'close_reason_id'],
            [
                ['Lumber Inc', 'Every month', 'Hosting', '2', '25', '2025-03-15', '2026-02-15', 'sale', '', ''],
                ['Lumber Inc', 'Every year', 'Support', '1', '600', '2024-05-01', '2025-05-01', 'sale',
                 '2025-06-30', 'Moved away'],
            ],
        )
        self.assertTrue(result['ids'], result['messages'])
        running, ended = orders = self.Order.browse(result['ids'])
        self._flush_tracking()
        self.assertRecordValues(orders, [
            {'subscription_state': 'progress', 'mrr': 50.0, 'start_date': Date.to_date('2025-03-15'),
             'next_invoice_date': Date.to_date('2026-02-15'), 'close_date': False},
            {'subscription_state': 'closed', 'mrr': 0.0, 'start_date': Date.to_date('2024-05-01'),
             'next_invoice_date': False, 'close_date': Date.to_date('2025-06-30')},
        ])
        self.assertEqual(ended.close_reason_id, self.reason)
        events = self.Event.search([('order_id', 'in', orders.ids)], order='id')
        self.assertEqual(
            events.mapped(lambda event: (event.event_type, str(event.event_date), event.mrr_change)),
            [('new', '2025-03-15', 50.0), ('new', '2024-05-01', 50.0), ('churn', '2025-06-30', -50.0)])
        self.assertFalse(self.env['mail.message'].search_count([
            ('model', '=', 'sale.order'), ('res_id', 'in', orders.ids), ('message_type', '=', 'auto_comment')]))
        self.assertFalse(self._bill('2026-01-31'))
        self.assertEqual(self._bill('2026-02-15').amount_untaxed, 50.0)
        self._assert_ledgers_hold(running)

    def test_an_import_without_a_plan_says_what_to_do(self):
        result = self.Order.load(
            ['partner_id', 'order_line/product_id', 'state'], [['Lumber Inc', 'Hosting', 'sale']])
        self.assertFalse(result['ids'])
        self.assertIn("Choose a recurring plan", str(result['messages']))

    def test_a_template_with_a_plan_makes_a_subscription(self):
        self.env.user.group_ids += self.env.ref('sale_management.group_sale_order_template')
        template = self.env['sale.order.template'].create({
            'name': "Office", 'plan_id': self.quarterly.id,
            'sale_order_template_line_ids': [
                Command.create({'product_id': self.service.id, 'product_uom_qty': 2}),
                Command.create({'product_id': self.support.id, 'plan_id': self.yearly.id}),
                Command.create({'product_id': self.installation.id}),
            ],
        })
        with Form(self.Order) as form:
            form.partner_id = self.partner
            form.sale_order_template_id = template
        order = form.record
        self.assertEqual(order.plan_id, self.quarterly)
        self.assertEqual(
            order.order_line.mapped('plan_id.name'), ["Every quarter", "Every year"])
        self.assertTrue(order.is_subscription)


@freeze_time('2026-01-31 10:00:00')
class TestPlanPrices(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pricelist = cls.env['product.pricelist'].create({
            'name': "Retail",
            'item_ids': [
                Command.create({
                    'applied_on': '1_product', 'product_tmpl_id': cls.service.product_tmpl_id.id,
                    'plan_id': cls.yearly.id, 'compute_price': 'fixed', 'fixed_price': 300.0,
                }),
                Command.create({
                    'applied_on': '1_product', 'product_tmpl_id': cls.service.product_tmpl_id.id,
                    'compute_price': 'fixed', 'fixed_price': 28.0,
                }),
                Command.create({
                    'applied_on': '3_global', 'plan_id': cls.quarterly.id, 'compute_price': 'percentage',
                    'percent_price': -200.0,
                }),
            ],
        })

    def test_the_price_of_the_plan_wins(self):
        cases = [
            (self.yearly, 300.0, "the product's price for the plan"),
            (self.quarterly, 90.0, "a rule of the plan on all products beats a product's rule without plan"),
            (self.monthly, 28.0, "the product's price without plan"),
        ]
        for plan, expected, reason in cases:
            with self.subTest(plan=plan.name):
                order = self._create_order(plan=plan, pricelist_id=self.pricelist.id)
                self.assertEqual(order.order_line.price_unit, expected, reason)

    def test_the_price_of_a_plan_never_prices_a_one_off_line(self):
        order = self._create_order(self.installation, self.service, plan=self.quarterly, pricelist_id=self.pricelist.id)
        self.assertEqual(order.order_line.mapped('price_unit'), [200.0, 90.0])

    def test_a_line_is_priced_by_its_own_plan(self):
        order = self._create_order(
            {'product_id': self.service.id, 'plan_id': self.yearly.id}, pricelist_id=self.pricelist.id)
        self.assertEqual(order.order_line.price_unit, 300.0)

    def test_choosing_another_plan_prices_the_quotation_again(self):
        order = self._create_order(pricelist_id=self.pricelist.id)
        order.plan_id = self.yearly
        self.assertEqual(order.order_line.price_unit, 300.0)
        order.order_line.price_unit = 250.0
        order.plan_id = self.quarterly
        self.assertEqual(order.order_line.price_unit, 250.0, "A price set by hand stays")

    def test_a_plan_without_its_own_price_is_warned_about(self):
        order = self._create_order(pricelist_id=self.pricelist.id)
        self.assertIn("No price for this plan: Hosting", order.subscription_warning)
        order.plan_id = self.yearly
        self.assertFalse(order.subscription_warning)

    def test_a_price_change_never_touches_running_contracts(self):
        order = self._create_order(plan=self.yearly, pricelist_id=self.pricelist.id, confirm=True)
        self.pricelist.item_ids.filtered(lambda item: item.plan_id == self.yearly).fixed_price = 999.0
        self.service.list_price = 999.0
        order.order_line.invalidate_recordset()
        order.action_update_prices()
        order.order_line.product_uom_qty = 2
        self.assertEqual(order.order_line.price_unit, 300.0)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 600.0)
        later = self._create_order(plan=self.yearly, pricelist_id=self.pricelist.id)
        self.assertEqual(later.order_line.price_unit, 999.0)

    def test_the_price_rule_of_a_running_line_can_be_read(self):
        order = self._create_order(plan=self.yearly, pricelist_id=self.pricelist.id, confirm=True)
        order.invalidate_recordset()
        self.assertEqual(order.order_line.pricelist_item_id.plan_id, self.yearly)

    def test_variants_can_have_prices_of_their_own(self):
        self.env['product.pricelist.item'].create({
            'pricelist_id': self.pricelist.id, 'applied_on': '0_product_variant', 'product_id': self.service.id,
            'plan_id': self.yearly.id, 'compute_price': 'fixed', 'fixed_price': 280.0,
        })
        order = self._create_order(plan=self.yearly, pricelist_id=self.pricelist.id)
        self.assertEqual(order.order_line.price_unit, 280.0)
