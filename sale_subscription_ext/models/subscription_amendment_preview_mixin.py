from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

from odoo import api, fields, models
from odoo.tools import format_date

from .. import const
from .subscription_first_invoice_mixin import FirstInvoice, FollowingAmount

# What is remembered of a preview as it is, and by plan.
AMOUNT_NAMES = ('credit', 'charge', 'once', 'tax', 'total', 'mrr_change')
TOTALS_NAMES = ('recurring', 'recurring_before')


class AmendmentPreview(NamedTuple):
    """What an amendment costs at once and from then on, if it were confirmed now, in the currency of the contract."""

    effective_date: date
    # Untaxed; what is given back is negative.
    credit: float
    charge: float
    once: float
    tax: float
    # Due when it takes effect; negative: a credit note.
    total: float
    # {plan: untaxed amount each period}, the order's plan first
    recurring: dict
    mrr_change: float
    # As `recurring`, until then.
    recurring_before: dict


class SubscriptionAmendmentPreviewMixin(models.AbstractModel):
    """What confirming an amendment costs, without leaving a trace."""

    _name = 'subscription.amendment.preview.mixin'
    _description = "Subscription Amendment Preview"

    currency_id = fields.Many2one(comodel_name='res.currency')  # of the order, for the amounts
    amendment_date = fields.Date(string="From", compute='_compute_amendment_preview')
    amendment_credit = fields.Monetary(
        string="Old Credit", compute='_compute_amendment_preview', help="What was billed for the days which are left.")
    amendment_charge = fields.Monetary(
        string="New Charge", compute='_compute_amendment_preview',
        help="What the days until the next invoice cost as changed.")
    amendment_once = fields.Monetary(string="One-Time", compute='_compute_amendment_preview')
    amendment_tax = fields.Monetary(string="Taxes on Change", compute='_compute_amendment_preview')
    amendment_total = fields.Monetary(string="Due", compute='_compute_amendment_preview')
    amendment_recurring = fields.Monetary(
        string="New Recurring Amount", compute='_compute_amendment_preview',
        help="What is billed each period of the order's plan from then on, without taxes.")
    amendment_mrr_change = fields.Monetary(string="MRR Change", compute='_compute_amendment_preview')
    amendment_text = fields.Char(compute='_compute_amendment_preview')
    # The preview looks at a contract which changes, so what was agreed is kept beside it.
    agreed_amounts = fields.Json(copy=False, readonly=True)

    # === COMPUTE METHODS === #

    @api.depends(
        'amendment_type', 'amendment_timing', 'effective_date', 'state', 'applied_date', 'plan_id', 'agreed_amounts',
        'order_line.product_id', 'order_line.product_uom_id', 'order_line.product_uom_qty', 'order_line.price_unit',
        'order_line.discount', 'order_line.tax_ids', 'order_line.plan_id', 'order_line.is_recurring',
    )
    @api.depends_context('lang')
    def _compute_amendment_preview(self):
        for order in self:
            preview = order._get_amendment_summary()
            order.amendment_date = preview and preview.effective_date
            order.amendment_credit = preview.credit if preview else 0.0
            order.amendment_charge = preview.charge if preview else 0.0
            order.amendment_once = preview.once if preview else 0.0
            order.amendment_tax = preview.tax if preview else 0.0
            order.amendment_total = preview.total if preview else 0.0
            order.amendment_recurring = preview.recurring.get(order.plan_id, 0.0) if preview else 0.0
            order.amendment_mrr_change = preview.mrr_change if preview else 0.0
            order.amendment_text = preview and order._get_amendment_text(preview)

    # === BUSINESS METHODS === #

    def _is_open_amendment(self):
        """Return whether the order is an amendment of a running contract which can still be applied.

        :rtype: bool
        """
        self.ensure_one()
        return bool(
            self.amendment_type and not self.applied_date and self.state != 'cancel'
            and self.subscription_id.sudo().subscription_state in const.RUNNING_STATES)

    def _get_amendment_preview(self, day=None):
        """Return what an amendment costs if it were confirmed now, from the very rows which it would write.

        :param datetime.date day: on which it would take effect, as agreed if not given
        :rtype: AmendmentPreview
        """
        self.ensure_one()
        # Who looks may be the customer, who sees the amendment only.
        order = self.sudo()
        day = day or (order.effective_date if order.state == 'sale' else order._get_effective_day())
        changes = order.order_line._get_line_changes()
        parts = {
            'credit': [], 'charge': [], 'once': [
                change.line._prepare_base_line_for_taxes_computation()
                for change in changes if change.kind == 'once' and change.line.product_id.invoice_policy == 'order'
            ] + order._get_joining_base_lines(day),
        }
        lines = {change.parent: change.line for change in changes if change.kind == 'change'}
        for vals in order._prepare_change_rows(changes, day):
            row = self.env['subscription.period'].sudo().new(vals)
            line = row.order_line_id
            base_line = line._prepare_period_base_line(row)
            if row.kind == 'proration':
                base_line['tax_ids'] = lines[line._origin].tax_ids._origin
            parts['credit' if row.kind == 'credit' else 'charge'].append(base_line)
        parts['charge'] += order._get_new_base_lines(changes, day)
        untaxed, tax, total = order._get_amounts_of_parts(parts)
        return AmendmentPreview(
            day, untaxed['credit'], untaxed['charge'], untaxed['once'], tax, total,
            order._get_amended_totals(changes), order._get_mrr_difference(),
            order.subscription_id._get_recurring_totals(),
        )

    def _prepare_agreed_amounts(self):
        """Prepare what is remembered of an amendment which is confirmed, or applied: what it costs.

        :return: values for `agreed_amounts`
        :rtype: dict
        """
        self.ensure_one()
        preview = self._get_amendment_preview()._asdict()
        return {
            **{name: preview[name] for name in AMOUNT_NAMES},
            **{name: [[plan.id, amount] for plan, amount in preview[name].items()] for name in TOTALS_NAMES},
        }

    def _get_amendment_summary(self):
        """Return what an amendment costs, and once it was applied what it did.

        :return: nothing for what isn't a change any more, or never was
        :rtype: AmendmentPreview|None
        """
        self.ensure_one()
        if self._is_open_amendment():
            return self._get_amendment_preview()
        agreed, contract = self.agreed_amounts, self.subscription_id.sudo()  # whoever reads the document
        is_lost = not self.applied_date and contract.subscription_state not in const.CONTRACT_STATES
        if self.state != 'sale' or not agreed or is_lost:
            return None
        Plan = self.sudo().env['subscription.plan']  # whoever reads the document
        totals = {name: {Plan.browse(plan_id): amount for plan_id, amount in agreed[name]} for name in TOTALS_NAMES}
        return AmendmentPreview(**{**agreed, **totals, 'effective_date': self.effective_date})

    def _get_first_invoice(self):
        """Override to ask for what a change costs when it takes effect."""
        self.ensure_one()
        if not self.amendment_type:
            return super()._get_first_invoice()
        preview = self._get_amendment_preview()
        untaxed = self.currency_id.round(preview.total - preview.tax)
        return FirstInvoice(
            preview.effective_date, untaxed, preview.tax, preview.total,
            tuple(self.sudo()._get_amended_following(preview.effective_date)))

    def _get_amended_following(self, day):
        """Return what is billed each period from the change on, plan by plan, taxes included.

        :param datetime.date day: the first day served as changed
        :rtype: list[FollowingAmount]
        """
        self.ensure_one()
        contract = self.subscription_id
        changes = self.order_line._get_line_changes()
        kept = contract.order_line._get_served_lines() - self.order_line.browse([
            change.parent.id for change in changes if change.parent])
        new = [change for change in changes if change.kind in ('change', 'swap', 'add')]
        result = []
        for plan in self._get_amended_totals(changes):
            plan_changes = [change for change in new if change.line.plan_id == plan]
            plan_lines = kept.filtered(lambda line, plan=plan: line.plan_id == plan)
            lines = plan_lines.union(*(change.line for change in plan_changes))
            starts = [
                self._get_whole_period(line, max(line.next_period_start or day, day)) for line in plan_lines]
            starts += [self._get_whole_period_of(change, day) for change in plan_changes]
            start = min(starts, default=None)
            if start and not (contract.end_date and start[0] > contract.end_date):
                amount = self._get_forecast_totals([
                    line._prepare_base_line_for_taxes_computation() for line in lines])['total_amount_currency']
                result.append(FollowingAmount(
                    plan, start[1] if lines[0]._is_billed_in_arrears() else start[0], amount, is_once=False))
        return result

    def _get_whole_period_of(self, change, day):
        """Return the first whole period which is billed of a line as changed.

        :param LineChange change: a line which goes on or starts
        :param datetime.date day: the first day served as changed
        :return: first day and day after the last
        :rtype: tuple[datetime.date, datetime.date]
        """
        self.ensure_one()
        line = change.line
        if not change.is_start():
            return self._get_whole_period(change.parent, max(change.parent.next_period_start or day, day))
        anchor = self._get_anchor(change)
        first_day = self._get_first_day_to_bill(change, day)
        with line._as_if_served(day, first_day, anchor):
            due = line._get_due_periods(max(day, self._subscription_today()))
            return self._get_whole_period(line, due[-1].end if due else first_day)

    def _get_whole_period(self, line, day):
        """Return the first whole period of a line which begins on or after a day.

        :rtype: tuple[datetime.date, datetime.date]
        """
        self.ensure_one()
        period = line.plan_id._get_natural_period(line.anchor_date, day)
        if period.start < day:
            period = line.plan_id._get_natural_period(line.anchor_date, period.end)
        return period.start, period.end

    def _get_new_base_lines(self, changes, day):
        """Return what the host computes the taxes of the first periods of new lines from.

        :param list[LineChange] changes: see `_get_line_changes`
        :param datetime.date day: the first day served as changed
        :rtype: list[dict]
        """
        self.ensure_one()
        billing_day = max(day, self._subscription_today())
        base_lines = []
        for change in changes:
            if not change.is_start():
                continue
            line = change.line
            with line._as_if_served(day, self._get_first_day_to_bill(change, day), self._get_anchor(change)):
                for period in line._get_due_periods(billing_day):
                    vals = line._prepare_due_period(period, 0.0)
                    if vals['state'] == 'open':
                        row = self.env['subscription.period'].sudo().new({**vals, 'order_line_id': line})
                        base_lines.append(line._prepare_period_base_line(row))
        return base_lines

    def _get_joining_base_lines(self, day):
        """Return what the host computes the taxes of what is sold once from, where the contract has to invoice it
        already: the invoice of a change which takes effect today takes it along.

        :param datetime.date day: the first day served as changed
        :rtype: list[dict]
        """
        self.ensure_one()
        contract = self.subscription_id
        if day > self._subscription_today() or contract._is_waiting_for_billing():
            return []
        return [
            line._prepare_base_line_for_taxes_computation(quantity=quantity)
            for line in contract.order_line if (quantity := line._get_first_quantity())
        ]

    def _get_amounts_of_parts(self, parts):
        """Return what parts of an invoice cost, with the host's rounding of the whole.

        :param dict parts: {name: base lines}
        :return: {name: untaxed amount}, tax, total
        :rtype: tuple[dict, float, float]
        """
        self.ensure_one()
        AccountTax = self.env['account.tax']
        base_lines = [base_line for part in parts.values() for base_line in part]
        AccountTax._add_tax_details_in_base_lines(base_lines, self.company_id)
        AccountTax._round_base_lines_tax_details(base_lines, self.company_id)
        totals = AccountTax._get_tax_totals_summary(base_lines, self.currency_id, self.company_id)
        untaxed = {
            name: self.currency_id.round(sum(
                base_line['tax_details']['total_excluded_currency']
                + base_line['tax_details']['delta_total_excluded_currency'] for base_line in part
            )) for name, part in parts.items()
        }
        return (
            untaxed, self.currency_id.round(totals['tax_amount_currency']),
            self.currency_id.round(totals['total_amount_currency']),
        )

    def _get_amended_totals(self, changes):
        """Return what is billed each period from the change on, plan by plan.

        :param list[LineChange] changes: see `_get_line_changes`
        :return: {plan: untaxed amount}, the order's plan first
        :rtype: dict
        """
        self.ensure_one()
        totals = dict.fromkeys(self.plan_id, 0.0)
        left = sum((change.parent for change in changes), self.order_line.browse())
        kept = self.subscription_id.order_line._get_served_lines() - left
        new = sum((change.line for change in changes if change.kind in ('change', 'swap', 'add')), kept.browse())
        for lines in (kept, new):
            for line in lines:
                totals[line.plan_id] = totals.get(line.plan_id, 0.0) + line.price_subtotal
        return {plan: self.currency_id.round(total) for plan, total in totals.items()}

    def _get_amendment_text(self, preview):
        """Return in words when what an amendment costs is due.

        :param AmendmentPreview preview: see `_get_amendment_preview`
        :rtype: str
        """
        self.ensure_one()
        day = max(preview.effective_date, self.applied_date or preview.effective_date)
        text = self._get_due_text(day, preview.total)
        if preview.effective_date > self._get_earliest_day() and self.amendment_timing == 'now':
            return self.env._(
                "%(due)s, incl. tax (a change to less takes effect with the next period)", due=text)
        return self.env._("%(due)s, incl. tax", due=text)

    def _get_due_text(self, day, total):
        """Return in words when what a change costs is, or was, due or given back.

        :param datetime.date day: the first day served as changed
        :param float total: what is due, negative for a credit note
        :rtype: str
        """
        self.ensure_one()
        is_credit = self.currency_id.compare_amounts(total, 0.0) < 0
        if day <= self._subscription_today() and not self.applied_date:
            return self.env._("Credited today") if is_credit else self.env._("Due today")
        date_text = format_date(self.env, day)
        if is_credit:
            return self.env._("Credited for this change on %(date)s", date=date_text)
        return self.env._("Due for this change on %(date)s", date=date_text)

    def _get_first_invoice_label(self, invoice):
        """Override to say of a change whether it is due or given back."""
        self.ensure_one()
        if self.amendment_type:
            return self._get_due_text(invoice.date, invoice.amount_total)
        return super()._get_first_invoice_label(invoice)


class SubscriptionLineAmendmentPreviewMixin(models.AbstractModel):
    """A line of an amendment as it would be served."""

    _name = 'subscription.line.amendment.preview.mixin'
    _description = "Subscription Line Amendment Preview"

    def _get_base_text(self):
        """Return what a changed line of an amendment was until then.

        :return: nothing for a line which isn't changed, or is new
        :rtype: str
        """
        self.ensure_one()
        base = self.base_terms
        names = ('product_id', 'plan_id', 'product_uom_qty', 'price_unit', 'discount')
        if not self.order_id.amendment_type or not base or not self._get_changed_terms(base, names):
            return ''
        terms = self._format_terms(base['product_uom_qty'], base['price_unit'], base['discount'])
        if not self.product_uom_qty:
            return self.env._("removed, until then %(terms)s", terms=terms)
        if base['product_id'] != self.product_id.id:
            product = self.sudo().env['product.product'].browse(base['product_id'])  # whoever reads the offer
            return self.env._("until then %(product)s, %(terms)s", product=product.display_name, terms=terms)
        if base['plan_id'] != self.plan_id.id:
            plan = self.env['subscription.plan'].sudo().browse(base['plan_id'])  # whoever reads the offer
            return self.env._(
                "until then %(terms)s every %(period)s", terms=terms, period=plan.billing_period_display)
        return self.env._("until then %(terms)s", terms=terms)

    @contextmanager
    def _as_if_served(self, start, first_unbilled_day, anchor):
        """Let a line of an amendment look as it would on the contract, in this context and in memory only.

        :param datetime.date start: the first day served
        :param datetime.date first_unbilled_day: the first day to bill
        :param datetime.date anchor: the billing day
        """
        self.ensure_one()
        names = ['start_date', 'next_period_start', 'anchor_date']
        self.flush_recordset(names)
        before = {name: self[name] for name in names}
        try:
            self._update_cache(dict(zip(names, (start, first_unbilled_day, anchor), strict=True)), validate=False)
            yield
        finally:
            self._update_cache(before, validate=False)
