from odoo import api, fields, models

from .subscription_change_mixin import CHANGE_FIELDS


class SaleOrderLine(models.Model):
    _name = 'sale.order.line'
    _inherit = [
        'sale.order.line',
        'subscription.schedule.mixin',
        'subscription.change.mixin',
        'subscription.line.metrics.mixin',
    ]

    # Recurrence
    is_recurring = fields.Boolean(
        string="Recurring",
        compute='_compute_is_recurring',
        store=True, readonly=False, precompute=True,
        help="Billed again each period. A recurring product which may be sold once can be switched off here.",
    )
    # Twin of `plan_id`, as `technical_price_unit` is of `price_unit`: while both are equal the line follows
    # the plan of its order.
    inherited_plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        compute='_compute_plan_id',
        store=True, readonly=False, precompute=True, copy=False,
    )
    plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        compute='_compute_plan_id',
        store=True, readonly=False, precompute=True,
        index='btree_not_null',
        check_company=True,
        help="How often this line is billed, where it differs from the plan of the order.",
    )
    mrr = fields.Monetary(
        string="MRR",
        compute='_compute_mrr',
        store=True,
        help="What the line is worth in a month, net of discounts and taxes.",
    )

    # Service, set by the start of the subscription and by the billing run
    anchor_date = fields.Date(
        string="Billing Day", copy=False, readonly=True, help="The date which the periods are counted from.")
    start_date = fields.Date(string="Served From", copy=False, readonly=True)
    end_date = fields.Date(string="Served Until", copy=False, readonly=True)
    next_period_start = fields.Date(
        string="First Unbilled Day", copy=False, readonly=True)
    period_ids = fields.One2many(
        comodel_name='subscription.period', inverse_name='order_line_id', string="Billing Periods")

    # === COMPUTE METHODS === #

    @api.depends('product_id')
    def _compute_is_recurring(self):
        for line in self:
            line.is_recurring = line.product_id.recurring_invoice and not line.display_type

    @api.depends('is_recurring', 'order_id.plan_id')
    def _compute_plan_id(self):
        for line in self:
            order_plan = line.order_id.plan_id
            has_own_plan = line.plan_id and line.plan_id != line.inherited_plan_id
            if not line.is_recurring:
                line.plan_id = False
            elif not has_own_plan:
                line.plan_id = order_plan
            line.inherited_plan_id = order_plan

    @api.depends('price_subtotal', 'plan_id', 'is_recurring', 'end_date', 'order_id.subscription_state')
    def _compute_mrr(self):
        for line in self:
            if not line.is_recurring or not line.plan_id or line.end_date or not line.order_id._is_mrr_counted():
                line.mrr = 0.0
                continue
            amount = line.plan_id._get_monthly_amount(line.price_subtotal, line.company_id or self.env.company)
            line.mrr = line.currency_id.round(amount) if line.currency_id else amount

    # === COMPUTE METHODS - OVERRIDES OF THE HOST === #

    @api.depends('plan_id')
    def _compute_pricelist_item_id(self):
        """Override of `sale` to find the rule of the line's plan."""
        return super()._compute_pricelist_item_id()

    @api.depends('plan_id')
    def _compute_price_unit(self):
        """Override of `sale` to price by plan, and to keep the prices of running contracts."""
        return super(SaleOrderLine, self._filter_repriceable())._compute_price_unit()

    @api.depends('plan_id')
    def _compute_discount(self):
        """Override of `sale` to keep the discounts of running contracts."""
        return super(SaleOrderLine, self._filter_repriceable())._compute_discount()

    def _compute_tax_ids(self):
        """Override of `sale` to keep the taxes of running contracts."""
        return super(SaleOrderLine, self._filter_repriceable())._compute_tax_ids()

    @api.depends('is_recurring', 'next_period_start', 'end_date', 'order_id.subscription_state', 'period_ids.state')
    def _compute_qty_to_invoice(self):
        """Override of `sale`: on a recurring line, what is due and not billed."""
        recurring = self.filtered('is_recurring')
        open_rows = recurring._get_open_rows()
        for line in recurring:
            line.qty_to_invoice = line._get_due_quantity(open_rows.get(line, ())) if line._is_running() else 0.0
        return super(SaleOrderLine, self - recurring)._compute_qty_to_invoice()

    @api.depends('is_recurring')
    def _compute_invoice_status(self):
        """Override of `sale`: a recurring line is to invoice when something is due, never to upsell."""
        recurring = self.filtered(lambda line: line.is_recurring and line.state == 'sale')
        for line in recurring:
            line.invoice_status = 'to invoice' if line.qty_to_invoice else 'invoiced'
        return super(SaleOrderLine, self - recurring)._compute_invoice_status()

    @api.depends('is_recurring', 'qty_to_invoice')
    def _compute_untaxed_amount_to_invoice(self):
        """Override of `sale`: on a recurring line, the amount which is due and not billed."""
        recurring = self.filtered('is_recurring')
        for line in recurring:
            line.untaxed_amount_to_invoice = line.price_reduce_taxexcl * line.qty_to_invoice
        return super(SaleOrderLine, self - recurring)._compute_untaxed_amount_to_invoice()

    @api.depends('is_recurring', 'qty_to_invoice')
    def _compute_amount_to_invoice(self):
        """Override of `sale`: on a recurring line, the amount which is due and not billed."""
        recurring = self.filtered('is_recurring')
        for line in recurring:
            line.amount_to_invoice = line.price_reduce_taxinc * line.qty_to_invoice
        return super(SaleOrderLine, self - recurring)._compute_amount_to_invoice()

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `sale` to let lines added to a running contract be served and billed."""
        lines = super().create(vals_list)
        lines.filtered(
            lambda line: line._is_running() and not line.anchor_date)._get_served_lines()._join_contract()
        return lines

    def write(self, vals):
        """Override of `sale` to turn direct edits of a running contract into changes from its first unbilled
        day on.
        """
        if not CHANGE_FIELDS & vals.keys():
            return super().write(vals)
        running = self.filtered(lambda line: line._is_running() and not line.end_date)
        swapped = running._filter_swapped(vals)
        if swapped:
            swapped._swap(vals)
        changed = running - swapped
        terms = changed._get_terms()
        result = super(SaleOrderLine, self - swapped).write(vals)
        changed._record_direct_change(terms)
        return result

    # === BUSINESS METHODS === #

    def _get_pricelist_kwargs(self):
        """Override of `sale` to find the prices of the line's plan."""
        return {**super()._get_pricelist_kwargs(), 'plan': self.plan_id}

    def _prepare_base_line_for_taxes_computation(self, **kwargs):
        """Override of `sale` to compute amounts of a part of the order's lines only.

        The context key `sale_subscription_ext_plan_only` holds the id of a plan, or False for the one-off part:
        down payments and global discounts are computed from the lines of that part.
        """
        if self.env.context.get('sale_subscription_ext_plan_only', self.plan_id.id) != self.plan_id.id:
            kwargs['quantity'] = 0.0
        return super()._prepare_base_line_for_taxes_computation(**kwargs)

    # === TOOLING === #

    def _filter_repriceable(self):
        """Return the lines whose price, discount and taxes the host may determine.

        :rtype: sale.order.line
        """
        return self.filtered(lambda line: not (line._origin.anchor_date and line._is_running()))

    def _get_open_rows(self):
        """Return the ledger rows which were asked for and aren't billed: their draft was deleted or cancelled.

        :return: {order line: rows}
        :rtype: dict
        """
        # Salespeople may not see each row, but what is due must be right for them too.
        rows = self.env['subscription.period'].sudo().search(
            [('order_line_id', 'in', self._origin.ids), ('state', '=', 'open')], order='date_start, id')
        return {line.sudo(self.env.su): line_rows for line, line_rows in rows.grouped('order_line_id').items()}

    def _get_due_quantity(self, open_rows):
        """Return the quantity of all periods which are due today.

        :param open_rows: see `_get_open_rows`
        :rtype: float
        """
        self.ensure_one()
        due = self._get_due_periods(self.order_id._subscription_today(), open_rows)
        if due and self._is_billed_by_delivery():
            return self._get_period_quantity(self.qty_invoiced)
        return sum(period.row.quantity if period.row else self.product_uom_qty for period in due)
