from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from typing import NamedTuple

from odoo import models
from odoo.tools import float_compare, float_is_zero, format_date

from .. import const
from ..tools import proration


class DuePeriod(NamedTuple):
    """A period of a line which is to be billed."""

    start: date
    end: date  # exclusive
    bill_date: date
    # The ledger row which asks for it already, after its draft was deleted, or an empty recordset.
    row: models.BaseModel


class SubscriptionScheduleMixin(models.AbstractModel):
    """Which periods of a sales order line are due, and what each of them costs."""

    _name = 'subscription.schedule.mixin'
    _description = "Subscription Schedule"

    # === BUSINESS METHODS - DATES === #

    def _get_served_lines(self):
        """Return the lines which are billed period after period: recurring, not ended, with a quantity.

        :rtype: sale.order.line
        """
        return self.filtered(
            lambda line: line.is_recurring and line.plan_id and line.product_uom_qty and not line.end_date)

    def _start(self, start, first_unbilled_day, anchor=None):
        """Set the dates of lines which begin to be served.

        :param datetime.date start: the first day served
        :param datetime.date first_unbilled_day: the first day to bill, what lies before was billed elsewhere
        :param datetime.date anchor: the billing day to follow, the plan's own if not given
        """
        waived = []
        for line in self:
            line.write({
                'start_date': start,
                'anchor_date': anchor or line.plan_id._get_anchor_date(start),
                'next_period_start': first_unbilled_day,
            })
            if first_unbilled_day > start:
                waived.append(line._prepare_period(start, first_unbilled_day, state='waived', quantity=0.0))
        # The ledger is written by the engine only.
        self.env['subscription.period'].sudo().create(waived)

    def _leave_out_until(self, day):
        """Leave out the days of lines until `day`, or their end: what lies before it will not be billed any more.

        The right on the order was checked; ledger and dates are the engine's.

        :param datetime.date day: the first day to bill
        """
        ends = {line: min(day, line.end_date + timedelta(days=1)) if line.end_date else day for line in self}
        lines = self.filtered(lambda line: line.next_period_start and line.next_period_start < ends[line])
        self.env['subscription.period'].create([
            line._prepare_period(line.next_period_start, ends[line], state='waived', quantity=0.0) for line in lines])
        for end, ended in lines.grouped(ends.get).items():
            ended.next_period_start = end

    def _is_billed_in_arrears(self):
        """Return whether the line is billed at the end of its periods.

        :rtype: bool
        """
        self.ensure_one()
        return self.plan_id.bill_in == 'arrears' or self._is_billed_by_delivery()

    def _is_billed_by_delivery(self):
        """Return whether the delivered quantity is billed: only known when the period is over.

        :rtype: bool
        """
        self.ensure_one()
        return self.product_id.invoice_policy == 'delivery'

    def _get_bill_date(self, start, end):
        """Return the day on which a period is billed.

        :param datetime.date start: its first day
        :param datetime.date end: the day after its last
        :rtype: datetime.date
        """
        self.ensure_one()
        if not self._is_billed_in_arrears():
            return start - timedelta(days=self.plan_id.invoice_lead_days)
        # A part of a period waits for the rest of it, or for the end of what is served.
        complete = self.plan_id._get_natural_period(self.anchor_date, end - timedelta(days=1)).end
        last_day = self.order_id._get_last_day(self)
        return max(end, min(complete, last_day + timedelta(days=1))) if last_day else complete

    def _get_row_bill_date(self, row):
        """Return the day on which a ledger row is billed: what a change asks for when it takes effect.

        :param subscription.period row: a row of this line
        :rtype: datetime.date
        """
        self.ensure_one()
        if row.kind != 'regular':
            return row.date_start
        return self._get_bill_date(row.date_start, row.date_end)

    def _get_period_from(self, day):
        """Return the period which begins on `day`: to the next billing day, or to the last day served.

        :param datetime.date day: the first day of the period
        :return: (first day, day after the last), None when nothing is served from that day on
        :rtype: tuple[datetime.date, datetime.date]|None
        """
        self.ensure_one()
        last_day = self.order_id._get_last_day(self)
        if not day or (last_day and day > last_day):
            return None
        end = self.plan_id._get_natural_period(self.anchor_date, day).end
        if last_day:
            end = min(end, last_day + timedelta(days=1))
        return day, end

    def _get_next_bill_date(self):
        """Return when the line is to be billed next by its schedule.

        :rtype: datetime.date|None
        """
        self.ensure_one()
        period = self.anchor_date and self.product_uom_qty and self._get_period_from(self.next_period_start)
        return self._get_bill_date(*period) if period else None

    def _get_bill_date_after(self, day):
        """Return when the line is to be billed next once it is served again after a pause.

        :param datetime.date day: the first day served again
        :return: nothing where it isn't served any more then
        :rtype: datetime.date|None
        """
        self.ensure_one()
        if not self.next_period_start or not self.product_uom_qty:
            return None
        start = max(self.next_period_start, day)
        end = self.plan_id._get_natural_period(self.anchor_date, start).end
        last_days = [last_day for last_day in (self.end_date, self.order_id.end_date) if last_day]
        if last_days:
            end = min(end, min(last_days) + timedelta(days=1))
        return max(self._get_bill_date(start, end), day) if start < end else None

    def _get_due_periods(self, day, open_rows=()):
        """Return what is to be billed on `day`, oldest first.

        :param datetime.date day: the date of the billing
        :param open_rows: rows of this line in the ledger which were asked for and aren't billed
        :return: at most one period more than the company catches up with
        :rtype: list[DuePeriod]
        """
        self.ensure_one()
        no_row = self.env['subscription.period']
        due = [
            DuePeriod(row.date_start, row.date_end, self._get_row_bill_date(row), row)
            for row in open_rows
        ]
        due = [period for period in due if period.bill_date <= day]
        limit = len(due) + self.company_id.subscription_catch_up + 1
        start = self.next_period_start if self.anchor_date and self.product_uom_qty else None
        while len(due) < limit and (period := self._get_period_from(start)):
            bill_date = self._get_bill_date(*period)
            if bill_date > day:
                break
            due.append(DuePeriod(*period, bill_date, no_row))
            start = period[1]
        return sorted(due, key=lambda period: period.start)

    # === BUSINESS METHODS - AMOUNTS === #

    def _get_period_ratio(self, start, end, anchor=None):
        """Return which part of the price a period costs.

        The days served count against the whole natural period; only the first, incomplete period can be
        billed in full instead, when the plan says so.

        :param datetime.date start: its first day
        :param datetime.date end: the day after its last
        :param datetime.date anchor: the billing day which the periods were counted from, the line's if not given
        :rtype: fractions.Fraction
        """
        self.ensure_one()
        if self._is_billed_by_delivery():
            return Fraction(1)
        anchor = anchor or self.anchor_date
        if self.plan_id.first_period == 'full' and (stub := self._get_first_stub(start, anchor)) and end <= stub[1]:
            # The days of an incomplete first period share the whole price.
            return Fraction((end - start).days, (stub[1] - stub[0]).days)
        return proration.ratio(
            start, end, anchor, self.plan_id.billing_period_value, self.plan_id.billing_period_unit)

    def _is_free_period(self, start, end):
        """Return whether a period lies in the incomplete first one of a plan which leaves it free.

        :rtype: bool
        """
        self.ensure_one()
        return self.plan_id.first_period == 'free' and bool(self._get_first_stub(start, self.anchor_date))

    def _get_first_stub(self, day, anchor):
        """Return the incomplete first period of the subscription, if `day` lies in it.

        It is the subscription's, not the line's: a line which joins or is changed later is billed in proportion.

        :param datetime.date day: any day
        :param datetime.date anchor: the billing day
        :return: (first day served, day after the last)
        :rtype: tuple[datetime.date, datetime.date]|None
        """
        self.ensure_one()
        start = self.order_id._get_service_start()
        natural = self.plan_id._get_natural_period(anchor, day)
        return (start, natural.end) if start and natural.start < start <= day else None

    def _get_ledger_quantities(self):
        """Return what the ledger holds of the lines which are billed by delivered quantity.

        :return: {order line: quantity}, 0 for lines without rows
        :rtype: defaultdict
        """
        by_delivery = self.filtered(lambda line: line._is_billed_by_delivery())
        # The ledger is read whole, whatever the user may see of it.
        rows = self.env['subscription.period'].sudo()._read_group(
            [('order_line_id', 'in', by_delivery.ids), ('state', '!=', 'waived')],
            ['order_line_id'], ['quantity:sum'],
        ) if by_delivery else ()
        return defaultdict(float, {line.sudo(self.env.su): quantity for line, quantity in rows})

    def _get_period_quantity(self, ledger_quantity):
        """Return the quantity to bill for a period.

        :param float ledger_quantity: what the ledger holds of the line already
        :rtype: float
        """
        self.ensure_one()
        if self._is_billed_by_delivery():
            return max(self.qty_delivered - ledger_quantity, 0.0)
        return self.product_uom_qty

    def _prepare_period(self, start, end, **optional_values):
        """Prepare a regular row of the billing ledger.

        :param datetime.date start: its first day
        :param datetime.date end: the day after its last
        :rtype: dict
        """
        self.ensure_one()
        return {
            'order_line_id': self.id,
            'date_start': start,
            'date_end': end,
            'anchor_date': self.anchor_date,
            'kind': 'regular',
            'quantity': self.product_uom_qty,
            'price_unit': self.price_unit,
            'discount': self.discount,
            **optional_values,
        }

    def _prepare_due_period(self, period, ledger_quantity):
        """Prepare the ledger row of a due period: to bill, or left out where the plan gives it away.

        :param DuePeriod period: a period without a row
        :param float ledger_quantity: what the ledger holds of the line already
        :rtype: dict
        """
        self.ensure_one()
        return self._prepare_period(
            period.start, period.end,
            quantity=self._get_period_quantity(ledger_quantity),
            state='waived' if self._is_free_period(period.start, period.end) else 'open',
        )

    def _prepare_period_invoice_lines(self, row, **optional_values):
        """Prepare the invoice lines of one ledger row, with whatever other addons put on them.

        :param subscription.period row: a row of this line
        :rtype: list[dict]
        """
        self.ensure_one()
        vals_list = self._prepare_invoice_lines_vals_list(
            **optional_values,
            **self._prepare_period_price(row),
            **row._prepare_credit_taxes(),
            service_start_date=row.date_start,
            service_end_date=row.date_last,
            subscription_period_ids=[(4, row.id)],
        )
        for vals in vals_list:
            if vals.get('name'):
                vals['name'] = f"{vals['name']}\n{self._get_period_text(row)}"
        return vals_list

    def _get_period_text(self, row):
        """Return the service period in the language of the document.

        :rtype: str
        """
        dates = {
            'first_day': format_date(self.env, row.date_start), 'last_day': format_date(self.env, row.date_last)}
        if row.kind == 'credit':
            return self.env._("Credit for %(first_day)s – %(last_day)s", **dates)
        return self.env._("%(first_day)s – %(last_day)s", **dates)

    def _prepare_period_price(self, row):
        """Return quantity, price and discount which make the invoice line cost what the period costs.

        The part of the price is rounded once, on the line's amount. Where no unit price of the allowed digits
        gives that amount, the line shows the amount itself.

        :rtype: dict
        """
        self.ensure_one()
        price = row._get_terms()
        if row.kind == 'credit':
            # What is given back was computed from what was billed; only the sign is missing.
            return {**price, 'quantity': -row.quantity}
        ratio = self._get_period_ratio(row.date_start, row.date_end, row.anchor_date)
        if ratio == 1:
            return price
        return self._get_price_of_part(price, ratio, self._get_amount_of_part(price, ratio))

    def _prepare_period_base_line(self, row):
        """Prepare what the host computes the taxes of one ledger row from.

        :param subscription.period row: a row of this line, stored or not
        :rtype: dict
        """
        self.ensure_one()
        price = self._prepare_period_price(row)
        if row.kind == 'credit':
            price['tax_ids'] = row._get_credited_taxes()
        return self._prepare_base_line_for_taxes_computation(**price)

    def _get_amount_of_part(self, price, ratio=Fraction(1)):
        """Return what a part of a price costs, rounded once.

        :param dict price: quantity, unit price and discount
        :param fractions.Fraction ratio: which part
        :return: as the unit price is: with taxes where they are included
        :rtype: float
        """
        self.ensure_one()
        net = price['price_unit'] * price['quantity'] * (1 - price['discount'] / 100)
        return self.currency_id.round(net * ratio.numerator / ratio.denominator)

    def _get_price_of_part(self, price, ratio, amount):
        """Return quantity, unit price and discount which make an amount, in the terms of a price if possible.

        :param dict price: quantity, unit price and discount of the whole
        :param fractions.Fraction ratio: which part of it the amount is, more or less
        :param float amount: the rounded amount
        :rtype: dict
        """
        self.ensure_one()
        if float_is_zero(price['quantity'], precision_digits=6):
            return price
        digits = self.env['decimal.precision'].precision_get('Product Price')
        unit = round(price['price_unit'] * ratio.numerator / ratio.denominator, digits)
        part = {**price, 'price_unit': unit}
        if float_compare(self._get_amount_of_part(part), amount, precision_digits=6) == 0:
            return part
        return {'quantity': 1.0, 'price_unit': amount, 'discount': 0.0}

    # === TOOLING === #

    def _is_running(self):
        """Return whether the line recurs on a contract which was begun and hasn't ended.

        :rtype: bool
        """
        self.ensure_one()
        return self.is_recurring and self.order_id.subscription_state in const.CONTRACT_STATES
