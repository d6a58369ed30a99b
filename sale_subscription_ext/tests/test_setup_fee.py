from odoo.exceptions import UserError, ValidationError
from odoo.fields import Command
from odoo.tests import Form, freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-01 10:00:00')
class TestSetupFee(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.setup = cls._create_setup_fee()

    def _get_lines(self, order):
        return [(line.product_id.name, line.product_uom_qty, line.price_unit) for line in order.order_line.sorted()]

    def test_the_setup_fee_follows_its_line_and_is_billed_once(self):
        order = self._create_order(self.service, self.support)
        self.assertEqual(
            self._get_lines(order), [("Hosting", 1.0, 30.0), ("Setting up", 1.0, 50.0), ("Support", 1.0, 120.0)])
        self.assertEqual(order.mrr, 150.0)
        order.action_confirm()
        self.assertEqual(self._bill('2026-01-01').amount_untaxed, 200.0)
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 150.0)
        self.assertEqual(order.mrr, 150.0)
        self._assert_ledgers_hold(order)

    def test_each_line_has_its_own_and_the_price_of_the_product_is_the_default(self):
        self.service.setup_amount = 0.0
        order = self._create_order({'product_id': self.service.id, 'product_uom_qty': 5}, self.service)
        self.assertEqual([line[2] for line in self._get_lines(order)], [30.0, 80.0, 30.0, 80.0])

    def test_the_setup_fee_is_in_the_currency_of_the_order(self):
        other = self.setup_other_currency('EUR', rates=[('2025-01-01', 2.0)])
        pricelist = self.env['product.pricelist'].create({'name': "Other", 'currency_id': other.id})
        order = self._create_order(pricelist_id=pricelist.id)
        self.assertEqual(order.order_line[1].price_unit, 100.0)

    def test_a_line_which_goes_takes_its_setup_fee_along(self):
        order = self._create_order(self.service, self.support)
        order.order_line.filtered(lambda line: line.product_id == self.service).unlink()
        self.assertEqual(self._get_lines(order), [("Support", 1.0, 120.0)])

    def test_the_setup_fee_follows_the_product(self):
        order = self._create_order(self.support)
        order.order_line.product_id = self.service
        self.assertEqual([line[0] for line in self._get_lines(order)], ["Hosting", "Setting up"])
        order.order_line[0].product_id = self.support
        self.assertEqual([line[0] for line in self._get_lines(order)], ["Support"])

    def test_a_setup_fee_which_was_taken_off_stays_off(self):
        order = self._create_order()
        order.order_line[1].unlink()
        order.order_line.product_uom_qty = 3
        self.assertEqual(len(order.order_line), 1)

    def test_a_copy_has_the_setup_fee_once(self):
        copy = self._create_order(self.service, self.support).copy()
        self.assertEqual([line[0] for line in self._get_lines(copy)], ["Hosting", "Setting up", "Support"])
        line, setup_line, _support = copy.order_line.sorted()
        self.assertEqual(setup_line.setup_parent_id, line)

    def test_the_form_shows_the_setup_fee_after_saving(self):
        with Form(self.env['sale.order']) as form:
            form.partner_id = self.partner
            form.plan_id = self.monthly
            with form.order_line.new() as line:
                line.product_id = self.service
        self.assertEqual([line[0] for line in self._get_lines(form.record)], ["Hosting", "Setting up"])

    def test_a_renewal_or_swap_has_no_setup_fee(self):
        order = self._create_order(self.service, confirm=True)
        self._bill('2026-01-01')
        renewal = order._create_renewal()
        self.assertEqual([line[0] for line in self._get_lines(renewal)], ["Hosting"])
        order.order_line.filtered('is_recurring').plan_id = self.yearly
        self.assertEqual(len(order.order_line.filtered(lambda line: line.product_id == self.setup)), 1)
        self._assert_ledgers_hold(order)

    def test_an_imported_contract_was_set_up_before(self):
        order = self._create_order(state='sale')
        self.assertEqual(len(order.order_line), 1)

    def test_a_line_added_to_a_running_contract_is_set_up(self):
        order = self._create_order(self.support, confirm=True)
        self._bill('2026-01-01')
        order.order_line = [Command.create({'product_id': self.service.id})]
        self.assertEqual([line[0] for line in self._get_lines(order)], ["Support", "Hosting", "Setting up"])
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 200.0)
        self._assert_ledgers_hold(order)

    def test_a_recurring_product_is_no_setup_fee(self):
        with self.assertRaisesRegex(ValidationError, "can't be a setup fee"):
            self.support.setup_product_id = self.service


@freeze_time('2026-01-01 10:00:00')
class TestOptions(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.setup = cls._create_service("Setting up", 80.0)
        cls.backup = cls._create_service("Backup", 10.0, recurring_invoice=True, setup_product_id=cls.setup.id)
        cls.monitoring = cls._create_service("Monitoring", 5.0, recurring_invoice=True)
        cls.service.optional_product_ids = cls.monitoring.product_tmpl_id

    def _create_contract(self):
        order = self._create_order(
            {'product_id': self.service.id, 'sequence': 1},
            {'display_type': 'line_section', 'name': "Options", 'is_optional': True, 'sequence': 2},
            {'product_id': self.backup.id, 'product_uom_qty': 0, 'sequence': 3}, confirm=True)
        self._bill('2026-01-01')
        return order

    def test_offered_options_are_neither_billed_nor_counted(self):
        order = self._create_contract()
        self.assertEqual(order.mrr, 30.0)
        self.assertEqual(order.invoice_ids.amount_untaxed, 30.0)
        self.assertEqual(order._get_option_lines().product_id, self.backup)
        self.assertEqual(order._get_optional_products(), self.monitoring.product_tmpl_id)
        self.assertNotIn(self.setup, order.order_line.product_id, "What isn't served isn't set up")

    def test_options_are_taken_dropped_and_taken_again_while_the_contract_runs(self):
        order = self._create_contract()
        option = order._get_option_lines()
        order._set_option_quantity(option, 1)
        self.assertEqual(order.mrr, 40.0)
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 120.0)  # 30 + 10 + 80 for setting up
        order._set_option_quantity(option, 0)
        self.assertEqual(order.mrr, 30.0)
        self.assertEqual(self._bill('2026-03-01').amount_untaxed, 30.0)
        order._set_option_quantity(option, 2)
        self.assertEqual(self._bill('2026-04-01').amount_untaxed, 50.0, "It was set up before")
        self._assert_ledgers_hold(order)

    def test_optional_products_can_be_taken(self):
        order = self._create_contract()
        order._set_option_quantity(self.monitoring.product_tmpl_id, 3)
        self.assertEqual(order.mrr, 45.0)
        self.assertFalse(order._get_optional_products())
        self._assert_ledgers_hold(order)

    def test_what_is_no_option_is_refused(self):
        order = self._create_contract()
        for other in (order.order_line[0], self.support.product_tmpl_id):
            with self.assertRaisesRegex(Exception, "isn't an option"):
                order._set_option_quantity(other, 0)

    def _open_options(self, order, **quantities):
        dialog = self.env['subscription.option.dialog'].browse(order.action_options()['res_id'])
        for line in dialog.line_ids:
            line.quantity = quantities.get(line.name, line.quantity)
        return dialog

    def test_options_are_taken_and_dropped_by_a_change_which_says_its_cost(self):
        order = self._create_contract()
        dialog = self._open_options(order, Backup=2, Monitoring=1)
        self.assertRecordValues(dialog.line_ids, [
            {'name': "Backup", 'price_unit': 10.0, 'current_quantity': 0.0},
            {'name': "Monitoring", 'price_unit': 5.0, 'current_quantity': 0.0},
        ])
        with freeze_time('2026-01-17 10:00:00'):
            amendment = self.Order.browse(dialog.action_prepare_change()['res_id'])
            self.assertEqual(amendment.amendment_recurring, 55.0)
            self.assertEqual(order.mrr, 30.0, "Nothing changes before it is confirmed")
            amendment.action_confirm()
        self.assertEqual(order.mrr, 55.0)
        self.assertFalse(order._get_offers_beside_contract())
        self._assert_ledgers_hold(order)

    def test_an_option_which_is_dropped_by_a_change_is_offered_again_and_set_up_once(self):
        order = self._create_contract()
        for quantity, day in ((1, '2026-01-10'), (0, '2026-01-17'), (1, '2026-01-20')):
            with freeze_time(f'{day} 10:00:00'):
                dialog = self._open_options(order, Backup=quantity)
                amendment = self.Order.browse(dialog.action_prepare_change()['res_id'])
                amendment.write({'amendment_timing': 'date', 'effective_date': day})
                amendment.action_confirm()
                self.assertEqual(order.mrr, 40.0 if quantity else 30.0)
        self.assertEqual(len(order.order_line.filtered(lambda line: line.product_id == self.setup)), 1)
        self._assert_ledgers_hold(order)

    def test_an_option_is_set_up_once_whatever_plan_it_is_taken_with(self):
        order = self._create_contract()
        self.monthly.downgrade_policy = 'credit'
        option = order._get_option_lines()[0]
        order._set_option_quantity(option, 1)
        amendment = self.Order.browse(order.action_change()['res_id'])
        amendment.write({'plan_id': self.yearly.id, 'amendment_timing': 'now'})
        amendment.action_confirm()
        taken = order._get_option_lines().filtered(lambda line: line.parent_line_id == option)
        order._set_option_quantity(taken, 0)
        order._set_option_quantity(taken, 2)
        self.assertEqual(len(order.order_line.filtered(lambda line: line.product_id == self.setup)), 1)
        self._assert_ledgers_hold(order)

    def test_a_choice_of_nothing_or_of_less_than_nothing_is_refused(self):
        order = self._create_contract()
        with self.assertRaisesRegex(UserError, "Choose another quantity"):
            self._open_options(order).action_prepare_change()
        with self.assertRaisesRegex(UserError, "less than 0"):
            self._open_options(order, Backup=-1)
        plain = self._create_order(self.support, confirm=True)
        with self.assertRaisesRegex(UserError, "No options are offered"):
            plain.action_options()

    def test_the_customer_reads_the_options_and_what_they_cost(self):
        order = self._create_contract()
        self.assertTrue(order.has_options)
        self.assertEqual(
            [(option['name'], option['price_unit'], option['quantity']) for option in order._get_offered_options()],
            [("Backup", 10.0, 0.0), ("Monitoring", 5.0, 0.0)])
        self.assertEqual(order._get_order_lines_to_report(), order.order_line[0], "Offers aren't served")
