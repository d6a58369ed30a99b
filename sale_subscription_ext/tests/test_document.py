import re
from datetime import date

from lxml import html

from odoo.fields import Command
from odoo.tests import freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.payment_common import SubscriptionPaymentCommon
from odoo.addons.sale_subscription_ext.tests.test_amendment import AmendmentCommon

# Rendered in test_collection_mails and test_dunning_mail, where there are charges and unpaid invoices.
COLLECTION_TEMPLATES = {
    'subscription_receipt', 'subscription_charge_reminder', 'subscription_method_warning', 'subscription_prepaid',
    'payment_failed', 'unpaid_reminder', 'closing_warning', 'closed_unpaid',
}

# What a reader of an e-mail must never see.
LEFTOVERS = re.compile(r"\bFalse\b|\bNone\b|\{\{|\}\}|t-out|&lt;t |\bobject\b|sale\.order\(")


class DocumentCommon(AmendmentCommon):
    """A French customer, in a company which speaks English."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env['res.lang']._activate_lang('fr_FR')
        cls.partner.lang = 'fr_FR'
        cls.eur = cls.env.ref('base.EUR')
        cls.eur.active = True
        cls.env['res.currency.rate'].create({
            'name': '2025-01-01', 'currency_id': cls.eur.id, 'company_id': cls.company.id, 'rate': 0.9})
        cls.pricelist_eur = cls.env['product.pricelist'].create({'name': "Euro", 'currency_id': cls.eur.id})

    def _get_text(self, markup):
        text = html.fromstring(str(markup)).text_content()
        return ' '.join(text.replace('\N{NO-BREAK SPACE}', ' ').replace('\N{NARROW NO-BREAK SPACE}', ' ').split())

    def _render_report(self, xmlid, order):
        content, _type = self.env['ir.actions.report']._render_qweb_html(xmlid, order.ids)
        return self._get_text(content.decode())

    def _get_facts(self, order, lang='en_US'):
        return dict(order.with_context(lang=lang)._get_contract_facts())


@tagged('post_install', '-at_install')
@freeze_time('2026-01-17 10:00:00')
class TestDocuments(DocumentCommon):

    def test_the_quotation_says_plan_term_period_parts_and_next_invoice(self):
        self.monthly.write({'commitment_value': 3, 'commitment_unit': 'month', 'notice_days': 14})
        order = self._create_order(
            {'product_id': self.service.id, 'product_uom_qty': 2}, self.installation, start_date='2026-02-05',
            term_value=12, term_unit='month', term_end='renew', pricelist_id=self.pricelist_eur.id)
        text = self._render_report('sale.action_report_saleorder', order)
        for expected in (
            "Every month, billed at the start of each period", "day 5 of the month", "05/02/2026",
            "12 months, until 04/02/2027", "renewed for another 12 months", "3 months", "14 days",
            "05/02/2026 – 04/03/2026", "54,00 € every month, excl. tax", "180,00 €, excl. tax",
            "First Invoice 05/02/2026, the next one on 05/03/2026", "First invoice on 05/02/2026",
            "then 54,00 € every month from 05/03/2026",
        ):
            with self.subTest(expected):
                self.assertIn(expected, text)

    def test_what_isnt_agreed_is_left_out(self):
        facts = self._get_facts(self._create_order(user_id=False))
        self.assertEqual(facts['Start'], "with your acceptance")
        self.assertEqual(facts['Term'], "open-ended")
        self.assertEqual(facts['Period'], "01/17/2026 – 02/16/2026, if accepted today")
        for label in ('At the End of the Term', 'Minimum Commitment', 'Period of Notice', 'Trial', 'One-Time Amount',
                      'Renewal Of', 'Billing Day'):
            self.assertNotIn(label, facts)

    def test_the_contract_says_what_is_served_now(self):
        order = self._create_billed(
            {'product_id': self.service.id, 'product_uom_qty': 2}, self.support, self.installation,
            pricelist_id=self.pricelist_eur.id)
        self.monthly.downgrade_policy = 'credit'
        self._amend(order, {1: {'product_uom_qty': 0}}).action_confirm()
        text = self._render_report('sale_subscription_ext.action_report_subscription_contract', order)
        for expected in ("Contract # " + order.name, "54,00 €", "Next Invoice 01/02/2026: 54,00 €, incl. tax",
                         "by invoice", "In Progress"):
            with self.subTest(expected):
                self.assertIn(expected, text)
        self.assertNotIn("Support", text, "It was removed")
        self.assertNotIn("Installation", text, "It was sold once")

    def test_only_running_contracts_offer_the_contract_to_print(self):
        report = self.env.ref('sale_subscription_ext.action_report_subscription_contract')
        running, quotation = self._create_billed(), self._create_order()
        self.assertEqual(report.get_valid_action_reports('sale.order', running.ids), report.ids)
        self.assertFalse(report.get_valid_action_reports('sale.order', quotation.ids))
        self.assertEqual(running._get_contract_report(), 'sale_subscription_ext.action_report_subscription_contract')
        self.assertEqual(quotation._get_contract_report(), 'sale.action_report_saleorder')

    def test_a_renewal_names_its_contract_and_both_amounts(self):
        order = self._create_billed()
        renewal = order._create_renewal()
        renewal.order_line.price_unit = 36.0
        facts = self._get_facts(renewal)
        self.assertEqual(facts['Renewal Of'], f"{order.name}, from 02/01/2026 on")
        self.assertEqual(facts['Until Now'].replace('\N{NO-BREAK SPACE}', ' '), "$ 30.00 every month, excl. tax")
        self.assertIn("36.00", facts['Recurring Amount'])
        self.assertEqual(facts['First Invoice'], "02/01/2026, the next one on 03/01/2026")
        self.assertNotIn('Next Invoice', facts)

    def test_an_amendment_says_before_and_after(self):
        order = self._create_billed(self.service, self.support)
        amendment = self._amend(order, {0: {'product_uom_qty': 3, 'price_unit': 25.0}, 1: {'product_uom_qty': 0}})
        text = self._render_report('sale.action_report_saleorder', amendment)
        for expected in (
            "until then 1 × $ 30,00", "removed, until then 1 × $ 120,00",
            "Until then every month, excl. tax $ 150,00", "Then every month, excl. tax $ 75,00",
        ):
            with self.subTest(expected):
                self.assertIn(expected, text)

    def test_a_trial_says_from_when_on_it_is_billed(self):
        self.monthly.write({'trial_value': 2, 'trial_unit': 'week'})
        order = self._create_order()
        self.assertEqual(self._get_facts(order)['Trial'], "free of charge, billed from 01/31/2026 on")
        order.action_confirm()
        self.assertEqual(self._get_facts(order)['Trial'], "free of charge, billed from 01/31/2026 on")


@tagged('post_install', '-at_install')
@freeze_time('2026-01-17 10:00:00')
class TestTemplates(DocumentCommon, SubscriptionPaymentCommon):
    """Each e-mail of the addon, for a contract in the step which it is about."""

    def _create_scene(self, **values):
        """Return {end of a template's XML id: an order which it fits}."""
        orders = {
            name: self._create_order(start_date='2026-01-01', confirm=True, **values)
            for name in ('running', 'closing', 'closed', 'paused', 'changed', 'indexed', 'withdrawn')
        }
        self._bill('2026-01-01')
        renewing = self._create_order(
            start_date='2026-01-01', confirm=True, term_value=12, term_unit='month', term_end='renew', **values)
        trial = self._create_order(trial_end_date='2026-02-01', confirm=True, **values)
        quotation = self._create_order(self.service, self.installation, **values)
        self._create_transaction(
            'redirect', amount=230.0, currency_id=quotation.currency_id.id, reference=quotation.name,
            sale_order_ids=[Command.set(quotation.ids)])._set_pending()
        amendment = self._amend(orders['running'], {0: {'product_uom_qty': 2}})
        applied = self._amend(orders['changed'], {0: {'product_uom_qty': 2}})
        applied.action_confirm()
        orders['closing']._plan_closing(self.reason, '', date(2026, 1, 31))
        orders['closed']._close_subscriptions(self.reason)
        orders['paused']._pause_subscriptions()
        for name in ('indexed', 'withdrawn'):
            indexation = self.env['subscription.indexation'].create({
                'name': "Prices", 'date': '2026-06-01', 'percentage': 10.0, 'selection': 'list',
                'order_ids': [Command.set(orders[name].ids)]})
            indexation.action_preview()
            indexation.action_confirm()
        indexation.line_ids.sudo()._announce()
        indexation.action_cancel()
        running = orders['running']
        return {
            'subscription_quotation': quotation, 'subscription_confirmed': running, 'subscription_started': running,
            'subscription_trial': trial, 'subscription_trial_ending': trial, 'subscription_term_ending': renewing,
            'subscription_renewal': running._create_renewal(), 'subscription_amendment': amendment,
            'subscription_changed': applied, 'subscription_closing': orders['closing'],
            'subscription_closed': orders['closed'], 'subscription_paused': orders['paused'],
            'subscription_resumed': running, 'payment': quotation, 'indexation': orders['indexed'],
            'indexation_withdrawn': orders['withdrawn'],
        }

    def _render(self, name, order):
        """Return language, subject and text of an e-mail."""
        template = self.env.ref(f'sale_subscription_ext.mail_template_{name}')
        values = template._generate_template(order.ids, ['subject', 'body_html', 'email_from', 'lang'])[order.id]
        return template._render_lang(order.ids)[order.id], values['subject'], self._get_text(values['body_html'])

    def _assert_scene_renders(self, scene):
        for name, order in scene.items():
            with self.subTest(name):
                lang, subject, text = self._render(name, order)
                self.assertEqual(lang, 'fr_FR')
                for part in (subject, text):
                    self.assertTrue(part)
                    self.assertIsNone(LEFTOVERS.search(part), part)
                self.assertNotRegex(text, r"\d\.\d\d\b|\b0\d/[123]\d/2026", "Amounts and dates are French")
                self.assertNotRegex(text, r" [.,;:](?!\w)| {2}", "No gap is left by what is missing")

    def test_each_template_speaks_to_its_customer_without_leftovers(self):
        scene = self._create_scene(payment_term_id=self.env.ref('account.account_payment_term_30days').id)
        shipped = self.env['ir.model.data'].search([
            ('module', '=', 'sale_subscription_ext'), ('model', '=', 'mail.template')]).mapped('name')
        self.assertEqual(set(shipped), {f'mail_template_{name}' for name in scene.keys() | COLLECTION_TEMPLATES})
        self._assert_scene_renders(scene)

    def test_what_isnt_known_leaves_no_gap(self):
        self._assert_scene_renders(self._create_scene(user_id=False, payment_term_id=False, validity_date=False))

    def test_the_quotation_and_its_confirmation_say_what_is_due_and_what_follows(self):
        order = self._create_order(self.service, self.installation)
        self.assertEqual(order._find_mail_template(), self.env.ref(
            'sale_subscription_ext.mail_template_subscription_quotation'))
        text = self._render('subscription_quotation', order)[2]
        self.assertIn("Due today: $ 230,00, incl. tax", text)
        self.assertIn("then $ 30,00 every month from 17/02/2026", text)
        order.action_confirm()
        self.assertEqual(order._find_mail_template(), self.env.ref(
            'sale_subscription_ext.mail_template_subscription_confirmed'))
        before = self._render('subscription_confirmed', order)[2]
        self._bill('2026-01-17')
        self.assertEqual(self._render('subscription_confirmed', order)[2], before, "Billed or not, it is the same")
        self.assertIn("First invoice: $ 230,00, incl. tax", before)
        self.assertIn("then $ 30,00 every month from 17/02/2026", before)

    def test_a_contract_which_is_charged_names_the_saved_method(self):
        token = self._create_token(partner_id=self.partner.id)
        order = self._create_order(collection_mode='charge', payment_token_id=token.id)
        self.assertEqual(self._get_facts(order)['Payment'], f"charged to {order._get_payment_method_label()}")
        order.payment_token_id = False
        self.assertEqual(self._get_facts(order)['Payment'], "by invoice")

    def test_plain_orders_and_chosen_templates_stay(self):
        plain = self._create_order(self.installation, plan=False)
        self.assertEqual(plain._find_mail_template(), self.env.ref('sale.email_template_edi_sale'))
        plain.action_confirm()
        self.assertEqual(plain._find_mail_template(), self.env.ref('sale.mail_template_sale_confirmation'))
        chosen = self.env.ref('sale.mail_template_sale_confirmation').copy()
        self.env['ir.config_parameter'].set_param('sale.default_confirmation_template', chosen.id)
        self.assertEqual(self._create_order(confirm=True)._find_mail_template(), chosen)

    def test_who_is_sent_the_confirmation_isnt_told_of_the_start_once_more(self):
        order = self._create_order()
        order._validate_order()
        self._flush_tracking()
        bodies = [message.body for message in order.message_ids if "is confirmed" in (message.body or '')]
        self.assertEqual(len(bodies), 1)
        self.assertIn("First invoice", bodies[0])

    def test_the_head_of_an_email_names_what_is_due_instead_of_a_total(self):
        order = self._create_order(self.service, self.installation)
        order.require_payment = True
        values = order._notify_by_email_prepare_rendering_context(
            self.env['mail.message'], {'body': ''}, model_description="Quotation")
        self.assertEqual(
            [text.replace('\N{NO-BREAK SPACE}', ' ') for text in values['subtitles'][1:]],
            ["Due today: $ 230.00, incl. tax"])
