from odoo.exceptions import AccessError, UserError
from odoo.fields import Command
from odoo.tests import Form, freeze_time, new_test_user
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-03-10 10:00:00')
class TestPriceUpdate(SaleSubscriptionCommon):

    def _open(self, orders):
        action = orders.action_update_subscription_prices()
        return Form(self.env[action['res_model']].with_context(**action['context']))

    def test_a_dialog_compares_prices_with_the_pricelist_now(self):
        order = self._create_order(self.service, self.support, start_date='2026-03-01', confirm=True)
        self.service.list_price = 33.0
        wizard = self._open(order).save()
        self.assertRecordValues(wizard.line_ids.sorted('id'), [
            {'price_unit': 30.0, 'new_price_unit': 33.0, 'difference': 3.0, 'mrr_change': 3.0, 'is_accepted': True},
            {'price_unit': 120.0, 'new_price_unit': 120.0, 'difference': 0.0, 'mrr_change': 0.0, 'is_accepted': False},
        ])
        self.assertEqual((wizard.old_total, wizard.new_total, wizard.mrr_change), (150.0, 153.0, 3.0))
        self.assertEqual(order.recurring_total, 150.0, "The dialog changes nothing")

    def test_accepted_prices_are_billed_from_the_next_period_on(self):
        order = self._create_order(self.service, self.support, start_date='2026-03-01', confirm=True)
        self._bill('2026-03-10')
        self.service.list_price = 33.0
        self.support.list_price = 100.0
        self._open(order).save().action_apply()
        self.assertEqual(order.recurring_total, 133.0)
        self._bill('2026-04-01', order)
        self.assertEqual(self._get_ledger(order, 'date_start', 'amount'), [
            ('2026-03-01', 30.0), ('2026-03-01', 120.0), ('2026-04-01', 33.0), ('2026-04-01', 100.0)])
        events = self.Event.search([('order_id', '=', order.id), ('event_type', '!=', 'new')]).sorted('mrr_change')
        self.assertEqual(
            [(event.event_type, event.mrr_change, str(event.event_date), event.is_price_change) for event in events],
            [('contraction', -20.0, '2026-04-01', True), ('expansion', 3.0, '2026-04-01', True)])
        self.assertIn("30.00 becomes", ''.join(order.message_ids.mapped('body')).replace('\xa0', ' '))
        self._assert_ledgers_hold(order)

    def test_manual_prices_and_discounts_survive_unless_ticked(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'discount': 10.0}, start_date='2026-03-01')
        order.order_line[0].price_unit = 25.0
        order.action_confirm()
        form = self._open(order)
        wizard = form.save()
        self.assertEqual(wizard.line_ids.mapped('is_manual'), [True, True])
        self.assertTrue(wizard.has_discount, "What differs is shown, whatever is set in Sales")
        self.assertFalse(self._open(self._create_order(start_date='2026-03-01', confirm=True)).has_discount)
        with self.assertRaisesRegex(UserError, "Tick the prices"):
            wizard.action_apply()
        wizard.line_ids.filtered(lambda line: line.product_id == self.service).is_accepted = True
        wizard.action_apply()
        self.assertEqual(order.order_line.mapped('price_unit'), [30.0, 120.0])
        self.assertEqual(order.order_line.mapped('discount'), [0.0, 10.0])

    def test_prices_of_periods_billed_at_their_end_change_with_the_next_period(self):
        self.monthly.bill_in = 'arrears'
        order = self._create_order(start_date='2026-03-01', confirm=True)
        self.service.list_price = 33.0
        self._open(order).save().action_apply()
        self.assertEqual(order.recurring_total, 30.0, "March keeps its price")
        self.assertIn("33", order.coming_price_text)
        with self.assertRaisesRegex(UserError, "about to change already"):
            self._open(order).save().action_apply()
        with freeze_time('2026-05-01 10:00:00'):
            self._bill('2026-05-01')
        self.assertEqual(self._get_ledger(order, 'date_start', 'amount'), [('2026-03-01', 30.0), ('2026-04-01', 33.0)])
        self.assertEqual(order.recurring_total, 33.0)
        self._assert_ledgers_hold(order)

    def test_a_price_which_waits_can_be_called_off(self):
        self.monthly.bill_in = 'arrears'
        order = self._create_order(start_date='2026-03-01', confirm=True)
        self.service.list_price = 33.0
        self._open(order).save().action_apply()
        order.action_cancel_price_changes()
        self.assertFalse(order.coming_price_text)
        self._bill('2026-05-01')
        self.assertEqual(self._get_ledger(order, 'amount'), [(30.0,), (30.0,)])

    def test_a_pricelist_of_the_plan_is_asked_with_todays_date(self):
        pricelist = self.env['product.pricelist'].create({'name': "Retail", 'item_ids': [Command.create({
            'applied_on': '1_product', 'product_tmpl_id': self.service.product_tmpl_id.id,
            'plan_id': self.monthly.id, 'compute_price': 'fixed', 'fixed_price': 28.0, 'date_start': '2026-04-01',
        })]})
        order = self._create_order(start_date='2026-03-01', confirm=True, pricelist_id=pricelist.id)
        self.assertEqual(order.recurring_total, 30.0)
        with freeze_time('2026-04-02 10:00:00'):
            self.assertEqual(self._open(order).save().line_ids.new_price_unit, 28.0)

    def test_only_who_may_change_the_subscription_updates_its_prices(self):
        order = self._create_order(start_date='2026-03-01', confirm=True, user_id=self.env.user.id)
        own = new_test_user(self.env, 'seller_own', 'sales_team.group_sale_salesman', company_id=self.company.id)
        clerk = new_test_user(self.env, 'clerk', 'account.group_account_invoice', company_id=self.company.id)
        for user in (own, clerk):
            with self.subTest(user=user.login), self.assertRaises(AccessError), mute_logger(
                    'odoo.addons.base.models.ir_rule', 'odoo.addons.base.models.ir_model'):
                order.with_user(user).action_update_subscription_prices()
                self.env['subscription.price.update'].with_user(user).create({'order_ids': order.ids})
        order.user_id = own
        self.service.list_price = 33.0
        mine = order.with_user(own)
        action = mine.action_update_subscription_prices()
        wizard = Form(mine.env[action['res_model']].with_context(**action['context'])).save()
        wizard.action_apply()
        self.assertEqual(order.recurring_total, 33.0)

    def test_only_running_subscriptions_have_prices_to_update(self):
        order = self._create_order()
        with self.assertRaisesRegex(UserError, "Only running subscriptions"):
            order.action_update_subscription_prices()

    def test_several_subscriptions_are_updated_at_once(self):
        orders = self._create_order(start_date='2026-03-01', confirm=True) | self._create_order(
            {'product_id': self.service.id, 'product_uom_qty': 2}, start_date='2026-03-05', confirm=True)
        self.service.list_price = 33.0
        self.service.taxes_id = [Command.clear()]
        self._open(orders).save().action_apply()
        self.assertEqual(orders.mapped('recurring_total'), [33.0, 66.0])
