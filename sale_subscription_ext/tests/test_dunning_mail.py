from odoo.fields import Command
from odoo.tests import freeze_time, tagged
from odoo.tools import html2plaintext

from odoo.addons.sale_subscription_ext.tests.dunning_common import SubscriptionDunningCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-01 10:00:00')
class TestDunningMail(SubscriptionDunningCommon):
    """What customers are written to about unpaid invoices: to whom, in which language, and whether at all."""

    def test_the_invoice_address_gets_a_link_on_the_thread_of_the_contract(self):
        books = self.env['res.partner'].create({
            'name': "Books", 'email': 'books@example.com', 'parent_id': self.partner.id, 'type': 'invoice'})
        order = self._create_unpaid(partner_invoice_id=books.id)
        with self.mock_mail_gateway():
            self._collect_on('2026-06-04')
        mail = self._get_mails(order, 'unpaid_reminder')
        self.assertEqual((mail.model, mail.res_id), ('sale.order', order.id))
        self.assertEqual(mail.partner_ids, books)
        link = self.Link.search([('move_id', '=', order.invoice_ids.id)])
        self.assertIn(link._get_url(), mail.body)
        self.assertEqual(link.order_ids, order)
        self.assertMailMail(books, 'sent', author=order.user_id.partner_id or self.env.user.partner_id)

    def test_all_e_mails_about_an_invoice_hold_the_same_link(self):
        order = self._create_unpaid()
        self._collect_until('2026-06-01', '2026-06-09')
        self.assertEqual(len(self.Link.search([('move_id', '=', order.invoice_ids.id)])), 1)

    def test_it_is_in_the_language_of_the_customer(self):
        self.env['res.lang']._activate_lang('fr_FR')
        self.partner.lang = 'fr_FR'
        template = self.env.ref('sale_subscription_ext.mail_template_unpaid_reminder')
        template.with_context(lang='fr_FR').subject = "{{ object.name }}: votre facture"
        order = self._create_unpaid()
        self._collect_on('2026-06-04')
        self.assertIn(f"{order.name}: votre facture", order.message_ids.mapped('subject'))

    def test_a_plan_which_sends_no_e_mails_sends_none_of_these(self):
        self.monthly.write({'send_mails': False, 'auto_close_days': 20})
        order = self._create_unpaid()
        self._collect_until('2026-06-01', '2026-06-22')
        self.assertFalse(order.message_ids.filtered(lambda message: message.partner_ids))
        self.assertEqual(order.subscription_state, 'closed')
        self.assertIn("plan or address forbid it", ' '.join(self.env['subscription.dunning.entry'].with_context(
            active_test=False).search([('move_id', 'in', order.invoice_ids.ids)]).mapped('description')))

    def test_nobody_is_written_to_without_an_address(self):
        self.partner.email = False
        order = self._create_unpaid()
        self._collect_on('2026-06-04')
        self.assertFalse(self._get_mails(order, 'unpaid_reminder'))
        self.assertIn("plan or address forbid it", order.dunning_notice)

    def test_a_step_can_have_an_e_mail_of_its_own(self):
        template = self.env.ref('sale_subscription_ext.mail_template_unpaid_reminder').copy({
            'subject': "Last call for {{ object.name }}"})
        self.monthly.dunning_policy_id = self.env['subscription.dunning.policy'].create({
            'name': "Own", 'step_ids': [Command.create(
                {'day_offset': 0, 'send_mail': True, 'mail_template_id': template.id})]})
        order = self._create_unpaid()
        self._collect_on('2026-06-04')
        self.assertIn(f"Last call for {order.name}", order.message_ids.mapped('subject'))

    def test_templates_can_be_previewed_on_any_contract(self):
        order = self._create_order(confirm=True)
        for name in ('payment_failed', 'unpaid_reminder', 'closing_warning', 'closed_unpaid'):
            template = self.env.ref(f'sale_subscription_ext.mail_template_{name}')
            with self.subTest(name=name):
                self.assertIn(order.name, template._render_field('body_html', order.ids)[order.id])
                self.assertTrue(template._render_field('subject', order.ids)[order.id])

    def test_drafts_are_called_by_their_contract_as_they_have_no_number(self):
        self.monthly.collection_mode = 'prepaid'
        order = self._create_order(confirm=True)
        move = self._bill('2026-06-01', order)
        self.assertEqual(move.state, 'draft')
        for name in ('payment_failed', 'unpaid_reminder', 'closing_warning', 'closed_unpaid'):
            template = self.env.ref(f'sale_subscription_ext.mail_template_{name}')
            body = html2plaintext(template._render_field('body_html', order.ids)[order.id])
            words = ' '.join(f"{template._render_field('subject', order.ids)[order.id]} {body}".split())
            with self.subTest(name=name):
                self.assertIn(order.name, words)
                self.assertNotRegex(words, r"your invoice is|invoice of|invoice ?,")
