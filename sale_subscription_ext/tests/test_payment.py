from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import freeze_time, tagged

from odoo.addons.mail.tests.common import MailCase
from odoo.addons.sale_subscription_ext.tests.payment_common import SubscriptionPaymentCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestPayment(SubscriptionPaymentCommon, MailCase):

    def _create_quotation(self, *lines, **values):
        order = self._create_order(*lines, **{
            'plan': self.calendar, 'require_payment': True, 'require_signature': False, 'prepayment_percent': 1.0,
            **values,
        })
        order.action_quotation_sent()
        return order

    def _create_payment(self, order, amount=None, state='done', **values):
        tx = self._create_transaction(
            'redirect', amount=order._get_payable_amount() if amount is None else amount,
            currency_id=order.currency_id.id, sale_order_ids=[(6, 0, order.ids)],
            reference=f"{order.name}-{len(order.transaction_ids)}", **values)
        getattr(tx, f'_set_{state}')()
        return tx

    def test_the_first_invoice_is_what_is_asked_for(self):
        order = self._create_quotation()
        self.assertEqual(order.amount_total, 30.0, "The total of the order stays")
        self.assertEqual(order._get_prepayment_required_amount(), 15.0)
        self.assertTrue(order._has_to_be_paid())
        self.assertEqual(order._get_default_payment_link_values()['amount'], 15.0)
        self.assertEqual(order._get_default_payment_link_values()['amount_max'], 15.0)
        order.prepayment_percent = 0.5
        self.assertEqual(order._get_prepayment_required_amount(), 7.5)
        self.assertEqual(order._get_default_payment_link_values()['amount'], 7.5)

    def test_a_plain_quotation_asks_for_its_total(self):
        order = self._create_quotation(self.installation, plan=self.env['subscription.plan'])
        self.assertEqual(order._get_prepayment_required_amount(), 200.0)
        self.assertEqual(order._get_default_payment_link_values()['amount_max'], 200.0)
        tx = self._create_payment(order)
        tx._post_process()
        self.assertEqual((order.state, order.subscription_state), ('sale', False))
        self.assertFalse(order.invoice_ids)

    def test_a_payment_confirms_bills_and_pays_the_first_invoice(self):
        order = self._create_quotation(self.service, self.installation)
        tx = self._create_payment(order)
        tx._post_process()
        self.assertEqual((order.state, order.subscription_state), ('sale', 'progress'))
        move = order.invoice_ids
        self.assertRecordValues(move, [{'state': 'posted', 'amount_total': 215.0, 'amount_residual': 0.0}])
        self.assertEqual(tx.invoice_ids, move)
        self.assertIn(tx.payment_id, move.matched_payment_ids | move._get_reconciled_payments())
        self.assertEqual(str(order.next_invoice_date), '2026-07-01')
        self.assertTrue(order._is_paid())
        self._assert_ledgers_hold(order)

    def test_it_happens_once_whoever_tells_of_the_payment_and_how_often(self):
        order = self._create_quotation()
        tx = self._create_payment(order)
        for _time in range(2):
            tx._post_process()
            tx.is_post_processed = False
        self._bill('2026-06-16')
        tx._post_process()
        self.assertEqual(len(order.invoice_ids), 1)
        self.assertEqual(len(order.order_line.period_ids), 1)
        self.assertEqual(tx.invoice_ids, order.invoice_ids)

    def test_automatic_invoices_of_sales_make_no_second_one(self):
        self.env['ir.config_parameter'].sudo().set_param('sale.automatic_invoice', 'True')
        order = self._create_quotation()
        tx = self._create_payment(order)
        tx._post_process()
        self.assertRecordValues(order.invoice_ids, [{'amount_total': 15.0, 'amount_residual': 0.0}])
        self.assertTrue(order.invoice_ids.sending_data, "The mail is that of the plan, sent in the background")
        self.assertFalse(order.order_line.filtered('is_downpayment'))

    def test_a_part_confirms_and_leaves_the_rest_open(self):
        order = self._create_quotation(prepayment_percent=0.5)
        tx = self._create_payment(order, amount=7.0)
        tx._post_process()
        self.assertEqual(order.state, 'sent')
        self.assertFalse(order.invoice_ids)
        second = self._create_payment(order, amount=0.5)
        second._post_process()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertRecordValues(order.invoice_ids, [{'amount_total': 15.0, 'amount_residual': 7.5}])
        self.assertEqual(order._get_default_payment_link_values()['amount_max'], 7.5)

    def test_an_invoice_for_review_stays_a_draft_and_is_paid_when_posted(self):
        order = self._create_quotation(collection_mode='draft')
        tx = self._create_payment(order)
        tx._post_process()
        self.assertRecordValues(order.invoice_ids, [{'state': 'draft', 'amount_total': 15.0}])
        self.assertEqual(order.invoice_ids.transaction_ids, tx)
        order.invoice_ids.action_post()
        self.assertEqual(order.invoice_ids.amount_residual, 0.0)

    def test_who_pays_for_a_later_start_gets_the_invoice_at_once(self):
        order = self._create_quotation(start_date='2026-07-22')
        tx = self._create_payment(order)
        tx._post_process()
        self.assertRecordValues(order.invoice_ids, [{
            'state': 'posted', 'amount_total': 9.68, 'amount_residual': 0.0,
            'invoice_date': order._subscription_today()}])
        self.assertEqual(str(order.next_invoice_date), '2026-08-01')

    def test_a_payment_which_arrives_later_counts_for_the_day_it_was_made(self):
        order = self._create_quotation()
        tx = self._create_payment(order, state='pending')
        tx._post_process()
        self.assertEqual(order.state, 'sent')
        self.cr.execute("UPDATE payment_transaction SET create_date = '2026-06-16 10:00' WHERE id = %s", [tx.id])
        self.env.invalidate_all()
        with freeze_time('2026-07-02 10:00:00'):
            tx._set_done()
            tx._post_process()
            self.assertEqual((order.subscription_state, str(order.start_date)), ('progress', '2026-06-16'))
            self.assertRecordValues(order.invoice_ids, [{'amount_total': 15.0, 'amount_residual': 0.0}])
            self._bill('2026-07-02')
        self.assertEqual(sorted(order.invoice_ids.mapped('amount_total')), [15.0, 30.0])

    def test_an_authorized_payment_confirms_and_is_billed_when_captured(self):
        order = self._create_quotation()
        self.provider.support_manual_capture = 'full_only'
        tx = self._create_payment(order, state='authorized')
        tx._post_process()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertFalse(order.invoice_ids)
        tx._set_done()
        tx._post_process()
        self.assertRecordValues(order.invoice_ids, [{'amount_total': 15.0, 'amount_residual': 0.0}])

    def test_what_the_billing_run_has_billed_in_the_meantime_is_paid(self):
        order = self._create_quotation()
        tx = self._create_payment(order, state='pending')
        order.action_confirm()
        self._bill('2026-06-16')
        self.assertEqual(order.invoice_ids.amount_residual, 15.0)
        tx._set_done()
        tx._post_process()
        self.assertRecordValues(order.invoice_ids, [{'amount_total': 15.0, 'amount_residual': 0.0}])

    def test_what_cannot_be_billed_does_not_stand_in_the_way_of_the_payment(self):
        order = self._create_quotation()
        tx = self._create_payment(order)
        with patch.object(type(order), '_prepare_invoice', side_effect=UserError("No journal")):
            tx._post_process()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertEqual(order.billing_error, "No journal")
        self.assertTrue(tx.payment_id)
        order.action_retry_billing()
        self.assertRecordValues(order.invoice_ids, [{'amount_total': 15.0, 'amount_residual': 0.0}])

    def test_billing_on_hold_is_left_to_the_run(self):
        self.env['ir.config_parameter'].sudo().set_param('sale_subscription_ext.billing_hold', 'True')
        order = self._create_quotation()
        self._create_payment(order)._post_process()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertFalse(order.invoice_ids)
        self.env['ir.config_parameter'].sudo().set_param('sale_subscription_ext.billing_hold', 'False')
        self._bill('2026-06-16')
        self.assertEqual(order.invoice_ids.amount_residual, 0.0)

    def test_where_nothing_is_due_no_payment_is_asked_for_and_a_click_accepts(self):
        self.calendar.first_period = 'free'
        order = self._create_quotation()
        self.assertFalse(order._has_to_be_paid())
        url = order.get_portal_url()
        page = self.url_open(url)
        self.assertIn("accept_for_free", page.text)
        self.assertNotIn("o_sale_portal_paynow", page.text)
        self.url_open(order.get_portal_url(suffix='/accept_for_free'), data={'csrf_token': self._get_csrf_token(page)})
        self.assertEqual((order.state, order.subscription_state), ('sale', 'progress'))
        self._bill('2026-06-16')
        self.assertFalse(order.invoice_ids)
        self.assertEqual(str(order.next_invoice_date), '2026-07-01')

    def test_nobody_gets_round_a_payment_or_a_signature(self):
        self.calendar.first_period = 'free'
        signed = self._create_quotation(require_signature=True)
        self.assertFalse(signed._can_be_accepted_for_free(), "It is accepted by signing")
        paid = self._create_quotation(self.service, self.installation)
        page = self.url_open(paid.get_portal_url())
        self.assertNotIn("accept_for_free", page.text)
        self.url_open(paid.get_portal_url(suffix='/accept_for_free'), data={'csrf_token': self._get_csrf_token(page)})
        self.assertEqual(paid.state, 'sent')

    def _get_csrf_token(self, page):
        return page.text.split('csrf_token: "')[1].split('"')[0]

    def test_the_page_of_the_quotation_asks_for_what_is_due(self):
        order = self._create_quotation()
        page = self.url_open(order.get_portal_url()).text
        self.assertIn('name="subscription_due"', page)
        self.assertIn("Due today", page)
        self.assertIn("every month from 07/01/2026", page)
        context = self._get_payment_context(self.url_open(order.get_portal_url()))
        self.assertEqual(float(context['amount']), 15.0)

    def test_the_customer_chooses_between_a_part_and_all_of_the_first_invoice(self):
        order = self._create_quotation(prepayment_percent=0.2)
        for query, amount in (('', 3.0), ('&amount_selection=full_amount', 15.0), ('&payment_amount=10', 10.0),
                              ('&payment_amount=15', 15.0)):
            with self.subTest(query=query):
                context = self._get_payment_context(self.url_open(order.get_portal_url() + query))
                self.assertEqual(float(context['amount']), amount)

    def test_the_customer_is_told_what_the_payment_is_for(self):
        order = self._create_quotation()
        with self.mock_mail_gateway():
            self._create_payment(order, state='pending')._post_process()
        mail = self._new_mails.filtered(lambda mail: "is on its way" in mail.body_html)
        self.assertTrue(mail)
        self.assertNotIn("remain", mail[0].body_html)
