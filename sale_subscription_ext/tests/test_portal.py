from datetime import date

from odoo.tests import HttpCase, freeze_time, new_test_user, tagged

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

# A signature: the smallest picture
PIXEL = (
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
)


@tagged('post_install', '-at_install')
class TestPortal(SaleSubscriptionCommon, HttpCase):

    def _open(self, order, token=True):
        suffix = f'?access_token={order._portal_ensure_token()}' if token else ''
        return self.url_open(f'/my/orders/{order.id}{suffix}')

    def test_the_secure_link_shows_plan_next_invoice_and_state(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id}, confirm=True)
        page = self._open(order)
        self.assertEqual(page.status_code, 200)
        for text in ("Every month", "In Progress", "Next Invoice", "30.00", "120.00", "year"):
            with self.subTest(text=text):
                self.assertIn(text, page.text)

    @freeze_time('2026-01-17 10:00:00')
    def test_the_page_says_what_is_agreed_for_a_day_to_come(self):
        order = self._create_order(start_date='2026-01-01', confirm=True)
        self._bill('2026-01-01', order)
        amendment = self.Order.browse(order.action_change()['res_id'])
        amendment.order_line.product_uom_qty = 3
        amendment.amendment_timing = 'next_period'
        amendment.action_confirm()
        text = self._open(order).text.replace('\N{NO-BREAK SPACE}', ' ')
        self.assertIn("from 02/01/2026 on: $ 90.00 every month, excl. tax", text)
        self.assertIn("02/01/2026: $ 90.00, incl. tax", text)
        order._pause_subscriptions(date(2026, 2, 1), date(2026, 3, 1))
        page = self._open(order).text
        self.assertIn("02/01/2026 – 02/28/2026", page)
        self.assertRegex(page, r"(?s)Next Invoice:.{0,200}03/01/2026")

    def test_a_quotation_shows_its_plan_and_no_next_invoice(self):
        order = self._create_order()
        order.action_quotation_sent()
        page = self._open(order)
        self.assertIn("Recurring Plan", page.text)
        self.assertNotIn("Next Invoice", page.text)

    def test_a_closed_subscription_says_so(self):
        order = self._create_order(confirm=True)
        order._close_subscriptions(self.reason)
        page = self._open(order)
        self.assertIn("Closed on", page.text)
        self.assertNotIn("Next Invoice", page.text)

    def test_a_plain_order_looks_as_ever(self):
        order = self._create_order(self.installation, plan=self.env['subscription.plan'], confirm=True)
        page = self._open(order)
        self.assertEqual(page.status_code, 200)
        self.assertIn("Installation", page.text)
        for text in ("Recurring Plan", "Next Invoice"):
            self.assertNotIn(text, page.text)

    def test_a_stranger_without_the_link_sees_nothing(self):
        order = self._create_order(confirm=True)
        self.assertNotIn(order.name, self._open(order, token=False).text)
        new_test_user(self.env, 'stranger', groups='base.group_portal')
        self.authenticate('stranger', 'stranger')
        self.assertNotIn(order.name, self._open(order, token=False).text)
        self.assertNotIn(order.name, self.url_open(f'/my/orders/{order.id}?access_token=wrong').text)

    def test_a_customer_signs_a_quotation_and_it_runs(self):
        order = self._create_order(require_signature=True, require_payment=False)
        order.action_quotation_sent()
        self.make_jsonrpc_request(f'/my/orders/{order.id}/accept', {
            'access_token': order._portal_ensure_token(), 'name': "Joel Lumber", 'signature': PIXEL,
        })
        self.assertEqual((order.state, order.subscription_state), ('sale', 'progress'))
        self.assertEqual(order.signed_by, "Joel Lumber")

    def test_the_customer_downloads_the_order(self):
        order = self._create_order(confirm=True)
        page = self.url_open(
            f'/my/orders/{order.id}?report_type=html&access_token={order._portal_ensure_token()}')
        self.assertEqual(page.status_code, 200)
        self.assertIn("Hosting", page.text)
