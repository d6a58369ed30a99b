from odoo.fields import Command
from odoo.tests import JsonRpcException, freeze_time, new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.payment_common import SubscriptionPaymentCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestCheckout(SubscriptionPaymentCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.website = cls.env['website'].search([], limit=1)
        cls.website.company_id = cls.company
        cls.service.write({'default_plan_id': cls.calendar.id, 'website_published': True, 'sale_ok': True})
        cls.installation.website_published = True
        cls.shopper = new_test_user(
            cls.env, 'shopper', groups='base.group_portal', company_id=cls.company.id,
            company_ids=[Command.set(cls.company.ids)])
        cls.shopper.partner_id.write({
            'email': 'shopper@example.com', 'phone': '+1 555 0100', 'street': "1 Main Street", 'city': "Springfield",
            'zip': '62701', 'country_id': cls.env.ref('base.us').id, 'state_id': cls.env.ref('base.state_us_39').id,
        })

    def setUp(self):
        super().setUp()
        self.authenticate('shopper', 'shopper')

    def _fill_cart(self, *products):
        for product in products:
            self.make_jsonrpc_request('/shop/cart/add', {
                'product_template_id': product.product_tmpl_id.id, 'product_id': product.id, 'quantity': 1})
        return self.Order.search([('partner_id', '=', self.shopper.partner_id.id)])

    def _get_row(self, page, name):
        """Return what a row of the totals says."""
        return page.text.split(f'<tr name="{name}"', 1)[1].split('</tr>', 1)[0]

    def _pay(self, order, **values):
        return self.make_jsonrpc_request(f'/shop/payment/transaction/{order.id}', {
            'access_token': order._portal_ensure_token(), 'provider_id': self.provider.id,
            'payment_method_id': self.payment_method_id, 'token_id': None, 'flow': 'redirect',
            'tokenization_requested': False, 'landing_route': '/shop/payment/validate', **values,
        })

    def test_a_recurring_product_brings_its_plan_to_the_cart(self):
        order = self._fill_cart(self.installation, self.service)
        self.assertEqual(order.plan_id, self.calendar)
        self.assertEqual(order._get_payable_amount(), 215.0)

    def test_cart_and_checkout_show_what_is_due_and_what_follows(self):
        order = self._fill_cart(self.service, self.installation)
        for url in ('/shop/cart', '/shop/payment'):
            with self.subTest(url=url):
                page = self.url_open(url)
                self.assertIn("Due today", self._get_row(page, 'o_order_total'))
                self.assertIn("215.00", self._get_row(page, 'o_order_total'))
                self.assertIn("30.00 every month from 07/01/2026", self._get_row(page, 'o_order_following'))
        self.assertEqual(float(self._get_payment_context(page)['amount']), 215.0)
        self.assertEqual(self.url_open('/shop/cart').text.count('name="cart_line_plan"'), 1)
        self.assertEqual(order.amount_total, 230.0, "The total of the order stays")

    def test_the_cart_tells_what_is_due_when_it_changes(self):
        order = self._fill_cart(self.service)
        values = self.make_jsonrpc_request('/shop/cart/update', {'line_id': order.order_line.id, 'quantity': 2})
        self.assertEqual((values['amount'], values['minor_amount']), (30.0, 3000))
        self.assertIn("60.00 every month", values['website_sale.total'])

    def test_the_shopper_pays_the_first_invoice_and_the_contract_runs(self):
        order = self._fill_cart(self.service, self.installation)
        self.url_open('/shop/checkout')
        self._pay(order, amount=215.0)
        tx = order.transaction_ids
        self.assertEqual(tx.amount, 215.0)
        tx._set_done()
        tx._post_process()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertRecordValues(order.invoice_ids, [
            {'state': 'posted', 'amount_total': 215.0, 'amount_residual': 0.0}])
        self.assertFalse(order._is_reorder_allowed(), "A running subscription isn't ordered again")
        page = self.url_open('/shop/payment/validate')
        self.assertTrue(page.url.endswith('/shop/confirmation'), page.url)
        self.assertIn("Thank you for your order", page.text)
        self.assertNotIn("does not match the amount", page.text)

    @mute_logger('odoo.http')
    def test_another_amount_is_refused(self):
        order = self._fill_cart(self.service)
        for amount in (30.0, 1.0):
            with self.subTest(amount=amount), self.assertRaises(JsonRpcException):
                self._pay(order, amount=amount)
        self.assertFalse(order.transaction_ids)
        self._pay(order)
        self.assertEqual(order.transaction_ids.amount, 15.0)

    @mute_logger('odoo.http')
    def test_a_stranger_cannot_pay_a_cart(self):
        order = self._fill_cart(self.service)
        self.authenticate(None, None)
        with self.assertRaises(JsonRpcException):
            self._pay(order, access_token='wrong')

    def test_a_cart_of_which_nothing_is_due_is_confirmed_without_a_payment(self):
        self.calendar.first_period = 'free'
        order = self._fill_cart(self.service)
        self.url_open('/shop/checkout')
        page = self.url_open('/shop/payment')
        self.assertIn('name="o_wsale_confirm_order"', page.text)
        self.assertNotIn('name="website_sale_non_free_cart"', page.text)
        page = self.url_open('/shop/payment/validate', data={'csrf_token': self._get_csrf_token(page)})
        self.assertTrue(page.url.endswith('/shop/confirmation'), page.url)
        self.assertIn("Thank you for your order", page.text)
        self.assertEqual((order.state, order.subscription_state), ('sale', 'progress'))
        self.assertFalse(order.invoice_ids)

    def _get_csrf_token(self, page):
        return page.text.split('csrf_token: "')[1].split('"')[0]

    def test_checkout_saves_the_method_which_later_invoices_are_charged_to(self):
        self.calendar.collection_mode = 'charge'
        order = self._fill_cart(self.service)
        self.url_open('/shop/checkout')
        self._pay(order, amount=15.0)
        tx = order.transaction_ids
        self.assertTrue(tx.tokenize, "Nobody asked for it, the plan does")
        tx.token_id = self._create_token(partner_id=self.shopper.partner_id.id)
        tx._set_done()
        tx._post_process()
        self.assertEqual((order.subscription_state, order.payment_token_id), ('progress', tx.token_id))

    def test_a_cart_of_which_nothing_is_due_waits_for_the_method_to_charge(self):
        self.calendar.write({'collection_mode': 'charge', 'first_period': 'free'})
        order = self._fill_cart(self.service)
        self.url_open('/shop/checkout')
        csrf_token = self._get_csrf_token(self.url_open('/shop/payment'))
        page = self.url_open('/shop/payment/validate', data={'csrf_token': csrf_token})
        self.assertIn(f'/my/orders/{order.id}/payment_method', page.url)
        self.assertIn('id="o_payment_form"', page.text)
        self.assertEqual(order.state, 'draft')
        order._save_payment_method(self._create_token(partner_id=self.shopper.partner_id.id))
        self.assertEqual((order.state, order.subscription_state), ('sale', 'progress'))

    def test_a_cart_with_something_due_is_not_confirmed_without_a_payment(self):
        order = self._fill_cart(self.service)
        page = self.url_open('/shop/payment')
        self.url_open('/shop/payment/validate', data={'csrf_token': self._get_csrf_token(page)})
        self.assertEqual(order.state, 'draft')

    @mute_logger('odoo.http')
    def test_a_cart_which_could_not_be_confirmed_cannot_be_paid(self):
        self.service.default_plan_id = False
        order = self._fill_cart(self.service)
        with self.assertRaises(JsonRpcException):
            self._pay(order, amount=30.0)

    def test_goods_are_paid_before_they_are_delivered(self):
        self.installation.invoice_policy = 'delivery'
        order = self._fill_cart(self.service, self.installation)
        self.assertEqual(order._get_payable_amount(), 215.0)
        order.website_id = False
        self.assertEqual(order._get_first_invoice().amount_total, 15.0, "A quotation doesn't ask for them")

    def test_a_plain_cart_is_as_ever(self):
        order = self._fill_cart(self.installation)
        page = self.url_open('/shop/payment')
        self.assertNotIn("Due today", page.text)
        self.assertIn("200.00", self._get_row(page, 'o_order_total'))
        self._pay(order, amount=200.0)
        tx = order.transaction_ids
        tx._set_done()
        tx._post_process()
        self.assertEqual((order.state, order.subscription_state), ('sale', False))
