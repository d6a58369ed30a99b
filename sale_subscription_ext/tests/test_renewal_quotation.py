from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.test_amendment import AmendmentCommon


@freeze_time('2026-01-01 10:00:00')
class TestRenewalQuotation(AmendmentCommon):
    today = {'amendment_timing': 'date', 'effective_date': '2026-01-01'}

    def _renew(self, order):
        """Return the renewal quotation of an order."""
        return self.Order.browse(order.action_renew()['res_id'])

    def _get_lines(self, order):
        """Return what an order sells: product, quantity, price, discount."""
        return [
            (line.product_id, line.product_uom_qty, line.price_unit, line.discount) for line in order.order_line]

    def test_an_offered_renewal_follows_a_change_where_nothing_else_was_agreed(self):
        order = self._create_billed(self.service, self.support)
        renewal = self._renew(order)
        renewal.order_line[1].write({'price_unit': 100.0})
        self.service.list_price = 99.0  # for others
        self._amend(order, {
            0: {'product_uom_qty': 3, 'discount': 10.0}, 1: {'product_uom_qty': 2, 'price_unit': 130.0},
        }).action_confirm()
        self.assertEqual(
            self._get_lines(renewal), [(self.service, 3.0, 30.0, 10.0), (self.support, 2.0, 100.0, 0.0)])
        self.assertIn(f"Brought up to date with what was changed on {order.name}", renewal.message_ids[0].body)
        with freeze_time('2026-02-01 10:00:00'):
            renewal.action_confirm()
            self.assertEqual(self._bill('2026-02-01', order | renewal).amount_untaxed, 281.0)
        self._assert_ledgers_hold(order | renewal)

    def test_an_offered_renewal_follows_what_joins_and_leaves(self):
        order = self._create_billed(self.service, self.support)
        renewal = self._renew(order)
        backup = self._create_service("Backup", 12.0, recurring_invoice=True)
        self._amend(
            order, {1: {'product_uom_qty': 0}},
            added=[{'product_id': backup.id, 'price_unit': 11.0}, {'product_id': self.installation.id}],
            **self.today).action_confirm()
        self.assertEqual(self._get_lines(renewal), [(self.service, 1.0, 30.0, 0.0), (backup, 1.0, 11.0, 0.0)])
        self.assertEqual(renewal.order_line[1].renewed_line_id.order_id, order)
        order.order_line = [Command.create({'product_id': self.support.id, 'price_unit': 99.0})]
        self.assertEqual(self._get_lines(renewal)[2:], [(self.support, 1.0, 99.0, 0.0)])

    def test_sections_and_notes_of_a_renewal_stay(self):
        order = self._create_billed(
            {'display_type': 'line_section', 'name': "Servers"}, self.service,
            {'display_type': 'line_note', 'name': "In Europe"})
        renewal = self._renew(order)
        order.order_line[1].product_uom_qty = 2
        self.assertEqual(renewal.order_line.mapped('display_type'), ['line_section', False, 'line_note'])
        self.assertEqual(renewal.order_line[1].product_uom_qty, 2.0)

    def test_nobody_sets_by_hand_what_became_of_a_change_or_a_renewal(self):
        order = self._create_billed()
        renewal, amendment = self._renew(order), self._amend(order, {0: {'product_uom_qty': 2}})
        for record, vals in (
                (renewal, {'renewed_terms': False}), (amendment, {'applied_date': '2026-01-01'}),
                (amendment, {'amendment_invoice_id': order.invoice_ids.id}), (amendment, {'agreed_amounts': {}}),
                (order, {'renewal_before_closing_id': renewal.id})):
            with self.subTest(vals=vals), self.assertRaisesRegex(UserError, "can't be set"):
                record.with_user(self.env.user).sudo(False).write(vals)
        with self.assertRaisesRegex(UserError, "can't be set"):
            self.Order.sudo(False).create({'partner_id': self.partner.id, 'amendment_invoice_id': order.invoice_ids.id})

    def test_what_a_renewal_leaves_out_stays_left_out(self):
        order = self._create_billed(self.service, self.support)
        renewal = self._renew(order)
        renewal.order_line[1].unlink()
        self._amend(order, {0: {'product_uom_qty': 2}, 1: {'product_uom_qty': 4}}).action_confirm()
        self.assertEqual(self._get_lines(renewal), [(self.service, 2.0, 30.0, 0.0)])

    def test_an_offered_renewal_follows_another_plan_and_its_prices(self):
        order = self._create_billed(self.service, {'product_id': self.support.id, 'plan_id': self.quarterly.id})
        renewal = self._renew(order)
        renewal.order_line[1].price_unit = 90.0
        self._amend(order, {0: {'price_unit': 300.0}}, plan_id=self.yearly.id, **self.today).action_confirm()
        self.assertEqual(renewal.plan_id, self.yearly)
        self.assertRecordValues(renewal.order_line.sorted('id'), [
            {'product_id': self.support.id, 'plan_id': self.quarterly.id, 'price_unit': 90.0},
            {'product_id': self.service.id, 'plan_id': self.yearly.id, 'price_unit': 300.0},
        ])

    def test_an_offered_renewal_follows_prices_which_were_decided_and_new_taxes(self):
        old, new = self.env['account.tax'].create([{'name': "19%", 'amount': 19.0}, {'name': "20%", 'amount': 20.0}])
        self.service.taxes_id = old
        order = self._create_billed(self.service, {'product_id': self.support.id, 'price_unit': 110.0})
        renewal = self._renew(order)
        self.service.taxes_id = new
        self.env['subscription.price.change'].sudo().create([{
            'order_line_id': line.id, 'state': 'to_apply', 'effective_date': '2026-02-01', 'apply_date': '2026-02-01',
            'old_price_unit': line.price_unit, 'new_price_unit': 2 * line.price_unit} for line in order.order_line])
        renewal.order_line[1].price_unit = 115.0
        with freeze_time('2026-02-01 10:00:00'):
            self._bill('2026-02-01', order)
        self.assertRecordValues(renewal.order_line, [
            {'price_unit': 60.0, 'tax_ids': new.ids},
            {'price_unit': 115.0, 'tax_ids': order.order_line[1].tax_ids.ids},
        ])

    def test_a_renewal_with_a_plan_of_its_own_keeps_it(self):
        order = self._create_billed()
        renewal = self._renew(order)
        renewal.plan_id = self.yearly
        order.order_line.product_uom_qty = 2
        self.assertEqual(renewal.plan_id, self.yearly)
        self.assertEqual(renewal.order_line.product_uom_qty, 2.0)

    def test_a_confirmed_renewal_which_waits_follows_edits_of_the_contract(self):
        order = self._create_billed(self.service, self.support)
        renewal = self._renew(order)
        with freeze_time('2026-01-15 10:00:00'):
            renewal.action_confirm()
            order.order_line[0].product_uom_qty = 4
            order.order_line[1].product_id = self._create_service("Care", 70.0, recurring_invoice=True)
        self.assertEqual([line[1:] for line in self._get_lines(renewal)], [
            (4.0, 30.0, 0.0), (0.0, 120.0, 0.0), (1.0, 70.0, 0.0)])
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
        self.assertEqual(renewal.subscription_state, 'progress')
        self.assertEqual(self._bill('2026-02-01', order | renewal).amount_untaxed, 190.0)
        self._assert_ledgers_hold(order | renewal)

    def test_a_change_agreed_for_the_takeover_reaches_the_renewal(self):
        order = self._create_billed(self.service, self.support)
        waiting = self._amend(order, {0: {'product_uom_qty': 5}}, amendment_timing='next_period')
        waiting.action_confirm()
        renewal = self._renew(order)
        with freeze_time('2026-01-15 10:00:00'):
            renewal.action_confirm()
            swap = self._amend(order, {1: {'product_id': self.service.id}}, amendment_timing='next_period')
            swap.action_confirm()
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
            self.assertTrue(waiting.applied_date and swap.applied_date)
            self.assertEqual(self._bill('2026-02-01').amount_untaxed, 180.0)
        self.assertEqual(order.invoice_ids.mapped('amount_untaxed'), [150.0])
        self.assertRecordValues(order | renewal, [
            {'subscription_state': 'renewed', 'mrr': 0.0}, {'subscription_state': 'progress', 'mrr': 180.0}])
        self._assert_ledgers_hold(order | renewal)

    def test_the_salesperson_of_a_change_which_a_renewal_overtakes_is_asked_to_look_at_it(self):
        order = self._create_billed()
        reached, overtaken = (
            self._amend(order, {0: values}, amendment_timing='date', effective_date=day)
            for values, day in (({'product_uom_qty': 5}, '2026-01-20'), ({'discount': 5}, '2026-03-01')))
        (reached | overtaken).action_confirm()
        self._renew(order).action_confirm()
        self.assertFalse(reached.activity_ids)
        self.assertIn("takes over from", overtaken.activity_ids.note)

    def test_what_joins_a_renewal_in_another_currency_is_converted(self):
        foreign = self.setup_other_currency('EUR', rates=[('2025-01-01', 2.0)])
        pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': foreign.id})
        order = self._create_billed()
        renewal = self._renew(order)
        renewal.pricelist_id = pricelist
        order.order_line = [Command.create({'product_id': self.support.id, 'price_unit': 100.0})]
        self.assertEqual(renewal.order_line[1].price_unit, 200.0)
        order.order_line[1].write({'price_unit': 110.0, 'product_uom_qty': 3})
        self.assertRecordValues(renewal.order_line[1], [{'price_unit': 200.0, 'product_uom_qty': 3.0}])
