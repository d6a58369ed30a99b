from odoo.exceptions import UserError
from odoo.fields import Command, Date
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.test_billing_run import BILLING_CRON, BillingRunCommon


@freeze_time('2026-01-31 10:00:00')
class TestBillingErrors(BillingRunCommon):
    """Bad data parks one subscription with a sentence that says what to mend; the others are billed."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.euro = cls.setup_other_currency('EUR', rates=[('2020-01-01', 0.5)])
        cls.euro_pricelist = cls.env['product.pricelist'].create({'name': "Euro", 'currency_id': cls.euro.id})
        cls.journal = cls.company_data['default_journal_sale'].copy()

    def _bill_among_good_ones(self, subject):
        """Bill a subscription between two good ones, as the server does, preview it before."""
        before, after = self.good
        self.env.flush_all()
        run = self._create_run()
        preview = run.line_ids.filtered(lambda line: line.order_id == subject)
        run.action_cancel()
        self._run_cron(BILLING_CRON)
        self.assertEqual((len(before.invoice_ids), len(after.invoice_ids)), (1, 1))
        self.assertFalse((before | after).filtered('billing_error'))
        return preview

    def _create_among_good_ones(self, *lines, **values):
        """Create a subscription between two good ones."""
        before = self._create_order(confirm=True)
        order = self._create_order(*lines, confirm=True, **values)
        self.good = before, self._create_order(confirm=True)
        return order

    def _assert_parked(self, order, sentence):
        preview = self._bill_among_good_ones(order)
        self.assertTrue(order.billing_parked, order.billing_error)
        self.assertIn(sentence, order.billing_error)
        self.assertIn("then press Retry", order.billing_error)
        self.assertFalse(order.invoice_ids)
        self.assertEqual((preview.state, preview.reason), ('skipped', order.billing_error))

    def _assert_mended(self, order, amount=30.0):
        order.action_retry_billing()
        self.assertFalse(order.billing_error)
        self.assertEqual(sum(order.invoice_ids.mapped('amount_untaxed')), amount)
        self._assert_ledgers_hold(order)

    def _assert_billed(self, order, amount=30.0):
        self._bill_among_good_ones(order)
        self.assertFalse(order.billing_error)
        self.assertEqual(order.invoice_ids.amount_untaxed, amount)
        self.assertEqual(order.invoice_ids.state, 'posted')
        self._assert_ledgers_hold(order)

    # What parks

    def test_a_currency_without_a_rate(self):
        order = self._create_among_good_ones(pricelist_id=self.euro_pricelist.id)
        self.euro.rate_ids.unlink()
        self._assert_parked(order, "The currency EUR has no rate.")
        self.env['res.currency.rate'].create({'currency_id': self.euro.id, 'name': '2026-01-01', 'rate': 0.5})
        self._assert_mended(order, order.recurring_total)

    def test_an_inactive_currency(self):
        order = self._create_among_good_ones(pricelist_id=self.euro_pricelist.id)
        self.euro.active = False
        self._assert_parked(order, "The currency EUR is inactive.")
        self.euro.active = True
        self._assert_mended(order, 15.0)

    def test_an_archived_tax_without_a_successor(self):
        old, new = self.env['account.tax'].create([
            {'name': "Old tax", 'amount': 10.0}, {'name': "New tax", 'amount': 20.0}])
        taxed = self._create_service("Taxed", 30.0, recurring_invoice=True, taxes_id=[Command.set(old.ids)])
        order = self._create_among_good_ones(taxed)
        old.active = False
        self._assert_parked(order, "Taxed has the archived tax Old tax.")
        taxed.taxes_id = new
        self._assert_mended(order)
        self.assertEqual(order.invoice_ids.amount_tax, 6.0)

    def test_an_archived_journal(self):
        order = self._create_among_good_ones(journal_id=self.journal.id)
        self.journal.active = False
        self._assert_parked(order, "is archived. Choose another one in the order")
        order.journal_id = False
        self._assert_mended(order)

    def test_no_sales_journal_at_all(self):
        other = self.setup_other_company(name="Far East")['company']
        other.subscription_tz = 'UTC'
        order = self.Order.with_company(other).create({
            'partner_id': self.partner.id, 'company_id': other.id, 'plan_id': self.monthly.id,
            'order_line': [Command.create({'product_id': self.service.id})],
        })
        order.action_confirm()
        self.env['account.journal'].search([('company_id', '=', other.id), ('type', '=', 'sale')]).active = False
        good = self._create_order(confirm=True)
        self._run_cron(BILLING_CRON)
        self.assertTrue(order.billing_parked)
        self.assertIn("Far East has no sales journal.", order.billing_error)
        self.assertEqual(len(good.invoice_ids), 1)

    def test_a_negative_recurring_total(self):
        order = self._create_among_good_ones({'product_id': self.service.id, 'price_unit': -5.0})
        self._assert_parked(order, "The recurring total is negative.")
        order.order_line.price_unit = 5.0
        self._assert_mended(order, 5.0)

    def test_an_end_before_the_start(self):
        with self.assertRaisesRegex(UserError, "before it starts"):
            self._create_order(start_date='2026-01-10', end_date='2026-01-05', confirm=True)
        order = self._create_among_good_ones(start_date='2026-01-10')
        self.env.flush_all()
        self.cr.execute("UPDATE sale_order SET end_date = '2026-01-05' WHERE id = %s", [order.id])
        self.env.invalidate_all()
        self._assert_parked(order, "It ends on 01/05/2026, before it starts on 01/10/2026.")
        order.end_date = False
        self._assert_mended(order)

    def test_a_product_without_an_income_account(self):
        lost = self._create_service("Lost", 30.0, recurring_invoice=True)
        order = self._create_among_good_ones(lost, journal_id=self.journal.id)
        self.journal.default_account_id = False
        account = self.company.income_account_id
        self.company.income_account_id = False
        lost.categ_id = self.env['product.category'].create({'name': "Without accounts"})
        lost.categ_id.property_account_income_categ_id = False
        lost.property_account_income_id = False
        self._assert_parked(order, "Lost has no income account.")
        lost.property_account_income_id = account or self.company_data['default_account_revenue']
        self._assert_mended(order)

    def test_an_archived_income_account(self):
        account = self.company_data['default_account_revenue'].copy()
        lost = self._create_service("Lost", 30.0, recurring_invoice=True, property_account_income_id=account.id)
        order = self._create_among_good_ones(lost)
        account.active = False
        self._assert_parked(order, "of Lost is archived")
        account.active = True
        self._assert_mended(order)

    def test_payment_terms_without_lines(self):
        term = self.env['account.payment.term'].create({'name': "Whenever"})
        order = self._create_among_good_ones(payment_term_id=term.id)
        term.line_ids.unlink()
        self._assert_parked(order, "The payment terms “Whenever” don't say when to pay.")
        order.payment_term_id = self.env.ref('account.account_payment_term_immediate')
        self._assert_mended(order)

    # What doesn't park

    def test_a_quantity_of_0_is_skipped(self):
        order = self._create_among_good_ones(self.support, {'product_id': self.service.id, 'product_uom_qty': 0})
        self._assert_billed(order, 120.0)
        self.assertEqual(order.subscription_period_ids.product_id, self.support)

    def test_an_archived_product_is_billed(self):
        order = self._create_among_good_ones(self.support)
        self.support.active = False
        self._assert_billed(order, 120.0)

    def test_a_locked_period_is_billed_as_the_host_does(self):
        order = self._create_order(start_date='2026-01-10', confirm=True)
        self.company.fiscalyear_lock_date = '2026-01-20'
        self._start(self._create_run(date='2026-01-10'))
        self.assertRecordValues(order.invoice_ids, [{'state': 'posted', 'invoice_date': Date.to_date('2026-01-10')}])
        self.assertGreater(order.invoice_ids.date, self.company.fiscalyear_lock_date)
        self._assert_ledgers_hold(order)

    def test_where_today_is_locked_the_next_day_bills_it(self):
        order = self._create_order(confirm=True)
        self.company.fiscalyear_lock_date = '2026-01-31'
        self._run_cron(BILLING_CRON)
        self.assertIn("Lock Date", order.billing_error)
        self.assertFalse(order.billing_parked)
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(BILLING_CRON)
        self.assertFalse(order.billing_error)
        self.assertEqual(len(order.invoice_ids), 1)

    def test_an_archived_plan_is_billed(self):
        order = self._create_among_good_ones(plan=self.quarterly)
        self.quarterly.active = False
        self._assert_billed(order)

    def test_an_archived_customer_is_billed(self):
        order = self._create_among_good_ones(partner_id=self.other_partner.id)
        self.other_partner.active = False
        self._assert_billed(order)

    def test_an_invoice_address_without_a_country_is_billed(self):
        order = self._create_among_good_ones(partner_id=self.other_partner.id)
        self.other_partner.country_id = False
        self._assert_billed(order)

    def test_a_deleted_journal_gives_way_to_the_default(self):
        order = self._create_among_good_ones(journal_id=self.journal.id)
        self.journal.unlink()
        self._assert_billed(order)
        self.assertEqual(order.invoice_ids.journal_id, self.company_data['default_journal_sale'])
