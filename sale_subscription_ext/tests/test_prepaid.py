from odoo.tests import freeze_time, tagged

from odoo.addons.mail.tests.common import MailCase
from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestPrepaid(SubscriptionChargeCommon, MailCase):
    """Drafts which the customer pays before they are invoices."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepaid = cls._create_plan("Prepaid", 1, 'month', collection_mode='prepaid', invoice_lead_days=10)

    def _create_prepaid(self, **values):
        return self._create_order(**{'plan': self.prepaid, 'confirm': True, 'start_date': '2026-06-20', **values})

    def test_a_draft_waits_for_its_payment(self):
        order = self._create_prepaid()
        with self.mock_mail_gateway():
            move = self._bill('2026-06-16', order)
            self._flush_tracking()
        self.assertRecordValues(move, [{
            'state': 'draft', 'subscription_is_prepaid': True, 'subscription_charge_state': False}])
        self.assertEqual((str(move.invoice_date_due), str(order.next_invoice_date)), ('2026-06-20', '2026-07-10'))
        self.assertEqual(self._get_ledger(order, 'date_start', 'state'), [('2026-06-20', 'billed')])
        mail = self._new_mails.filtered(lambda mail: "are to be paid" in mail.body_html)
        self.assertEqual(len(mail), 1)
        self.assertIn('/payment/pay?amount=30.0', mail.body_html)

    def test_the_payment_makes_it_an_invoice(self):
        order = self._create_prepaid()
        move = self._bill('2026-06-16', order)
        self._create_transaction(
            'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)],
            reference='Web', partner_id=self.partner.id, state='done')._post_process()
        self.assertRecordValues(move, [{'state': 'posted', 'payment_state': 'paid', 'amount_residual': 0.0}])

    def test_the_page_of_the_link_takes_the_payment(self):
        order = self._create_prepaid()
        move = self._bill('2026-06-16', order)
        path = move._get_subscription_payment_url().partition(move.get_base_url())[2]
        page = self.url_open(path)
        self.assertEqual(page.status_code, 200)
        context = self._get_payment_context(page)
        self.assertEqual(float(context['amount']), 30.0)
        self.assertEqual(context['transaction_route'], f'/invoice/transaction/{move.id}')

    def test_a_saved_method_pays_it_when_the_period_begins(self):
        order = self._create_prepaid(payment_token_id=self.token.id)
        move = self._bill('2026-06-16', order)
        self._collect()
        self.assertEqual((move.state, order.charge_state, self.requests), ('draft', 'waiting', []))
        with freeze_time('2026-06-20 10:00:00'):
            self._collect()
        self.assertRecordValues(move, [{'state': 'posted', 'payment_state': 'paid'}])
        self.assertEqual((order.charge_state, [amount for _reference, amount in self.requests]), ('paid', [30.0]))

    def test_closing_cancels_what_nobody_paid(self):
        order = self._create_prepaid(start_date='2026-06-16')
        paid, unpaid = self._bill('2026-06-16', order), self.env['account.move']
        with freeze_time('2026-07-10 10:00:00'):
            unpaid = self._bill('2026-07-10', order)
            self._create_transaction(
                'redirect', amount=30.0, currency_id=paid.currency_id.id, invoice_ids=[(6, 0, paid.ids)],
                reference='Web', partner_id=self.partner.id, state='done')._post_process()
            order._close_subscriptions(self.reason)
        self.assertEqual((paid.state, unpaid.state), ('posted', 'cancel'))
        self.assertEqual(
            self._get_ledger(order, 'date_start', 'state')[1:], [('2026-07-16', 'waived')])

    def test_a_first_payment_which_confirms_pays_the_first_invoice(self):
        order = self._create_order(
            plan=self.calendar, require_payment=True, require_signature=False, collection_mode='prepaid')
        order.action_quotation_sent()
        tx = self._create_transaction(
            'redirect', amount=15.0, currency_id=order.currency_id.id, sale_order_ids=[(6, 0, order.ids)],
            reference=order.name, state='done')
        tx._post_process()
        self.assertRecordValues(order.invoice_ids, [{'state': 'posted', 'payment_state': 'paid', 'amount_total': 15.0}])
