from odoo.fields import Command, Date
from odoo.tests import freeze_time

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-31 10:00:00')
class TestTaxes(SaleSubscriptionCommon):
    """Taxes are determined again at each billing unless somebody set them by hand."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.old_tax, cls.new_tax, cls.foreign_tax = cls.env['account.tax'].create([
            {'name': name, 'amount': amount, 'type_tax_use': 'sale'}
            for name, amount in (("19%", 19.0), ("21%", 21.0), ("0% export", 0.0))
        ])
        cls.service.taxes_id = cls.old_tax
        cls.country = cls.env['res.country'].search([('code', '=', 'JP')])
        cls.export = cls.env['account.fiscal.position'].create({
            'name': "Export", 'auto_apply': True, 'country_id': cls.country.id,
        })
        cls.foreign_tax.write({
            'fiscal_position_ids': [Command.link(cls.export.id)], 'original_tax_ids': [Command.link(cls.old_tax.id)],
        })

    def test_a_new_tax_rate_counts_from_the_next_invoice(self):
        order = self._create_order(confirm=True)
        self.assertEqual(self._bill('2026-01-31').amount_tax, 5.7)
        self.service.taxes_id = self.new_tax
        self.assertEqual(self._bill('2026-02-28').amount_tax, 6.3)
        self.assertEqual(order.order_line.tax_ids, self.new_tax)
        self.assertTrue(any("21% instead of 19%" in message.body for message in order.message_ids))
        self.assertEqual(self._bill('2026-03-31').amount_tax, 6.3)
        self.assertEqual(sum("instead of" in message.body for message in order.message_ids), 1, "Said once")

    def test_a_customer_who_moves_gets_the_taxes_of_the_new_place(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-31')
        self.partner.country_id = self.country
        move = self._bill('2026-02-28')
        self.assertEqual((move.fiscal_position_id, move.amount_tax), (self.export, 0.0))
        self.assertEqual(order.fiscal_position_id, self.export)
        self.assertTrue(any("Export" in message.body for message in order.message_ids))

    def test_taxes_set_by_hand_stay(self):
        line = {'product_id': self.service.id, 'tax_ids': [Command.set(self.new_tax.ids)]}
        order = self._create_order(line, confirm=True)
        self.service.taxes_id = self.foreign_tax
        self.assertEqual(self._bill('2026-01-31').amount_tax, 6.3)
        self.assertEqual(order.order_line.tax_ids, self.new_tax)

    def test_a_fiscal_position_set_by_hand_stays(self):
        other = self.env['account.fiscal.position'].create({'name': "Special"})
        order = self._create_order(fiscal_position_id=other.id, confirm=True)
        self.partner.country_id = self.country
        self.assertEqual(self._bill('2026-01-31').fiscal_position_id, other)
        self.assertEqual(order.fiscal_position_id, other)

    def test_taxes_changed_on_a_running_line_stay(self):
        order = self._create_order(confirm=True)
        order.order_line.tax_ids = self.new_tax
        self.assertEqual(self._bill('2026-01-31').amount_tax, 6.3)
        self.assertEqual(order.order_line.tax_ids, self.new_tax)

    def test_a_locked_order_gets_new_taxes_too(self):
        order = self._create_order(confirm=True)
        order.action_lock()
        self.service.taxes_id = self.new_tax
        self.assertEqual(self._bill('2026-01-31').amount_tax, 6.3)

    def test_an_archived_tax_set_by_hand_parks_the_subscription(self):
        line = {'product_id': self.service.id, 'tax_ids': [Command.set(self.new_tax.ids)]}
        order = self._create_order(line, confirm=True)
        other = self._create_order(confirm=True)
        self.new_tax.active = False
        self.assertEqual(self._bill('2026-01-31').invoice_line_ids.sale_line_ids.order_id, other)
        self.assertTrue(order.billing_parked)
        self.assertIn("archived tax 21%", order.billing_error)
        order.order_line.tax_ids = self.old_tax
        order.action_retry_billing()
        self.assertEqual(order.invoice_ids.amount_tax, 5.7)

    def test_a_tax_included_in_the_price_moves_the_mrr(self):
        self.new_tax.price_include_override = 'tax_included'
        order = self._create_order({'product_id': self.service.id, 'price_unit': 121.0}, confirm=True)
        self._bill('2026-01-31')
        self.service.taxes_id = self.new_tax
        self._bill('2026-02-28')
        self.assertEqual(order.mrr, 100.0)
        event = self.Event.search([('order_id', '=', order.id), ('event_type', '=', 'contraction')])
        self.assertRecordValues(event, [{'mrr_change': -21.0, 'event_date': Date.to_date('2026-02-28')}])
        self._assert_ledgers_hold(order)


@freeze_time('2026-01-31 10:00:00')
class TestForecast(SaleSubscriptionCommon):

    def test_the_forecast_equals_the_invoices_which_follow(self):
        tax = self.env['account.tax'].create({'name': "7.7%", 'amount': 7.7, 'type_tax_use': 'sale'})
        (self.service | self.support).taxes_id = tax
        calendar = self._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')
        term = self.env['account.payment.term'].create({'name': "Half and half", 'line_ids': [
            Command.create({'value': 'percent', 'value_amount': 50, 'nb_days': 0}),
            Command.create({'value': 'percent', 'value_amount': 50, 'nb_days': 30}),
        ]})
        order = self._create_order(
            {'product_id': self.service.id, 'product_uom_qty': 3, 'price_unit': 9.99, 'discount': 3.0},
            {'product_id': self.support.id, 'plan_id': self.quarterly.id},
            plan=calendar, start_date='2026-01-25', payment_term_id=term.id, confirm=True)
        forecast = order.get_subscription_forecast(4)
        self.assertEqual(len(forecast), 4)
        for invoice in forecast:
            move = order._bill_subscriptions(invoice['date'])
            self.assertEqual(invoice['amount_untaxed'], move.amount_untaxed)
            self.assertEqual(invoice['amount_tax'], move.amount_tax)
            self.assertEqual(invoice['amount_total'], move.amount_total)
            lines = move.line_ids.filtered(lambda line: line.display_type == 'payment_term')
            self.assertEqual(
                sorted((term['date'], term['amount']) for term in invoice['terms']),
                sorted((line.date_maturity, line.amount_currency) for line in lines))
            self.assertEqual(
                [line['amount'] for line in invoice['lines']], move.invoice_line_ids.mapped('price_subtotal'))

    def test_a_forecast_leaves_no_trace(self):
        order = self._create_order(confirm=True)
        self.env.flush_all()
        before = self._get_counts()
        self.assertEqual(len(order.get_subscription_forecast(12)), 12)
        self.env.flush_all()
        self.assertEqual(self._get_counts(), before)
        self.assertEqual(order.next_invoice_date, Date.to_date('2026-01-31'))

    def test_a_contract_which_ends_has_no_more_invoices(self):
        order = self._create_order(end_date='2026-03-15', confirm=True)
        self.assertEqual([invoice['amount_untaxed'] for invoice in order.get_subscription_forecast(12)], [30.0, 15.48])

    def test_free_periods_are_no_invoices(self):
        free = self._create_plan(
            "First free", 1, 'month', billing_alignment='calendar', first_period='free')
        order = self._create_order(plan=free, start_date='2026-01-25', confirm=True)
        self.assertEqual(
            [str(invoice['date']) for invoice in order.get_subscription_forecast(2)], ['2026-02-01', '2026-03-01'])

    def _get_counts(self):
        return [self.env[model].sudo().search_count([]) for model in (
            'subscription.period', 'account.move', 'account.move.line', 'mail.message', 'subscription.event')]
