from odoo.exceptions import UserError
from odoo.fields import Command, Date
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

LIFECYCLE_CRON = 'ir_cron_run_lifecycle'


@freeze_time('2026-01-01 10:00:00')
class TestRenewal(SaleSubscriptionCommon):

    def _renew(self, order):
        """Return the renewal quotation of an order."""
        return self.Order.browse(order.action_renew()['res_id'])

    def test_a_renewal_is_a_quotation_of_what_is_served(self):
        order = self._create_order(
            {'product_id': self.service.id, 'price_unit': 25.0, 'discount': 10.0}, self.support, self.installation,
            confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        self.assertRecordValues(renewal, [{
            'state': 'draft', 'subscription_state': 'renewal', 'subscription_id': order.id, 'origin_order_id': order.id,
            'plan_id': self.monthly.id, 'partner_id': self.partner.id,
        }])
        self.assertEqual(renewal.order_line.product_id, self.service | self.support, "What was sold once isn't again")
        self.assertRecordValues(renewal.order_line[0], [{'price_unit': 25.0, 'discount': 10.0}])
        self.assertEqual(renewal.stage_id.subscription_state, 'renewal')
        self.assertEqual(self._renew(order), renewal, "An open renewal quotation is opened again")
        self._assert_ledgers_hold(order | renewal)

    def test_a_renewal_takes_over_from_the_next_invoice_date_without_gap_or_overlap(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.order_line.price_unit = 36.0
        with freeze_time('2026-01-15 10:00:00'):
            renewal.action_confirm()
            self.assertRecordValues(order | renewal, [
                {'subscription_state': 'progress', 'mrr': 30.0, 'next_invoice_date': False},
                {'subscription_state': 'renewal', 'mrr': 0.0, 'next_invoice_date': False},
            ])
            self.assertEqual(renewal.start_date, Date.to_date('2026-02-01'))
            self._assert_ledgers_hold(order | renewal)
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(renewal.subscription_state, 'renewal')
        self.assertFalse(self._bill('2026-02-01'), "Neither bills before the takeover")
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        self.assertRecordValues(order | renewal, [
            {'subscription_state': 'renewed', 'mrr': 0.0, 'end_date': Date.to_date('2026-01-31')},
            {'subscription_state': 'progress', 'mrr': 36.0, 'end_date': False},
        ])
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 36.0)
        self.assertEqual(self._get_events(order), [('new', '2026-01-01', 30.0), ('transfer', '2026-02-01', -30.0)])
        self.assertEqual(
            self._get_events(renewal), [('transfer', '2026-02-01', 30.0), ('expansion', '2026-02-01', 6.0)])
        self._assert_ledgers_hold(order | renewal)

    def test_a_renewal_follows_the_billing_day_of_the_contract(self):
        order = self._create_order(start_date='2026-01-31', confirm=True)
        self._bill('2026-01-31')
        renewal = self._renew(order)
        renewal.action_confirm()
        with freeze_time('2026-02-28 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self._bill('2026-02-28')
        self.assertEqual(renewal.order_line.anchor_date, Date.to_date('2026-01-31'))
        self.assertEqual(renewal.next_invoice_date, Date.to_date('2026-03-31'))

    def test_a_renewal_confirmed_when_it_is_due_takes_over_at_once(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-02-01 10:00:00'):
            renewal = self._renew(order)
            renewal.action_confirm()
            self.assertEqual((order | renewal).mapped('subscription_state'), ['renewed', 'progress'])
            self._assert_ledgers_hold(order | renewal)

    def test_arrears_are_billed_by_the_renewed_contract_to_the_takeover(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, confirm=True)
        renewal = self._renew(order)
        with freeze_time('2026-01-20 10:00:00'):
            renewal.action_confirm()
        self.assertEqual(renewal.start_date, Date.to_date('2026-02-01'))
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(order.subscription_state, 'renewed')
            moves = self._bill('2026-02-01')
        self.assertEqual(moves.line_ids.sale_line_ids.order_id, order)
        self.assertEqual(moves.amount_untaxed, 30.0)
        self.assertEqual(self._bill('2026-03-01').line_ids.sale_line_ids.order_id, renewal)
        self._assert_ledgers_hold(order | renewal)

    def test_a_later_start_lets_the_contract_serve_until_then(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.start_date = '2026-03-11'
        renewal.action_confirm()
        self._bill('2026-02-01')
        self.assertEqual(self._bill('2026-03-01').amount_untaxed, 9.68)  # 30 × 10/31
        with freeze_time('2026-03-11 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(self._bill('2026-03-11').amount_untaxed, 20.32)
        self._assert_ledgers_hold(order | renewal)

    def test_lines_of_another_plan_which_are_paid_ahead_are_not_billed_again(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id}, confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.action_confirm()
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(self._bill('2026-02-01').amount_untaxed, 30.0)
        self.assertEqual(renewal.order_line[1].next_period_start, Date.to_date('2027-01-01'))
        self._assert_ledgers_hold(order | renewal)

    def test_what_is_paid_ahead_and_not_renewed_is_credited(self):
        order = self._create_order(
            self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id}, confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.order_line[1].unlink()
        renewal.action_confirm()
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        credit = order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')
        self.assertEqual(credit.amount_untaxed, 109.81)  # 120 × 334/365
        self.assertEqual(self._get_events(order)[-1], ('contraction', '2026-02-01', -10.0))
        self._assert_ledgers_hold(order | renewal)

    def test_mrr_moves_only_by_the_difference(self):
        order = self._create_order(self.service, self.support, confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.order_line[0].price_unit = 20.0
        renewal.order_line[1].unlink()
        renewal.order_line = [Command.create({
            'product_id': self._create_service("Better support", 100.0, recurring_invoice=True).id})]
        with freeze_time('2026-02-01 10:00:00'):
            renewal.action_confirm()
        events = self.Event.search([('order_id', 'in', (order | renewal).ids)], order='id')
        changes = events.filtered(lambda event: event.event_type not in ('new', 'transfer'))
        self.assertEqual(changes.mapped('event_type'), ['contraction', 'contraction'])
        self.assertEqual(changes.mapped('mrr_change'), [-10.0, -20.0])
        self.assertEqual(sum(events.filtered(lambda event: event.event_type == 'transfer').mapped('mrr_change')), 0.0)
        self.assertEqual(sum(events.mapped('mrr_change')), 120.0)
        self.assertEqual(sum(events.mapped('contract_change')), 1)
        self._assert_ledgers_hold(order | renewal)

    def test_a_renewal_in_another_currency_keeps_the_company_amount(self):
        other = self.setup_other_currency('EUR')
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.pricelist_id = self.env['product.pricelist'].create({'name': "Other", 'currency_id': other.id})
        renewal.order_line.price_unit = 60.0
        with freeze_time('2026-02-01 10:00:00'):
            renewal.action_confirm()
        transfers = self.Event.search([
            ('order_id', 'in', (order | renewal).ids), ('event_type', '=', 'transfer')])
        self.assertEqual(sum(transfers.mapped('mrr_change')), 0.0)
        self._assert_ledgers_hold(order | renewal)

    def test_the_chain_is_one_click_away(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        with freeze_time('2026-02-01 10:00:00'):
            first = self._renew(order)
            first.action_confirm()
            self._bill('2026-02-01')
        with freeze_time('2026-03-01 10:00:00'):
            second = self._renew(first)
            second.action_confirm()
        chain = order | first | second
        self.assertEqual(chain.mapped('chain_count'), [3, 3, 3])
        self.assertEqual(second.origin_order_id, order)
        for member in chain:
            self.assertEqual(self.Order.search(member.action_view_chain()['domain'], order='id'), chain)
        self.assertEqual(self._create_order(confirm=True).chain_count, 0)

    def test_a_contract_is_renewed_once(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        other, late = order._create_renewal(), order._create_renewal()
        renewal.action_confirm()
        with self.assertRaisesRegex(UserError, "confirmed already"):
            order.action_renew()
        with self.assertRaisesRegex(UserError, "confirmed already"):
            other.action_confirm()
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        with self.assertRaisesRegex(UserError, "isn't running"):
            late.action_confirm()

    def test_a_cancelled_renewal_lets_the_contract_go_on(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.action_confirm()
        renewal.action_cancel()
        self.assertRecordValues(order, [{
            'subscription_state': 'progress', 'next_invoice_date': Date.to_date('2026-02-01'), 'renewal_date': False}])
        self.assertEqual(renewal.subscription_state, False)
        renewal.action_draft()
        self.assertEqual(renewal.subscription_state, 'renewal')
        renewal.action_confirm()
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual((order | renewal).mapped('subscription_state'), ['renewed', 'progress'])
        self._assert_ledgers_hold(order | renewal)

    def test_a_renewal_quotation_can_be_cancelled(self):
        order = self._create_order(confirm=True)
        renewal = self._renew(order)
        renewal.action_cancel()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertEqual(renewal.state, 'cancel')

    def test_closing_a_contract_cancels_its_confirmed_renewal(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.action_confirm()
        order._close_subscriptions(self.reason)
        self.assertEqual(renewal.state, 'cancel')
        self.assertEqual(order.subscription_state, 'closed')
        self._assert_ledgers_hold(order | renewal)

    def test_announcing_the_end_of_a_contract_cancels_its_confirmed_renewal(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.action_confirm()
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        self.assertEqual(renewal.state, 'cancel')
        self.assertTrue(any(f"Renewal {renewal.name} is cancelled" in message.body for message in order.message_ids))
        with freeze_time('2026-01-21 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(order.subscription_state, 'closed')
        self._assert_ledgers_hold(order | renewal)

    def test_undoing_the_end_brings_back_the_renewal_which_it_cancelled(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.signed_by = "Lumber Inc"
        renewal.action_confirm()
        for day in ('2026-01-20', '2026-01-25'):
            order._plan_closing(self.reason, date=Date.to_date(day))
        self.assertEqual(renewal.state, 'cancel')
        order.order_line.product_uom_qty = 3
        order._undo_closing()
        self.assertRecordValues(renewal, [
            {'state': 'sale', 'subscription_state': 'renewal', 'signed_by': "Lumber Inc"}])
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual((order | renewal).mapped('subscription_state'), ['renewed', 'progress'])
        self.assertEqual(renewal.mrr, 90.0)
        self._assert_ledgers_hold(order | renewal)

    def test_undoing_the_end_of_a_paused_contract_leaves_its_renewal_a_quotation(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.action_confirm()
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        order._pause_subscriptions(order._subscription_today())
        order._undo_closing()
        self.assertEqual(order.subscription_state, 'paused')
        self.assertRecordValues(renewal, [{'state': 'draft', 'subscription_state': 'renewal'}])
        self.assertIn(f"{renewal.name}, which the end had cancelled", order.message_ids[0].body)

    def test_a_renewal_which_cannot_be_confirmed_again_does_not_hold_up_undoing_the_end(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self._renew(order)
        renewal.action_confirm()
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        renewal.order_line.with_context(sale_subscription_ext_changing=True).plan_id = False
        renewal.plan_id = False
        order._undo_closing()
        self.assertEqual((order.subscription_state, renewal.state), ('progress', 'draft'))
        self.assertIn("is a quotation again", order.message_ids[0].body)

    def test_another_renewal_of_a_closing_contract_leaves_the_first_one_cancelled(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        first = self._renew(order)
        first.action_confirm()
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        second = self._renew(order)
        second.action_confirm()
        self.assertEqual((first.state, second.state), ('cancel', 'sale'))
        self.assertEqual(order.subscription_state, 'progress')

    def test_a_closing_contract_can_be_renewed(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        order._plan_closing(self.reason, date=Date.to_date('2026-01-20'))
        renewal = self._renew(order)
        self.assertEqual(renewal._get_expected_start(), Date.to_date('2026-02-01'), "It is paid until then")
        renewal.action_confirm()
        self.assertEqual((order.subscription_state, order.end_date), ('progress', False))
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual((order | renewal).mapped('subscription_state'), ['renewed', 'progress'])
        self.assertFalse(order.close_reason_id)
        self._assert_ledgers_hold(order | renewal)

    def test_a_contract_with_a_term_renews_itself(self):
        plan = self._create_plan("Yearly term", 1, 'month', term_value=3, term_unit='month', term_end='renew')
        order = self._create_order(plan=plan, start_date='2026-01-31', confirm=True)
        self.assertEqual(order.term_end_date, Date.to_date('2026-04-29'))
        self._bill('2026-03-31')
        with freeze_time('2026-04-29 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        renewal = order.renewal_ids
        self.assertRecordValues(renewal, [{
            'state': 'sale', 'subscription_state': 'renewal', 'start_date': Date.to_date('2026-04-30')}])
        with freeze_time('2026-04-30 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self._bill('2026-04-30')
        self.assertEqual((order | renewal).mapped('subscription_state'), ['renewed', 'progress'])
        self.assertEqual(renewal.term_end_date, Date.to_date('2026-07-30'), "Terms are counted from the billing day")
        self.assertEqual(self._get_billed_amount(order | renewal), 120.0)
        self._assert_ledgers_hold(order | renewal)

    def test_a_renewal_is_offered_in_its_own_words(self):
        order = self._create_order(confirm=True)
        renewal = self._renew(order)
        template = renewal._find_mail_template()
        self.assertEqual(template, self.env.ref('sale_subscription_ext.mail_template_subscription_renewal'))
        self.assertIn(order.name, template._render_field('subject', renewal.ids)[renewal.id])
        self.assertIn("30.00", template._render_field('body_html', renewal.ids)[renewal.id])
