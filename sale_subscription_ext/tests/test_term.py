from hypothesis import given

from odoo.exceptions import UserError
from odoo.fields import Date
from odoo.tests import freeze_time
from odoo.tests.common import BaseCase

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon
from odoo.addons.sale_subscription_ext.tests.strategies import dates, st, thorough
from odoo.addons.sale_subscription_ext.tools.recurrence import occurrence, span_end

LIFECYCLE_CRON = 'ir_cron_run_lifecycle'


class TestSpan(BaseCase):

    @thorough
    @given(dates, st.integers(1, 36), st.sampled_from(['day', 'week', 'month', 'year']), st.integers(0, 20))
    def test_chained_spans_from_the_anchor_end_on_its_occurrences(self, anchor, value, unit, count):
        day = anchor
        for _i in range(count):
            day = span_end(day, anchor, value, unit)
        self.assertEqual(day, occurrence(anchor, value, unit, count))


@freeze_time('2026-01-01 10:00:00')
class TestTerm(SaleSubscriptionCommon):

    def _create_term_plan(self, **values):
        return self._create_plan("Term", 1, 'month', **{'term_value': 1, 'term_unit': 'year', **values})

    def test_a_term_which_closes_ends_the_contract(self):
        order = self._create_order(plan=self._create_term_plan(term_end='close'), confirm=True)
        self.assertRecordValues(order, [{
            'subscription_state': 'progress', 'end_date': Date.to_date('2026-12-31'),
            'term_end_date': Date.to_date('2026-12-31')}])
        with freeze_time('2027-01-01 10:00:00'):
            self._bill('2027-01-01')
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'closed')
        self.assertEqual(self._get_billed_amount(order), 360.0)
        self._assert_ledgers_hold(order)

    def test_a_term_which_continues_leaves_the_contract_open_ended(self):
        order = self._create_order(plan=self._create_term_plan(term_end='continue'), confirm=True)
        self.assertFalse(order.end_date)
        with freeze_time('2027-02-01 10:00:00'):
            self._bill('2027-02-01')
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(order._get_customer_close_date(), Date.to_date('2027-02-01'))
        self.assertEqual(order.subscription_state, 'progress')
        self.assertFalse(order.renewal_ids)

    def test_a_quotation_template_has_a_term_of_its_own(self):
        template = self.env['sale.order.template'].create({
            'name': "Two years", 'plan_id': self.monthly.id, 'term_value': 2, 'term_unit': 'year', 'term_end': 'close'})
        order = self._create_order(sale_order_template_id=template.id, confirm=True)
        self.assertEqual(order.end_date, Date.to_date('2027-12-31'))

    def test_the_term_can_be_agreed_on_the_quotation(self):
        order = self._create_order(term_value=6, term_unit='month', term_end='close', confirm=True)
        self.assertEqual(order.end_date, Date.to_date('2026-06-30'))
        self.monthly.term_value = 3
        self.assertEqual(order.term_value, 6)

    def test_customers_keep_their_commitment_and_notice(self):
        plan = self._create_plan(
            "Committed", 1, 'month', commitment_value=6, commitment_unit='month', notice_days=30)
        order = self._create_order(plan=plan, confirm=True)
        self.assertEqual(order.commitment_end_date, Date.to_date('2026-06-30'))
        with self.assertRaisesRegex(UserError, "06/30/2026"):
            order._close_for_customer(self.reason, date=Date.to_date('2026-03-31'))
        self.assertEqual(order.subscription_state, 'progress')
        with freeze_time('2026-06-15 10:00:00'):
            self.assertEqual(order._get_customer_close_date(), Date.to_date('2026-07-15'))
            order._close_for_customer(self.reason, "We move")
        self.assertRecordValues(order, [{
            'subscription_state': 'closing', 'end_date': Date.to_date('2026-07-15'), 'close_note': "We move"}])

    def test_a_contract_which_renews_itself_ends_with_a_term(self):
        order = self._create_order(plan=self._create_term_plan(term_end='renew', notice_days=90), confirm=True)
        self.assertEqual(order._get_customer_close_date(), Date.to_date('2026-12-31'))
        with freeze_time('2026-10-02 10:00:00'):
            self.assertEqual(order._get_customer_close_date(), Date.to_date('2026-12-31'))
        with freeze_time('2026-10-03 10:00:00'):
            self.assertEqual(order._get_customer_close_date(), Date.to_date('2027-12-31'), "Too late for this term")

    def test_staff_closes_earlier_for_a_reason(self):
        plan = self._create_plan("Committed", 1, 'month', commitment_value=6, commitment_unit='month')
        order = self._create_order(plan=plan, confirm=True)
        wizard = self.env['subscription.close'].create({'order_ids': order.ids, 'close_reason_id': self.reason.id})
        self.assertIn("06/30/2026", wizard.early_warning)
        with self.assertRaisesRegex(UserError, "say why"):
            wizard.action_apply()
        wizard.override_reason = "Settled with the customer"
        wizard.action_apply()
        self.assertEqual(order.subscription_state, 'closed')
        self.assertTrue(any("Settled with" in message.body for message in order.message_ids))

    def test_salesperson_and_customer_are_reminded_once_before_the_end(self):
        seller = self.env['res.users'].create({'name': "Seller", 'login': 'seller-of-terms'})
        order = self._create_order(plan=self._create_term_plan(term_end='renew', notice_days=30), user_id=seller.id)
        order.action_confirm()
        ending = self._create_order(plan=self._create_term_plan(term_end='close'), confirm=True)
        self._bill('2026-12-10')
        with freeze_time('2026-10-31 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self.assertFalse((order | ending).activity_ids)
        with freeze_time('2026-11-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.activity_ids.user_id, seller)
        self.assertFalse(ending.activity_ids)
        with freeze_time('2026-12-10 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(len(ending.activity_ids), 1)
        for contract in order | ending:
            mails = contract.message_ids.filtered(lambda message: "term of your" in (message.subject or ''))
            self.assertEqual(len(mails), 1)

    def test_an_imported_contract_is_in_its_present_term(self):
        order = self._create_order(
            plan=self._create_term_plan(term_end='renew'), start_date='2023-05-01', next_invoice_date='2026-02-01',
            state='sale')
        self.assertEqual(order.term_end_date, Date.to_date('2026-04-30'))
        self._run_cron(LIFECYCLE_CRON)
        self.assertFalse(order.renewal_ids)

    def test_terms_and_commitments_count_from_the_end_of_the_trial(self):
        plan = self._create_term_plan(
            term_end='close', trial_value=14, trial_unit='day', commitment_value=1, commitment_unit='month')
        order = self._create_order(plan=plan, confirm=True)
        self.assertEqual(order.end_date, Date.to_date('2027-01-14'))
        self.assertEqual(order.commitment_end_date, Date.to_date('2026-02-14'))
