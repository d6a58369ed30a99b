from ast import literal_eval
from datetime import date

from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import Form, freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


class AmendmentCommon(SaleSubscriptionCommon):

    def _create_billed(self, *lines, start='2026-01-01', **values):
        order = self._create_order(*lines, start_date=start, confirm=True, **values)
        self._bill(start, order)
        return order

    def _amend(self, order, values=None, added=(), **order_values):
        """Make an amendment: {index of its line: values}, and lines which it adds."""
        action = order.action_change()
        amendment = self.Order.browse(action['res_id'])
        amendment.write(order_values)
        for index, line_values in (values or {}).items():
            amendment.order_line[index].write(line_values)
        amendment.order_line = [Command.create(line) for line in added]
        return amendment

    def _get_invoice(self, order):
        """Return the newest invoice of a contract."""
        return order.invoice_ids.sorted('id')[-1:]


@freeze_time('2026-01-17 10:00:00')
class TestAmendment(AmendmentCommon):
    """Changes of a running contract through quotations: half of January is left, 15 of 31 days."""

    def test_an_amendment_shows_what_is_served_at_the_prices_of_the_contract(self):
        self.env.user.group_ids += self.env.ref('sale.group_discount_per_so_line')
        tax = self.company_data['default_tax_sale']
        order = self._create_billed(
            {'display_type': 'line_section', 'name': "Servers"},
            {'product_id': self.service.id, 'price_unit': 11.0, 'discount': 5.0, 'tax_ids': [Command.set(tax.ids)]},
            {'display_type': 'line_section', 'name': "Once"}, self.installation)
        self.service.list_price = 99.0
        amendment = self._amend(order)
        self.assertRecordValues(amendment, [{
            'subscription_state': 'amendment', 'is_subscription': False, 'subscription_id': order.id,
            'origin_order_id': order.id, 'mrr': 0.0, 'state': 'draft', 'plan_id': self.monthly.id,
            'amount_untaxed': 10.45,
        }])
        self.assertEqual(amendment.order_line.mapped('name')[0], "Servers")
        self.assertEqual(len(amendment.order_line), 2, "What was sold once stays away, its section too")
        with Form(amendment) as form, form.order_line.edit(1) as line:
            line.product_uom_qty = 3
        self.assertRecordValues(amendment.order_line[1], [{
            'price_unit': 11.0, 'discount': 5.0, 'tax_ids': tax.ids, 'parent_line_id': order.order_line[1].id}])

    def test_more_of_the_same_is_charged_for_the_days_which_are_left(self):
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_uom_qty': 3}})
        preview = amendment._get_amendment_preview()
        self.assertEqual(preview[:7], (
            date(2026, 1, 17), -14.52, 43.55, 0.0, 0.0, 29.03, {self.monthly: 90.0}))
        amendment.action_confirm()
        invoice = self._get_invoice(order)
        self.assertRecordValues(invoice, [{
            'move_type': 'out_invoice', 'state': 'posted', 'amount_total': 29.03, 'invoice_date': date(2026, 1, 17)}])
        self.assertEqual(invoice.invoice_line_ids.mapped('price_subtotal'), [-14.52, 43.55])
        self.assertEqual(order.order_line.product_uom_qty, 3)
        self.assertEqual(self._get_events(order)[1:], [('expansion', '2026-01-17', 60.0)])
        rows = order.order_line.period_ids.filtered(lambda row: row.kind != 'regular')
        self.assertEqual(rows.amendment_id, amendment)
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 90.0)
        self._assert_ledgers_hold(order)

    def test_the_preview_is_what_is_billed(self):
        included = self.env['account.tax'].create({
            'name': "20% included", 'amount': 20.0, 'price_include_override': 'tax_included'})
        tax = self.env['account.tax'].create({'name': "19%", 'amount': 19.0})
        taxed = {'tax_ids': [Command.set(tax.ids)]}
        order = self._create_billed(
            {'product_id': self.service.id, 'product_uom_qty': 3, 'tax_ids': [Command.set(included.ids)]},
            {'product_id': self.support.id, **taxed})
        amendment = self._amend(order, {
            0: {'product_uom_qty': 7, 'discount': 12.5}, 1: {'product_id': self.service.id, **taxed},
        }, added=[{'product_id': self.installation.id, **taxed}, {'product_id': self.support.id, **taxed}])
        preview = amendment._get_amendment_preview()
        amendment.action_confirm()
        invoice = self._get_invoice(order)
        amounts = invoice.invoice_line_ids.mapped('price_subtotal')
        self.assertAlmostEqual(preview.credit + preview.charge + preview.once, sum(amounts), places=2)
        self.assertEqual((preview.tax, preview.total), (invoice.amount_tax, invoice.amount_total))
        self.assertEqual(preview.once, 200.0)
        self.assertEqual(preview.recurring, {self.monthly: order.recurring_total})
        self.assertAlmostEqual(preview.mrr_change, sum(
            self.Event.search([('order_id', '=', order.id), ('event_type', '!=', 'new')]).mapped('mrr_change')), 2)
        self._assert_ledgers_hold(order)

    def test_added_products_are_served_from_today_and_sold_once_billed_once(self):
        order = self._create_billed()
        amendment = self._amend(order, added=[{'product_id': self.support.id}, {'product_id': self.installation.id}])
        amendment.action_confirm()
        self.assertEqual(self._get_invoice(order).invoice_line_ids.mapped('price_subtotal'), [58.06, 200.0])
        added = order.order_line[1]
        self.assertRecordValues(added, [{
            'product_id': self.support.id, 'start_date': date(2026, 1, 17), 'anchor_date': date(2026, 1, 1),
            'next_period_start': date(2026, 2, 1), 'mrr': 120.0}])
        self.assertEqual(self._get_events(order)[1:], [('expansion', '2026-01-17', 120.0)])
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 150.0)
        self.assertEqual(self._bill('2026-03-01', order).amount_untaxed, 150.0, "The installation was billed once")
        self._assert_ledgers_hold(order)

    def test_an_amendment_has_nothing_to_invoice_and_stays_out_of_the_analyses(self):
        order = self._create_billed(self.service, self.support)
        amendment = self._amend(order, {0: {'product_uom_qty': 2}}, added=[{'product_id': self.installation.id}])
        amendment.action_confirm()
        self.assertRecordValues(amendment, [{
            'state': 'sale', 'subscription_state': 'amendment', 'invoice_status': 'no', 'amount_to_invoice': 0.0,
            'next_invoice_date': False}])
        self.assertEqual(set(amendment.order_line.mapped('qty_to_invoice')), {0.0})
        with self.assertRaises(UserError):
            amendment._create_invoices()
        self.env.flush_all()
        report = self.env['sale.report'].search([('partner_id', '=', self.partner.id)])
        self.assertEqual(set(report.mapped('order_reference')), {order})
        self.assertFalse(self.Event.search([('order_id', '=', amendment.id)]))
        action = self.env.ref('sale_subscription_ext.sale_order_action_subscription')
        self.assertEqual(self.Order.search([
            *literal_eval(action.domain), ('partner_id', '=', self.partner.id)]), order)

    def test_a_downgrade_takes_effect_with_the_next_period(self):
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3})
        amendment = self._amend(order, {0: {'product_uom_qty': 1}})
        self.assertEqual(amendment._get_amendment_preview()[:6], (date(2026, 2, 1), 0.0, 0.0, 0.0, 0.0, 0.0))
        amendment.action_confirm()
        self.assertRecordValues(amendment, [{'effective_date': date(2026, 2, 1), 'applied_date': False}])
        self.assertEqual(order.mrr, 90.0)
        self.assertTrue(any("02/01/2026" in message.body for message in order.message_ids))
        with freeze_time('2026-02-01'):
            self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 30.0, "The billing applies it first")
        self.assertEqual(amendment.applied_date, date(2026, 2, 1))
        self.assertEqual(self._get_events(order)[1:], [('contraction', '2026-02-01', -60.0)])
        self._assert_ledgers_hold(order)

    def test_a_change_with_the_next_period_is_billed_with_it(self):
        # A worked case: 7 × 29.95, later 10.
        order = self._create_billed({'product_id': self.service.id, 'price_unit': 29.95, 'product_uom_qty': 7})
        self.assertEqual(order.invoice_ids.amount_untaxed, 209.65)
        self._amend(order, {0: {'product_uom_qty': 10}}, amendment_timing='next_period').action_confirm()
        with freeze_time('2026-02-01'):
            self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 299.5)

    def test_the_cron_applies_what_waits_for_its_date(self):
        order = self._create_billed()
        amendment = self._amend(
            order, {0: {'product_uom_qty': 2}}, amendment_timing='date', effective_date='2026-01-25')
        amendment.action_confirm()
        self._run_cron('ir_cron_run_lifecycle')
        self.assertFalse(amendment.applied_date)
        with freeze_time('2026-01-26 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(amendment.applied_date, date(2026, 1, 26))
        self.assertEqual(self._get_invoice(order).amount_total, 6.78, "From the 25th on: 13.55 - 6.77")
        self.assertEqual(self._get_events(order)[1:], [('expansion', '2026-01-25', 30.0)])
        self._assert_ledgers_hold(order)

    def test_what_waits_while_nothing_is_served_takes_effect_when_service_begins_again(self):
        stops = (
            (lambda order: order._pause_subscriptions(), lambda order: order._resume_subscriptions()),
            (lambda order: order._close_subscriptions(self.reason), lambda order: order._reopen_subscriptions()),
        )
        for stop, go_on in stops:
            order = self._create_billed()
            amendment = self._amend(
                order, {0: {'product_uom_qty': 3}}, amendment_timing='date', effective_date=date(2026, 1, 24))
            amendment.action_confirm()
            stop(order)
            with freeze_time('2026-02-10 10:00:00'):
                self.assertIn(amendment.name, order._get_resume_preview())
                go_on(order)
                self.assertEqual(amendment.effective_date, date(2026, 2, 10))
                self._run_cron('ir_cron_run_lifecycle')
                self._bill('2026-02-10', order)
            self.assertTrue(amendment.applied_date)
            self.assertEqual(self._get_invoice(order).amount_untaxed, 61.07, "3 × 19 of 28 days")
            self._assert_ledgers_hold(order)

    def test_a_downgrade_is_credited_where_the_plan_says_so(self):
        self.monthly.downgrade_policy = 'credit'
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3}, self.support)
        amendment = self._amend(order, {0: {'product_uom_qty': 1}})
        self.assertEqual(amendment._get_amendment_preview().total, -29.03)
        amendment.action_confirm()
        self.assertRecordValues(self._get_invoice(order), [{
            'move_type': 'out_refund', 'state': 'posted', 'amount_total': 29.03}])
        story = ' '.join(order.message_ids.mapped('body'))
        self.assertIn(f"Credited by {self._get_invoice(order).display_name}", story)
        self.assertNotIn("Billed by", story)
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 150.0)
        self._assert_ledgers_hold(order)

    def test_a_downgrade_without_credit_keeps_what_is_paid(self):
        self.monthly.downgrade_policy = 'no_credit'
        order = self._create_billed(self.service, self.support)
        count = len(order.invoice_ids)
        amendment = self._amend(order, {1: {'product_id': self.service.id}})
        self.assertEqual(amendment._get_amendment_preview().total, 0.0)
        amendment.action_confirm()
        self.assertEqual(len(order.invoice_ids), count)
        self.assertEqual(order.mrr, 60.0)
        self.assertIn(('2026-01-17', '2026-02-01', 'waived'),
                      self._get_ledger(order, 'date_start', 'date_end', 'state'))
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 60.0)
        self._assert_ledgers_hold(order)

    def test_an_agreed_date_counts_for_a_downgrade_too(self):
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3})
        amendment = self._amend(
            order, {0: {'product_uom_qty': 1}}, amendment_timing='date', effective_date='2026-01-17')
        amendment.action_confirm()
        self.assertEqual(self._get_invoice(order).amount_total, 29.03)
        self.assertEqual(self._get_invoice(order).move_type, 'out_refund')

    def test_removing_a_product_ends_its_line_and_remembers_why(self):
        self.monthly.downgrade_policy = 'credit'
        order = self._create_billed(self.service, self.support)
        amendment = self._amend(order, {1: {'product_uom_qty': 0}}, close_reason_id=self.reason.id)
        amendment.action_confirm()
        self.assertRecordValues(order.order_line, [
            {'product_uom_qty': 1, 'end_date': False}, {'product_uom_qty': 1, 'end_date': date(2026, 1, 16)}])
        self.assertEqual(self._get_invoice(order).amount_total, 58.06)
        event = self.Event.search([('order_id', '=', order.id)], order='id')[-1]
        self.assertRecordValues(event, [{
            'event_type': 'contraction', 'mrr_change': -120.0, 'close_reason_id': self.reason.id}])
        self._assert_ledgers_hold(order)

    def test_another_product_takes_over_from_today(self):
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_id': self.support.id}})
        self.assertEqual(amendment.order_line.price_unit, 120.0)
        amendment.action_confirm()
        old, new = order.order_line.sorted('id')
        self.assertEqual(new.parent_line_id, old)
        self.assertEqual(self._get_invoice(order).invoice_line_ids.mapped('price_subtotal'), [-14.52, 58.06])
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 120.0)
        self._assert_ledgers_hold(order)

    def test_a_switch_to_a_yearly_plan_credits_the_rest_of_the_month(self):
        self.env['product.pricelist.item'].create({
            'pricelist_id': self.env['product.pricelist'].search([], limit=1).id, 'applied_on': '1_product',
            'product_tmpl_id': self.service.product_tmpl_id.id, 'plan_id': self.yearly.id, 'fixed_price': 365.0,
        })
        pricelist = self.env['product.pricelist.item'].search([('plan_id', '=', self.yearly.id)]).pricelist_id
        order = self._create_billed(pricelist_id=pricelist.id)
        amendment = self._amend(order, plan_id=self.yearly.id)
        self.assertRecordValues(amendment.order_line, [{'plan_id': self.yearly.id, 'price_unit': 365.0}])
        amendment.action_confirm()
        self.assertEqual(order.plan_id, self.yearly)
        old, new = order.order_line.sorted('id')
        self.assertRecordValues(old | new, [
            {'plan_id': self.monthly.id, 'end_date': date(2026, 1, 16), 'next_period_start': date(2026, 2, 1)},
            {'plan_id': self.yearly.id, 'end_date': False, 'next_period_start': date(2027, 1, 1)},
        ])
        self.assertEqual(self._get_invoice(order).invoice_line_ids.mapped('price_subtotal'), [-14.52, 349.0])
        self.assertEqual(order.mrr, 30.42)
        self.assertEqual(order.next_invoice_date, date(2027, 1, 1))
        self._assert_ledgers_hold(order)

    def test_a_switch_leaves_the_prices_of_other_lines_alone(self):
        order = self._create_billed(
            {'product_id': self.service.id, 'price_unit': 215.23}, {'product_id': self.support.id, 'price_unit': 77.0,
                                                                    'plan_id': self.quarterly.id})
        lines = order.order_line
        for plan in (self.yearly, self.monthly):
            self._amend(order, plan_id=plan.id, amendment_timing='date', effective_date='2026-01-17').action_confirm()
        self.assertEqual(order.plan_id, self.monthly)
        self.assertEqual(lines.mapped('price_unit'), [215.23, 77.0])

    def test_a_switch_which_lowers_the_monthly_value_waits_for_the_next_period(self):
        order = self._create_billed({'product_id': self.service.id, 'price_unit': 30.0})
        amendment = self._amend(order, {0: {'price_unit': 300.0}}, plan_id=self.yearly.id)
        amendment.order_line.price_unit = 300.0
        amendment.action_confirm()
        self.assertEqual(amendment.effective_date, date(2026, 2, 1))
        with freeze_time('2026-02-01'):
            self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 274.52)  # 334/365
        self.assertEqual(order.next_invoice_date, date(2027, 1, 1))
        self._assert_ledgers_hold(order)

    def test_what_a_plan_bills_ahead_is_billed_as_changed(self):
        ahead = self._create_plan("Ahead", 1, 'month', invoice_lead_days=5)
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3}, plan=ahead)
        amendment = self._amend(order, {0: {'product_uom_qty': 1}})
        amendment.action_confirm()
        with freeze_time('2026-01-27'):
            self.assertEqual(self._bill('2026-01-27', order).amount_untaxed, 30.0)
        self.assertEqual(self._get_events(order)[1:], [('contraction', '2026-02-01', -60.0)])
        self._assert_ledgers_hold(order)

    def test_in_arrears_the_served_days_stay_at_the_old_terms(self):
        arrears = self._create_plan("Arrears", 1, 'month', bill_in='arrears')
        order = self._create_order(plan=arrears, start_date='2026-01-01', confirm=True)
        amendment = self._amend(order, {0: {'product_uom_qty': 3}})
        self.assertEqual(amendment._get_amendment_preview().total, 0.0)
        amendment.action_confirm()
        self.assertFalse(order.invoice_ids)
        move = self._bill('2026-02-01', order)
        self.assertEqual(move.invoice_line_ids.mapped('price_subtotal'), [15.48, 43.55])  # 16/31 and 15/31
        self._assert_ledgers_hold(order)

    def test_delivered_quantities_are_billed_by_what_was_delivered(self):
        self.support.invoice_policy = 'delivery'
        order = self._create_order(self.service, self.support, start_date='2026-01-01', confirm=True)
        self._bill('2026-01-01', order)
        order.order_line[1].qty_delivered = 2
        amendment = self._amend(order, {1: {'price_unit': 200.0}})
        amendment.action_confirm()
        order.order_line[1].qty_delivered = 5
        move = self._bill('2026-02-01', order)
        self.assertEqual(sum(move.invoice_line_ids.mapped('price_subtotal')), 30.0 + 2 * 120.0 + 3 * 200.0)
        self._assert_ledgers_hold(order)

    def test_a_contract_which_waits_for_its_billing_takes_the_change_along(self):
        order = self._create_order(start_date='2026-01-01', confirm=True)
        amendment = self._amend(order, {0: {'product_uom_qty': 3}}, added=[{'product_id': self.installation.id}])
        amendment.action_confirm()
        self.assertFalse(order.invoice_ids)
        moves = self._bill('2026-01-17', order)
        self.assertEqual(sum(moves.mapped('amount_untaxed')), 15.48 + 43.55 + 200.0)
        self._assert_ledgers_hold(order)

    def test_an_offered_option_is_taken(self):
        order = self._create_billed(
            self.service, {'display_type': 'line_section', 'name': "Options", 'is_optional': True},
            {'product_id': self.support.id, 'product_uom_qty': 0})
        amendment = self._amend(order)
        self.assertEqual(amendment.order_line.mapped('product_uom_qty'), [1.0, 0.0, 0.0])
        amendment.order_line[2].product_uom_qty = 1
        self.assertEqual(amendment._get_amendment_preview().total, 58.06)
        amendment.action_confirm()
        self.assertEqual(self._get_invoice(order).amount_total, 58.06)
        self.assertEqual(order.mrr, 150.0)
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 150.0)
        self._assert_ledgers_hold(order)

    def test_a_discount_and_an_analytic_distribution_survive(self):
        self.env.user.group_ids += self.env.ref('sale.group_discount_per_so_line')
        self.env.user.group_ids += self.env.ref('analytic.group_analytic_accounting')
        account = self.env['account.analytic.account'].create({
            'name': "Project", 'plan_id': self.env['account.analytic.plan'].create({'name': "Plan"}).id})
        distribution = {str(account.id): 100}
        order = self._create_billed(
            {'product_id': self.service.id, 'discount': 10.0, 'analytic_distribution': distribution})
        self.monthly.downgrade_policy = 'credit'
        amendment = self._amend(order, {0: {'product_uom_qty': 2}}, plan_id=self.quarterly.id)
        self.assertEqual(amendment.order_line.discount, 10.0)
        amendment.action_confirm()
        new = order.order_line.sorted('id')[-1]
        self.assertRecordValues(new, [{'discount': 10.0, 'analytic_distribution': distribution}])
        self.assertEqual(
            self._get_invoice(order).invoice_line_ids.mapped('analytic_distribution'), [distribution, distribution])

    def test_a_locked_subscription_is_changed_by_its_amendment(self):
        order = self._create_billed()
        order.action_lock()
        self._amend(order, {0: {'product_uom_qty': 2}}, added=[{'product_id': self.support.id}]).action_confirm()
        self.assertEqual(order.mrr, 180.0)
        self.assertTrue(order.locked)

    def test_a_second_change_starts_from_the_first(self):
        order = self._create_billed()
        self._amend(order, {0: {'product_uom_qty': 2}}).action_confirm()
        with freeze_time('2026-01-22'):
            self._amend(order, {0: {'product_uom_qty': 4}}).action_confirm()
        amounts = self._get_invoice(order).invoice_line_ids.mapped('price_subtotal')
        self.assertEqual(amounts, [-19.35, 38.71])  # 2 and 4 × 30 × 10/31
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 120.0)
        self._assert_ledgers_hold(order)

    def test_a_change_in_another_currency_is_booked_in_that_of_the_company(self):
        currency = self.setup_other_currency('EUR', rates=[('2020-01-01', 2.0)])
        pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': currency.id})
        order = self._create_billed({'product_id': self.service.id, 'price_unit': 30.0}, pricelist_id=pricelist.id)
        self._amend(order, {0: {'product_uom_qty': 3}}).action_confirm()
        invoice = self._get_invoice(order)
        self.assertRecordValues(invoice, [{'currency_id': currency.id, 'amount_total': 29.03}])
        event = self.Event.search([('order_id', '=', order.id)], order='id')[-1]
        self.assertRecordValues(event, [{'mrr_change_order': 60.0, 'mrr_change': 30.0}])

    def test_movements_belong_to_the_salesperson_of_the_amendment(self):
        order = self._create_billed()
        other = self.env['res.users'].create({'name': "Other", 'login': 'other'})
        self._amend(order, {0: {'product_uom_qty': 3}}, user_id=other.id).action_confirm()
        event = self.Event.search([('order_id', '=', order.id)], order='id')[-1]
        self.assertEqual(event.user_id, other)
