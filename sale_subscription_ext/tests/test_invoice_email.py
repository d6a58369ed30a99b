from odoo.fields import Command
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestInvoiceEmail(SaleSubscriptionCommon):
    """Who gets the invoices of a contract by e-mail, whatever its collection mode."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.clerk, cls.boss, cls.mute = cls.env['res.partner'].create([
            {'name': "Clerk", 'email': 'clerk@example.com'}, {'name': "Boss", 'email': 'boss@example.com'},
            {'name': "Mute"},
        ])

    def _choose(self, *partners):
        return {'invoice_email_partner_ids': [Command.set([partner.id for partner in partners])]}

    def _get_recipients(self, move):
        send = self.env['account.move.send']
        return send._get_default_mail_partner_ids(move, send._get_default_mail_template_id(move), 'en_US')

    def test_the_customer_gets_them_unless_others_were_chosen(self):
        self._create_order(confirm=True)
        self.assertEqual(self._get_recipients(self._bill('2026-01-31')), self.partner)
        self._create_order(confirm=True, **self._choose(self.clerk, self.boss))
        move = self._bill('2026-01-31')
        self.assertTrue(move.is_being_sent)
        self.assertEqual(self._get_recipients(move), self.clerk | self.boss)

    def test_a_consolidated_invoice_goes_to_whom_each_contract_chose(self):
        self.monthly.consolidate = True
        self._create_order(confirm=True, **self._choose(self.clerk))
        self._create_order(confirm=True, **self._choose(self.boss, self.clerk))
        move = self._bill('2026-01-31')
        self.assertEqual(self._get_recipients(move), self.clerk | self.boss)
        self._create_order(confirm=True, **self._choose(self.clerk))
        self._create_order(confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(self._get_recipients(move), self.clerk | self.partner, "One of them chose nobody")

    def test_a_draft_is_mailed_once_it_is_approved_where_that_was_chosen(self):
        self.monthly.collection_mode = 'draft'
        self._create_order(confirm=True, invoice_email=True)
        chosen = self._bill('2026-01-31')
        self._create_order(confirm=True)
        other = self._bill('2026-01-31')
        self.assertFalse(chosen.is_being_sent, "Nobody has looked at it yet")
        (chosen | other).action_post()
        self.assertTrue(chosen.is_being_sent)
        self.assertFalse(other.is_being_sent)

    def test_plain_invoices_are_left_alone(self):
        order = self._create_order(self.installation, plan=False, confirm=True, invoice_email=True)
        move = order._create_invoices()
        move.action_post()
        self.assertFalse(move.is_being_sent)

    def test_customers_who_get_their_invoices_otherwise_are_mailed_where_that_was_chosen(self):
        self.partner.invoice_sending_method = 'manual'
        self._create_order(confirm=True, invoice_email=True)
        methods = self.env['account.move.send']._get_default_sending_methods(self._bill('2026-01-31'))
        self.assertIn('email', methods)

    def test_without_an_address_it_is_posted_and_the_report_says_so(self):
        order = self._create_order(confirm=True, **self._choose(self.mute))
        run = self.env['subscription.billing.run'].create({'date': '2026-01-31'})
        run.sudo()._bill_orders(order.sudo(), None)
        move = order.invoice_ids
        self.assertEqual(move.state, 'posted')
        self.assertFalse(move.is_being_sent)
        line = run.line_ids
        self.assertEqual((line.state, line.reason), ('billed', "Not sent: the customer has no e-mail address."))
        self.assertTrue(any("no e-mail address" in message.body for message in move.message_ids))

    def test_without_a_template_the_report_says_so(self):
        self.monthly.invoice_mail_template_id = False
        order = self._create_order(confirm=True)
        run = self.env['subscription.billing.run'].create({'date': '2026-01-31'})
        run.sudo()._bill_orders(order.sudo(), None)
        self.assertFalse(order.invoice_ids.is_being_sent)
        self.assertIn("no invoice e-mail", run.line_ids.reason)
