from odoo.tests import HttpCase, freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@tagged('post_install', '-at_install')
class TestTour(SaleSubscriptionCommon, HttpCase):

    def _create_running_for_tour(self):
        self.env.user.write({'login': 'tourist', 'password': 'tourist'})
        order = self._create_order(start_date='2026-01-01', confirm=True)
        self._bill('2026-01-01', order)
        return order

    def test_a_salesman_sells_bills_and_closes_a_subscription(self):
        self._create_plan("Tour Monthly", 1, 'month')
        self._create_service("Tour Hosting", 30.0, recurring_invoice=True)
        customer = self.env['res.partner'].create({'name': "Tour Customer", 'email': 'tour@example.com'})
        self.env['subscription.close.reason'].create({'name': "Tour Reason"})
        self.env.user.login = 'tourist'
        self.env.user.password = 'tourist'
        self.start_tour('/odoo/subscription-quotations', 'sale_subscription_ext_tour', login='tourist')
        order = self.Order.search([('partner_id', '=', customer.id)])
        self.assertEqual(order.subscription_state, 'closed')
        self.assertEqual(order.invoice_ids.state, 'posted')
        self._assert_ledgers_hold(order)

    @freeze_time('2026-01-17 10:00:00')
    def test_a_salesman_sells_more_on_a_running_subscription(self):
        self._create_service("Tour Installation", 200.0)
        order = self._create_running_for_tour()
        self.start_tour(f'/odoo/subscriptions/{order.id}', 'sale_subscription_ext_upsell_tour', login='tourist')
        self.assertEqual(order.mrr, 90.0)
        self.assertEqual(order.invoice_ids.sorted('id')[-1].amount_untaxed, 229.03)
        self._assert_ledgers_hold(order)

    @freeze_time('2026-01-17 10:00:00')
    def test_a_salesman_renews_a_running_subscription_at_another_price(self):
        order = self._create_running_for_tour()
        self.start_tour(f'/odoo/subscriptions/{order.id}', 'sale_subscription_ext_renew_tour', login='tourist')
        self.assertEqual(str(order.renewal_date), '2026-02-01')
        self.assertEqual(order.renewal_ids.order_line.price_unit, 36.0)
        self._assert_ledgers_hold(order | order.renewal_ids)

    @freeze_time('2026-01-17 10:00:00')
    def test_a_salesman_closes_keeps_closes_and_reopens_a_subscription(self):
        self.env['subscription.close.reason'].create({'name': "Tour Reason"})
        order = self._create_running_for_tour()
        self.start_tour(f'/odoo/subscriptions/{order.id}', 'sale_subscription_ext_close_tour', login='tourist')
        self.assertRecordValues(order, [{'subscription_state': 'progress', 'mrr': 30.0, 'end_date': False}])
        self._assert_ledgers_hold(order)

    @freeze_time('2026-01-17 10:00:00')
    def test_a_salesman_renews_and_resumes_what_is_ticked(self):
        self.env.user.write({'login': 'tourist', 'password': 'tourist'})
        running, paused = self._create_order(start_date='2026-01-01'), self._create_order(start_date='2026-01-01')
        for order, name in ((running, "Tour Running"), (paused, "Tour Paused")):
            order.partner_id = self.env['res.partner'].create({'name': name, 'email': 'tour@example.com'})
            order.action_confirm()
        paused._pause_subscriptions()
        self.start_tour('/odoo/subscriptions', 'sale_subscription_ext_bulk_tour', login='tourist')
        self.assertEqual(running.renewal_ids.amount_untaxed, 33.0)
        self.assertEqual(paused.subscription_state, 'progress')
        self._assert_ledgers_hold(running | paused)
