from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import float_compare


class SubscriptionPriceMixin(models.AbstractModel):
    """Prices of a running subscription which change on a day to come."""

    _name = 'subscription.price.mixin'
    _description = "Subscription Prices"

    price_change_ids = fields.One2many(
        comodel_name='subscription.price.change', inverse_name='order_id', string="Price Changes", copy=False)
    indexation_line_ids = fields.One2many(
        comodel_name='subscription.indexation.line', inverse_name='order_id', string="Indexations", copy=False)
    coming_price_text = fields.Char(compute='_compute_coming_price_text')

    # === COMPUTE METHODS === #

    @api.depends('price_change_ids.state', 'price_change_ids.effective_date', 'price_change_ids.new_price_unit')
    @api.depends_context('lang')
    def _compute_coming_price_text(self):
        for order in self:
            # Who sees the subscription sees what becomes of its prices.
            coming = order.sudo().price_change_ids.filtered(lambda change: change.state in ('to_announce', 'to_apply'))
            order.coming_price_text = '; '.join(change._get_text() for change in coming.sorted('effective_date'))

    # === ACTION METHODS === #

    def action_update_subscription_prices(self):
        """Compare the prices of a running subscription with those of its pricelist now, to accept them line by line.

        :return: a window action
        :rtype: dict
        :raise UserError: when the subscription isn't running
        """
        action = self._get_dialog('sale_subscription_ext.subscription_price_update_action', self.env._("changed"))
        action['context']['dialog_size'] = 'extra-large'  # up to eleven columns
        return action

    def action_index_prices(self):
        """Make an indexation of these subscriptions, to be previewed.

        :return: a window action
        :rtype: dict
        :raise UserError: when they belong to several companies
        """
        if len(self.company_id) > 1:
            raise UserError(self.env._("Choose subscriptions of one company: each company indexes its own."))
        return {
            'type': 'ir.actions.act_window',
            'res_model': 'subscription.indexation',
            'views': [(False, 'form')],
            'context': {
                'default_selection': 'list',
                'default_order_ids': self.ids,
                'default_company_id': self.company_id.id,
            },
        }

    def action_cancel_price_changes(self):
        """Call off what would change prices of these subscriptions on a day to come.

        :raise AccessError: for changes of an indexation, which are the administrators' of Sales
        """
        self.check_access('write')
        changes = self.env['subscription.price.change'].sudo().search([
            ('order_id', 'in', self.ids), ('state', 'in', ('to_announce', 'to_apply'))])
        if changes.indexation_line_id:
            changes.indexation_line_id.sudo(False).action_cancel()
        # Nobody has the right to write price changes; that on the subscription was checked.
        changes.filtered(lambda change: not change.indexation_line_id)._cancel()

    # === BUSINESS METHODS === #

    def _apply_due_prices(self, date=None):
        """Apply what changes the prices of these subscriptions by now, before it is billed.

        :param datetime.date date: the as-of date, each company's today if not given
        """
        # The right on the subscriptions was checked; price changes are the engine's.
        changes = self.env['subscription.price.change'].sudo().search([
            ('order_id', 'in', self.ids), ('state', '=', 'to_apply')])
        changes.filtered(
            lambda change: change.apply_date <= (date or change.order_id._subscription_today()))._apply()
        self.order_line.sudo().mapped('price_change_ids')  # each period looks for what is decided for its line

    @api.model
    def _get_price_change_due_domain(self):
        """Return the domain of the subscriptions with prices which change by now.

        :rtype: Domain
        """
        return self._get_dated_domain(lambda today: Domain(
            'price_change_ids', 'any', [('state', '=', 'to_apply'), ('apply_date', '<=', today)]))

    @api.model
    def _get_announcement_due_domain(self):
        """Return the domain of the subscriptions whose indexation is to be announced by now.

        :rtype: Domain
        """
        return self._get_dated_domain(lambda today: Domain(
            'indexation_line_ids', 'any', [('state', '=', 'to_announce'), ('announce_date', '<=', today)]))

    def _get_announced_indexation(self):
        """Return the indexation which waits on this subscription, for the e-mail which announces it.

        :rtype: subscription.indexation.line
        """
        self.ensure_one()
        return self.indexation_line_ids.filtered(lambda line: line.state in ('to_announce', 'to_apply'))[:1]


    def _get_withdrawn_indexation(self):
        """Return the newest indexation which was announced and called off, for the e-mail which says so.

        :rtype: subscription.indexation.line
        """
        self.ensure_one()
        return self.indexation_line_ids.filtered(
            lambda line: line.state == 'cancel' and line.announce_time).sorted('announce_time')[-1:]


class SubscriptionLinePriceMixin(models.AbstractModel):
    """Prices of a running line: what the pricelist says now, and what they become."""

    _name = 'subscription.line.price.mixin'
    _description = "Subscription Line Prices"

    price_change_ids = fields.One2many(
        comodel_name='subscription.price.change', inverse_name='order_line_id', string="Price Changes", copy=False)
    is_price_fixed = fields.Boolean(
        string="Fixed Price", help="Indexations leave the price of this line alone.")

    # === BUSINESS METHODS === #

    def _prepare_period(self, start, end, **optional_values):
        """Override to let a period cost what is decided for it."""
        vals = super()._prepare_period(start, end, **optional_values)
        # Whatever the user may see of them.
        coming = self.sudo().price_change_ids.filtered(
            lambda change: change.state == 'to_apply' and change.effective_date <= start)
        if coming:
            vals |= {
                'price_unit': coming[0].new_price_unit, 'discount': coming[0].new_discount, **optional_values}
        return vals

    def _prepare_mrr_movement(self, event_type, event_date, change, company_change):
        """Override to tell movements of prices from those of quantities."""
        vals = super()._prepare_mrr_movement(event_type, event_date, change, company_change)
        vals['is_price_change'] = bool(self.env.context.get('sale_subscription_ext_price_change'))
        return vals

    def _get_price_change_day(self, day):
        """Return when another price can take effect: the first period of the line on or after a day which isn't in
        the ledger yet.

        :param datetime.date day: the earliest day
        :return: None when the line is served no more by then
        :rtype: datetime.date|None
        """
        self.ensure_one()
        day = max(day, self.next_period_start)
        period = self.plan_id._get_natural_period(self.anchor_date, day)
        day = day if period.start == day else period.end
        ends = (self.order_id._get_last_day(self), self._get_agreed_end())
        last_day = min((end for end in ends if end), default=None)
        return None if last_day and day > last_day else day

    def _is_price_change_void(self, day):
        """Return whether the line will have ended by the day on which another price takes effect; a pause isn't an
        end.

        :param datetime.date day: the first day at the new price
        :rtype: bool
        """
        self.ensure_one()
        renewal_date = self.order_id.renewal_date
        ends = (
            self.end_date, self.order_id.end_date, self._get_agreed_end(),
            renewal_date and fields.Date.subtract(renewal_date, days=1))
        return any(end and end < day for end in ends)

    def _get_agreed_end(self):
        """Return the last day on which the line is served before an agreed change ends it.

        :return: None where no change which is confirmed for a day to come ends it
        :rtype: datetime.date|None
        """
        self.ensure_one()
        for amendment in self.order_id._get_agreed_amendments():
            ending = any(
                change.parent == self and change.kind in ('remove', 'swap')
                for change in amendment.order_line._get_line_changes())
            if ending and not amendment._get_amendment_conflicts():
                return fields.Date.subtract(amendment.effective_date, days=1)
        return None

    def _get_price_apply_day(self, day):
        """Return on which day a price which takes effect on `day` has to be on the line: when that period may be
        billed.

        :param datetime.date day: the first day of the new price
        :rtype: datetime.date
        """
        self.ensure_one()
        if self._is_billed_in_arrears():
            return day
        return fields.Date.subtract(day, days=self.plan_id.invoice_lead_days)

    # === BUSINESS METHODS - AMOUNTS === #

    def _get_subtotals_at(self, terms):
        """Return what a period of each line costs at other terms, untaxed.

        :param dict terms: {line: (unit price, discount)}
        :rtype: dict
        """
        result = {}
        for company, lines in self.grouped('company_id').items():
            base_lines = [
                line._prepare_base_line_for_taxes_computation(price_unit=terms[line][0], discount=terms[line][1])
                for line in lines
            ]
            self.env['account.tax']._add_tax_details_in_base_lines(base_lines, company)
            for line, base_line in zip(lines, base_lines, strict=True):
                result[line] = line.currency_id.round(base_line['tax_details']['raw_total_excluded_currency'])
        return result

    def _get_month_value(self, amount):
        """Return what an amount per period of the line is worth in a month.

        :rtype: float
        """
        self.ensure_one()
        return self.currency_id.round(self.plan_id._get_monthly_amount(amount, self.company_id))

    def _get_price_now(self):
        """Return what the pricelist of the order would ask for each line now.

        :return: {line: (unit price, discount)}
        :rtype: dict
        """
        result = {}
        now = fields.Datetime.now()
        has_discounts = self.env['product.pricelist.item']._is_discount_feature_enabled()
        for line in self:
            company_line = line.with_company(line.company_id)
            kwargs = {**company_line._get_pricelist_kwargs(), 'date': now}
            product = company_line.product_id.with_context(**company_line._get_product_price_context())
            rule = self.env['product.pricelist.item'].browse(
                company_line.order_id.pricelist_id._get_product_rule(company_line.product_id, **kwargs))
            price = net_price = rule._compute_price(product=product, **kwargs)
            discount = 0.0
            if rule._show_discount():
                price = max(rule._compute_price_before_discount(product=product, **kwargs), net_price)
                if has_discounts and price > 0:
                    discount = (price - net_price) / price * 100
            price = product._get_tax_included_unit_price_from_price(
                price,
                product_taxes=product.taxes_id._filter_taxes_by_company(line.company_id),
                fiscal_position=line.order_id.fiscal_position_id,
            )
            result[line] = (price, discount)
        return result

    def _is_price_listed(self):
        """Return whether the price of the line is one of a pricelist: a product's, not a discount's or combo's.

        :rtype: bool
        """
        self.ensure_one()
        return not (
            self._is_global_discount() or self.product_type == 'combo' or self.combo_item_id or self.price_unit < 0)

    def _prepare_price_update(self, price_unit, discount):
        """Prepare the comparison of the line with another price.

        :param float price_unit: what the pricelist asks for now
        :param float discount: the discount which it shows
        :rtype: dict
        """
        self.ensure_one()
        price_digits = self.env['decimal.precision'].precision_get('Product Price')
        is_manual = bool(
            float_compare(self.price_unit, self.technical_price_unit, precision_digits=price_digits)
            or float_compare(self.discount, discount, precision_digits=2))
        is_different = bool(
            float_compare(self.price_unit, price_unit, precision_digits=price_digits)
            or float_compare(self.discount, discount, precision_digits=2))
        subtotal = self._get_subtotals_at({self: (price_unit, discount)})[self]
        # Billed ahead: from the first unbilled day. In arrears, what is being served keeps its price.
        day = self.next_period_start
        if self._is_billed_in_arrears():
            day = self._get_price_change_day(max(day, self.order_id._subscription_today())) or day
        return {
            'price_unit': self.price_unit,
            'discount': self.discount,
            'new_price_unit': price_unit,
            'new_discount': discount,
            'difference': subtotal - self.price_subtotal,
            'mrr_change': self._get_month_value(subtotal) - self.mrr,
            'effective_date': day,
            'is_different': is_different,
            'is_manual': is_manual,
        }
