from collections import Counter
from datetime import date, timedelta

from odoo.fields import Command
from odoo.tests import tagged

from odoo.addons.account.tests.common import AccountTestInvoicingCommon


@tagged('post_install', '-at_install')
class SaleSubscriptionCommon(AccountTestInvoicingCommon):
    """Plans, products and customers of a company with a chart of accounts; the time is the test's own matter."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # The chatter and the e-mails of the stages are part of what is tested.
        cls.env = cls.env(context={**cls.env.context, 'tz': 'UTC', 'tracking_disable': False, 'mail_notrack': False})
        cls.company = cls.env.company
        cls.company.subscription_tz = 'UTC'
        cls.currency = cls.company.currency_id
        cls.env.user.group_ids += cls.env.ref('sales_team.group_sale_manager')
        cls.Order = cls.env['sale.order']
        cls.Period = cls.env['subscription.period']
        cls.Event = cls.env['subscription.event']

        cls.monthly = cls._create_plan("Every month", 1, 'month')
        cls.quarterly = cls._create_plan("Every quarter", 3, 'month')
        cls.yearly = cls._create_plan("Every year", 1, 'year')
        cls.reason = cls.env['subscription.close.reason'].create({'name': "Moved away"})

        cls.partner = cls.env['res.partner'].create({'name': "Lumber Inc", 'email': 'lumber@example.com'})
        cls.service = cls._create_service("Hosting", 30.0, recurring_invoice=True)
        cls.support = cls._create_service("Support", 120.0, recurring_invoice=True)
        cls.installation = cls._create_service("Installation", 200.0)

    @classmethod
    def _create_plan(cls, name, value, unit, **values):
        return cls.env['subscription.plan'].create({
            'name': name,
            'billing_period_value': value,
            'billing_period_unit': unit,
            'collection_mode': 'send',
            'company_id': False,
            **values,
        })

    @classmethod
    def _create_setup_fee(cls):
        """Let the service be set up for 50.00, and return the product of the fee."""
        setup = cls._create_service("Setting up", 80.0)
        cls.service.write({'setup_product_id': setup.id, 'setup_amount': 50.0})
        return setup

    @classmethod
    def _create_service(cls, name, price, **values):
        return cls.env['product.product'].create({
            'name': name,
            'type': 'service',
            'list_price': price,
            'invoice_policy': 'order',
            'taxes_id': [Command.clear()],
            **values,
        })

    @classmethod
    def _create_order(cls, *lines, plan=None, confirm=False, **values):
        """Create an order; each line is a product, or a dict of line values with one."""
        lines = lines or (cls.service,)
        plan = cls.monthly if plan is None else plan
        order = cls.env['sale.order'].create({
            'partner_id': cls.partner.id,
            **({'plan_id': plan.id} if plan else {}),
            'order_line': [
                Command.create({'product_id': line.id} if not isinstance(line, dict) else line) for line in lines
            ],
            **values,
        })
        if confirm:
            order.action_confirm()
        return order

    def _flush_tracking(self):
        """Post what the end of a transaction would."""
        self.env.flush_all()
        self.cr.flush()

    def _run_cron(self, xmlid):
        """Run a cron of the addon as the server does, commits included."""
        with self.enter_registry_test_mode():
            self.env.ref(f'sale_subscription_ext.{xmlid}').method_direct_trigger()
        self.env.invalidate_all()  # the cron wrote through a cursor of its own

    def _bill(self, day, orders=None):
        """Bill as of a day, given as text: everything due, or the given orders only."""
        return (self.Order if orders is None else orders)._bill_subscriptions(date.fromisoformat(day))

    def _get_ledger(self, orders, *fields):
        """Return the ledger of orders, oldest first, as tuples of texts and numbers."""
        rows = orders.order_line.period_ids.sorted(lambda row: (row.date_start, row.order_line_id.id))
        return [
            tuple(str(row[field]) if field.startswith('date') else row[field] for field in fields)
            for row in rows
        ]

    def _get_billed_amount(self, orders):
        """Return what the ledger of orders comes to: what was billed less what was given back."""
        self.env.flush_all()
        return self.currency.round(sum(self.Period.search([('order_id', 'in', orders.ids)]).mapped('amount')))

    def _get_events(self, orders):
        """Return the movements of orders as tuples, in the order in which they were written."""
        return [
            (event.event_type, str(event.event_date), event.mrr_change)
            for event in self.Event.search([('order_id', 'in', orders.ids)], order='id')
        ]

    def _assert_ledgers_hold(self, orders):
        """Check the invariants which hold for any life of a subscription."""
        self.env.flush_all()
        for order in orders:
            booked = sum(self.Event.search([('order_id', '=', order.id)]).mapped('mrr_change_order'))
            is_quotation = order.state in ('draft', 'sent')
            if order.subscription_state not in ('draft', 'progress', 'closing', 'renewal'):
                self.assertEqual(order.mrr, 0.0, f"{order.name} isn't served and must have no MRR")
            self.assertEqual(
                order.currency_id.compare_amounts(booked, 0.0 if is_quotation else order.mrr), 0,
                f"The movements of {order.name} must sum to its MRR: {booked} for {order.mrr}",
            )
        for line in orders.order_line.filtered('anchor_date'):
            rows = line.period_ids.filtered(lambda row: row.kind == 'regular').sorted('date_start')
            day = line.start_date
            for row in rows.filtered(lambda row: row.date_start != row.date_end):
                self.assertEqual(row.date_start, day, "The ledger must have neither gap nor overlap")
                day = row.date_end
            self.assertEqual(line.next_period_start, day, "The next period must follow the ledger")
            self._assert_paid_once(line)
            for row in line.period_ids.filtered(lambda row: row.state == 'billed'):
                invoice_line = row.invoice_line_id
                self.assertEqual(row.amount, -invoice_line.move_id.direction_sign * invoice_line.price_subtotal)

    def _assert_paid_once(self, line):
        """Check that no day of a line is paid more than once: charges less credits, whatever happened in between."""
        paid = Counter()
        for row in line.period_ids.filtered(lambda row: row.state == 'billed' and not row.is_credited):
            for offset in range((row.date_end - row.date_start).days):
                paid[row.date_start + timedelta(days=offset)] += -1 if row.kind == 'credit' else 1
        wrong = [day for day, times in paid.items() if times not in (0, 1)]
        self.assertFalse(wrong, "A day is paid once, or not at all")
