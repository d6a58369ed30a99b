from odoo.tests import HttpCase, freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@tagged('post_install', '-at_install')
class TestTour(SaleSubscriptionCommon, HttpCase):

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
        self.env.user.login = 'tourist'
        self.env.user.password = 'tourist'
        order = self._create_order(start_date='2026-01-01', confirm=True)
        self._bill('2026-01-01', order)
        self.start_tour(f'/odoo/subscriptions/{order.id}', 'sale_subscription_ext_upsell_tour', login='tourist')
        self.assertEqual(order.mrr, 90.0)
        self.assertEqual(order.invoice_ids.sorted('id')[-1].amount_untaxed, 229.03)
        self._assert_ledgers_hold(order)
