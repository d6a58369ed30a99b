from odoo.fields import Command, Date
from odoo.tests import freeze_time
from odoo.tools import format_amount, html2plaintext

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

LIFECYCLE_CRON = 'ir_cron_run_lifecycle'


@freeze_time('2026-01-01 10:00:00')
class TestStories(SaleSubscriptionCommon):
    """What dialogs, chatter, banners and e-mails tell of pausing, resuming, closing and reopening."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.crediting = cls._create_plan("Crediting", 1, 'month', pause_policy='credit')
        cls.reviewed = cls._create_plan("Reviewed", 1, 'month', pause_policy='credit', collection_mode='draft')
        cls.tax = cls.env['account.tax'].create({'name': "Ten", 'amount': 10.0, 'amount_type': 'percent'})
        cls.service.taxes_id = [Command.set(cls.tax.ids)]

    def _start(self, plan, **values):
        """Start a contract of 31.00 a month without taxes, a day of January costs 1.10 with them, and bill January."""
        order = self._create_order({'product_id': self.service.id, 'price_unit': 31.0}, plan=plan, **values)
        self._flush_tracking()
        order.action_confirm()
        self._bill('2026-01-01')
        self._flush_tracking()
        return order

    def _open_dialog(self, action, **values):
        return self.env[action['res_model']].with_context(**action['context']).create(values)

    def _pause(self, order, day, **values):
        with freeze_time(f'{day} 10:00:00'):
            self._open_dialog(order.action_pause(), **values).action_apply()
            self._flush_tracking()

    def _close(self, order, day, **values):
        with freeze_time(f'{day} 10:00:00'):
            self._open_dialog(order.action_close(), close_reason_id=self.reason.id, **values).action_apply()
            self._flush_tracking()

    def _get_mail(self, order, text):
        """Return the text of the last e-mail on the thread of an order whose subject holds another text."""
        mails = order.message_ids.filtered(lambda message: text in (message.subject or ''))
        return html2plaintext(mails.sorted('id')[-1].body)

    def _format(self, amount):
        return format_amount(self.env, amount, self.currency)

    # === INVOICES === #

    def test_the_email_and_the_chatter_of_resuming_name_the_invoice_which_was_made(self):
        order = self._start(self.crediting)
        self._pause(order, '2026-01-10')
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
            self._flush_tracking()
        self._assert_told_of_invoice(order, "resumes on")

    def test_the_email_and_the_chatter_of_reopening_name_the_invoice_which_was_made(self):
        order = self._start(self.monthly)
        self._close(order, '2026-01-09', money='credit')
        with freeze_time('2026-01-20 10:00:00'):
            order._reopen_subscriptions()
            self._flush_tracking()
        self._assert_told_of_invoice(order, "is open again")

    def _assert_told_of_invoice(self, order, sentence):
        invoice = order.invoice_ids.sorted('id')[-1]
        self.assertEqual((invoice.move_type, invoice.amount_total), ('out_invoice', 13.2))
        logged = [str(message.body) for message in order.message_ids if sentence in str(message.body)]
        self.assertEqual(len(logged), 1)
        self.assertIn(f'data-oe-model="account.move" data-oe-id="{invoice.id}">{invoice.display_name}</a>', logged[0])
        self.assertIn(self._format(13.2), html2plaintext(logged[0]))
        mail = self._get_mail(order, "goes on")
        for text in (invoice.name, self._format(13.2), "02/01/2026", self._format(34.1)):
            self.assertIn(text, mail)

    def test_the_email_names_no_invoice_where_none_was_made(self):
        order = self._start(self.monthly)
        self._pause(order, '2026-01-10')
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
            self._flush_tracking()
        mail = self._get_mail(order, "goes on")
        self.assertIn("next invoice: 02/01/2026", mail)
        self.assertNotIn("invoiced", mail)

    def test_a_draft_which_waits_for_a_review_is_no_invoice_yet(self):
        order = self._start(self.reviewed)
        order.invoice_ids.action_post()
        self._pause(order, '2026-01-10')
        order.invoice_ids.filtered(lambda move: move.state == 'draft').action_post()
        with freeze_time('2026-01-20 10:00:00'):
            order._resume_subscriptions()
            self._flush_tracking()
        mail = self._get_mail(order, "goes on")
        self.assertIn("to be invoiced", mail)
        self.assertIn(self._format(13.2), mail)

    def test_a_credit_note_settles_first_what_it_gives_days_of_back(self):
        order = self._start(self.crediting)
        january = order.invoice_ids
        february = self._bill('2026-02-01')
        self._pause(order, '2026-02-15')
        self.assertEqual(january.amount_residual, 34.1)
        self.assertEqual(february.amount_residual, 17.05)
        credit = order.invoice_ids - january - february
        self.assertEqual(credit.payment_state, 'paid')
        self.assertEqual(credit.invoice_line_ids.subscription_period_ids.billing_status, 'given_back')

    def test_the_chatter_names_the_credit_note_of_a_pause_and_of_an_end(self):
        paused, closed, kept = self._start(self.crediting), self._start(self.monthly), self._start(self.monthly)
        self._pause(paused, '2026-01-10')
        self._close(closed, '2026-01-10', money='credit')
        self._close(kept, '2026-01-10')
        for order in (paused, closed):
            credit = order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
            told = [str(message.body) for message in order.message_ids if "is given back by" in str(message.body)]
            self.assertEqual(len(told), 1)
            self.assertIn(f'data-oe-id="{credit.id}"', told[0])
        self.assertNotIn("is given back by", ' '.join(kept.message_ids.mapped('body')))

    # === DIALOGS === #

    def test_the_pause_dialog_says_what_was_invoiced_with_taxes_and_where_drafts_are_left(self):
        for plan, text in (
            (self.monthly, "24.20 incl. tax, invoiced for these days, are kept"),
            (self.crediting, "24.20 incl. tax, invoiced for these days, are credited</"),
            (self.reviewed, "24.20 incl. tax, invoiced for these days, are credited by a draft to be checked"),
        ):
            order = self._start(plan)
            with self.subTest(plan=plan.name), freeze_time('2026-01-10 10:00:00'):
                dialog = self._open_dialog(order.action_pause())
                self.assertIn(text, self._get_preview(dialog))

    def test_the_close_dialog_says_what_was_invoiced_with_taxes_and_where_drafts_are_left(self):
        rest = "24.20 incl. tax, invoiced for later days, are"
        for plan, money, text in (
            (self.monthly, 'keep', f"{rest} kept"),
            (self.monthly, 'credit', f"{rest} credited</"),
            (self.monthly, 'refund', f"{rest} credited, and refunded as far as they are paid</"),
            (self.reviewed, 'credit', f"{rest} credited by a draft to be checked</"),
            (self.reviewed, 'refund', f"{rest} credited by a draft to be checked, and refunded"),
        ):
            order = self._start(plan)
            with self.subTest(plan=plan.name, money=money), freeze_time('2026-01-09 10:00:00'):
                dialog = self._open_dialog(order.action_close(), close_reason_id=self.reason.id, money=money)
                self.assertIn(text, self._get_preview(dialog))

    def test_the_resume_dialog_says_what_will_be_invoiced_with_taxes(self):
        order = self._start(self.crediting)
        self._pause(order, '2026-01-10')
        with freeze_time('2026-01-20 10:00:00'):
            dialog = self._open_dialog(order.action_resume())
            self.assertIn("13.20 incl. tax are invoiced now", self._get_preview(dialog))

    def _get_preview(self, dialog):
        return ' '.join(str(dialog.preview).replace('\xa0', ' ').split()).replace(' </', '</')

    def test_closing_a_paused_contract_does_not_claim_that_it_was_served(self):
        order = self._start(self.monthly)
        self._pause(order, '2026-01-10')
        with freeze_time('2026-01-20 10:00:00'):
            dialog = self._open_dialog(order.action_close(), close_reason_id=self.reason.id)
            preview = self._get_preview(dialog)
            self.assertIn("ends with 01/20/2026, not served since the pause from 01/10/2026 on", preview)
            self.assertNotIn("served until", preview)

    def test_the_dialog_about_pauses_under_way_is_titled_after_what_it_does(self):
        order = self._create_order(confirm=True)
        self.assertEqual(order.action_pause()['name'], "Pause Subscription")
        self._pause(order, '2026-01-01')
        self.assertEqual(order.action_pause()['name'], "Change Pause")
        other = self._create_order(confirm=True)
        self.assertEqual((order | other).action_pause()['name'], "Pause Subscription")

    def test_reasons_which_are_given_by_themselves_are_not_offered_in_the_close_dialog(self):
        field = self.env['subscription.close']._fields['close_reason_id']
        offered = self.env['subscription.close.reason'].search(field.domain)
        for name, is_offered in (('end_of_contract', False), ('trial', False), ('unpaid', True), ('other', True)):
            reason = self.env.ref(f'sale_subscription_ext.close_reason_{name}')
            self.assertEqual(reason in offered, is_offered, name)

    # === PAUSES AND ENDS === #

    def test_a_pause_which_outlasts_the_end_does_not_say_that_it_resumes(self):
        order = self._start(self.monthly)
        self._pause(order, '2026-01-10', pause_until='2026-03-01')
        self.assertIn("resumes on 03/01/2026", order.subscription_notice)
        self._close(order, '2026-01-11', close_when='date', close_on='2026-02-15')
        self.assertNotIn("resumes on", order.subscription_notice)
        self.assertIn("pauses from 01/10/2026 on and doesn't resume before its end", order.subscription_notice)
        self.assertIn("It stays paused until then", self._get_mail(order, "ends on"))

    def test_a_pause_which_is_planned_for_after_the_end_is_not_announced(self):
        order = self._start(self.monthly)
        self._pause(order, '2026-01-10', pause_when='date', pause_from='2026-03-01')
        self._close(order, '2026-01-11', close_when='date', close_on='2026-02-15')
        self.assertNotIn("pauses", order.subscription_notice)

    def test_the_email_of_an_announced_end_says_how_the_contract_is_served_until_then(self):
        for values, text in (
            ({'pause_until': '2026-02-01'}, "paused from 01/10/2026 on, and served again from 02/01/2026"),
            ({'pause_when': 'date', 'pause_from': '2026-02-10'}, "served until it pauses on 02/10/2026"),
            ({'pause_when': 'date', 'pause_from': '2026-03-01'}, "served as ever"),
        ):
            order = self._start(self.monthly)
            self._pause(order, '2026-01-10', **values)
            self._close(order, '2026-01-11', close_when='date', close_on='2026-02-15')
            self.assertIn(text, self._get_mail(order, "ends on"))

    def test_a_pause_whose_end_is_known_says_when_the_next_invoice_is_made(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        early = self._create_plan("Early", 1, 'month', invoice_lead_days=10)
        for plan, until in (
            (self.monthly, '2026-01-20'), (self.monthly, '2026-02-10'), (early, '2026-01-20'), (early, '2026-02-10'),
            (arrears, '2026-02-10'),
        ):
            order = self._start(plan)
            self._pause(order, '2026-01-10', pause_when='date', pause_from='2026-01-10', pause_until=until)
            self._bill('2026-01-10')
            with self.subTest(plan=plan.name, until=until):
                self.assertFalse(order.next_invoice_date)
                told = order.invoice_date_after_pause
                with freeze_time(f'{until} 10:00:00'):
                    order._resume_subscriptions()
                self.assertTrue(told)
                self.assertEqual(max(order.next_invoice_date, Date.to_date(until)), told)
                self.assertFalse(order.invoice_date_after_pause)

    def test_a_planned_pause_says_when_the_next_invoice_is_made(self):
        order = self._start(self.monthly)
        self._pause(order, '2026-01-10', pause_when='period_end', pause_until='2026-03-11')
        self.assertFalse(order.next_invoice_date)
        self.assertEqual(order.invoice_date_after_pause, Date.to_date('2026-03-11'))
        self._close(order, '2026-01-11', close_when='date', close_on='2026-02-15')
        self.assertFalse(order.invoice_date_after_pause, "It ends before")
