from odoo.exceptions import UserError
from odoo.fields import Command, Date
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


class TestAmountCases(SaleSubscriptionCommon):
    """Worked amounts of other products which fit our rules, played through confirmation, billing and change, with a
    tax of 20 %. `docs/cases.md` says which case is where, and which don't fit.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tax, cls.included_tax = cls.env['account.tax'].create([
            {'name': name, 'amount': 20.0, 'type_tax_use': 'sale', 'price_include_override': included}
            for name, included in (("20%", 'tax_excluded'), ("20% included", 'tax_included'))
        ])
        cls.service.taxes_id = cls.tax
        (cls.monthly | cls.yearly).write({'downgrade_policy': 'credit'})
        cls.calendar = cls._create_plan("First of the month", 1, 'month', billing_alignment='calendar')
        cls.arrears = cls._create_plan("At the end", 1, 'month', bill_in='arrears', downgrade_policy='period_end')

    def _start(self, price, day, plan=None, **values):
        """Confirm a contract over one line on its first day."""
        with freeze_time(f'{day} 10:00:00'):
            return self._create_order(
                {'product_id': self.service.id, 'price_unit': price}, plan=plan or self.monthly, start_date=day,
                confirm=True, **values)

    def _bill_on(self, day, order):
        with freeze_time(f'{day} 10:00:00'):
            return self._bill(day, order)

    def _change_on(self, day, order, **values):
        """Change the line of a contract, and return the invoice or credit note of the change."""
        with freeze_time(f'{day} 10:00:00'):
            amendment = self.Order.browse(order.action_change()['res_id'])
            terms = {name: values.pop(name) for name in ('product_uom_qty', 'price_unit') if name in values}
            amendment.write(values)
            amendment.order_line.write(terms)
            amendment.action_confirm()
            return amendment.amendment_invoice_id

    def _close_on(self, day, order):
        """Let a contract end with a day, and return the credit note of what is paid beyond."""
        with freeze_time(f'{day} 10:00:00'):
            order._plan_closing(self.reason, money='credit')
        return order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund')

    def _assert_amounts(self, move, lines, untaxed, total):
        """Check the signed amounts of the lines of a posted document, and its totals."""
        self.assertEqual(len(move), 1)
        amounts = [-move.direction_sign * line.price_subtotal for line in move.invoice_line_ids]
        self.assertEqual(sorted(map(self.currency.round, amounts)), sorted(lines))
        self.assertRecordValues(move, [{'state': 'posted', 'amount_untaxed': untaxed, 'amount_total': total}])

    # === FIRST PERIODS === #

    def test_d35_a_trial_and_another_billing_day_bill_the_days_between(self):
        plan = self._create_plan(
            "On the 15th", 1, 'month', billing_alignment='month_day', billing_month_day=15,
            trial_value=1, trial_unit='month', trial_end='invoice')
        order = self._start(249.95, '2016-04-01', plan)
        self.assertFalse(self._bill_on('2016-04-15', order))
        with freeze_time('2016-05-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
            self._assert_amounts(self._bill('2016-05-01', order), [116.64], 116.64, 139.97)  # 14/30
        self._assert_amounts(self._bill_on('2016-05-15', order), [249.95], 249.95, 299.94)
        self.assertEqual(order.next_invoice_date, Date.to_date('2016-06-15'))
        self._assert_ledgers_hold(order)

    def test_d54_missed_periods_are_billed_up_to_the_date(self):
        for day, count, charged_through in (
                ('2012-04-30', 0, '2012-05-01'), ('2012-05-01', 1, '2012-06-01'), ('2012-05-31', 1, '2012-06-01'),
                ('2012-06-01', 2, '2012-07-01'), ('2012-06-30', 2, '2012-07-01')):
            with self.subTest(day=day):
                order = self._start(30.0, '2012-05-01')
                moves = self._bill_on(day, order)
                self.assertEqual(moves.mapped('amount_total'), [36.0] * count)
                self.assertEqual(order.order_line.next_period_start, Date.to_date(charged_through))

    def test_d55_d64_a_start_within_the_month_bills_the_rest_of_it(self):
        for price, day, untaxed, total in (
                (100.0, '2025-02-08', 75.0, 90.0),  # D55: 21/28
                (50.0, '2025-01-08', 38.71, 46.45)):  # D64: 24/31
            with self.subTest(day=day):
                order = self._start(price, day, self.calendar)
                self._assert_amounts(self._bill_on(day, order), [untaxed], untaxed, total)

    # === CHANGES === #

    def test_d39_an_upgrade_gives_the_old_price_back_and_charges_the_new_one(self):
        order = self._start(249.95, '2016-05-01')
        self._bill_on('2016-05-01', order)
        move = self._change_on('2016-05-05', order, price_unit=599.95)
        self._assert_amounts(move, [-217.70, 522.54], 304.84, 365.81)  # 27/31
        self._assert_amounts(self._bill_on('2016-06-01', order), [599.95], 599.95, 719.94)
        self._assert_ledgers_hold(order)

    def test_d38_paid_days_keep_their_billing_day(self):
        order = self._start(249.95, '2016-05-01')
        self._bill_on('2016-05-01', order)
        self._change_on('2016-05-05', order, price_unit=599.95)
        with freeze_time('2016-05-05 10:00:00'):
            wizard = self.env['subscription.change.day'].create({
                'order_ids': [Command.set(order.ids)], 'billing_date': '2016-05-10'})
            with self.assertRaisesRegex(UserError, "06/01/2016"):
                wizard.action_apply()
            wizard.billing_date = '2016-06-10'
            wizard.action_apply()
        self._assert_amounts(self._bill_on('2016-06-01', order), [174.18], 174.18, 209.02)  # 9/31: 10 May – 10 June
        self._assert_amounts(self._bill_on('2016-06-10', order), [599.95], 599.95, 719.94)
        self._assert_ledgers_hold(order)

    def test_d43_a_yearly_price_is_counted_from_the_same_billing_day(self):
        order = self._start(249.95, '2016-07-01')
        self._bill_on('2016-07-01', order)
        with freeze_time('2016-07-23 10:00:00'):
            amendment = self.Order.browse(order.action_change()['res_id'])
            amendment.plan_id = self.yearly
            amendment.order_line.price_unit = 2999.40
            amendment.action_confirm()
        # 9/31 of the month are given back, 343 of 365 days of the year charged, to 1 July.
        self._assert_amounts(amendment.amendment_invoice_id, [-72.57, 2818.61], 2746.04, 3295.25)
        self.assertEqual(order.next_invoice_date, Date.to_date('2017-07-01'))
        self._assert_ledgers_hold(order)

    def test_d48_another_quantity_with_the_next_period(self):
        order = self._start(29.95, '2026-01-01')
        order.order_line.product_uom_qty = 7
        self._assert_amounts(self._bill_on('2026-01-01', order), [209.65], 209.65, 251.58)
        self.assertFalse(self._change_on('2026-01-10', order, product_uom_qty=10, amendment_timing='next_period'))
        self._assert_amounts(self._bill_on('2026-02-01', order), [299.5], 299.5, 359.4)

    def test_d49_a_free_contract_costs_something_from_its_change_on(self):
        order = self._start(0.0, '2017-02-01')
        self.assertFalse(self._bill_on('2017-02-01', order))
        move = self._change_on('2017-02-15', order, price_unit=29.95)
        self._assert_amounts(move, [14.98], 14.98, 17.98)  # 14/28
        self._assert_ledgers_hold(order)

    def test_d50_what_accountants_gave_back_is_not_given_back_again(self):
        order = self._start(249.95, '2016-05-01')
        refund = self._bill_on('2016-05-01', order)._reverse_moves()
        refund.write({'invoice_date': '2016-05-01', 'invoice_line_ids': [
            Command.update(refund.invoice_line_ids.id, {'price_unit': 10.0})]})
        refund.action_post()
        move = self._change_on('2016-05-02', order, price_unit=9.95)
        self._assert_amounts(move, [-239.95, 9.63], 230.32, 276.38)
        self.assertEqual(move.move_type, 'out_refund')

    def test_d65_a_downgrade_leaves_the_month_before_it_whole(self):
        order = self._start(100.0, '2025-05-01', self.arrears)
        self.assertFalse(self._change_on('2025-05-20', order, price_unit=40.0))
        self._assert_amounts(self._bill_on('2025-06-01', order), [100.0], 100.0, 120.0)
        self._assert_amounts(self._bill_on('2025-07-01', order), [40.0], 40.0, 48.0)
        self._assert_ledgers_hold(order)

    # === PAUSE AND END === #

    def test_d47_arrears_are_billed_without_the_days_of_a_pause(self):
        order = self._start(100.0, '2020-01-01', self.arrears)
        with freeze_time('2020-01-15 10:00:00'):
            order._pause_subscriptions()
            self._assert_amounts(self._bill('2020-01-15', order), [45.16], 45.16, 54.19)  # 14/31
        with freeze_time('2020-01-20 10:00:00'):
            order._resume_subscriptions()
        self._assert_amounts(self._bill_on('2020-02-01', order), [38.71], 38.71, 46.45)  # 12/31
        self._assert_ledgers_hold(order)

    def test_d56_d63_an_end_within_the_month_gives_the_rest_of_it_back(self):
        for price, start, end, untaxed, total in (
                (100.0, '2025-02-08', '2025-02-21', 25.0, 30.0),  # D56: 7/28
                (50.0, '2025-02-01', '2025-02-25', 5.36, 6.43)):  # D63, without its minimum: 3/28
            with self.subTest(end=end):
                order = self._start(price, start, self.calendar)
                self._bill_on(start, order)
                self._assert_amounts(self._close_on(end, order), [-untaxed], untaxed, total)
                self._assert_ledgers_hold(order)

    # === CREDIT OF THE CONTRACT === #

    def test_d52_d53_a_credit_pays_the_oldest_invoice_first(self):
        self.service.taxes_id = self.included_tax
        for credit, left_of_credit, left_to_pay in ((1000.0, 500.10, 0.0), (300.0, 0.0, 199.90)):
            with self.subTest(credit=credit):
                order = self._start(249.95, '2016-05-01')
                first = self._bill_on('2016-05-01', order)
                refund = self.env['account.move'].create({
                    'move_type': 'out_refund', 'partner_id': self.partner.id, 'invoice_date': '2016-05-20',
                    'invoice_line_ids': [Command.create({
                        'name': "Goodwill", 'price_unit': credit, 'tax_ids': [Command.set(self.included_tax.ids)],
                        'sale_line_ids': [Command.link(order.order_line.id)],
                    })],
                })
                refund.action_post()
                second = self._bill_on('2016-06-01', order)
                self.assertEqual(second.amount_total, 249.95)
                self.assertEqual(
                    (refund | first | second).mapped('amount_residual'), [left_of_credit, 0.0, left_to_pay])
