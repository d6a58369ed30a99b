from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import freeze_time, new_test_user

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestMrrLedger(SaleSubscriptionCommon):

    def test_each_unit_has_its_monthly_value(self):
        cases = [
            (1, 'month', 30.0, 30.0), (3, 'month', 30.0, 10.0), (1, 'year', 30.0, 2.5), (2, 'year', 120.0, 5.0),
            (1, 'week', 100.0, 434.82), (2, 'week', 100.0, 217.41), (1, 'day', 1.0, 30.44),
        ]
        for value, unit, price, expected in cases:
            with self.subTest(value=value, unit=unit):
                plan = self._create_plan(f"{value} {unit}", value, unit)
                line = {'product_id': self.service.id, 'price_unit': price}
                order = self._create_order(line, plan=plan, confirm=True)
                self.assertEqual(order.mrr, expected)
                self.assertEqual(self.Event.search([('order_id', '=', order.id)]).mrr_change, expected)

    def test_days_per_month_are_a_setting(self):
        self.company.subscription_days_per_month = '30'
        weekly = self._create_plan("Weekly", 1, 'week')
        self.assertEqual(self._create_order(
            {'product_id': self.service.id, 'price_unit': 100.0}, plan=weekly).mrr, 428.57)

    def test_discounts_and_units_count_and_taxes_do_not(self):
        dozen = self.env.ref('uom.product_uom_dozen')
        self.service.uom_ids += dozen
        included = self.env['account.tax'].create({
            'name': "20% included", 'amount': 20.0, 'price_include_override': 'tax_included'})
        order = self._create_order({
            'product_id': self.service.id, 'product_uom_qty': 2, 'product_uom_id': dozen.id, 'price_unit': 120.0,
            'discount': 50.0, 'tax_ids': [Command.set(included.ids)],
        }, confirm=True)
        self.assertEqual(order.mrr, 100.0)

    def test_one_off_lines_have_no_mrr(self):
        order = self._create_order(self.service, self.installation, confirm=True)
        self.assertEqual(order.mrr, 30.0)
        self.assertEqual(len(self.Event.search([('order_id', '=', order.id)])), 1)

    def test_the_movement_carries_the_dimensions_of_the_order(self):
        order = self._create_order(start_date='2026-02-10', confirm=True)
        event = self.Event.search([('order_id', '=', order.id)])
        self.assertRecordValues(event, [{
            'event_type': 'new', 'event_date': order.start_date, 'order_line_id': order.order_line.id,
            'partner_id': self.partner.id, 'commercial_partner_id': self.partner.id, 'plan_id': self.monthly.id,
            'product_id': self.service.id, 'user_id': order.user_id.id, 'team_id': order.team_id.id,
            'company_id': self.company.id, 'currency_id': self.currency.id,
        }])

    def test_a_decrease_is_valued_at_the_average_booked_rate(self):
        euro = self.setup_other_currency('EUR', rates=[('2020-01-01', 0.5), ('2026-01-30', 0.4)])
        pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': euro.id})
        order = self._create_order(
            {'product_id': self.service.id, 'price_unit': 20.0}, pricelist_id=pricelist.id, start_date='2026-01-10',
            confirm=True)
        self._bill('2026-01-31')  # next: 10 February
        order.order_line.product_uom_qty = 2
        order.order_line.product_uom_qty = 1
        order._close_subscriptions(self.reason)
        events = self.Event.search([('order_id', '=', order.id)], order='id')
        self.assertEqual(events.mapped('mrr_change_order'), [20.0, 20.0, -20.0, -20.0])
        # 20 / 0.5 and 20 / 0.4: booked at 90 for 40, 2.25 each
        self.assertEqual(events.mapped('mrr_change'), [40.0, 50.0, -45.0, -45.0])

    def test_a_contract_with_a_discount_line_sums_to_zero_when_it_is_closed(self):
        euro = self.setup_other_currency('EUR', rates=[('2020-01-01', 1.0), ('2026-01-30', 0.5)])
        pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': euro.id})
        order = self._create_order(
            {'product_id': self.support.id, 'price_unit': -10.0}, {'product_id': self.service.id, 'price_unit': 30.0},
            pricelist_id=pricelist.id, start_date='2026-01-10', confirm=True)
        order._close_subscriptions(self.reason)
        events = self.Event.search([('order_id', '=', order.id)])
        self.assertEqual(sum(events.mapped('mrr_change')), 0.0)
        self.assertEqual(sum(events.mapped('mrr_change_order')), 0.0)

    def test_a_contract_worth_nothing_can_be_closed(self):
        order = self._create_order(self.service, {'product_id': self.support.id, 'price_unit': -30.0}, confirm=True)
        order._close_subscriptions(self.reason)
        self.assertEqual(sum(self.Event.search([('order_id', '=', order.id)]).mapped('contract_change')), 0)

    def test_a_free_contract_which_is_cancelled_is_not_counted(self):
        order = self._create_order({'product_id': self.service.id, 'price_unit': 0.0}, confirm=True)
        order.action_cancel()
        self.assertEqual(sum(self.Event.search([('order_id', '=', order.id)]).mapped('contract_change')), 0)

    def test_a_free_subscription_counts_as_a_contract(self):
        order = self._create_order({'product_id': self.service.id, 'price_unit': 0.0}, confirm=True)
        event = self.Event.search([('order_id', '=', order.id)])
        self.assertRecordValues(event, [{'mrr_change': 0.0, 'contract_change': 1, 'customer_change': 1}])

    def test_contacts_of_one_company_are_one_customer(self):
        contacts = self.env['res.partner'].create([
            {'name': name, 'parent_id': self.partner.id} for name in ("Ann", "Ben")])
        for contact in contacts:
            self._create_order(partner_id=contact.id, confirm=True)
        events = self.Event.search([('commercial_partner_id', '=', self.partner.id)])
        self.assertEqual(sum(events.mapped('customer_change')), 1)

    def test_a_global_discount_follows_the_lines_it_was_made_for(self):
        order = self._create_order(self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id},
                                   self.installation)
        self.env['sale.order.discount'].create({
            'sale_order_id': order.id, 'discount_type': 'so_discount', 'discount_percentage': 0.1,
        }).action_apply_discount()
        discounts = order.order_line[3:]
        self.assertEqual(
            discounts.sorted('price_unit').mapped(lambda line: (line.price_unit, line.plan_id.name)),
            [(-20.0, False), (-12.0, "Every year"), (-3.0, "Every month")])
        order.action_confirm()
        self.assertEqual(order.mrr, 36.0)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 315.0)
        self.assertEqual(self._bill('2026-02-28').amount_untaxed, 27.0)
        self._assert_ledgers_hold(order)

    def test_a_fixed_discount_is_shared_out(self):
        order = self._create_order(self.service, self.installation)
        self.env['sale.order.discount'].create({
            'sale_order_id': order.id, 'discount_type': 'amount', 'discount_amount': 23.0,
        }).action_apply_discount()
        self.assertEqual(sorted(order.order_line.mapped('price_unit')), [-20.0, -3.0, 30.0, 200.0])

    def test_a_discount_on_a_plain_order_is_as_ever(self):
        order = self._create_order(self.installation, plan=self.env['subscription.plan'])
        self.env['sale.order.discount'].create({
            'sale_order_id': order.id, 'discount_type': 'so_discount', 'discount_percentage': 0.1,
        }).action_apply_discount()
        self.assertEqual(order.amount_untaxed, 180.0)

    def test_movements_are_append_only(self):
        order = self._create_order(confirm=True)
        event = self.Event.search([('order_id', '=', order.id)])
        with self.assertRaisesRegex(UserError, "can't be changed"):
            event.mrr_change = 0.0
        with self.assertRaisesRegex(UserError, "can't be deleted"):
            event.sudo().unlink()

    def test_the_smart_button_opens_the_movements_of_the_order(self):
        order, other = self._create_order(confirm=True), self._create_order(confirm=True)
        action = order.action_view_mrr()
        events = self.env[action['res_model']].search(action['domain'])
        self.assertEqual(events.order_id, order)
        self.assertNotIn(other, events.order_id)


@freeze_time('2026-01-31 10:00:00')
class TestRights(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.salesman = new_test_user(cls.env, 'sally', groups='sales_team.group_sale_salesman')
        cls.colleague = new_test_user(cls.env, 'colin', groups='sales_team.group_sale_salesman')
        cls.accountant = new_test_user(cls.env, 'ada', groups='account.group_account_invoice')
        cls.employee = new_test_user(cls.env, 'emil', groups='base.group_user')
        cls.customer = new_test_user(cls.env, 'cora', groups='base.group_portal')

    def _create_order_of(self, user):
        order = self._create_order(user_id=user.id)
        return order.with_user(user)

    def test_a_salesman_confirms_changes_bills_and_closes_without_any_right_in_accounting(self):
        order = self._create_order_of(self.salesman)
        order.action_confirm()
        order.order_line.product_uom_qty = 2
        moves = order._bill_subscriptions()
        self.assertEqual(moves.with_user(self.env.user).amount_untaxed, 60.0)
        wizard = self.env['subscription.close'].with_user(self.salesman).create({
            'order_ids': order.ids, 'close_reason_id': self.reason.id})
        wizard.action_apply()
        self.assertEqual(order.subscription_state, 'closed')
        self._assert_ledgers_hold(order.with_user(self.env.user))

    def test_a_salesman_makes_a_draft_with_the_hosts_own_button(self):
        order = self._create_order_of(self.salesman)
        order.action_confirm()
        move = order._create_invoices()
        self.assertEqual(move.with_user(self.env.user).state, 'draft')

    def test_a_salesman_cannot_touch_the_subscriptions_of_others(self):
        order = self._create_order(user_id=self.colleague.id, confirm=True).with_user(self.salesman)
        for method in ('action_bill_now', 'action_retry_billing', 'action_close', '_bill_subscriptions'):
            with self.subTest(method=method), self.assertRaises(AccessError):
                getattr(order, method)()

    def test_a_salesman_sees_the_ledgers_of_his_own_subscriptions(self):
        for user in (self.salesman, self.colleague):
            order = self._create_order_of(user)
            order.action_confirm()
            order._bill_subscriptions()
        for model in ('subscription.period', 'subscription.event'):
            with self.subTest(model=model):
                domain = [('order_id.partner_id', '=', self.partner.id)]
                seen = self.env[model].with_user(self.salesman).search(domain)
                self.assertEqual(seen.order_id.user_id, self.salesman)
                seen = self.env[model].with_user(self.accountant).search(domain)
                self.assertEqual(seen.order_id.user_id, self.salesman | self.colleague)

    def test_nobody_writes_the_ledgers_by_hand(self):
        order = self._create_order(confirm=True)
        for user in (self.salesman, self.accountant, self.employee, self.customer):
            for model in ('subscription.period', 'subscription.event'):
                for operation in ('create', 'write', 'unlink'):
                    with self.subTest(user=user.login, model=model, operation=operation):
                        self.assertFalse(self.env[model].with_user(user).has_access(operation))
        self.assertTrue(order)

    def test_only_managers_configure(self):
        for model in ('subscription.plan', 'subscription.stage', 'subscription.close.reason'):
            with self.subTest(model=model):
                self.assertFalse(self.env[model].with_user(self.salesman).has_access('write'))
                self.assertTrue(self.env[model].has_access('write'))

    def test_portal_users_and_employees_cannot_read_the_ledgers(self):
        for user in (self.customer, self.employee):
            for model in ('subscription.period', 'subscription.event'):
                with self.subTest(user=user.login, model=model):
                    self.assertFalse(self.env[model].with_user(user).has_access('read'))

    def test_ledgers_and_plans_keep_to_their_company(self):
        other = self.setup_other_company(name="Elsewhere")['company']
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        plan = self._create_plan("Here only", 1, 'month', company_id=self.company.id)
        stranger = new_test_user(
            self.env, 'stan', groups='sales_team.group_sale_manager', company_id=other.id,
            company_ids=[Command.set(other.ids)])
        for records in (order.order_line.period_ids, self.Event.search([('order_id', '=', order.id)]), plan):
            with self.subTest(model=records._name):
                self.assertFalse(records.with_user(stranger).has_access('read'))
