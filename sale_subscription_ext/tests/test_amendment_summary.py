from datetime import date

from odoo.fields import Command
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.test_amendment import AmendmentCommon

SUMMARY_FIELDS = (
    'amendment_date', 'amendment_credit', 'amendment_charge', 'amendment_once', 'amendment_tax', 'amendment_total',
    'amendment_recurring', 'amendment_mrr_change',
)


@freeze_time('2026-01-17 10:00:00')
class TestAmendmentSummary(AmendmentCommon):
    """What a change costs stays with it once it is made, while the contract goes on."""

    def _read_summary(self, amendment):
        self.env.flush_all()
        self.env.invalidate_all()
        return [amendment[name] for name in SUMMARY_FIELDS]

    def test_what_was_agreed_is_kept_whatever_was_changed(self):
        self.monthly.downgrade_policy = 'credit'
        tax = self.env['account.tax'].create({'name': "19%", 'amount': 19.0})
        taxed = {'tax_ids': [Command.set(tax.ids)]}
        changes = {
            'quantity': {'values': {0: {'product_uom_qty': 3}}},
            'one-time product': {'added': [{'product_id': self.installation.id, **taxed}]},
            'plan': {'plan_id': self.yearly.id},
            'removal': {'values': {1: {'product_uom_qty': 0}}},
            'product': {
                'values': {0: {'product_id': self.support.id}}, 'added': [{'product_id': self.installation.id}]},
        }
        for name, change in changes.items():
            with self.subTest(change=name):
                order = self._create_billed({'product_id': self.service.id, **taxed}, self.support)
                amendment = self._amend(order, **change)
                preview, agreed = amendment._get_amendment_preview(), self._read_summary(amendment)
                self.assertTrue(amendment.amendment_total)
                amendment.action_confirm()
                self.assertTrue(amendment.applied_date)
                self.assertEqual(self._read_summary(amendment), agreed)
                self.assertEqual(amendment._get_amendment_summary(), preview)
                self.assertEqual(amendment.amendment_invoice_id.amount_total_signed, amendment.amendment_total)
                word = "Credited" if amendment.amendment_total < 0 else "Due"
                self.assertEqual(amendment.amendment_text, f"{word} for this change on 01/17/2026, incl. tax")
                order._close_subscriptions(self.reason)
                self.assertEqual(self._read_summary(amendment), agreed)

    def test_what_waits_keeps_its_summary_while_its_contract_is_paused(self):
        order = self._create_billed()
        amendment = self._amend(
            order, {0: {'product_uom_qty': 3}}, amendment_timing='date', effective_date=date(2026, 1, 24))
        amendment.action_confirm()
        agreed = self._read_summary(amendment)
        self.assertEqual(agreed[5], 15.49)  # 3 × 30 × 8/31 less 30 × 8/31
        order._pause_subscriptions()
        self.assertEqual(self._read_summary(amendment), agreed)

    def test_what_takes_effect_later_keeps_what_was_billed_then(self):
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 5})
        later = self._amend(
            order, {0: {'product_uom_qty': 7}}, amendment_timing='date', effective_date=date(2026, 1, 24))
        later.action_confirm()
        self._amend(order, {0: {'product_uom_qty': 6, 'price_unit': 60.0}}).action_confirm()
        with freeze_time('2026-01-25 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(later.applied_date, date(2026, 1, 25))
        self.assertRecordValues(later, [{
            'amendment_total': 30.97, 'amendment_recurring': 480.0,
            'amendment_text': "Due for this change on 01/25/2026, incl. tax"}])
        self.assertEqual(later.amendment_invoice_id.amount_total, 30.97)  # 2 × 60 × 8/31
        self.assertEqual(later._get_amendment_summary().recurring_before, {self.monthly: 360.0})

    def test_a_change_which_was_taken_back_costs_nothing(self):
        order = self._create_billed()
        amendment = self._amend(
            order, {0: {'product_uom_qty': 3}}, amendment_timing='date', effective_date=date(2026, 1, 24))
        amendment.action_confirm()
        amendment.action_cancel()
        self.assertFalse(any(self._read_summary(amendment)))
        order._close_subscriptions(self.reason)
        amendment.action_draft()
        self.assertFalse(any(self._read_summary(amendment)))

    def test_what_the_contract_has_to_invoice_once_joins_the_change_which_takes_effect_today(self):
        tax = self.env['account.tax'].create({'name': "19%", 'amount': 19.0})
        self.installation.invoice_policy = 'delivery'
        order = self._create_billed(
            self.service, {'product_id': self.installation.id, 'tax_ids': [Command.set(tax.ids)]})
        order.order_line[1].qty_delivered = 1
        later = self._amend(
            order, {0: {'product_uom_qty': 2}}, amendment_timing='date', effective_date=date(2026, 1, 24))
        self.assertEqual(later.amendment_once, 0.0, "It is invoiced before")
        amendment = self._amend(order, {0: {'product_uom_qty': 3}})
        self.assertRecordValues(amendment, [{
            'amendment_once': 200.0, 'amendment_tax': 38.0, 'amendment_total': 267.03, 'first_invoice_total': 267.03}])
        amendment.action_confirm()
        self.assertEqual(amendment.amendment_invoice_id.amount_total, 267.03)
        self.assertEqual(amendment.amendment_once, 200.0)

    def test_what_the_contract_has_to_invoice_once_stays_with_the_billing_which_is_due(self):
        order = self._create_order(self.service, self.installation, start_date='2026-01-01', confirm=True)
        amendment = self._amend(order, {0: {'product_uom_qty': 3}})
        self.assertEqual(amendment.amendment_once, 0.0)
