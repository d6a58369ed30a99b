from psycopg2 import IntegrityError

from odoo.exceptions import ValidationError
from odoo.tests import Form, TransactionCase, freeze_time, tagged
from odoo.tools import mute_logger


@tagged('post_install', '-at_install')
class TestSettings(TransactionCase):

    def _get_active_crons(self):
        return self.env['res.config.settings']._get_billing_crons().filtered('active')

    def test_a_setting_says_how_many_billing_workers_are_on(self):
        for count in (3, 1, 0, 2):
            with self.subTest(count=count):
                self.env['res.config.settings'].create({'subscription_billing_workers': count}).execute()
                self.assertEqual(len(self._get_active_crons()), count)
                self.assertEqual(
                    self.env['res.config.settings'].create({}).subscription_billing_workers, count)

    def test_there_are_no_more_workers_than_crons(self):
        with self.assertRaisesRegex(ValidationError, "between 0"):
            self.env['res.config.settings'].create({'subscription_billing_workers': 5})

    def test_billing_crons_are_identical(self):
        crons = self.env['res.config.settings']._get_billing_crons()
        self.assertEqual(len(crons), 4)
        self.assertEqual(set(crons.mapped('code')), {'model._cron_bill_subscriptions()'})
        self.assertEqual(len(set(crons.mapped('interval_type'))), 1)

    @freeze_time('2026-01-31 23:30:00')
    def test_the_day_is_that_of_the_company(self):
        company = self.env.company
        for timezone, expected in (('UTC', '2026-01-31'), ('Asia/Kolkata', '2026-02-01'),
                                   ('America/Los_Angeles', '2026-01-31')):
            with self.subTest(timezone=timezone):
                company.subscription_tz = timezone
                self.assertEqual(str(self.env['sale.order']._subscription_today()), expected)

    def test_every_company_has_a_pricelist(self):
        self.assertTrue(self.env.ref('base.group_user').implied_ids & self.env.ref('product.group_product_pricelist'))
        company = self.env['res.company'].create({'name': "Branch office"})
        self.assertTrue(self.env['product.pricelist'].search([('company_id', '=', company.id)]))


@tagged('post_install', '-at_install')
class TestPlan(TransactionCase):

    def test_shipped_plans(self):
        plans = self.env['subscription.plan'].search([('company_id', '=', False)], order='sequence')
        self.assertLessEqual(
            {"Weekly", "Monthly", "Every 2 Months", "Quarterly", "Half-Yearly", "Yearly"}, set(plans.mapped('name')))
        self.assertEqual(
            self.env.ref('sale_subscription_ext.subscription_plan_2_months').billing_period_display, "2 months")
        self.assertEqual(self.env.ref('sale_subscription_ext.subscription_plan_yearly').billing_period_display, "year")

    def test_a_plan_is_made_in_its_form(self):
        with Form(self.env['subscription.plan']) as form:
            form.name = "Every ten days"
            form.billing_period_value = 10
            form.billing_period_unit = 'day'
        self.assertRecordValues(form.record, [{
            'billing_alignment': 'anniversary', 'first_period': 'prorate', 'bill_in': 'advance',
            'collection_mode': 'send', 'billing_period_display': "10 days",
        }])

    def test_a_plan_must_make_sense(self):
        for values in ({'billing_period_value': 0}, {'billing_month_day': 0}, {'billing_month_day': 32},
                       {'invoice_lead_days': -1}):
            with (
                self.subTest(values=values), mute_logger('odoo.sql_db'),
                self.assertRaises(IntegrityError), self.cr.savepoint(),
            ):
                self.env['subscription.plan'].create({'name': "Nonsense", **values})
        with self.assertRaisesRegex(ValidationError, "months or years"):
            self.env['subscription.plan'].create({
                'name': "Nonsense", 'billing_alignment': 'month_day', 'billing_period_unit': 'week'})

    def test_a_combo_cannot_recur(self):
        product = self.env['product.product'].create({'name': "Menu"})
        combo = self.env['product.combo'].create({
            'name': "Drinks", 'combo_item_ids': [(0, 0, {'product_id': product.id})]})
        with self.assertRaisesRegex(ValidationError, "combo"):
            self.env['product.template'].create({
                'name': "Meal", 'type': 'combo', 'combo_ids': [(4, combo.id)], 'recurring_invoice': True})
