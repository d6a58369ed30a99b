from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.test_billing_run import BILLING_CRON, BillingRunCommon


@freeze_time('2026-01-31 10:00:00')
class TestConsolidation(BillingRunCommon):
    """One invoice for all due subscriptions of an invoice address, where their plans ask for it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.monthly.consolidate = True

    def _get_lines(self, move):
        """Return the first line of each text on an invoice, with its type."""
        return [(line.display_type, line.name.split('\n')[0]) for line in move.invoice_line_ids.sorted('sequence')]

    def test_three_subscriptions_share_one_invoice(self):
        orders = self._create_orders(3)
        move = self._bill('2026-01-31')
        self.assertEqual((len(move), move.state, move.amount_untaxed), (1, 'posted', 90.0))
        self.assertEqual(self._get_lines(move), [
            line for order in orders for line in (
                ('line_section', f"Subscription {order.name}"), ('product', "Hosting"))])
        self.assertEqual(move.invoice_origin, ', '.join(orders.mapped('name')))
        self.assertEqual(orders.mapped('invoice_ids'), move)
        self.assertEqual({str(order.next_invoice_date) for order in orders}, {'2026-02-28'})
        self.assertEqual(self._get_ledger(orders, 'state', 'amount', 'invoice_id'), [('billed', 30.0, move)] * 3)
        self._assert_ledgers_hold(orders)

    def test_plans_which_do_not_consolidate_keep_their_own_invoices(self):
        self._create_orders(2)
        self._create_order(plan=self.quarterly, confirm=True)
        self._create_order(plan=self.quarterly, confirm=True)
        self.assertEqual(sorted(self._bill('2026-01-31').mapped('amount_untaxed')), [30.0, 30.0, 60.0])

    def test_missed_periods_stand_below_their_subscription_oldest_first(self):
        late = self._create_order(
            self.service, start_date='2025-11-30', client_order_ref="PO 7", confirm=True)
        other = self._create_order(
            {'display_type': 'line_section', 'name': "Each month"}, self.support, confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(self._get_lines(move), [
            ('line_section', f"Subscription {late.name}, your reference PO 7"),
            ('product', "Hosting"), ('product', "Hosting"), ('product', "Hosting"),
            ('line_section', f"Subscription {other.name}"),
            ('line_subsection', "Each month"), ('product', "Support"),
        ])
        lines = move.invoice_line_ids.filtered(lambda line: line.product_id == self.service).sorted('sequence')
        self.assertEqual(
            [str(day) for day in lines.mapped('service_start_date')], ['2025-11-30', '2025-12-30', '2026-01-30'])
        self.assertEqual(move.ref, f"PO 7, {other.name}")
        self._assert_ledgers_hold(late | other)

    def test_missed_periods_of_one_subscription_share_its_invoice_without_a_section(self):
        self._create_order(start_date='2025-11-30', confirm=True)
        move = self._bill('2026-01-31')
        self.assertEqual(self._get_lines(move), [('product', "Hosting")] * 3)

    def test_what_differs_in_its_key_has_its_own_invoice(self):
        euro = self.setup_other_currency('EUR', rates=[('2020-01-01', 0.5)])
        pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': euro.id})
        term = self.env['account.payment.term'].create({'name': "In a year"})
        journal = self.company_data['default_journal_sale'].copy()
        for name, values in {
            'fiscal position': {'fiscal_position_id': self.env['account.fiscal.position'].create({'name': "X"}).id},
            'payment terms': {'payment_term_id': term.id},
            'currency': {'pricelist_id': pricelist.id},
            'collection mode': {'collection_mode': 'draft'},
            'journal': {'journal_id': journal.id},
            'invoice address': {'partner_invoice_id': self.other_partner.id},
            'delivery address': {'partner_shipping_id': self.other_partner.id},
        }.items():
            with self.subTest(name):
                self._create_orders(2)
                different = self._create_order(**values)
                different.action_confirm()
                moves = self._bill('2026-01-31')
                self.assertEqual(len(moves), 2)
                self.assertEqual(len(different.invoice_ids.invoice_line_ids), 1)

    def test_the_invoice_address_decides_the_language(self):
        self.env['res.lang']._activate_lang('fr_FR')
        invoice_address = self.env['res.partner'].create({
            'name': "Compta", 'type': 'invoice', 'parent_id': self.partner.id, 'lang': 'fr_FR'})
        self.service.with_context(lang='fr_FR').name = "Hébergement"
        orders = self._create_order() | self._create_order()
        orders.partner_invoice_id = invoice_address
        orders.action_confirm()
        move = self._bill('2026-01-31')
        self.assertEqual(move.partner_id, invoice_address)
        self.assertIn('31/01/2026', move.invoice_line_ids[-1].name)

    def test_what_the_orders_agree_in_is_carried_and_the_rest_listed(self):
        user = self.env.user.copy({'login': 'other_salesman'})
        orders = self._create_order(client_order_ref="PO 1", reference="RF1") | self._create_order(
            client_order_ref="PO 1", reference="RF2", user_id=user.id)
        orders.action_confirm()
        move = self._bill('2026-01-31')
        self.assertRecordValues(move, [{
            'ref': "PO 1", 'invoice_user_id': orders[0].user_id.id, 'team_id': orders[0].team_id.id,
        }])
        self.assertEqual(move.invoice_origin, f"{orders[0].name}, {orders[1].name}")
        self.assertNotIn(move.payment_reference, ("RF1", "RF2"))

    def test_it_is_mailed_once(self):
        self._create_orders(3)
        move = self._bill('2026-01-31')
        self.assertTrue(move.is_being_sent)
        self._flush_tracking()
        mails = self.env['mail.mail'].search_count([])
        with self.enter_registry_test_mode():
            self.env.ref('account.ir_cron_account_move_send').method_direct_trigger()
        self.env.invalidate_all()
        self.assertTrue(move.is_move_sent)
        self.assertEqual(self.env['mail.mail'].search_count([]) - mails, 1)

    def test_a_bad_subscription_is_left_out_of_its_group(self):
        first, bad, last = self._create_orders(3)
        other = self._create_order(partner_id=self.other_partner.id, confirm=True)
        with self._fail_on(bad):
            self._run_cron(BILLING_CRON)
        self.assertEqual(bad.billing_error, "The journal is on holiday.")
        self.assertFalse(bad.invoice_ids)
        self.assertEqual((first | last).invoice_ids.amount_untaxed, 60.0)
        self.assertEqual(len((first | last).invoice_ids), 1)
        self.assertEqual(len(other.invoice_ids), 1)
        states = {line.order_id: line.state for line in self.Run.search([]).line_ids}
        self.assertEqual(states, {first: 'billed', bad: 'error', last: 'billed', other: 'billed'})
        self._assert_ledgers_hold(first | bad | last)
        with self._fail_on(first):
            bad.action_retry_billing()
        self.assertEqual(bad.invoice_ids.amount_untaxed, 30.0)

    def test_a_bad_leader_does_not_keep_its_group(self):
        leader, second, third = self._create_orders(3)
        with self._fail_on(leader):
            self._run_cron(BILLING_CRON)
        self.assertTrue(leader.billing_error)
        self.assertEqual((second | third).invoice_ids.amount_untaxed, 60.0)

    def test_what_fails_together_only_is_taken_apart(self):
        orders = self._create_orders(2)
        create_invoices = type(self.Order)._create_account_invoices

        def fail_on_many_lines(records, vals_list, final):
            if any(len(vals['invoice_line_ids']) > 1 for vals in vals_list):
                raise UserError(records.env._("One line is enough."))
            return create_invoices(records, vals_list, final)

        with patch.object(type(self.Order), '_create_account_invoices', fail_on_many_lines):
            self._run_cron(BILLING_CRON)
        self.assertFalse(orders.filtered('billing_error'))
        self.assertEqual(len(orders.invoice_ids), 2)

    def test_a_group_is_never_cut_by_the_size_of_a_batch(self):
        self._create_order(partner_id=self.other_partner.id, confirm=True)
        group = self._create_orders(5)
        late = self._create_order(partner_id=self.other_partner.id, confirm=True)
        with patch.object(const, 'BILLING_BATCH_SIZE', 2):
            self._run_cron(BILLING_CRON)
        self.assertEqual(len(group.invoice_ids), 1)
        self.assertEqual(late.invoice_ids.amount_untaxed, 60.0)
        self.assertEqual(self.env['account.move'].search_count(
            [('subscription_billing_run_id', 'in', self.Run.search([]).ids)]), 2)

    def test_a_failing_group_billed_by_hand_is_tried_once(self):
        orders = self._create_orders(3)
        with patch.object(const, 'BILLING_BATCH_SIZE', 1), self._fail_on(orders[1]):
            orders.action_bill_now()
        self.assertEqual(orders.mapped('billing_failure_count'), [0, 1, 0])
        self.assertEqual(len(orders.invoice_ids), 1)

    def test_preview_and_report_count_a_shared_invoice_once(self):
        tax = self.env['account.tax'].create({'name': "7.77 %", 'amount': 7.77})
        self.company.tax_calculation_rounding_method = 'round_globally'
        self.service.taxes_id = tax
        self.service.list_price = 9.99
        self._create_orders(3)
        with patch.object(const, 'BILLING_BATCH_SIZE', 2):
            run = self._create_run()
        names = ['invoice_count', 'own_invoice_count', 'amount_untaxed', 'amount_tax', 'amount_total']
        previewed = [[line[name] for name in names] for line in run.line_ids]
        self.assertEqual([figures[:2] for figures in previewed], [[1, 1], [1, 0], [1, 0]])
        self._start(run)
        move = run.invoice_ids
        self.assertEqual(len(move), 1)
        for figures in (previewed, [[line[name] for name in names] for line in run.line_ids]):
            self.assertAlmostEqual(sum(figure[4] for figure in figures), move.amount_total)
            self.assertAlmostEqual(sum(figure[3] for figure in figures), move.amount_tax)
        self.assertEqual(run.line_ids.mapped('invoice_ids'), move)

    def test_a_preview_leaves_the_bad_one_out_of_its_group(self):
        orders = self._create_orders(3)
        with self._fail_on(orders[0]):
            run = self._create_run()
        self.assertEqual(run.line_ids.mapped('state'), ['skipped', 'todo', 'todo'])
        self.assertEqual(run.line_ids.mapped('own_invoice_count'), [0, 1, 0])

    def test_a_run_for_a_plan_consolidates_within_it(self):
        self.quarterly.consolidate = True
        monthly = self._create_orders(2)
        quarterly = self._create_order(plan=self.quarterly, confirm=True)
        run = self._create_run(plan_ids=self.quarterly.ids)
        self._start(run)
        self.assertEqual(quarterly.invoice_ids.amount_untaxed, 30.0)
        self.assertEqual(monthly.invoice_ids.mapped('amount_untaxed'), [60.0], "By automatic billing")

    def test_an_invoice_for_each_order_can_be_asked_for(self):
        orders = self._create_orders(2)
        self.assertEqual(len(orders._create_invoices(grouped=True)), 2)
        orders = self._create_orders(2)
        self.assertEqual(len(orders._create_invoices()), 1)

    def test_one_credited_subscription_of_an_invoice_is_billed_again_alone(self):
        orders = self._create_orders(2)
        move = self._bill('2026-01-31')
        refund = move._reverse_moves([{'invoice_date': '2026-01-31'}])
        (refund.invoice_line_ids.filtered(
            lambda line: line.sale_line_ids.order_id == orders[1] or not line.product_id)).unlink()
        refund.action_post()
        rows = orders.subscription_period_ids
        self.assertEqual([row.is_credited for row in (rows & orders[0].subscription_period_ids,
                                                      rows & orders[1].subscription_period_ids)], [True, False])
        orders[0].subscription_period_ids.action_bill_again()
        again = self._bill('2026-01-31')
        self.assertEqual((again.amount_untaxed, again.invoice_origin), (30.0, orders[0].name))
        self._assert_ledgers_hold(orders)

    def test_a_deleted_draft_makes_all_its_subscriptions_due_again(self):
        self.monthly.collection_mode = 'draft'
        orders = self._create_orders(2)
        self._bill('2026-01-31').unlink()
        self.assertEqual({str(order.next_invoice_date) for order in orders}, {'2026-01-31'})
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 60.0)
        self._assert_ledgers_hold(orders)

    def test_one_off_lines_join_the_shared_invoice(self):
        self._create_order(self.service, self.installation, confirm=True)
        self._create_order(confirm=True)
        self.assertEqual(self._bill('2026-01-31').amount_untaxed, 260.0)

    def test_companies_never_share_an_invoice(self):
        other = self.setup_other_company(name="Far East")['company']
        other.subscription_tz = 'UTC'
        self._create_orders(2)
        there = self._create_orders_of(other, 2)
        self._run_cron(BILLING_CRON)
        self.assertEqual((len(there.invoice_ids), there.invoice_ids.company_id), (1, other))
        self.assertEqual(len(self.env['account.move'].search([('partner_id', '=', self.partner.id)])), 2)
