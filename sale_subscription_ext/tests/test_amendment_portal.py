from lxml import html

from odoo.exceptions import AccessError
from odoo.fields import Command
from odoo.tests import HttpCase, JsonRpcException, freeze_time, new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.test_amendment import AmendmentCommon
from odoo.addons.sale_subscription_ext.tests.test_portal import PIXEL


@freeze_time('2026-01-17 10:00:00')
@tagged('post_install', '-at_install')
class TestAmendmentPortal(AmendmentCommon, HttpCase):
    """What the customer sees and signs of a change, and what salespeople may change."""

    def _open(self, amendment, **parameters):
        token = amendment._portal_ensure_token()
        query = ''.join(f'&{key}={value}' for key, value in parameters.items())
        return self.url_open(f'/my/orders/{amendment.id}?access_token={token}{query}')

    def test_the_customer_sees_credit_charge_due_and_recurring_amount(self):
        order = self._create_billed(self.service, self.support)
        amendment = self._amend(order, {0: {'product_uom_qty': 3}}, added=[{'product_id': self.installation.id}])
        amendment.action_quotation_sent()
        page = self._open(amendment)
        for text in (order.name, "14.52", "43.55", "Due today", "229.03", "210.00", "until then 1 "):
            with self.subTest(text=text):
                self.assertIn(text, page.text)
        document = self._open(amendment, report_type='html').text
        self.assertIn("229.03", document)
        self.assertIn("until then 1 ", document)
        self.assertNotIn("What changes", self._open(order).text)

    def test_the_customer_signs_what_is_due_for_a_later_change_and_what_follows(self):
        tax = self.env['account.tax'].create({'name': "10%", 'amount': 10.0})
        order = self._create_billed(
            {'product_id': self.service.id, 'product_uom_qty': 3, 'tax_ids': [Command.set(tax.ids)]})
        amendment = self._amend(
            order, {0: {'product_uom_qty': 2}}, require_signature=True, require_payment=False)
        amendment.action_quotation_sent()
        page = html.fromstring(self._open(amendment).content)
        [dialog] = page.xpath("//div[@name='subscription_signed']")
        self.assertEqual([' '.join(item.text_content().split()) for item in dialog.xpath('.//li')], [
            f"Change {amendment.name} of {order.name} from 02/01/2026 on",
            "Due for this change on 02/01/2026: $ 0.00, incl. tax", "then $ 66.00 every month from 02/01/2026"])
        self.assertNotIn("quote.", page.xpath("//main[@id='sign-dialog']")[0].text_content())
        rows = ' '.join(page.xpath("//table[@name='subscription_amendment_preview']")[0].text_content().split())
        self.assertRegex(rows, r"Due for this change on 02/01/2026, incl\. tax .* \$ 0\.00")

    def test_the_customer_sees_what_was_agreed_after_the_change_is_made(self):
        tax = self.env['account.tax'].create({'name': "20%", 'amount': 20.0})
        taxed = {'tax_ids': [Command.set(tax.ids)]}
        order = self._create_billed({'product_id': self.service.id, **taxed}, self.support)
        amendment = self._amend(
            order, {0: {'product_uom_qty': 3}}, added=[{'product_id': self.installation.id, **taxed}])
        amendment.action_confirm()
        self.env.flush_all()
        with freeze_time('2026-02-20 10:00:00'):
            self._bill('2026-02-01', order)
            self._amend(order, {0: {'product_uom_qty': 9}}).action_confirm()
            pages = (self._open(amendment).text, self._open(amendment, report_type='html').text)
        texts = (
            "What changes", order.name, "01/17/2026", "14.52", "43.55", "200.00", "45.81",
            "Due for this change on 01/17/2026", "274.84",
            "Until then every month", "150.00", "Then every month", "210.00", "until then 1 ",
            amendment.amendment_invoice_id.name)
        for page in pages:
            for text in texts:
                with self.subTest(text=text):
                    self.assertIn(text, page)
        self.assertEqual(amendment.amendment_invoice_id.amount_total, 274.84)
        self.assertIn("Waiting Payment", pages[0])
        self.assertNotIn("What changes", self._open(order).text)

    def test_a_draft_invoice_of_a_change_is_not_shown_to_the_customer(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_uom_qty': 3}})
        amendment.action_confirm()
        self.assertEqual(amendment.amendment_invoice_id.state, 'draft')
        page = self._open(amendment).text
        self.assertIn("29.03", page)
        for name in ('sale_invoices', 'amendment_invoice'):
            self.assertNotIn(name, page)

    def test_the_customer_sees_only_what_is_served(self):
        self.monthly.downgrade_policy = 'credit'
        order = self._create_billed(self.service, self.support)
        service, support = order.order_line
        self._amend(order, {1: {'product_uom_qty': 0}}).action_confirm()
        self.assertEqual(str(support.end_date), '2026-01-16')
        self.assertEqual(order._get_order_lines_to_report(), service)

    def test_a_customer_signs_a_change_and_it_is_made(self):
        order = self._create_billed()
        amendment = self._amend(
            order, {0: {'product_uom_qty': 3}}, require_signature=True, require_payment=False)
        amendment.action_quotation_sent()
        self.make_jsonrpc_request(f'/my/orders/{amendment.id}/accept', {
            'access_token': amendment._portal_ensure_token(), 'name': "Joel Lumber", 'signature': PIXEL,
        })
        self.assertEqual((amendment.state, amendment.signed_by), ('sale', "Joel Lumber"))
        self.assertEqual(order.mrr, 90.0)
        self.assertEqual(self._get_invoice(order).amount_total, 29.03)
        self._assert_ledgers_hold(order)

    def test_a_change_which_changes_nothing_cannot_be_signed(self):
        order = self._create_billed()
        amendment = self._amend(order, require_signature=True, require_payment=False, state='sent')
        with self.assertRaisesRegex(JsonRpcException, "UserError"), mute_logger('odoo.http'):
            self.make_jsonrpc_request(f'/my/orders/{amendment.id}/accept', {
                'access_token': amendment._portal_ensure_token(), 'name': "Joel Lumber", 'signature': PIXEL,
            })
        self.env.invalidate_all()
        self.assertRecordValues(amendment, [{'state': 'sent', 'signed_by': False, 'signature': False}])

    def test_salespeople_change_their_own_subscriptions_without_any_right_in_accounting(self):
        seller = new_test_user(self.env, 'seller', groups='sales_team.group_sale_salesman')
        stranger = new_test_user(self.env, 'stranger', groups='sales_team.group_sale_salesman')
        order = self._create_billed(user_id=seller.id)
        with self.assertRaises(AccessError):
            order.with_user(stranger).action_change()
        amendment = self._amend(order.with_user(seller), {0: {'product_uom_qty': 3}})
        self.assertEqual(amendment.amendment_total, 29.03)
        amendment.action_confirm()
        self.assertEqual(order.mrr, 90.0)
        foreign = self._amend(order, {0: {'product_uom_qty': 9}}, user_id=stranger.id).with_user(stranger)
        self.assertTrue(foreign.amendment_total, "What a quotation costs is for whoever may see it")
        with self.assertRaises(AccessError):
            foreign.action_confirm()
        self.assertEqual(order.mrr, 90.0)
