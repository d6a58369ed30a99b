from datetime import timedelta
from unittest.mock import patch

from psycopg2 import IntegrityError

from odoo.exceptions import AccessError
from odoo.fields import Datetime
from odoo.tests import JsonRpcException, new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.dunning_common import SubscriptionDunningCommon


@tagged('post_install', '-at_install')
class TestRecoveryLink(SubscriptionDunningCommon):
    """The link of an unpaid invoice: what it opens, for whom, and until when. It lives in real time, as browsers do."""

    def setUp(self):
        super().setUp()
        self.order = self._create_order(confirm=True)
        self.move = self._bill(str(self.order.start_date), self.order)
        self.link = self.Link.sudo()._ensure_for(self.move)
        self.token_text = self.link._get_token()

    def _open(self, token=None):
        return self.url_open(f'/subscription/pay/{token or self.token_text}')

    def _begin(self, token=None, **values):
        """Begin a payment as the form of the page does."""
        return self.make_jsonrpc_request(f'/subscription/pay/{token or self.token_text}/transaction', {
            'provider_id': self.provider.id, 'payment_method_id': self.payment_method_id, 'flow': 'direct',
            'tokenization_requested': False, 'token_id': None, 'amount': 0.01, 'landing_route': 'https://evil.example.com',
            'is_validation': False, 'access_token': "whatever", **values,
        })

    def _get_payment(self):
        return self.move.transaction_ids.sorted('id')[-1:]

    def _finish(self, state='done', **values):
        tx = self._get_payment()
        getattr(tx, f'_set_{state}')(**values)
        tx._post_process()
        return tx

    def _assert_no_payment(self, token=None, status=200, text="", **values):
        """Check what both routes answer where nothing may be paid."""
        page = self._open(token)
        self.assertEqual(page.status_code, status)
        self.assertIn(text, page.text)
        self.assertNotIn('o_payment_form', page.text)
        self.assertNotIn(f">{self.move.name}<" if status == 404 else "o_payment_option", page.text)
        with self.assertRaises(JsonRpcException), mute_logger('odoo.http'):
            self._begin(token, **values)
        self.assertFalse(self.move.transaction_ids)

    # === WHAT IT OPENS === #

    def test_the_link_pays_the_invoice_without_a_login(self):
        page = self._open()
        self.assertEqual(page.status_code, 200)
        for text in (self.move.name, self.order.name, "30.00", 'o_payment_form'):
            with self.subTest(text=text):
                self.assertIn(text, page.text)
        self.assertEqual(page.headers['Cache-Control'], 'no-store')
        self.assertIn('noindex', page.headers['X-Robots-Tag'])
        self._begin()
        tx = self._get_payment()
        self.assertRecordValues(tx, [{
            'amount': 30.0, 'currency_id': self.move.currency_id.id, 'partner_id': self.partner.id,
            'landing_route': f'/subscription/pay/{self.token_text}', 'subscription_recovery_link_id': self.link.id,
            'tokenize': False, 'sale_order_ids': [],
        }])
        self._finish()
        self.assertEqual((self.move.payment_state, self.link.state), ('paid', 'paid'))
        self.assertFalse(self.order.payment_token_id)

    def test_it_asks_for_what_is_left(self):
        self._pay(self.move, 10.0)
        self.assertIn("20.00", self._open().text)
        self._begin()
        self.assertEqual(self._get_payment().amount, 20.0)

    def test_the_method_used_is_saved_where_the_customer_wishes(self):
        self.provider.allow_tokenization = True
        self.order.collection_mode = 'charge'
        self.assertIn('name="o_payment_tokenize_checkbox"', self._open().text)
        self._begin(tokenization_requested=True)
        tx = self._get_payment()
        self.assertTrue(tx.tokenize)
        values = {'provider_ref': "new customer", 'payment_details': "1111"}
        with patch.object(type(tx), '_extract_token_values', lambda *_args: values):
            tx._tokenize({})
        self._finish()
        self.assertRecordValues(self.order.payment_token_id, [{
            'provider_ref': "new customer", 'partner_id': self.partner.id}])
        self.assertIn("1111", self._open().text)

    def test_nothing_is_saved_for_contracts_which_are_never_charged(self):
        self.provider.allow_tokenization = True
        self.assertNotIn('name="o_payment_tokenize_checkbox"', self._open().text)
        self._begin(tokenization_requested=True)
        self.assertFalse(self._get_payment().tokenize)

    def test_no_saved_method_of_the_customer_is_shown_or_used(self):
        self.assertNotIn("4242", self._open().text)
        with self.assertRaises(JsonRpcException), mute_logger('odoo.http'):
            self._begin(flow='token', token_id=self.token.id)
        self.assertFalse(self.move.transaction_ids)

    def test_it_resumes_after_a_payment_which_failed_or_was_abandoned(self):
        self._begin()
        self.assertIn('o_payment_form', self._open().text, "Abandoned")
        self._begin()
        self._finish('error', state_message="Declined.")
        page = self._open()
        self.assertIn("did not go through", page.text)
        self.assertIn('o_payment_form', page.text)
        self._begin()
        self._finish()
        self.assertEqual(self.move.payment_state, 'paid')
        self.assertEqual(len(self.move.transaction_ids), 3)

    def test_nothing_is_paid_while_a_charge_has_no_answer(self):
        self.move.subscription_charge_state = 'unknown'
        self._assert_no_payment(text="is being processed")

    def test_a_method_which_is_not_offered_is_refused(self):
        other = self.provider.copy({'state': 'disabled'})
        for values in ({'provider_id': other.id}, {'payment_method_id': -1}, {'flow': 'validation'}):
            with self.subTest(values=values), self.assertRaises(JsonRpcException), mute_logger('odoo.http'):
                self._begin(**values)
        self.assertFalse(self.move.transaction_ids)

    def test_it_speaks_the_language_of_the_customer(self):
        self.env['res.lang']._activate_lang('fr_FR')
        self.partner.lang = 'fr_FR'
        view = self.env.ref('sale_subscription_ext.recovery_open')
        view.with_context(lang='fr_FR').arch_db = view.arch_db.replace("Pay your invoice", "Payez votre facture")
        self.assertIn("Payez votre facture", self._open().text)

    def test_the_page_of_a_restricted_contract_says_what_to_pay(self):
        self.assertNotIn("is overdue", self.url_open(self.order.get_portal_url()).text)
        self.move._begin_dunning(self.order.start_date)
        self.move.subscription_dunning_restricted = True
        page = self.url_open(self.order.get_portal_url())
        self.assertEqual(page.status_code, 200)
        for text in ("is overdue", "nothing can be changed here", f'/my/invoices/{self.move.id}'):
            with self.subTest(text=text):
                self.assertIn(text, page.text)

    # === WHEN IT IS OVER === #

    def test_a_link_which_was_tampered_with_opens_nothing(self):
        other = self.Link.sudo()._ensure_for(self._bill(
            str(self.order.start_date), self._create_order(self.support, confirm=True)))
        signature = self.link._get_signature()
        for token in (
            f'{other.id}-{signature}', f'{self.link.id}-{signature[:-1]}x', f'{self.link.id}-', f'{self.link.id}',
            f'-{signature}', f'999999999-{signature}', f'99999999999-{signature}', f'{self.link.id}-é', "x",
        ):
            with self.subTest(token=token):
                self._assert_no_payment(token, status=404)

    def test_its_dates_can_not_be_moved_without_breaking_it(self):
        self.link.expiry_date -= timedelta(days=1)
        self._assert_no_payment(status=404)

    def test_it_expires_after_30_days(self):
        now = Datetime.now()
        self.link.write({'issue_date': now - timedelta(days=31), 'expiry_date': now - timedelta(days=1)})
        self._assert_no_payment(self.link._get_token(), status=410, text="was valid for 30 days")
        with self.assertRaises(IntegrityError), mute_logger('odoo.sql_db'), self.env.cr.savepoint():
            self.link.expiry_date = now + timedelta(days=1)
            self.env.flush_all()

    def test_it_can_be_revoked(self):
        self.assertTrue(self.order.has_recovery_link)
        self.order.action_revoke_recovery_links()
        self._assert_no_payment(status=410, text="was withdrawn")
        self.assertFalse(self.order.has_recovery_link)
        self.assertNotEqual(self.Link.sudo()._ensure_for(self.move), self.link, "The next e-mail holds another one")

    def test_it_ends_with_the_payment(self):
        self._pay(self.move)
        page = self._open()
        self.assertIn("is paid, there is nothing left to do", page.text)
        self._assert_no_payment(text="Thank you")

    def test_it_ends_with_the_invoice(self):
        self.move.button_draft()
        self.move.button_cancel()
        self._assert_no_payment(status=410, text="was withdrawn")

    def test_it_is_not_for_another_customer_who_is_logged_in(self):
        new_test_user(self.env, 'stranger', groups='base.group_portal')
        self.authenticate('stranger', 'stranger')
        self._assert_no_payment(status=404)

    def test_it_is_for_a_colleague_of_the_customer_who_is_logged_in(self):
        user = new_test_user(self.env, 'colleague', groups='base.group_portal')
        user.partner_id.parent_id = self.partner
        self.authenticate('colleague', 'colleague')
        self.assertIn('o_payment_form', self._open().text)
        self._begin()
        self.assertEqual(self._get_payment().partner_id, self.partner)

    def test_it_ends_when_the_invoice_becomes_somebody_elses(self):
        other = self.env['res.partner'].create({'name': "Other", 'email': 'other@example.com'})
        self.link.partner_id = other  # the signature is about the first one
        self._assert_no_payment(status=404)
        self._assert_no_payment(self.link._get_token(), status=410, text="was withdrawn")

    def test_a_stranger_to_the_contract_can_not_revoke_it(self):
        user = new_test_user(self.env, 'link-seller', 'sales_team.group_sale_salesman')
        with self.assertRaises(AccessError):
            self.link.with_user(user).action_revoke()
        with self.assertRaises(AccessError):
            self.link.with_user(user).is_revoked = True
        self.assertFalse(self.link.is_revoked)

    def test_a_link_is_used_again_while_it_lasts(self):
        self.assertEqual(self.Link.sudo()._ensure_for(self.move), self.link)
        now = Datetime.now()
        self.link.write({'issue_date': now - timedelta(days=20), 'expiry_date': now + timedelta(days=10)})
        self.assertNotEqual(self.Link.sudo()._ensure_for(self.move), self.link)
