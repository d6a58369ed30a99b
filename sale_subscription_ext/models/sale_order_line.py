from odoo import api, fields, models
from odoo.exceptions import UserError

from .. import const
from .subscription_change_mixin import CHANGE_FIELDS, ENGINE_LINE_FIELDS, SWAP_FIELDS


class SaleOrderLine(models.Model):
    _name = 'sale.order.line'
    _inherit = [
        'sale.order.line',
        'subscription.line.price.mixin',
        'subscription.schedule.mixin',
        'subscription.line.start.mixin',
        'subscription.line.proration.mixin',
        'subscription.change.mixin',
        'subscription.line.amendment.mixin',
        'subscription.line.amendment.preview.mixin',
        'subscription.line.amendment.story.mixin',
        'subscription.setup.mixin',
        'subscription.line.renewal.mixin',
        'subscription.line.renewal.quotation.mixin',
        'subscription.line.tax.mixin',
        'subscription.line.forecast.mixin',
        'subscription.line.first.invoice.mixin',
        'subscription.line.metrics.mixin',
        'subscription.line.document.mixin',
        'subscription.line.option.mixin',
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
        ondelete='restrict',
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
    determined_tax_ids = fields.Many2many(
        comodel_name='account.tax', relation='subscription_line_determined_tax_rel',
        column1='order_line_id', column2='tax_id', copy=False, context={'active_test': False},
        help="What was last determined: while the taxes equal it, they are determined again at each billing.")
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
            elif not has_own_plan and not line.anchor_date:
                # What is served was signed for with its plan.
                line.plan_id = order_plan
            line.inherited_plan_id = order_plan

    @api.depends(
        'price_subtotal', 'plan_id', 'is_recurring', 'end_date',
        'order_id.subscription_state', 'order_id.state_before_closing', 'order_id.state',
    )
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
        lines = self._filter_repriceable().filtered(lambda line: not line._keeps_terms_of_contract())
        # The contract's price isn't one which somebody set for another product or plan.
        swapped = lines.filtered(lambda line: line._has_price_of_contract())
        super(SaleOrderLine, swapped.with_context(force_price_recomputation=True))._compute_price_unit()
        return super(SaleOrderLine, lines - swapped)._compute_price_unit()

    @api.depends('plan_id')
    def _compute_discount(self):
        """Override of `sale` to keep the discounts of running contracts."""
        lines = self._filter_repriceable().filtered(
            lambda line: not line._keeps_terms_of_contract(frozenset({'product_id'})))
        return super(SaleOrderLine, lines)._compute_discount()

    def _compute_tax_ids(self):
        """Override of `sale` to keep the taxes of running contracts."""
        lines = self._filter_repriceable().filtered(
            lambda line: not line._keeps_terms_of_contract(frozenset({'product_id'})))
        return super(SaleOrderLine, lines)._compute_tax_ids()

    @api.depends('is_recurring', 'next_period_start', 'end_date', 'order_id.subscription_state', 'period_ids.state')
    def _compute_qty_to_invoice(self):
        """Override of `sale`: on a recurring line, what is due and not billed; nothing on amendments."""
        amendment = self.filtered('order_id.amendment_type')
        amendment.qty_to_invoice = 0.0
        self -= amendment
        recurring = self.filtered('is_recurring')
        open_rows = recurring._get_open_rows()
        today = {company: company._get_subscription_today() for company in recurring.company_id}
        for line in recurring:
            line.qty_to_invoice = line._get_due_quantity(
                today.get(line.company_id), open_rows.get(line, ()))
        return super(SaleOrderLine, self - recurring)._compute_qty_to_invoice()

    @api.depends('is_recurring')
    def _compute_invoice_status(self):
        """Override of `sale`: a recurring line is to invoice when something is due, never to upsell."""
        amendment = self.filtered('order_id.amendment_type')
        amendment.invoice_status = 'no'
        self -= amendment
        recurring = self.filtered(lambda line: line.is_recurring and line.state == 'sale')
        for line in recurring:
            line.invoice_status = 'to invoice' if line.qty_to_invoice else 'invoiced'
        return super(SaleOrderLine, self - recurring)._compute_invoice_status()

    @api.depends('is_recurring', 'qty_to_invoice')
    def _compute_untaxed_amount_to_invoice(self):
        """Override of `sale`: on a recurring line, the amount which is due and not billed; nothing on amendments."""
        recurring = self.filtered(lambda line: line.is_recurring or line.order_id.amendment_type)
        for line in recurring:
            line.untaxed_amount_to_invoice = line.price_reduce_taxexcl * line.qty_to_invoice
        return super(SaleOrderLine, self - recurring)._compute_untaxed_amount_to_invoice()

    @api.depends('is_recurring', 'qty_to_invoice')
    def _compute_amount_to_invoice(self):
        """Override of `sale`: on a recurring line, the amount which is due and not billed; nothing on amendments."""
        recurring = self.filtered(lambda line: line.is_recurring or line.order_id.amendment_type)
        for line in recurring:
            line.amount_to_invoice = line.price_reduce_taxinc * line.qty_to_invoice
        return super(SaleOrderLine, self - recurring)._compute_amount_to_invoice()

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `sale` to let lines added to a running contract be served and billed."""
        lines = super().create(vals_list)
        lines._add_setup_lines()
        recurring = lines.filtered(
            lambda line: line.is_recurring and line.state == 'sale' and not line.anchor_date
            and line.order_id.subscription_state != 'renewal')
        if not recurring or self.env.context.get('sale_subscription_ext_starting'):
            return lines
        joining = recurring.filtered(lambda line: line._is_running())
        (recurring - joining)._check_added()
        joining.order_id._check_not_paused()
        joining._get_served_lines()._join_contract()
        for order, order_lines in joining.grouped('order_id').items():
            order._record_mrr_movements(event_date={line: line._get_change_date() for line in order_lines})
            order._update_open_quotations()
        return lines

    def write(self, vals):
        """Override of `sale` to turn direct edits of a running contract into changes from its first unbilled
        day on.
        """
        if not self.env.su and ENGINE_LINE_FIELDS & vals.keys() and any(self.mapped('anchor_date')):
            raise UserError(self.env._(
                "The dates of a running subscription follow from its billing and can't be set."))
        if not CHANGE_FIELDS & vals.keys() or self.env.context.get('sale_subscription_ext_changing'):
            return super().write(vals)
        unserved = self._get_unserved(vals)
        changing = self.filtered(
            lambda line: line.order_id.subscription_state not in (False, 'draft')
            and line._is_changed_by(vals, CHANGE_FIELDS))
        changing._check_direct_change(vals)
        changing = changing.filtered(lambda line: line.order_id.subscription_state in const.CONTRACT_STATES)
        served = changing.filtered('is_recurring')
        served._close_served_part()
        swapped = served.filtered(lambda line: line._is_swapped_by(vals))
        if swapped:
            swapped._swap(vals)
        terms = (served - swapped)._get_terms()
        other = (served - swapped).filtered(lambda line: line._is_changed_by(vals, SWAP_FIELDS))
        result = super(SaleOrderLine, self - swapped).write(vals)
        other._determine_again()
        (changing - swapped).filtered('is_recurring')._record_direct_change(terms)
        (self - swapped)._update_setup_lines(unserved - swapped)
        return result

    @api.ondelete(at_uninstall=False)
    def _unlink_except_in_ledger(self):
        # Whatever the user may see of them: the ledgers keep their lines.
        if self.sudo().period_ids or self.env['subscription.event'].sudo().search_count(
                [('order_line_id', 'in', self.ids)], limit=1):
            raise UserError(self.env._(
                "This line was part of a running subscription, whose history is kept. Set its quantity to 0 instead of"
                " deleting it."
            ))

    def _check_added(self):
        """Refuse recurring lines on orders which were confirmed without being a contract, or are closed.

        :raise UserError: saying what to do instead
        """
        once = self.filtered(lambda line: line.product_id.sell_once and not line.order_id.subscription_state)
        once.is_recurring = False
        if refused := self - once:
            raise UserError(self.env._(
                "%(product)s is a recurring product and order %(order)s isn't a running subscription. Make a new"
                " quotation with a recurring plan instead.",
                product=refused[0].product_id.display_name, order=refused[0].order_id.name,
            ))

    # === BUSINESS METHODS === #

    def _get_pricelist_kwargs(self):
        """Override of `sale` to find the prices of the line's plan."""
        return {**super()._get_pricelist_kwargs(), 'plan': self.plan_id}

    def _get_protected_fields(self):
        """Override of `sale` to let the billing run determine the taxes of locked orders."""
        if self.env.context.get('sale_subscription_ext_changing'):
            return []
        return super()._get_protected_fields()

    def _update_line_quantity(self, values):
        """Override of `sale` to leave the story of running lines to `_record_direct_change`."""
        return super(SaleOrderLine, self.filtered(lambda line: not line._is_running()))._update_line_quantity(values)

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

        The context key `sale_subscription_ext_determining` asks for these lines, running as they are.

        :rtype: sale.order.line
        """
        if self.env.context.get('sale_subscription_ext_determining'):
            return self
        return self.filtered(lambda line: not line._origin.anchor_date)

    def _get_open_rows(self):
        """Return the ledger rows which were asked for and aren't billed: their draft was deleted or cancelled.

        :return: {order line: rows}
        :rtype: dict
        """
        # Salespeople may not see each row, but what is due must be right for them too.
        rows = self.env['subscription.period'].sudo().search(
            [('order_line_id', 'in', self._origin.ids), ('state', '=', 'open')], order='date_start, id')
        return {line.sudo(self.env.su): line_rows for line, line_rows in rows.grouped('order_line_id').items()}

    def _get_due_quantity(self, day, open_rows):
        """Return the quantity of all periods which are due on a day.

        :param datetime.date day: today, where the company is
        :param open_rows: see `_get_open_rows`
        :rtype: float
        """
        self.ensure_one()
        is_contract = self.order_id.subscription_state not in (False, 'draft')
        due = self._get_due_periods(day, open_rows) if is_contract else []
        if due and self._is_billed_by_delivery():
            rows = self.env['subscription.period'].union(*(period.row for period in due))
            unbilled = self._get_period_quantity(self._get_ledger_quantities()[self]) if len(rows) < len(due) else 0.0
            return unbilled + sum(rows.mapped('quantity'))
        return sum(period.row._get_signed_quantity() if period.row else self.product_uom_qty for period in due)
