from datetime import date

from odoo.tests import freeze_time, tagged

from odoo.addons.mail.tests.common import MailCase
from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestCollectionMails(SubscriptionChargeCommon, MailCase):
    """E-mails about money: receipt, announced charge, another payment method needed."""

    def _get_mails(self, text):
        self._flush_tracking()
        return self._new_mails.filtered(lambda mail: text in mail.body_html)

    def test_a_charge_brings_a_receipt_in_the_thread_of_the_contract(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        with self.mock_mail_gateway():
            self._collect()
            mails = self._get_mails("We charged")
        self.assertEqual(len(mails), 1)
        self.assertIn("30.00", mails.body_html)
        self.assertIn(move.name, mails.body_html)
        self.assertEqual((mails.model, mails.res_id), ('sale.order', order.id))

    def test_nothing_is_sent_where_the_plan_sends_no_mails(self):
        self.charged.write({'send_mails': False, 'charge_reminder_days': 3})
        order = self._create_charged()
        self._bill('2026-06-16', order)
        with self.mock_mail_gateway(), freeze_time('2026-07-14 10:00:00'):
            self._collect()
            self.assertFalse(self._get_mails("charge"))

    def test_the_customer_reads_it_in_their_language(self):
        self.env['res.lang']._activate_lang('fr_FR')
        self.partner.lang = 'fr_FR'
        self.env.ref('sale_subscription_ext.mail_template_subscription_receipt').with_context(
            lang='fr_FR').subject = "Reçu pour {{ object.name }}"
        order = self._create_charged()
        self._bill('2026-06-16', order)
        with self.mock_mail_gateway():
            self._collect()
            self._flush_tracking()
        self.assertIn(f"Reçu pour {order.name}", self._new_mails.mapped('subject'))

    def test_a_charge_is_announced_once_some_days_ahead(self):
        self.charged.charge_reminder_days = 3
        order = self._create_charged()
        self._bill('2026-06-16', order)
        with self.mock_mail_gateway():
            for day in ('2026-07-12', '2026-07-13', '2026-07-14'):
                with freeze_time(f'{day} 10:00:00'):
                    self._collect()
            mails = self._get_mails("we will charge")
        self.assertEqual(len(mails), 1)
        self.assertIn("07/16/2026", mails.body_html)
        self.assertIn("30.00", mails.body_html)
        self.assertEqual(order.charge_reminder_date, date(2026, 7, 16))
        self._bill('2026-07-16', order)
        with self.mock_mail_gateway(), freeze_time('2026-08-13 10:00:00'):
            self._collect()
            self.assertEqual(len(self._get_mails("we will charge")), 1, "The next one is announced too")

    def test_a_charge_of_an_invoice_made_ahead_is_announced(self):
        self.charged.write({'charge_reminder_days': 3, 'invoice_lead_days': 10})
        order = self._create_charged(start_date='2026-06-26')
        self._bill('2026-06-16', order)
        with self.mock_mail_gateway():
            self._collect()
            self.assertFalse(self._get_mails("we will charge"))
            with freeze_time('2026-06-23 10:00:00'):
                self._collect()
            mails = self._get_mails("we will charge")
        self.assertEqual(len(mails), 1)
        self.assertIn("06/26/2026", mails.body_html)

    def test_who_has_a_card_which_expires_is_told_once(self):
        order = self._create_charged()
        self.token.subscription_expiry_date = '2026-07-31'
        with self.mock_mail_gateway():
            self._collect()
            self.assertFalse(self._get_mails("expires on"))
            for day in ('2026-07-05', '2026-07-06'):
                with freeze_time(f'{day} 10:00:00'):
                    self._collect()
            mails = self._get_mails("expires on")
        self.assertEqual(len(mails), 1)
        self.assertIn("07/31/2026", mails.body_html)
        order.payment_token_id = self._create_token(payment_details="1111")
        self.assertFalse(order.method_warning_date, "Another method is looked at anew")

    def test_who_has_a_method_which_was_switched_off_is_told(self):
        self._create_charged()
        # As an administrator leaves it who switches a kind of payment off.
        self.env.flush_all()
        self.cr.execute("UPDATE payment_token SET active = false WHERE id = %s", [self.token.id])
        self.env.invalidate_all()
        with self.mock_mail_gateway():
            self._collect()
            self.assertEqual(len(self._get_mails("was removed")), 1)

    def test_a_saved_card_tells_when_it_expires(self):
        data = {'payment_method': {'type': 'card', 'card': {'exp_month': 2, 'exp_year': 2028}}}
        self.assertEqual(self.Transaction._extract_expiry_date(data), date(2028, 2, 29))
        for other in ({}, None, {'payment_method': 'pm_1'}, {'payment_method': {'type': 'sepa', 'sepa': {}}}):
            self.assertIsNone(self.Transaction._extract_expiry_date(other))
