from collections import defaultdict

from odoo import api, fields, models

from .subscription_preview_mixin import BillingPreview


class SubscriptionBillingRunLine(models.Model):
    """A subscription in a billing run: what would be billed, and what became of it."""

    _name = 'subscription.billing.run.line'
    _description = "Billing Run Line"
    _order = 'id'
    _rec_name = 'order_id'
    _check_company_auto = True

    _once_per_run = models.UniqueIndex('(run_id, order_id)', "A subscription is in a billing run once.")
    _todo_idx = models.Index("(run_id, order_id) WHERE state IN ('pending', 'todo')")
    _billed_idx = models.Index("(company_id, date) WHERE state = 'billed'")

    run_id = fields.Many2one(
        comodel_name='subscription.billing.run', string="Billing Run", required=True, index=True, ondelete='cascade')
    date = fields.Date(related='run_id.date', store=True, precompute=True)
    company_id = fields.Many2one(related='run_id.company_id', store=True, precompute=True)
    order_id = fields.Many2one(
        comodel_name='sale.order', string="Subscription", required=True, index=True, ondelete='cascade',
        check_company=True)
    partner_id = fields.Many2one(related='order_id.partner_id', string="Customer", store=True, precompute=True)
    plan_id = fields.Many2one(related='order_id.plan_id', store=True, precompute=True)
    currency_id = fields.Many2one(related='order_id.currency_id', store=True, precompute=True)
    state = fields.Selection(
        selection=[
            ('pending', "Computing"),
            ('todo', "To Bill"),
            ('billed', "Billed"),
            ('skipped', "Skipped"),
            ('error', "Error"),
        ],
        string="Status",
        required=True,
        default='pending',
    )
    reason = fields.Text(help="Why nothing is or was billed, or why an invoice wasn't sent.")
    invoice_count = fields.Integer(
        string="Invoices", aggregator=None,
        help="On how many invoices it is or will be. Subscriptions whose plans consolidate share them.")
    own_invoice_count = fields.Integer(
        string="Invoices Made",
        help="As Invoices, but an invoice of several subscriptions counts for the first of them only.")
    amount_untaxed = fields.Monetary(string="Untaxed", aggregator='sum')
    amount_tax = fields.Monetary(string="Taxes", aggregator='sum')
    amount_total = fields.Monetary(string="Total", aggregator='sum')
    invoice_ids = fields.Many2many(
        comodel_name='account.move', string="Invoice Numbers", compute='_compute_invoice_ids')

    # === COMPUTE METHODS === #

    @api.depends('state', 'run_id.invoice_ids')
    def _compute_invoice_ids(self):
        # Whoever reads the run may not see each invoice line; the invoices themselves are shown by their rules.
        invoice_lines = self.env['account.move.line'].sudo().search([
            ('move_id.subscription_billing_run_id', 'in', self.run_id.ids),
            ('sale_line_ids.order_id', 'in', self.order_id.ids),
        ])
        invoices = defaultdict(self.env['account.move'].browse)
        for invoice_line in invoice_lines:
            for order in invoice_line.sale_line_ids.order_id:
                invoices[order.id, invoice_line.move_id.subscription_billing_run_id.id] |= invoice_line.move_id
        for line in self:
            moves = invoices[line.order_id.id, line.run_id.id].with_env(self.env)
            line.invoice_ids = moves._filtered_access('read').sorted('id')

    # === ACTION METHODS === #

    def action_view_order(self):
        """Open the subscription.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        return self.order_id._get_records_action(name=self.env._("Subscription"))

    def action_view_invoices(self):
        """Open the invoices which the run made for the subscription.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        return self.order_id.action_view_invoice(invoices=self.invoice_ids)

    # === BUSINESS METHODS === #

    def _get_lines_of_groups(self):
        """Return the lines which are to be computed together with these: their subscriptions may share an invoice.

        :rtype: subscription.billing.run.line
        """
        orders = self.order_id.filtered(lambda order: order.plan_id.consolidate)
        return self.search([
            ('run_id', 'in', self.run_id.ids), ('state', '=', 'pending'),
            ('order_id.plan_id.consolidate', '=', True),
            ('order_id.partner_invoice_id', 'in', orders.partner_invoice_id.ids),
        ]) if orders else self.browse()

    def _preview(self):
        """Compute what billing would make of these lines' subscriptions; nothing is written but the lines."""
        previews = {}
        for run, lines in self.grouped('run_id').items():
            blocked = lines.order_id.filtered(lambda order, day=run.date: order.billing_parked or (
                order.billing_error_date and order.billing_error_date >= day))
            previews |= {order.id: BillingPreview(reason=order._get_blocked_reason()) for order in blocked}
            previews |= (lines.order_id - blocked)._preview_billing(run.date)
        busy = BillingPreview(reason=self.env._("It is being billed right now."))
        for line in self:
            preview = previews.get(line.order_id.id, busy)
            line.write({**preview._asdict(), 'state': 'todo' if preview.invoice_count else 'skipped'})

    def _set_skipped(self, reason):
        """Record that nothing was billed.

        :param str reason: why
        """
        self.write({**BillingPreview(reason=reason)._asdict(), 'state': 'skipped'})
