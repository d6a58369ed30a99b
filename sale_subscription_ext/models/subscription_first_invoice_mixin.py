from contextlib import contextmanager
from datetime import date
from typing import NamedTuple

from odoo import api, fields, models
from odoo.tools import format_amount, format_date

from .. import const


class PreviewedPeriod(NamedTuple):
    """A ledger row which isn't there yet: what the amount of a period is computed from."""

    order_line_id: models.BaseModel
    date_start: date
    date_end: date  # exclusive
    kind: str
    state: str
    quantity: float
    price_unit: float
    discount: float
    anchor_date: date

    def is_billed(self):
        """Return whether the period costs something, before taxes."""
        return self.state == 'open' and bool(self.quantity * self.price_unit * (1 - self.discount / 100))

    def _get_terms(self):
        """Return quantity, unit price and discount, as a ledger row does."""
        return {'quantity': self.quantity, 'price_unit': self.price_unit, 'discount': self.discount}


class FollowingAmount(NamedTuple):
    """What is billed after the first invoice, taxes included."""

    plan: models.BaseModel
    date: date
    amount: float
    # An incomplete period, before the whole ones.
    is_once: bool


class FirstInvoice(NamedTuple):
    """What is due when a quotation is confirmed, and what follows."""

    date: date
    amount_untaxed: float
    amount_tax: float
    amount_total: float
    following: tuple[FollowingAmount, ...]


class SubscriptionFirstInvoiceMixin(models.AbstractModel):
    """What confirming a quotation costs at once: the amount a customer is asked for."""

    _name = 'subscription.first.invoice.mixin'
    _description = "Subscription First Invoice"

    # === COMPUTE METHODS === #

    @api.depends(
        'is_subscription', 'state', 'start_date', 'end_date', 'next_invoice_date', 'require_payment', 'amount_total',
        'payment_term_id', 'transaction_ids.state', 'order_line.price_subtotal', 'order_line.product_uom_qty',
        'order_line.tax_ids', 'order_line.plan_id', 'order_line.is_recurring', 'order_line.qty_delivered',
        'trial_end_date', 'subscription_id.next_invoice_date', 'amendment_timing', 'effective_date',
    )
    @api.depends_context('lang')
    def _compute_first_invoice(self):
        for order in self:
            invoice = order._get_first_invoice() if order._has_first_invoice() else None
            order.first_invoice_date = invoice and invoice.date
            order.first_invoice_untaxed = invoice.amount_untaxed if invoice else 0.0
            order.first_invoice_tax = invoice.amount_tax if invoice else 0.0
            order.first_invoice_total = invoice.amount_total if invoice else 0.0
            order.first_invoice_label = invoice and order._get_first_invoice_label(invoice)
            order.following_text = invoice and '\n'.join(order._get_following_texts(invoice))

    # === BUSINESS METHODS - AMOUNTS === #

    def _is_quoted_subscription(self):
        """Return whether the order is a quotation which becomes a subscription when it is confirmed.

        :rtype: bool
        """
        self.ensure_one()
        return self.is_subscription and self.state in ('draft', 'sent')

    def _has_first_invoice(self):
        """Return whether the customer is asked for a first invoice instead of a total: on the quotation of a
        subscription, and of a change of one.

        :rtype: bool
        """
        self.ensure_one()
        return self._is_quoted_subscription() or (self.state in ('draft', 'sent') and self._is_open_amendment())

    def _is_in_ledger(self):
        """Return whether the order is billed through the billing ledger: subscriptions and changes of them.

        :rtype: bool
        """
        self.ensure_one()
        return self.is_subscription or bool(self.amendment_type)

    def _get_payable_amount(self):
        """Return what the customer is asked to pay for an order: its total, or the first invoice of a subscription.

        :rtype: float
        """
        self.ensure_one()
        if self.first_invoice_date:
            is_asked = self._is_paid_ahead() or self.first_invoice_date <= self._subscription_today()
            return max(self.first_invoice_total, 0.0) if is_asked else 0.0
        if self.subscription_state in const.CONTRACT_STATES:
            # Whoever may see the invoices of the order or not.
            order_sudo = self.sudo()
            invoices = order_sudo.invoice_ids.filtered(
                lambda move: move.move_type == 'out_invoice' and move.state != 'cancel').sorted('id')
            if invoices:
                return sum((invoices & order_sudo.transaction_ids.invoice_ids or invoices[:1]).mapped('amount_total'))
            return max(self._get_first_invoice().amount_total, 0.0)
        if self.subscription_state in ('amendment', 'renewal'):
            invoice = self.sudo().amendment_invoice_id.filtered(lambda move: move.move_type == 'out_invoice')
            return invoice.amount_total
        return self.amount_total

    def _get_first_invoice(self):
        """Return what is due when the order is confirmed and what follows, without leaving a trace.

        Taxes, rounding and periods are those of the billing. With a start in the past several invoices are due;
        this is their sum. A later start is looked at as of that day: who pays online pays the first invoice at once.

        :rtype: FirstInvoice
        """
        self.ensure_one()
        day = self._get_first_billing_day()
        lines = self.order_line._get_served_lines()
        if self.subscription_state in const.CONTRACT_STATES:
            return self._summarise_first_invoice(lines.filtered('anchor_date'), day)
        with lines._as_if_started(self._get_first_day_after_trial(self._get_expected_start())):
            return self._summarise_first_invoice(lines, day)

    def _summarise_first_invoice(self, lines, day):
        """Add up what is due of lines whose dates are set, and of what is sold once.

        :param lines: the recurring lines which are served
        :param datetime.date day: the as-of date
        :rtype: FirstInvoice
        """
        self.ensure_one()
        by_date = lines._get_previewed_periods(day)
        one_off = [
            line._prepare_base_line_for_taxes_computation(quantity=quantity)
            for line in self.order_line if (quantity := line._get_first_quantity())
        ]
        untaxed = tax = total = 0.0
        # As the billing does it: an invoice for each due date, what is sold once is on the first of them.
        for periods in by_date.values() or [()]:
            if not one_off and not any(period.is_billed() for period in periods):
                continue  # no invoice is made of what costs nothing, whatever fixed taxes it has
            base_lines = self._get_forecast_base_lines(periods) + one_off
            one_off = []
            totals = self._get_forecast_totals(base_lines)
            untaxed += totals['base_amount_currency']
            tax += totals['tax_amount_currency']
            total += totals['total_amount_currency']
        return FirstInvoice(
            day, *map(self.currency_id.round, (untaxed, tax, total)), tuple(self._get_following_amounts(lines, day)))

    def _get_following_amounts(self, lines, day):
        """Return what is billed after the first invoice, plan by plan.

        :param lines: the recurring lines which are served, with their dates
        :param datetime.date day: the as-of date of the first invoice
        :rtype: list[FollowingAmount]
        """
        self.ensure_one()
        result = []
        for plan in self._get_recurring_totals():
            plan_lines = lines.filtered(lambda line, plan=plan: line.plan_id == plan)
            # What is delivered can only be guessed, so other lines say from when on.
            leading = plan_lines.filtered(lambda line: not line._is_billed_by_delivery()) or plan_lines
            if not leading:
                continue
            line = leading[0]
            due = line._get_due_periods(day)
            period = line._get_period_from(due[-1].end if due else line.next_period_start)
            if period and line._is_incomplete_period(*period):
                rows = [other._preview_period(other._prepare_period(*period, state='open')) for other in leading]
                amount = self._get_forecast_totals(self._get_forecast_base_lines(rows))['total_amount_currency']
                if not line._is_free_period(*period) and not self.currency_id.is_zero(amount):
                    result.append(FollowingAmount(plan, line._get_bill_date(*period), amount, is_once=True))
                period = line._get_period_from(period[1])
            if period:
                base_lines = [other._prepare_base_line_for_taxes_computation() for other in plan_lines]
                amount = self._get_forecast_totals(base_lines)['total_amount_currency']
                start = line._get_bill_date(*period) if line._is_billed_in_arrears() else period[0]
                result.append(FollowingAmount(plan, start, amount, is_once=False))
        return result

    def _is_paid_ahead(self):
        """Return whether who pays online pays the first invoice at once, also where it starts later.

        What changes or renews a contract is paid when it takes effect.

        :rtype: bool
        """
        self.ensure_one()
        return not self.subscription_id

    # === BUSINESS METHODS - DATES === #

    def _get_confirmation_day(self):
        """Return the day on which a quotation is, or would be, accepted where its company is.

        That is today. Who has paid accepted on the day of the payment, even when its confirmation arrives on a later
        one: the amount which was paid then must still be the one which is asked for.

        :rtype: datetime.date
        """
        self.ensure_one()
        # Whoever looks at the quotation, whether they may see its payments or not.
        paid = self._origin.sudo().transaction_ids.filtered(lambda tx: tx.state in ('authorized', 'done'))
        today = self._subscription_today()
        if not paid:
            return today
        company = self.company_id.with_context(tz=self.company_id.subscription_tz)
        return min(fields.Date.context_today(company, max(paid.mapped('create_date'))), today)

    def _get_expected_start(self):
        """Return the first day served, if the quotation is accepted now.

        :rtype: datetime.date
        """
        self.ensure_one()
        return self.start_date or self._get_confirmation_day()

    def _get_first_billing_day(self):
        """Return the day as of which the first invoice is made.

        :rtype: datetime.date
        """
        self.ensure_one()
        return max(self._get_confirmation_day(), self._get_expected_start())

    # === BUSINESS METHODS - TEXTS === #

    def _get_first_invoice_label(self, invoice):
        """Return the words in front of the first amount.

        :param FirstInvoice invoice: see `_get_first_invoice`
        :rtype: str
        """
        self.ensure_one()
        if (self.require_payment and self._is_paid_ahead()) or invoice.date <= self._subscription_today():
            return self.env._("Due today")
        return self.env._("First invoice on %(date)s", date=format_date(self.env, invoice.date))

    def _get_following_texts(self, invoice):
        """Return what follows the first amount in words.

        :param FirstInvoice invoice: see `_get_first_invoice`
        :rtype: list[str]
        """
        self.ensure_one()
        texts = []
        for following in invoice.following:
            amount = format_amount(self.env, following.amount, self.currency_id)
            day = format_date(self.env, following.date)
            if following.is_once:
                texts.append(self.env._("then %(amount)s on %(date)s", amount=amount, date=day))
            else:
                texts.append(self.env._(
                    "then %(amount)s every %(period)s from %(date)s",
                    amount=amount, period=following.plan.billing_period_display, date=day,
                ))
        if texts and self.end_date:
            texts.append(self.env._("until %(date)s", date=format_date(self.env, self.end_date)))
        return texts


class SubscriptionLineFirstInvoiceMixin(models.AbstractModel):
    """What a line of a quotation adds to its first invoice."""

    _name = 'subscription.line.first.invoice.mixin'
    _description = "Subscription Line First Invoice"

    # === BUSINESS METHODS === #

    @contextmanager
    def _as_if_started(self, start):
        """Let lines of a quotation look as they will once it is confirmed, in this context and in memory only.

        The dates are put into the cache and taken out again: nothing is marked for writing and nothing is computed
        from them, and it works for lines of a form which isn't saved.

        :param datetime.date start: the first day served
        """
        names = ['anchor_date', 'start_date', 'next_period_start']
        self.flush_recordset(names)
        before = {line: {name: line[name] for name in names} for line in self}
        try:
            for line in self:
                line._update_cache(line._prepare_expected_dates(start), validate=False)
            yield
        finally:
            for line, values in before.items():
                line._update_cache(values, validate=False)

    def _prepare_expected_dates(self, start):
        """Return the dates of a line of a quotation as they will be once it is confirmed.

        :param datetime.date start: the first day served for money
        :rtype: dict
        """
        self.ensure_one()
        return {
            'anchor_date': self.plan_id._get_anchor_date(start),
            'start_date': start,
            'next_period_start': self._get_first_billed_day(start),
        }

    def _get_previewed_periods(self, day):
        """Return what billing these lines would ask for, without the ledger rows it writes.

        :param datetime.date day: the as-of date
        :return: {bill date: periods}, oldest first
        :rtype: dict[datetime.date, list[PreviewedPeriod]]
        """
        ledger_quantities = self._get_ledger_quantities()
        by_date = {}
        for line in self:
            for period in line._get_due_periods(day):
                vals = line._prepare_due_period(period, ledger_quantities[line])
                ledger_quantities[line] += vals['quantity']
                by_date.setdefault(period.bill_date, []).append(line._preview_period(vals))
        return dict(sorted(by_date.items()))

    def _preview_period(self, vals):
        """Return a period of the line as its ledger row would be.

        :param dict vals: values of a ledger row
        :rtype: PreviewedPeriod
        """
        self.ensure_one()
        return PreviewedPeriod(**{**{name: vals[name] for name in PreviewedPeriod._fields}, 'order_line_id': self})

    def _is_incomplete_period(self, start, end):
        """Return whether a period isn't billed like the whole ones after it.

        :param datetime.date start: its first day
        :param datetime.date end: the day after its last
        :rtype: bool
        """
        self.ensure_one()
        return self._is_free_period(start, end) or self._get_period_ratio(start, end) != 1

    # === HOOKS === #

    def _get_first_quantity(self):
        """Return the quantity of a one-off line which can be invoiced as soon as the order is confirmed.

        Addons which make lines invoiceable in other ways extend it; call super.

        :rtype: float
        """
        self.ensure_one()
        if self.display_type or self.is_downpayment or (self.is_recurring and self.plan_id):
            return 0.0
        if self.state == 'sale':
            return self.qty_to_invoice
        if self.product_id.type == 'combo' or self.product_id.invoice_policy != 'order':
            return 0.0
        return self.product_uom_qty
