from collections import defaultdict
from datetime import timedelta

from odoo import models
from odoo.exceptions import UserError
from odoo.tools import format_amount, format_date

from .. import const


class SubscriptionAgreedChangeMixin(models.AbstractModel):
    """Changes and pauses which are agreed for a day to come: what they make of the coming invoices."""

    _name = 'subscription.agreed.change.mixin'
    _description = "Agreed Changes of Subscriptions"

    # === BUSINESS METHODS - FORECAST === #

    def _get_forecast_invoices(self, periods):
        """Override to let amendments which are confirmed for a day to come change the invoices from that day on.

        They are applied in the order in which billing does it, by its own code; all of it is rolled back.
        """
        self.ensure_one()
        if not self._get_agreed_amendments():
            return super()._get_forecast_invoices(periods)
        known_ids = set(self.order_line.ids)
        with self._leave_no_trace():
            once = self._apply_agreed_amendments(periods)
            rows_by_date = dict(self._get_forecast_entries(periods))
            days = sorted({*rows_by_date, *once})[:periods]
            invoices = [self._get_forecast_invoice(day, rows_by_date.get(day, ()), once[day]) for day in days]
        for invoice in invoices:
            for line in invoice['lines']:
                if line['order_line_id'] not in known_ids:
                    line['order_line_id'] = False
        return invoices

    def _get_agreed_amendments(self):
        """Return the confirmed amendments which wait for their day, the first one first, whoever may see them.

        :rtype: sale.order
        """
        self.ensure_one()
        return self.sudo().amendment_ids.filtered(
            lambda order: order.state == 'sale' and not order.applied_date,
        ).sorted(lambda order: (order.effective_date, order.id))

    def _apply_agreed_amendments(self, periods):
        """Apply the amendments which change one of the next invoices, and move the lines on to what is billed before
        each of them; to be rolled back.

        :param int periods: how many invoices
        :return: {day: the one-off lines which are billed on it because of an amendment}
        :rtype: defaultdict
        """
        self.ensure_one()
        once = defaultdict(self.env['sale.order.line'].browse)
        billed_days = set()
        for amendment in self._get_agreed_amendments():
            if self.paused_from and amendment.effective_date >= self.paused_from:
                break  # nothing changes before the subscription goes on
            while (day := self._get_day_billed_before(amendment)) and len(billed_days) < periods:
                if self._open_coming_rows(day):
                    billed_days.add(day)
            if day:
                break
            before = self.order_line
            if self._try_agreed_amendment(amendment):
                bill_day = min(self._get_coming_bill_day() or amendment.effective_date, amendment.effective_date)
                if new_lines := (self.order_line - before).filtered(lambda line: line._get_first_quantity()):
                    once[bill_day] |= new_lines
        return once

    def _get_day_billed_before(self, amendment):
        """Return the next day on which something is billed as it was before an amendment; see
        `_apply_amendments_before_billing`.

        :param sale.order amendment: an amendment which waits for its day
        :return: None when the amendment comes first
        :rtype: datetime.date|None
        """
        self.ensure_one()
        day = self._get_coming_bill_day()
        if not day or amendment.effective_date <= max(day, self._subscription_today()):
            return None
        return None if amendment._begins_with_unbilled_period() else day

    def _get_coming_bill_day(self):
        """Return the next day on which something is billed by the schedule of the lines.

        :rtype: datetime.date|None
        """
        self.ensure_one()
        return min((day for line in self.order_line if (day := line._get_next_bill_date())), default=None)

    def _open_coming_rows(self, day):
        """Write the ledger rows of what is billed until a day and move the lines on; to be rolled back.

        :param datetime.date day: the date of the billing
        :return: whether an invoice is made of them
        :rtype: bool
        """
        self.ensure_one()
        lines = self.order_line.filtered('anchor_date')
        quantities = lines._get_ledger_quantities()
        vals_list = []
        for line in lines:
            for period in line._get_due_periods(day):
                vals_list.append(line._prepare_due_period(period, quantities[line]))
                quantities[line] += vals_list[-1]['quantity']
                line.next_period_start = period.end
        rows = self.env['subscription.period'].sudo().create(vals_list)
        return any(row.state == 'open' and row._get_net_amount() for row in rows)

    def _try_agreed_amendment(self, amendment):
        """Apply an amendment before its day; to be rolled back.

        :param sale.order amendment: an amendment which waits for its day
        :return: whether it can be applied
        :rtype: bool
        """
        self.ensure_one()
        try:
            with self.env.cr.savepoint():
                amendment._apply_along_with_billing()
        except UserError:
            return False  # it conflicts with what was changed since; its salesperson is told when its day comes
        return True

    # === BUSINESS METHODS - TEXTS === #

    def _get_agreed_change_texts(self):
        """Return from when on a contract costs something else, because of amendments which are confirmed.

        :rtype: list[str]
        """
        self.ensure_one()
        order = self.sudo()  # whoever reads the contract
        amendments = order._get_agreed_amendments()
        if not amendments:
            return []
        if order._is_paused():
            return [order._get_change_after_pause_text(amendment) for amendment in amendments]
        texts = []
        with order._leave_no_trace():
            for amendment in amendments:
                day = format_date(self.env, amendment.effective_date)
                if order._try_agreed_amendment(amendment):
                    texts.append(self.env._(
                        "from %(date)s on: %(amounts)s", date=day, amounts=', '.join(order._get_recurring_texts())))
        return texts

    def _get_change_after_pause_text(self, amendment):
        """Return when a change takes effect of a contract which is paused: not before that goes on.

        :param sale.order amendment: an amendment which waits for its day
        :rtype: str
        """
        self.ensure_one()
        if not self.paused_until:
            return self.env._("%(name)s, when the subscription goes on", name=amendment.name)
        day = max(amendment.effective_date, self.paused_until)
        return self.env._("%(name)s, from %(date)s on", name=amendment.name, date=format_date(self.env, day))

    def _get_pause_text(self):
        """Return between which days a contract isn't served, now or later.

        :rtype: str
        """
        self.ensure_one()
        is_over = self.subscription_state not in const.CONTRACT_STATES
        if not self.paused_from or is_over or (self.end_date and self.end_date < self.paused_from):
            return ''
        start = format_date(self.env, self.paused_from)
        if self._is_resumed_before_end():
            end = format_date(self.env, self.paused_until - timedelta(days=1))
            text = self.env._("%(start)s – %(end)s", start=start, end=end)
        elif self.paused_until:
            text = self.env._("from %(start)s on, until the end", start=start)
        else:
            text = self.env._("from %(start)s on, until it is resumed", start=start)
        if self.plan_id.sudo().pause_policy == 'credit':
            return self.env._("%(dates)s; what is paid for these days is given back", dates=text)
        return text

    def _get_next_invoice_text(self):
        """Return when a contract is billed next, and what that is with what is agreed until then.

        :rtype: str
        """
        self.ensure_one()
        if self.subscription_state not in const.CONTRACT_STATES:
            return ''
        invoice = next(iter(self.get_subscription_forecast(1)), None)
        if invoice and (invoice['date'] == self.next_invoice_date or self._get_agreed_amendments()):
            amount = invoice['amount_total']
            values = {
                'date': format_date(self.env, invoice['date']),
                'amount': format_amount(self.env, abs(amount), self.currency_id)}
            if self.currency_id.compare_amounts(amount, 0.0) < 0:
                return self.env._("%(date)s: %(amount)s are given back, incl. tax", **values)
            return self.env._("%(date)s: %(amount)s, incl. tax", **values)
        if self.next_invoice_date:
            return format_date(self.env, self.next_invoice_date)
        return self._get_invoice_after_pause_text()

    def _get_invoice_after_pause_text(self):
        """Return when a contract is billed again which isn't billed any more before it pauses.

        :rtype: str
        """
        self.ensure_one()
        if self.invoice_date_after_pause:
            return format_date(self.env, self.invoice_date_after_pause)
        is_open_ended = self.paused_from and not self.paused_until
        if is_open_ended and not (self.end_date and self.end_date <= self.paused_from):
            return self.env._("when the subscription goes on")
        return ''
