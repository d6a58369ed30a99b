from datetime import date

from odoo.exceptions import UserError, ValidationError
from odoo.fields import Command
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.test_amendment import AmendmentCommon


@freeze_time('2026-01-17 10:00:00')
class TestSeveralAmendments(AmendmentCommon):
    """Open amendments follow what is confirmed before them, or show the conflict."""

    def test_quantities_are_rebased_as_a_difference(self):
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 5})
        first, second = (self._amend(order, {0: {'product_uom_qty': quantity}}) for quantity in (7, 6))
        first.action_confirm()
        self.assertEqual(second.order_line.product_uom_qty, 8.0)
        second.action_confirm()
        self.assertEqual(order.order_line.product_uom_qty, 8.0)
        self._assert_ledgers_hold(order)

    def test_prices_are_taken_over_unless_both_change_them(self):
        order = self._create_billed()
        price, quantity, clash = (
            self._amend(order, {0: values})
            for values in ({'price_unit': 40.0}, {'product_uom_qty': 2}, {'price_unit': 50.0}))
        price.action_confirm()
        self.assertEqual(quantity.order_line.price_unit, 40.0)
        quantity.action_confirm()
        self.assertEqual(order.mrr, 80.0)
        self.assertIn("Unit Price", clash.amendment_warning)
        self.assertIn("It was 1 × $ 30.00, is 2 × $ 40.00 now, and this change asks for 2 × $ 50.00.",
                      clash.amendment_warning.replace('\N{NO-BREAK SPACE}', ' '))
        with self.assertRaisesRegex(UserError, "changed in the meantime too: Unit Price"):
            clash.action_confirm()
        self.assertEqual(clash.state, 'draft')

    def test_what_was_removed_cannot_be_changed_any_more(self):
        self.monthly.downgrade_policy = 'credit'
        order = self._create_billed(self.service, self.support)
        removal, change, other = (
            self._amend(order, values) for values in (
                {1: {'product_uom_qty': 0}}, {1: {'product_uom_qty': 2}}, {0: {'product_uom_qty': 2}}))
        removal.action_confirm()
        with self.assertRaisesRegex(UserError, "isn't served any more"):
            change.action_confirm()
        self.assertEqual(change.order_line.mapped('base_quantity'), [1.0, 0.0], "As the subscription is")
        self.assertEqual(removal.order_line.mapped('base_quantity'), [1.0, 1.0], "As it was when that took effect")
        other.action_confirm()
        self.assertEqual(order.mrr, 60.0)
        self._assert_ledgers_hold(order)

    def test_a_quantity_is_not_negative(self):
        order = self._create_billed()
        with self.assertRaisesRegex(UserError, "can't be negative. Set 0"):
            self._amend(order, {0: {'product_uom_qty': -2}}).action_confirm()

    def test_a_contract_which_waits_for_its_renewal_is_not_changed_behind_it(self):
        order = self._create_billed()
        amendment = self._amend(
            order, {0: {'product_uom_qty': 2}}, amendment_timing='date', effective_date='2026-02-02')
        renewal = self.Order.browse(order.action_renew()['res_id'])
        renewal.action_confirm()
        self.assertIn(f"{renewal.name} takes over from {order.name}", amendment.amendment_warning)
        with self.assertRaisesRegex(UserError, "takes over from .* on 02/01/2026, before"), self.env.cr.savepoint():
            amendment.action_confirm()
        amendment.effective_date = '2026-01-31'
        amendment.action_confirm()
        self.assertEqual(renewal.order_line.product_uom_qty, 1.0, "Until it is applied")
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(renewal.mrr, 60.0)

    def test_a_quantity_follows_the_line_which_took_over(self):
        order = self._create_billed()
        switch = self._amend(order, {0: {'product_id': self.support.id}})
        more = self._amend(order, {0: {'product_uom_qty': 2}})
        switch.action_confirm()
        self.assertRecordValues(more.order_line, [{'product_id': self.support.id, 'price_unit': 120.0}])
        more.action_confirm()
        self.assertEqual(order.mrr, 240.0)
        self._assert_ledgers_hold(order)

    def test_direct_edits_move_open_amendments_too(self):
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_uom_qty': 2}})
        order.order_line.product_uom_qty = 4
        self.assertEqual(amendment.order_line.product_uom_qty, 5.0)

    def test_open_changes_follow_taxes_which_are_determined_again(self):
        old, new = self.env['account.tax'].create([{'name': "19%", 'amount': 19.0}, {'name': "20%", 'amount': 20.0}])
        self.service.taxes_id = old
        order = self._create_billed(self.service, self.support)
        amendment, unchanged = self._amend(order, {1: {'product_uom_qty': 2}}), self._amend(order)
        self.service.taxes_id = new
        with freeze_time('2026-02-01 10:00:00'):
            self._bill('2026-02-01', order)
            self.assertEqual(amendment.order_line[0].tax_ids, new)
            self.assertEqual(amendment._get_amendment_preview().total, 120.0)
            with self.assertRaisesRegex(UserError, "changes nothing"):
                unchanged.action_confirm()

    def test_open_changes_follow_prices_which_were_decided(self):
        order = self._create_billed(self.service, self.support)
        amendment = self._amend(order, {1: {'product_uom_qty': 2}})
        line = order.order_line[0]
        self.env['subscription.price.change'].sudo().create({
            'order_line_id': line.id, 'state': 'to_apply', 'effective_date': date(2026, 2, 1),
            'apply_date': date(2026, 2, 1), 'old_price_unit': 30.0, 'new_price_unit': 33.0})
        with freeze_time('2026-02-01 10:00:00'):
            self._bill('2026-02-01', order)
            self.assertEqual((line.price_unit, amendment.order_line[0].price_unit), (33.0, 33.0))
            self.assertEqual(amendment._get_amendment_preview().total, 120.0)

    def test_a_waiting_change_which_conflicts_is_left_behind_with_its_reason(self):
        order = self._create_billed({'product_id': self.service.id, 'price_unit': 30.0}, self.support)
        waiting = self._amend(order, {0: {'price_unit': 20.0}})
        waiting.action_confirm()
        self._amend(order, {0: {'price_unit': 50.0}}).action_confirm()
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
            self._run_cron('ir_cron_run_lifecycle')
            self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 170.0)
        self.assertFalse(waiting.applied_date)
        self.assertEqual(len(waiting.activity_ids), 1)
        self.assertIn("changed in the meantime too", waiting.activity_ids.note)

    def test_the_smart_button_counts_the_amendments(self):
        order = self._create_billed()
        first = self._amend(order)
        self.assertEqual(order.amendment_count, 1)
        self.assertEqual(order.action_view_amendments()['res_id'], first.id)
        self._amend(order)
        order.invalidate_recordset(['amendment_count'])
        self.assertEqual(len(self.Order.search(order.action_view_amendments()['domain'])), 2)

    def test_a_date_in_the_past_is_refused(self):
        order = self._create_billed()
        with self.assertRaisesRegex(ValidationError, "01/17/2026 or a later date"):
            self._amend(order, amendment_timing='date', effective_date='2026-01-10')

    def test_prices_of_the_contract_survive_an_update_of_prices(self):
        self.env.user.group_ids += self.env.ref('sale.group_discount_per_so_line')
        order = self._create_billed({'product_id': self.service.id, 'price_unit': 11.0, 'discount': 5.0})
        amendment = self._amend(order, added=[{'product_id': self.support.id, 'price_unit': 1.0}])
        amendment.action_update_prices()
        self.assertRecordValues(amendment.order_line, [
            {'price_unit': 11.0, 'discount': 5.0}, {'price_unit': 120.0, 'discount': 0.0}])

    def test_a_credit_note_pays_the_next_invoice(self):
        self.monthly.downgrade_policy = 'credit'
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3})
        invoice = order.invoice_ids
        self.env['account.payment.register'].with_context(
            active_model='account.move', active_ids=invoice.ids).create({})._create_payments()
        self._amend(order, {0: {'product_uom_qty': 1}}).action_confirm()
        refund = self._get_invoice(order)
        self.assertEqual(refund.amount_residual, 29.03)
        following = self._bill('2026-02-01', order)
        self.assertEqual((following.amount_residual, refund.amount_residual), (0.97, 0.0))

    def test_no_down_payment_is_asked_on_a_change(self):
        order = self._create_billed()
        amendment = self._amend(order, added=[{'product_id': self.installation.id}])
        wizard = self.env['sale.advance.payment.inv'].create({
            'sale_order_ids': amendment.ids, 'advance_payment_method': 'percentage', 'amount': 10.0})
        with self.assertRaisesRegex(UserError, "is billed there"):
            wizard.create_invoices()

    def test_staff_apply_a_change_at_once(self):
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3})
        waiting = self._amend(order, {0: {'product_uom_qty': 1}})
        waiting.action_confirm()
        waiting.action_apply_amendment()
        self.assertRecordValues(waiting, [{'applied_date': date(2026, 1, 17), 'effective_date': date(2026, 1, 17)}])
        self.assertEqual(self._get_invoice(order).amount_total, 29.03)
        with self.assertRaisesRegex(UserError, "weren't applied yet"):
            waiting.action_apply_amendment()
        self._amend(order, {0: {'product_uom_qty': 2}}).action_apply_amendment()
        self.assertEqual(order.mrr, 60.0)
        self._assert_ledgers_hold(order)

    def _open_apply_dialog(self, amendment):
        action = amendment.action_open_apply_dialog()
        self.assertEqual(action['target'], 'new')
        return self.env[action['res_model']].browse(action['res_id'])

    def test_staff_see_what_applying_today_costs_before_they_do_it(self):
        tax = self.env['account.tax'].create({'name': "19%", 'amount': 19.0})
        taxed = {'tax_ids': [Command.set(tax.ids)]}
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3, **taxed}, self.support)
        less = {0: {'product_uom_qty': 1, 'price_unit': 33.33}}
        more = {0: {'product_uom_qty': 4}, 1: {'product_uom_qty': 2}}
        for is_confirmed, values, added in (
                (True, less, ()), (False, more, [{'product_id': self.installation.id, **taxed}])):
            amendment = self._amend(
                order, values, added, amendment_timing='date', effective_date='2026-02-10')
            if is_confirmed:
                amendment.action_confirm()
            dialog = self._open_apply_dialog(amendment)
            shown = amendment._get_amendment_preview(date(2026, 1, 17))
            self.assertNotEqual(shown.total, amendment.amendment_total, "The form shows what is due on the agreed date")
            for amount in (shown.credit, shown.charge, shown.tax, shown.total, *shown.recurring.values()):
                self.assertIn(f"{abs(amount):.2f}", dialog.preview)
            dialog.action_apply()
            self.assertEqual((amendment.state, amendment.applied_date), ('sale', date(2026, 1, 17)))
            invoice = amendment.amendment_invoice_id
            self.assertEqual(invoice.amount_total_signed, shown.total)
            self.assertEqual(invoice.amount_tax_signed, shown.tax)
            self.assertEqual(shown.recurring, {self.monthly: order.recurring_total})

    def test_what_costs_something_else_than_the_dialog_shows_is_not_applied(self):
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_uom_qty': 2}}, amendment_timing='date',
                                effective_date='2026-02-01')
        dialog = self._open_apply_dialog(amendment)
        amendment.order_line.product_uom_qty = 3
        with self.assertRaisesRegex(UserError, "isn't what was shown here any more"), self.env.cr.savepoint():
            dialog.action_apply()
        self.assertEqual((amendment.state, order.mrr), ('draft', 30.0))
        self._open_apply_dialog(amendment).action_apply()
        self.assertEqual(order.mrr, 90.0)

    def test_the_dialog_says_when_the_next_billing_takes_the_change_along(self):
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_uom_qty': 2}})
        self.assertFalse(self._open_apply_dialog(amendment).is_billed_later)
        with freeze_time('2026-02-03'):
            dialog = self._open_apply_dialog(amendment)
            self.assertTrue(dialog.is_billed_later)
            dialog.action_apply()
            self.assertFalse(amendment.amendment_invoice_id)

    def test_a_change_agreed_for_a_day_after_the_end_can_be_applied_today(self):
        order = self._create_billed()
        amendment = self._amend(
            order, {0: {'product_uom_qty': 2}}, amendment_timing='date', effective_date='2026-03-01')
        order.end_date = date(2026, 2, 15)
        self.assertIn("Choose an earlier date", amendment.amendment_warning)
        self._open_apply_dialog(amendment).action_apply()
        self.assertEqual(order.mrr, 60.0)
        with self.assertRaisesRegex(UserError, "weren't applied yet"):
            amendment.action_open_apply_dialog()

    def test_an_applied_change_cannot_be_cancelled_a_waiting_one_can(self):
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3})
        waiting = self._amend(order, {0: {'product_uom_qty': 1}})
        waiting.action_confirm()
        waiting.action_cancel()
        self.assertEqual((waiting.state, waiting.subscription_state), ('cancel', False))
        self.assertEqual(self._bill('2026-02-01', order).amount_untaxed, 90.0)
        applied = self._amend(order, {0: {'product_uom_qty': 4}})
        applied.action_confirm()
        with self.assertRaisesRegex(UserError, "Make another change"):
            applied.action_cancel()

    def test_only_a_running_subscription_is_changed(self):
        order = self._create_order()
        with self.assertRaisesRegex(UserError, "Only running"):
            order.action_upsell()
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_uom_qty': 2}})
        order._close_subscriptions(self.reason)
        with self.assertRaisesRegex(UserError, "isn't running"):
            amendment.action_confirm()

    def test_removing_everything_is_refused(self):
        order = self._create_billed()
        amendment = self._amend(order, {0: {'product_uom_qty': 0}})
        self.assertIn("Close it instead", amendment.amendment_warning)
        with self.assertRaisesRegex(UserError, "Close it instead"):
            amendment.action_confirm()
        self.assertEqual(order.mrr, 30.0)

    def test_a_change_with_the_last_period_takes_effect_before_the_end(self):
        order = self._create_billed()
        waiting = self._amend(order, {0: {'product_uom_qty': 2}}, amendment_timing='next_period')
        waiting.action_confirm()
        order.end_date = '2026-02-15'
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertTrue(waiting.applied_date)
        self.assertEqual(order.mrr, 60.0)

    def test_what_is_paid_by_the_year_is_lowered_with_its_next_year(self):
        yearly = {'product_id': self.support.id, 'plan_id': self.yearly.id}
        order = self._create_billed(self.service, yearly)
        alone = self._amend(order, {1: {'product_uom_qty': 0}})
        self.assertEqual(alone._get_effective_day(), date(2027, 1, 1))
        both = self._amend(order, {0: {'price_unit': 20.0}, 1: {'product_uom_qty': 0}})
        self.assertEqual(both._get_effective_day(), date(2026, 2, 1), "That of the contract's plan")
        alone.action_confirm()
        with freeze_time('2027-01-01 10:00:00'):
            for month in range(2, 13):
                self._bill(f'2026-{month:02}-01', order)
            self.assertEqual(self._bill('2027-01-01', order).amount_untaxed, 30.0)
        self.assertFalse(order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund'))
        self._assert_ledgers_hold(order)

    def test_what_is_billed_ahead_of_its_change_is_billed_as_changed(self):
        self.yearly.invoice_lead_days = 45
        order = self._create_billed(self.service, {'product_id': self.support.id, 'plan_id': self.yearly.id})
        lower = self._amend(order, {1: {'price_unit': 90.0}})
        lower.action_confirm()
        with freeze_time('2026-11-17 10:00:00'):
            for month in range(2, 12):
                self._bill(f'2026-{month:02}-01', order)
            self.assertEqual(order.get_subscription_forecast(1)[0]['amount_untaxed'], 90.0)
            self.assertEqual(self._bill('2026-11-17', order).amount_untaxed, 90.0)
        self.assertTrue(lower.applied_date)
        self._assert_ledgers_hold(order)

    def test_a_change_which_changes_nothing_is_neither_sent_nor_confirmed(self):
        order = self._create_billed(
            self.service, {'display_type': 'line_section', 'name': "Options", 'is_optional': True},
            {'product_id': self.support.id, 'product_uom_qty': 0})
        amendment = self._amend(
            order, amendment_timing='date', effective_date='2026-02-10', client_order_ref="PO 7",
            added=[{'display_type': 'line_note', 'name': "Thank you"}, {
                'product_id': self.installation.id, 'product_uom_qty': 0}])
        self.assertFalse(amendment.amendment_warning, "Nobody is warned of what isn't done yet")
        for refused in (amendment.action_confirm, amendment.action_quotation_send, amendment._validate_order,
                        amendment.action_open_apply_dialog, amendment.action_apply_amendment):
            with self.subTest(refused=refused.__name__), self.env.cr.savepoint(), \
                    self.assertRaisesRegex(UserError, f"changes nothing on subscription {order.name}"):
                refused()
            self.assertRecordValues(amendment, [{'state': 'draft', 'applied_date': False}])
        self.assertEqual(len(order.invoice_ids), 1)
        self.assertFalse(self._get_events(order)[1:])

    def test_whatever_changes_what_is_served_is_a_change(self):
        self.env.user.group_ids += self.env.ref('sale.group_discount_per_so_line')
        self.env.user.group_ids += self.env.ref('analytic.group_analytic_accounting')
        account = self.env['account.analytic.account'].create({
            'name': "Project", 'plan_id': self.env['account.analytic.plan'].create({'name': "Plan"}).id})
        tax = self.env['account.tax'].create({'name': "19%", 'amount': 19.0})
        order = self._create_billed(
            {'product_id': self.service.id, 'plan_id': self.quarterly.id},
            {'display_type': 'line_section', 'name': "Options", 'is_optional': True},
            {'product_id': self.support.id, 'product_uom_qty': 0})
        changes = {
            'price': {'values': {0: {'price_unit': 31.0}}},
            'discount': {'values': {0: {'discount': 5.0}}},
            'description': {'values': {0: {'name': "Better hosting"}}},
            'analytic distribution': {'values': {0: {'analytic_distribution': {str(account.id): 100}}}},
            'taxes': {'values': {0: {'tax_ids': [Command.set(tax.ids)]}}},
            'option': {'values': {2: {'product_uom_qty': 1}}},
            'added product': {'added': [{'product_id': self.support.id}]},
            'one-time product': {'added': [{'product_id': self.installation.id}]},
            'plan': {'values': {}, 'plan_id': self.yearly.id},
        }
        for name, change in changes.items():
            with self.subTest(change=name):
                amendment = self._amend(order, **change)
                self.assertTrue(amendment.action_quotation_send())
                amendment.action_confirm()
                self.assertEqual(amendment.state, 'sale')

    def test_what_was_confirmed_and_is_true_already_is_applied_quietly(self):
        order = self._create_billed()
        waiting = self._amend(order, {0: {'price_unit': 40.0}}, amendment_timing='next_period')
        waiting.action_confirm()
        order.order_line.price_unit = 40.0
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(waiting.applied_date, date(2026, 2, 1))
        self.assertFalse(waiting.activity_ids)
