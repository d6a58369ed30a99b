from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.test_billing_run import BILLING_CRON, BillingRunCommon


@freeze_time('2026-01-31 10:00:00')
class TestBillingRunPreview(BillingRunCommon):

    def _get_trace(self):
        """Return what the database holds besides billing runs: counts of all tables, contents of the important."""
        self._flush_tracking()
        self.cr.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
                        " AND table_type = 'BASE TABLE' AND table_name NOT LIKE 'subscription_billing_run%'"
                        " AND table_name NOT IN ('mail_message', 'mail_tracking_value', 'mail_followers')")
        trace = {}
        for [table] in self.cr.fetchall():
            self.cr.execute(f'SELECT count(*) FROM "{table}"')
            trace[table] = self.cr.fetchone()
        for table in ('sale_order', 'sale_order_line', 'subscription_period', 'account_move', 'ir_sequence',
                      'ir_sequence_date_range'):
            self.cr.execute(f'SELECT md5(string_agg(t::text, $$|$$ ORDER BY id)) FROM "{table}" t')
            trace[f'{table} contents'] = self.cr.fetchone()
        self.cr.execute("SELECT count(*) FROM mail_message WHERE model != 'subscription.billing.run'")
        trace['messages'] = self.cr.fetchone()
        return trace

    def test_a_preview_leaves_no_trace(self):
        self._create_orders(2)
        self._create_order({'product_id': self.service.id, 'price_unit': 0.0}, confirm=True)
        self._create_order({'product_id': self.service.id, 'price_unit': -1.0}, confirm=True)
        run = self._create_run(preview=False)
        before = self._get_trace()
        run.action_preview()
        self.assertEqual(self._get_trace(), before)
        self.assertEqual(len(run.line_ids), 4)
        self.assertEqual(run.state, 'previewed')

    def _set_up_prices(self):
        """Create taxes, a currency and payment terms which make an invoice hard to compute."""
        self.taxes = self.env['account.tax'].create([
            {'name': "13.33 %", 'amount': 13.33},
            {'name': "7 % inside", 'amount': 7, 'price_include_override': 'tax_included'},
            {'name': "0.10 each", 'amount_type': 'fixed', 'amount': 0.10},
        ])
        euro = self.setup_other_currency('EUR', rates=[('2020-01-01', 0.37)])
        self.euro_pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': euro.id})
        self.discounted_term = self.env['account.payment.term'].create({
            'name': "2 % in 10 days", 'early_discount': True, 'discount_percentage': 2, 'discount_days': 10,
            'early_pay_discount_computation': 'mixed'})
        self.calendar = self._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')

    def _create_varied_orders(self):
        """Create orders whose invoices are computed in every way there is."""
        outside, inside, _fixed = self.taxes

        def line(price, taxes, **values):
            return {'product_id': self.service.id, 'price_unit': price, 'tax_ids': [Command.set(taxes.ids)], **values}

        orders = self._create_order(line(9.99, outside, product_uom_qty=3), line(0.33, outside, discount=15))
        orders |= self._create_order(
            line(49.95, inside), line(7.77, self.taxes), plan=self.calendar, start_date='2026-01-09')
        orders |= self._create_order(line(12.34, outside), start_date='2025-11-30')
        orders |= self._create_order(line(20.05, outside), self.installation)
        orders |= self._create_order(line(33.33, outside | inside), pricelist_id=self.euro_pricelist.id)
        orders |= self._create_order(
            line(19.99, outside, product_uom_qty=7), payment_term_id=self.discounted_term.id)
        orders.action_confirm()
        return orders

    def test_the_previewed_amounts_are_those_of_the_invoices_then_made(self):
        self._set_up_prices()
        names = ['invoice_count', 'amount_untaxed', 'amount_tax', 'amount_total']
        for method in ('round_per_line', 'round_globally'):
            with self.subTest(method=method):
                self.company.tax_calculation_rounding_method = method
                orders = self._create_varied_orders()
                run = self._create_run()
                previewed = {line.order_id: [line[name] for name in names] for line in run.line_ids}
                self._start(run)
                self.assertEqual(set(run.line_ids.mapped('state')), {'billed'}, run.line_ids.mapped('reason'))
                for line in run.line_ids:
                    moves = line.order_id.invoice_ids
                    self.assertEqual(line.invoice_ids, moves.sorted('id'))
                    billed = [len(moves)] + [sum(moves.mapped(name)) for name in names[1:]]
                    for figures in (previewed[line.order_id], [line[name] for name in names]):
                        for figure, expected in zip(figures, billed, strict=True):
                            self.assertAlmostEqual(figure, expected, msg=line.order_id.order_line.mapped('name'))
                self._assert_ledgers_hold(orders)

    def test_a_preview_counts_with_the_taxes_of_the_day(self):
        old, new = self.env['account.tax'].create([{'name': "Old rate", 'amount': 10}, {'name': "New", 'amount': 20}])
        self.service.taxes_id = old
        order = self._create_order(confirm=True)
        self.service.taxes_id = new
        run = self._create_run(preview=False)
        before = self._get_trace()
        run.action_preview()
        self.assertEqual(run.line_ids.amount_tax, 6.0)
        self.assertEqual(order.order_line.tax_ids, old, "Only billing changes them")
        self.assertEqual(self._get_trace(), before)

    def test_a_preview_says_what_is_skipped_and_why(self):
        self.company.subscription_catch_up = 2
        parked = self._create_order({'product_id': self.service.id, 'price_unit': -5.0}, confirm=True)
        failed = self._create_order(confirm=True)
        with self._fail_on(failed):
            self._bill('2026-01-31')
        negative = self._create_order({'product_id': self.service.id, 'price_unit': -7.0}, confirm=True)
        late = self._create_order(start_date='2025-10-01', confirm=True)
        free = self._create_order({'product_id': self.service.id, 'price_unit': 0.0}, confirm=True)
        broken = self._create_order(confirm=True)
        good = self._create_order(confirm=True)
        with self._fail_on(broken):
            run = self._create_run()
        lines = run.line_ids.grouped('order_id')
        self.assertEqual(lines[good].state, 'todo')
        self.assertEqual(set((run.line_ids - lines[good]).mapped('state')), {'skipped'})
        for order, reason in ((parked, "until somebody presses Retry"), (failed, "failed on this day already"),
                              (negative, "total is negative"), (late, "More than 2 missed periods"),
                              (free, "Nothing to bill"), (broken, "on holiday")):
            self.assertIn(reason, lines[order].reason)
        self.assertEqual((run.todo_count, run.skipped_count), (1, 6))
        self.assertFalse((negative | late | broken).filtered('billing_error'), "Only billing records an error")

    def test_started_a_run_records_what_is_wrong_as_any_billing(self):
        negative = self._create_order({'product_id': self.service.id, 'price_unit': -7.0}, confirm=True)
        free = self._create_order({'product_id': self.service.id, 'price_unit': 0.0}, confirm=True)
        run = self._create_run()
        self._start(run)
        lines = run.line_ids.grouped('order_id')
        self.assertEqual((lines[negative].state, lines[free].state), ('error', 'skipped'))
        self.assertTrue(negative.billing_parked)
        self.assertIn("negative", lines[negative].reason)
        self.assertEqual(str(free.next_invoice_date), '2026-02-28')
        self.assertEqual(run.state, 'done')

    def test_a_run_can_be_for_some_plans_customers_or_modes(self):
        monthly = self._create_order(confirm=True)
        yearly = self._create_order(plan=self.yearly, confirm=True)
        paper = self._create_order(partner_id=self.other_partner.id, collection_mode='draft', confirm=True)
        later = self._create_order(start_date='2026-02-01', confirm=True)
        for values, expected in (
            ({}, monthly | yearly | paper),
            ({'plan_ids': self.yearly.ids}, yearly),
            ({'partner_ids': self.other_partner.ids}, paper),
            ({'collection_mode': 'send'}, monthly | yearly),
            ({'date': '2026-02-01'}, monthly | yearly | paper | later),
        ):
            with self.subTest(values=values):
                self.assertEqual(self._create_run(**values).line_ids.order_id, expected)

    def test_another_scope_needs_another_preview(self):
        self._create_orders(1)
        run = self._create_run()
        run.plan_ids = self.yearly
        self.assertEqual(run.state, 'draft')
        self.assertFalse(run.line_ids)
        with self.assertRaisesRegex(UserError, "can't be started"):
            run.action_start()

    def test_a_long_preview_is_left_to_the_crons(self):
        orders = self._create_orders(3)
        before = self._count_triggers()
        with patch.object(const, 'PREVIEW_SECONDS', -1.0):
            run = self._create_run()
        self.assertEqual((run.state, run.pending_count, self._count_triggers() - before), ('draft', 3, 1))
        with self.assertRaisesRegex(UserError, "can't be started"):
            run.action_start()
        with patch.object(const, 'BILLING_BATCH_SIZE', 2):
            self._run_cron(BILLING_CRON)
        self.assertEqual((run.state, run.pending_count), ('previewed', 0))
        self.assertEqual(run.line_ids.order_id, orders)

    def test_what_another_worker_bills_right_now_is_said(self):
        order = self._create_order(confirm=True)
        with patch.object(type(self.Order), '_lock_batch', lambda orders, domain, limit: orders.browse()):
            run = self._create_run()
        self.assertEqual(run.line_ids.order_id, order)
        self.assertIn("being billed right now", run.line_ids.reason)
