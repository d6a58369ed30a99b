from datetime import timedelta

from odoo import fields
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import JsonRpcException, freeze_time, new_test_user, tagged
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon
from odoo.addons.sale_subscription_ext.tests.test_portal import PIXEL


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestSaving(SubscriptionChargeCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trial = cls._create_plan(
            "Tried", 1, 'month', collection_mode='charge', trial_value=14, trial_unit='day', trial_end='pause')
        company = {'company_id': cls.company.id, 'company_ids': [Command.set(cls.company.ids)]}
        cls.customer = new_test_user(cls.env, 'customer', groups='base.group_portal', **company)
        cls.customer.partner_id.parent_id = cls.partner
        cls.stranger = new_test_user(cls.env, 'stranger', groups='base.group_portal', **company)
        cls.strange_token = cls._create_token_of(cls.stranger.partner_id)

    @classmethod
    def _create_token_of(cls, partner):
        return cls.token.copy({'partner_id': partner.id, 'payment_details': "1111"})

    def _create_quotation(self, plan=None, **values):
        return self._create_order(plan=plan or self.charged, state='sent', **{
            'require_payment': False, 'require_signature': False, **values})

    def _pay(self, order, token, state='done', **values):
        tx = self._create_transaction(
            'redirect', sale_order_ids=[Command.set(order.ids)], amount=order._get_prepayment_required_amount(),
            currency_id=order.currency_id.id, partner_id=order.partner_id.id, state=state,
            reference=f'{order.name}-{len(order.transaction_ids)}', token_id=token.id, **values)
        tx._post_process()
        return tx

    def _call(self, order, name, **values):
        return self.make_jsonrpc_request(f'/my/orders/{order.id}/payment_method/{name}', values)

    def _begin_saving(self, order, **values):
        self._call(order, 'transaction', **{
            'provider_id': self.provider.id, 'payment_method_id': self.payment_method_id, 'token_id': None,
            'flow': 'direct', 'tokenization_requested': False, 'is_validation': True,
            'landing_route': 'https://elsewhere.example.com', 'amount': None, **values})
        return self.Transaction.search([('subscription_order_id', '=', order.id)], order='id desc', limit=1)

    def _finish_saving(self, tx, partner=None):
        tx.token_id = self._create_token_of(partner or self.partner)
        tx._set_done()
        tx._post_process()
        return tx.token_id

    # === CONFIRMING === #

    def test_who_confirms_what_is_charged_later_pays_and_saves_in_one_step(self):
        order = self._create_quotation()
        self.assertTrue(order._has_to_be_paid(), "Nobody asked for a payment, but the method has to be saved")
        self.assertEqual(order._get_prepayment_required_amount(), order._get_payable_amount())
        self.assertTrue(self.provider._is_tokenization_required(sale_order_id=order.id))
        self._pay(order, self.token)
        self.assertEqual((order.subscription_state, order.payment_token_id), ('progress', self.token))
        self.assertEqual(order.invoice_ids.amount_residual, 0.0)

    def test_only_methods_are_offered_which_can_be_saved(self):
        order = self._create_quotation()
        methods = self.env['payment.method']._get_compatible_payment_methods(
            self.provider.ids, self.partner.id, sale_order_id=order.id)
        self.assertTrue(methods)
        methods.support_tokenization = False
        find = self.env['payment.method']._get_compatible_payment_methods
        self.assertFalse(find(self.provider.ids, self.partner.id, sale_order_id=order.id))
        sent = self._create_quotation(plan=self.monthly)
        self.assertEqual(find(self.provider.ids, self.partner.id, sale_order_id=sent.id), methods)
        self.provider.allow_tokenization = False
        providers = self.env['payment.provider']._get_compatible_providers
        self.assertNotIn(self.provider, providers(self.company.id, self.partner.id, 30.0, sale_order_id=order.id))
        self.assertIn(self.provider, providers(self.company.id, self.partner.id, 30.0, sale_order_id=sent.id))

    def test_where_saving_is_offered_the_customer_decides(self):
        self.charged.save_method = 'offered'
        order = self._create_quotation()
        self.assertFalse(order._has_to_be_paid())
        self.assertFalse(self.provider._is_tokenization_required(sale_order_id=order.id))
        order.require_payment = True
        self._pay(order, self.token)
        self.assertEqual(order.payment_token_id, self.token)
        without = self._create_quotation(require_payment=True)
        self._pay(without, self.env['payment.token'])
        self.assertEqual((without.subscription_state, without.payment_token_id.id), ('progress', False))

    def test_where_saving_is_not_asked_for_nothing_is_kept(self):
        self.charged.save_method = 'no'
        order = self._create_quotation(require_payment=True)
        self._pay(order, self.token)
        self.assertFalse(order.payment_token_id)

    def test_the_method_of_somebody_else_pays_once_and_is_not_kept(self):
        order = self._create_quotation()
        tx = self._pay(order, self.strange_token)
        self.assertEqual((order.subscription_state, order.payment_token_id.id), ('progress', False))
        self.assertEqual((order.invoice_ids.amount_residual, tx.is_post_processed), (0.0, True))
        self.assertIn("isn't kept", ' '.join(order.message_ids.mapped('body')))

    def test_who_only_reads_orders_does_not_change_their_method(self):
        order = self._create_charged()
        reader = new_test_user(
            self.env, 'reader', groups='base.group_user,account.group_account_readonly', company_id=self.company.id,
            company_ids=[Command.set(self.company.ids)])
        self.authenticate('reader', 'reader')
        self._check_refused(order)
        self.assertTrue(reader.has_group('account.group_account_readonly'))

    def test_plans_which_send_invoices_ask_for_no_method(self):
        order = self._create_quotation(plan=self.monthly, require_payment=True)
        self.assertFalse(self.provider._is_tokenization_required(sale_order_id=order.id))
        self._pay(order, self.token)
        self.assertFalse(order.payment_token_id)

    def test_a_signature_is_kept_until_the_method_is_saved(self):
        order = self._create_quotation(plan=self.trial, require_signature=True)
        self.assertFalse(order._has_to_be_paid(), "Nothing is due in the trial")
        self.make_jsonrpc_request(
            f'/my/orders/{order.id}/accept?access_token={order._portal_ensure_token()}',
            {'name': "Ann", 'signature': PIXEL})
        self.assertEqual((order.state, order.signed_by), ('sent', "Ann"))
        page = self.url_open(order.get_portal_url(query_string='&message=sign_ok')).text
        self.assertIn('name="subscription_save_method"', page)
        self.assertIn("Your order has been signed. To confirm it", page)
        tx = self._begin_saving(order, access_token=order.access_token)
        self.assertEqual((tx.operation, tx.amount, tx.landing_route), ('validation', 0.0, order.get_portal_url()))
        self.assertTrue(tx.tokenize, "Whatever the browser says")
        self.assertEqual((order.state, order.amount_paid), ('sent', 0.0))
        token = self._finish_saving(tx)
        self.assertEqual((order.subscription_state, order.payment_token_id), ('trial', token))
        self.assertEqual(order.signed_by, "Ann")

    def test_the_same_link_resumes_after_an_abandoned_or_refused_method(self):
        order = self._create_quotation(plan=self.trial)
        url = order.get_portal_url(suffix='/payment_method')
        self.assertIn('id="o_payment_form"', self.url_open(url).text)
        refused = self._begin_saving(order, access_token=order.access_token)
        refused._set_error("Your card was refused.")
        refused._post_process()
        self._begin_saving(order, access_token=order.access_token)  # and closes the window
        self.assertEqual(order.state, 'sent')
        self.assertIn('id="o_payment_form"', self.url_open(url).text)
        token = self._finish_saving(self._begin_saving(order, access_token=order.access_token))
        self.assertEqual((order.subscription_state, order.payment_token_id), ('trial', token))

    def test_a_click_accepts_nothing_which_is_to_be_charged_later(self):
        order = self._create_quotation(plan=self.trial, require_payment=True)
        self.assertFalse(order._can_be_accepted_for_free())
        order._validate_order()
        self.assertEqual(order.state, 'sent')
        order.action_confirm()
        self.assertEqual(order.subscription_state, 'trial', "Staff confirm whatever was saved")

    def test_a_webhook_which_comes_twice_changes_nothing(self):
        order = self._create_quotation(plan=self.trial)
        tx = self._begin_saving(order, access_token=order._portal_ensure_token())
        self._finish_saving(tx)
        order.payment_token_id = self.token
        tx._post_process()
        self.assertEqual((order.subscription_state, order.payment_token_id), ('trial', self.token))

    def test_a_payment_of_a_running_contract_does_not_replace_its_method(self):
        order = self._create_charged()
        self._pay(order, self._create_token_of(self.partner))
        self.assertEqual(order.payment_token_id, self.token)

    def test_mandates_say_what_is_to_follow(self):
        order = self._create_quotation()
        tx = self._pay(order, self.token, state='draft')
        values = tx._get_mandate_values()
        self.assertEqual((values['recurrence_unit'], values['recurrence_duration']), ('month', 1))
        self.assertEqual(values['start_datetime'], fields.Datetime.to_datetime('2026-06-16'))
        self.assertEqual(values['amount'], order.amount_total)
        self.assertFalse(self._pay(self._create_quotation(plan=self.monthly), self.token, state='draft')
                         ._get_mandate_values())

    # === RUNNING CONTRACTS === #

    def test_customers_replace_the_method_of_a_running_contract(self):
        order = self._create_charged()
        other = self._create_token_of(self.partner)
        self.authenticate('customer', 'customer')
        page = self.url_open(f'/my/orders/{order.id}/payment_method').text
        self.assertIn('data-assign-token-route', page)
        self._call(order, 'assign', token_id=other.id)
        self.assertEqual(order.payment_token_id, other)
        token = self._finish_saving(self._begin_saving(order), self.customer.partner_id)
        self.assertEqual(order.payment_token_id, token)

    def test_several_contracts_share_a_method(self):
        orders = self._create_charged() | self._create_charged()
        self.assertEqual(orders.payment_token_id, self.token)
        self.assertEqual(
            {info['id'] for info in self.token.get_linked_records_info()}, set(orders.ids))
        orders[0]._save_payment_method(self._create_token_of(self.partner))
        self.assertEqual(orders[1].payment_token_id, self.token)

    def test_a_new_method_pays_what_the_old_one_did_not(self):
        order = self._create_charged()
        self.answer = 'hard'
        self._bill('2026-06-16')
        self._collect()
        self.assertEqual(order.invoice_ids.subscription_charge_state, 'refused')
        self.answer = 'done'
        order._save_payment_method(self._create_token_of(self.partner))
        self.assertEqual(order.invoice_ids.subscription_charge_state, 'waiting')
        self._collect()
        self.assertEqual(order.invoice_ids.amount_residual, 0.0)

    def test_a_contract_which_paused_for_want_of_a_method_goes_on(self):
        order = self._create_order(plan=self.trial, confirm=True)
        with freeze_time('2026-06-30 10:00:00'):
            self.Order.sudo()._cron_run_lifecycle()
            self.assertEqual(order.subscription_state, 'paused')
        with freeze_time('2026-07-05 10:00:00'):
            order._save_payment_method(self.token)
            self.assertEqual(order.subscription_state, 'progress')
            self.assertEqual(order.order_line.next_period_start, fields.Date.to_date('2026-07-05'))

    def test_a_contract_which_somebody_paused_stays_paused(self):
        order = self._create_charged()
        order._pause_subscriptions(order._subscription_today() + timedelta(days=1))
        with freeze_time('2026-06-18 10:00:00'):
            self.Order.sudo()._cron_run_lifecycle()
            order._save_payment_method(self._create_token_of(self.partner))
            self.assertEqual(order.subscription_state, 'paused')

    # === REMOVING === #

    def test_a_method_in_use_is_kept_and_the_customer_told_what_to_do(self):
        order = self._create_charged()
        with self.assertRaisesRegex(UserError, f"{order.name}: charged to this payment method. Choose another one"):
            self.token.active = False
        self.authenticate('customer', 'customer')
        url = f'/my/orders/{order.id}/payment_method'
        response = self.url_open(f'{url}/remove', data={'csrf_token': self._get_csrf_token(self.url_open(url))})
        self.assertTrue(response.url.endswith('?message=in_use'))
        self.assertIn("Choose another one below", response.text)
        self.assertEqual(order.payment_token_id, self.token)

    def test_a_method_which_nothing_is_charged_to_goes(self):
        order = self._create_charged()
        order.collection_mode = 'send'
        self.authenticate('customer', 'customer')
        url = f'/my/orders/{order.id}/payment_method'
        self.url_open(f'{url}/remove', data={'csrf_token': self._get_csrf_token(self.url_open(url))})
        self.assertFalse(order.payment_token_id)
        self.assertTrue(self.token.active)
        self.token.active = False

    def test_a_provider_is_switched_off_whatever_is_charged_to_it(self):
        self._create_charged()
        self.provider.state = 'disabled'
        self.assertFalse(self.token.active)

    def _get_csrf_token(self, page):
        return page.text.split('csrf_token: "')[1].split('"')[0]

    # === THE WRONG PERSON === #

    def test_the_secret_link_does_not_change_a_running_contract(self):
        order = self._create_charged()
        page = self.url_open(order.get_portal_url(suffix='/payment_method'), allow_redirects=False)
        self.assertIn('/web/login', page.headers['Location'])
        self._check_refused(order, access_token=order.access_token)

    def test_nobody_without_the_link_saves_for_a_quotation(self):
        order = self._create_quotation(plan=self.trial)
        order._portal_ensure_token()
        page = self.url_open(f'/my/orders/{order.id}/payment_method', allow_redirects=False)
        self.assertIn('/web/login', page.headers['Location'])
        self._check_refused(order)
        self._check_refused(order, access_token='wrong')

    def test_another_customer_sees_and_changes_nothing(self):
        order = self._create_charged()
        self.authenticate('stranger', 'stranger')
        url = f'/my/orders/{order.id}/payment_method'
        self.assertTrue(self.url_open(url).url.endswith('/my'))
        self._check_refused(order)
        order.collection_mode = 'send'
        self.url_open(f'{url}/remove', data={'csrf_token': self._get_csrf_token(self.url_open('/my'))})
        self.assertEqual(order.payment_token_id, self.token)

    def test_nobody_pays_with_the_method_of_another_customer(self):
        order = self._create_charged()
        self.authenticate('customer', 'customer')
        with mute_logger('odoo.http'), self.assertRaisesRegex(JsonRpcException, "ValidationError"):
            self._call(order, 'assign', token_id=self.strange_token.id)
        self.assertEqual(order.payment_token_id, self.token)

    def test_a_quotation_link_shows_no_saved_methods(self):
        order = self._create_quotation(plan=self.trial)
        page = self.url_open(order.get_portal_url(suffix='/payment_method')).text
        self.assertNotIn("4242", page)
        with mute_logger('odoo.http'), self.assertRaises(JsonRpcException):
            self._call(order, 'assign', token_id=self.token.id, access_token=order.access_token)
        self.assertFalse(order.payment_token_id)

    def test_plain_orders_have_no_page_for_methods(self):
        order = self._create_order(self.installation, state='sent')
        self.assertTrue(self.url_open(
            order.get_portal_url(suffix='/payment_method'), allow_redirects=False).headers['Location'])
        self._check_refused(order, access_token=order._portal_ensure_token())

    def _check_refused(self, order, **values):
        token = order.payment_token_id
        with mute_logger('odoo.http'):
            with self.assertRaises(JsonRpcException):
                self._begin_saving(order, **values)
            with self.assertRaises(JsonRpcException):
                self._call(order, 'assign', token_id=self.token.id, **values)
        self.assertFalse(self.Transaction.search([('subscription_order_id', '=', order.id)]))
        self.assertEqual(order.payment_token_id, token)
