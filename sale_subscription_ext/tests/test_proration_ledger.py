from datetime import date, timedelta
from itertools import pairwise

import psycopg2
from hypothesis import given, settings
from hypothesis import strategies as st

from odoo.fields import Command, Date
from odoo.tests import freeze_time
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon
from odoo.addons.sale_subscription_ext.tests.strategies import thorough


@freeze_time('2026-01-01 10:00:00')
class TestProrationLedger(SaleSubscriptionCommon):
    """What days cost which were billed already, and what they cost at other terms."""

    def _create_billed(self, *lines, until='2026-01-01', **values):
        order = self._create_order(*lines, start_date=values.pop('start_date', '2026-01-01'), confirm=True, **values)
        self._bill(until, order)
        return order

    def _write_rows(self, vals_list):
        return self.Period.sudo().create(vals_list)  # as the engine does

    def _credit(self, order, start, end):
        """Write the credits of all lines, and return them."""
        return self._write_rows(order.order_line._prepare_credit_periods(
            Date.to_date(start), Date.to_date(end)))

    def _change(self, order, start, end, *terms):
        """Write credits and charges of the first line, and invoice them."""
        line = order.order_line[0]
        days = (Date.to_date(start), Date.to_date(end))
        rows = self._write_rows(line._prepare_credit_periods(*days) + line._prepare_charge_periods(*days, *terms))
        return order._invoice_change_rows(rows, days[0])

    def test_worked_changes(self):
        for start, change, price, new_price, credit, charge in (
            ('2016-05-01', '2016-05-05', 249.95, 599.95, -217.70, 522.54),
            ('2016-05-01', '2016-05-02', 249.95, 9.95, -241.89, 9.63),
            ('2017-01-15', '2017-02-01', 10.0, 20.0, -4.52, 9.03),
        ):
            with self.subTest(start=start, change=change):
                order = self._create_billed({'product_id': self.service.id, 'price_unit': price}, start_date=start,
                                            until=start)
                move = self._change(order, change, order.order_line.next_period_start, 1.0, new_price, 0.0)
                self.assertEqual(move.invoice_line_ids.mapped('price_subtotal'), (
                    [credit, charge] if move.move_type == 'out_invoice' else [-credit, -charge]))
                rows = order.order_line.period_ids.filtered(lambda row: row.kind != 'regular')
                self.assertEqual(rows.sorted('kind').mapped('amount'), [credit, charge])
                self.assertEqual(set(rows.mapped('state')), {'billed'})
                self._assert_ledgers_hold(order)

    def test_a_free_plan_gives_nothing_back(self):
        order = self._create_billed(
            {'product_id': self.service.id, 'price_unit': 0.0}, start_date='2017-02-01', until='2017-02-01')
        self.assertFalse(self._credit(order, '2017-02-15', '2017-03-01'))

    def test_a_free_line_is_charged_from_its_change_on_and_once(self):
        # A worked case: a free plan becomes one over 29.95 in mid-February.
        free = {'product_id': self.service.id, 'price_unit': 0.0}
        for lines in ((free,), (free, self.support)):
            with self.subTest(lines=len(lines)):
                order = self._create_billed(*lines, start_date='2017-02-01', until='2017-02-01')
                days = date(2017, 2, 15), date(2017, 3, 1)
                move = self._change(order, *days, 1.0, 29.95, 0.0)
                self.assertEqual(move.amount_untaxed, 14.98)
                charges = order.order_line[0]._prepare_charge_periods(*days, 2.0, 29.95, 0.0)
                self.assertEqual([row['amount'] for row in charges], [29.95], "The days were charged once already")
                self.assertEqual(order.order_line[0]._prepare_credit_periods(*days)[0]['amount'], -14.98)

    def test_more_than_is_charged_makes_a_posted_credit_note(self):
        tax = self.company_data['default_tax_sale']
        order = self._create_billed({'product_id': self.service.id, 'tax_ids': [Command.set(tax.ids)]})
        refund = self._change(order, '2026-01-17', '2026-02-01', 1.0, 10.0, 0.0)
        self.assertRecordValues(refund, [{
            'move_type': 'out_refund', 'state': 'posted', 'amount_untaxed': 9.68,
            'amount_total': 9.68 + self.currency.round(9.68 * tax.amount / 100)}])
        ledger = self._get_ledger(order, 'kind', 'date_start', 'date_end', 'amount')
        self.assertCountEqual(ledger, [
            ('regular', '2026-01-01', '2026-02-01', 30.0), ('credit', '2026-01-17', '2026-02-01', -14.52),
            ('proration', '2026-01-17', '2026-02-01', 4.84)])
        self.assertIn("Credit for 01/17/2026 – 01/31/2026", refund.invoice_line_ids[0].name)
        self._assert_ledgers_hold(order)

    def test_a_second_change_gives_back_what_the_first_one_charged(self):
        order = self._create_billed()
        self._change(order, '2026-01-11', '2026-02-01', 2.0, 30.0, 0.0)
        credits = self._credit(order, '2026-01-21', '2026-02-01')
        self.assertEqual(credits.credited_period_id.kind, 'proration')
        self.assertEqual(credits.amount, -self.currency.round(60.0 * 11 / 31))

    def test_all_days_give_back_what_an_edited_draft_billed(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3})
        order.invoice_ids.invoice_line_ids.write({'price_unit': 11.11, 'quantity': 1})
        self.assertEqual(self._credit(order, '2026-01-01', '2026-02-01').amount, -11.11)

    def test_half_of_an_edited_draft_gives_half_of_it_back(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_billed()
        order.invoice_ids.invoice_line_ids.price_unit = 31.0
        self.assertEqual(self._credit(order, '2026-01-11', '2026-02-01').amount, -21.0)

    def test_credit_notes_of_accountants_are_not_given_back_again(self):
        # A worked case: an invoice over 249.95 with an adjustment of -10.00, changed on the second day.
        order = self._create_billed(
            {'product_id': self.service.id, 'price_unit': 249.95}, start_date='2016-05-01', until='2016-05-01')
        wizard = self.env['account.move.reversal'].with_context(
            active_model='account.move', active_ids=order.invoice_ids.ids,
        ).create({'journal_id': order.invoice_ids.journal_id.id})
        wizard.reverse_moves()
        wizard.new_move_ids.invoice_line_ids.price_unit = 10.0
        wizard.new_move_ids.action_post()
        self.assertEqual(self._credit(order, '2016-05-02', '2016-06-01').amount, -239.95)

    def test_a_wholly_credited_period_gives_nothing_back(self):
        order = self._create_billed()
        wizard = self.env['account.move.reversal'].with_context(
            active_model='account.move', active_ids=order.invoice_ids.ids,
        ).create({'journal_id': order.invoice_ids.journal_id.id})
        wizard.reverse_moves()
        wizard.new_move_ids.action_post()
        self.assertFalse(self._credit(order, '2026-01-02', '2026-02-01'))

    def test_taxes_which_were_billed_are_given_back(self):
        included = self.env['account.tax'].create({
            'name': "20% included", 'amount': 20.0, 'price_include_override': 'tax_included'})
        order = self._create_billed({'product_id': self.service.id, 'tax_ids': [Command.set(included.ids)]})
        order.order_line.with_context(sale_subscription_ext_changing=True).tax_ids = False
        move = self._change(order, '2026-01-17', '2026-02-01', 1.0, 30.0, 0.0)
        credit, charge = move.invoice_line_ids
        self.assertRecordValues(credit | charge, [
            {'price_subtotal': -12.10, 'price_total': -14.52, 'tax_ids': included.ids},
            {'price_subtotal': 14.52, 'price_total': 14.52, 'tax_ids': []},
        ])
        self.assertEqual(sorted(self._get_ledger(order, 'amount')), [(-12.10,), (14.52,), (25.0,)])

    def test_periods_left_out_are_neither_given_back_nor_charged(self):
        order = self._create_order(start_date='2026-01-01', next_invoice_date='2026-02-01', confirm=True)
        days = date(2026, 1, 10), date(2026, 2, 1)
        self.assertEqual(order.order_line._prepare_credit_periods(*days), [])
        self.assertEqual(order.order_line._prepare_charge_periods(*days, 2.0, 30.0, 0.0), [])

    def test_a_first_period_billed_in_full_is_shared_out_among_its_days(self):
        calendar = self._create_plan(
            "Calendar", 1, 'month', billing_alignment='calendar', first_period='full')
        order = self._create_billed(plan=calendar, start_date='2026-01-22', until='2026-01-22')
        move = self._change(order, '2026-01-27', '2026-02-01', 1.0, 60.0, 0.0)
        self.assertEqual(move.invoice_line_ids.mapped('price_subtotal'), [-15.0, 30.0])

    def test_another_billing_day_does_not_change_what_was_billed(self):
        order = self._create_billed(start_date='2026-01-15', until='2026-01-15')
        order._change_billing_day(date(2026, 3, 1))
        days = date(2026, 2, 1), date(2026, 2, 15)
        self.assertEqual(order.order_line._prepare_credit_periods(*days)[0]['amount'], -13.55)  # 14/31
        self.assertEqual(order.order_line._prepare_charge_periods(*days, 1.0, 30.0, 0.0)[0]['amount'], 13.55)

    def test_a_deleted_draft_of_a_change_is_billed_again(self):
        self.monthly.collection_mode = 'draft'
        order = self._create_billed()
        self._change(order, '2026-01-17', '2026-02-01', 1.0, 60.0, 0.0).unlink()
        self.assertEqual(order.next_invoice_date, date(2026, 1, 17))
        self.assertEqual(self._bill('2026-01-17', order).amount_untaxed, 14.51)  # 29.03 - 14.52
        self._assert_ledgers_hold(order)

    def test_the_database_gives_no_day_back_twice(self):
        order = self._create_billed()
        vals_list = order.order_line._prepare_credit_periods(date(2026, 1, 11), date(2026, 2, 1))
        self._write_rows(vals_list)
        self.assertEqual(order.order_line._prepare_credit_periods(date(2026, 1, 11), date(2026, 2, 1)), [])
        with mute_logger('odoo.sql_db'), self.assertRaises(psycopg2.errors.ExclusionViolation):
            self._write_rows({**vals_list[0], 'date_start': '2026-01-31'})

    def test_the_database_charges_no_change_twice(self):
        order, amendment = self._create_billed(), self._create_order()
        days = date(2026, 1, 11), date(2026, 2, 1)
        vals_list = order.order_line._prepare_charge_periods(*days, 2.0, 30.0, 0.0, amendment_id=amendment.id)
        self._write_rows(vals_list)
        with mute_logger('odoo.sql_db'), self.assertRaises(psycopg2.errors.UniqueViolation):
            self._write_rows(vals_list)

    def test_equal_days_cancel_and_all_days_give_everything_back(self):
        calendar = self._create_plan("Calendar", 1, 'month', billing_alignment='calendar')
        order = self._create_billed(
            {'product_id': self.service.id, 'price_unit': 29.95, 'product_uom_qty': 7, 'discount': 12.5},
            plan=calendar, start_date='2026-01-12', until='2026-03-01')
        line = order.order_line
        billed = sum(line.period_ids.mapped('amount'))
        first, end = line.start_date, line.next_period_start
        days = st.integers(0, (end - first).days).map(lambda day: first + timedelta(days=day))

        @settings(thorough, max_examples=min(thorough.max_examples, 60))
        @given(cuts=st.lists(days, max_size=3), keep=st.booleans())
        def check(cuts, keep):
            cuts = sorted({first, end, *cuts})
            savepoint = self.cr.savepoint()
            spans = list(pairwise(cuts))
            given_back = 0.0
            for start, stop in spans if keep else reversed(spans):
                credits = line._prepare_credit_periods(start, stop)
                charges = line._prepare_charge_periods(start, stop, 7.0, 29.95, 12.5)
                self.assertEqual([(row['date_start'], row['date_end']) for row in credits],
                                 [(row['date_start'], row['date_end']) for row in charges])
                if len(spans) <= 2 and not given_back:
                    self.assertAlmostEqual(sum(row['amount'] for row in credits + charges), 0.0, places=6)
                self._write_rows(credits)
                given_back -= sum(row['amount'] for row in credits)
            self.assertAlmostEqual(given_back, billed, places=6)
            savepoint.close(rollback=True)

        check()
