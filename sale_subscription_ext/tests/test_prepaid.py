from datetime import timedelta
from unittest.mock import patch

from odoo.exceptions import UserError, ValidationError
from odoo.tests import freeze_time, tagged

from odoo.addons.mail.tests.common import MailCase
from odoo.addons.sale_subscription_ext import const
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

    def test_the_link_goes_on_to_ask_for_what_is_left_only(self):
        order = self._create_prepaid()
        move = self._bill('2026-06-16', order)
        path = move._get_subscription_payment_url().partition(move.get_base_url())[2]
        move.action_post()
        for paid, left in ((10.0, 20.0), (20.0, 0.0)):
            self.env['account.payment.register'].with_context(
                active_model='account.move', active_ids=move.ids).create({'amount': paid})._create_payments()
            with self.subTest(left=left):
                page = self.url_open(path)
                self.assertEqual(page.status_code, 200)
                self.assertEqual('o_payment_form' in page.text, bool(left))
                if left:
                    self.assertEqual(float(self._get_payment_context(page)['amount']), left)
                with self.assertRaisesRegex(ValidationError, "left to be paid"):
                    self._create_transaction(
                        'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)],
                        reference='Late', partner_id=self.partner.id)

    def test_the_link_of_a_draft_which_was_cancelled_takes_no_money(self):
        order = self._create_prepaid()
        move = self._bill('2026-06-16', order)
        path = move._get_subscription_payment_url().partition(move.get_base_url())[2]
        order._close_subscriptions(self.reason)
        self.assertNotIn('o_payment_form', self.url_open(path).text)
        with self.assertRaisesRegex(ValidationError, "Nothing is left"):
            self._create_transaction(
                'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)],
                reference='Late', partner_id=self.partner.id)

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

    # === WHILE NOBODY KNOWS WHETHER IT IS PAID === #

    def _charge_unanswered(self, **values):
        """Return a contract whose prepaid draft was charged, and a provider which didn't answer."""
        self.startPatcher(patch.dict(const.REPEATABLE_HOURS, {'none': 23}))
        order = self._create_prepaid(start_date='2026-06-16', payment_token_id=self.token.id, **values)
        self._bill('2026-06-16', order)
        self.answer = 'timeout'
        self._collect()
        self.assertEqual((order.charge_state, len(self.requests)), ('unknown', 1))
        return order

    def _ask_again(self, order, answer):
        self._get_charges(order).subscription_sent_date -= timedelta(hours=1)
        self.answer = answer
        self._collect()

    def test_a_draft_whose_payment_has_no_answer_cannot_be_cancelled(self):
        order = self._charge_unanswered()
        move = order.invoice_ids
        for leave in (move.button_cancel, move.unlink):
            with self.assertRaisesRegex(UserError, "under way"), self.env.cr.savepoint():
                leave()
        move.action_confirm_not_charged()
        self.assertEqual(order.charge_state, 'failed')
        move.button_cancel()
        self.assertEqual((move.state, order.charge_state), ('cancel', 'none'))
        self.assertEqual(self._get_ledger(order, 'date_start', 'state'), [('2026-06-16', 'open')])

    def test_closing_asks_for_no_money_any_more(self):
        order = self._charge_unanswered()
        order._close_subscriptions(self.reason)
        self.assertEqual(order.invoice_ids.state, 'draft', "The money may have been taken")
        self._ask_again(order, 'done')
        self.assertEqual(len(self.requests), 1, "The same request would take the money if the first never arrived")
        with self.assertRaisesRegex(UserError, "closed in the meantime"):
            order.invoice_ids.action_ask_provider()
        order.invoice_ids.action_confirm_charged()
        self.assertRecordValues(order.invoice_ids, [{'state': 'posted', 'payment_state': 'paid'}])

    def test_what_closing_left_alone_is_cancelled_when_no_money_came(self):
        order = self._charge_unanswered()
        order._close_subscriptions(self.reason)
        self._flush_tracking()
        order.invoice_ids.action_confirm_not_charged()
        with self.mock_mail_gateway():
            self._collect()
            self._flush_tracking()
        self.assertFalse(self._new_mails)
        self.assertEqual((order.invoice_ids.state, order.charge_state), ('cancel', 'none'))
        self.assertFalse(order.is_in_dunning)
        self.assertEqual(set(self._get_ledger(order, 'state')), {('waived',)})
        self.assertEqual(len(self.requests), 1)

    def test_a_page_which_a_customer_left_keeps_no_draft_of_a_closed_contract(self):
        order = self._create_prepaid(start_date='2026-06-16')
        move = self._bill('2026-06-16', order)
        self._create_transaction(
            'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)],
            reference='Web', partner_id=self.partner.id)
        self.env.flush_all()
        self.cr.execute("UPDATE payment_transaction SET create_date = '2026-06-16 09:50:00'")
        self.env.invalidate_all()
        order._close_subscriptions(self.reason)
        self._collect()
        self.assertEqual(move.state, 'draft', "The customer may be about to pay")
        with freeze_time('2026-06-16 12:00:00'):
            self._collect()
        self.assertEqual(move.state, 'cancel')

    def test_only_the_part_of_a_closed_contract_leaves_a_draft_of_several(self):
        self.prepaid.consolidate = True
        orders = self._create_prepaid(start_date='2026-06-16', payment_token_id=self.token.id)
        orders |= self._create_prepaid(start_date='2026-06-16', payment_token_id=self.token.id)
        move = self._bill('2026-06-16', orders)
        self.answer = 'timeout'
        self._collect()
        orders[0]._close_subscriptions(self.reason)
        self.assertEqual(move.amount_total, 60.0)
        move.action_confirm_not_charged()
        self._collect()
        self.assertEqual((move.state, move.amount_total, move._get_subscriptions()), ('draft', 30.0, orders[1]))
