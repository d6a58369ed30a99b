from datetime import timedelta

from odoo import models
from odoo.exceptions import UserError
from odoo.tools import float_compare, format_amount, format_date, formatLang
from odoo.tools.misc import get_lang

from .. import const
from .subscription_guard_mixin import get_changed_fields
from .subscription_schedule_mixin import DuePeriod

# What a line costs or is: a change of one of these on a running contract is an amendment.
CHANGE_FIELDS = frozenset({
    'product_id', 'product_uom_id', 'product_uom_qty', 'price_unit', 'discount', 'tax_ids', 'plan_id', 'is_recurring',
})

# A line with another of these is another line: the old one ends, a new one starts.
SWAP_FIELDS = frozenset({'product_id', 'product_uom_id', 'plan_id'})

# What follows from product, unit and plan, unless it is given.
PRICE_FIELDS = frozenset({'price_unit', 'technical_price_unit'})
PRODUCT_FIELDS = PRICE_FIELDS | {'name', 'is_recurring', 'product_uom_id', 'tax_ids'}

# What the engine alone knows.
ENGINE_LINE_FIELDS = frozenset({'anchor_date', 'start_date', 'end_date', 'next_period_start', 'mrr'})


class SubscriptionChangeMixin(models.AbstractModel):
    """Direct edits of the lines of a running contract, effective at the first unbilled day."""

    _name = 'subscription.change.mixin'
    _description = "Subscription Change"

    # === BUSINESS METHODS === #

    def _check_direct_change(self, vals):
        """Refuse what can't be changed on lines of a running contract.

        :param dict vals: the wished values
        :raise UserError: saying what to do instead
        """
        if 'is_recurring' in vals and not vals['is_recurring'] and any(line.anchor_date for line in self):
            raise UserError(self.env._(
                "A line of a running subscription can't be turned into a one-time sale. Set its quantity to 0, and add"
                " a new line."
            ))
        self.order_id._check_not_paused()
        if over := self.filtered(lambda line: line.anchor_date and (
                line.end_date or line.order_id.subscription_state not in const.CONTRACT_STATES)):
            raise UserError(self.env._(
                "%(product)s on %(order)s isn't served any more and can't be changed. Make a new quotation instead.",
                product=over[0].product_id.display_name, order=over[0].order_id.name,
            ))

    def _join_contract(self):
        """Let new lines of running contracts be served from the contract's first unbilled day on; in arrears, from
        today on where that is later.

        They follow the billing day of the contract; until it, they bill the rest of the period.
        """
        for order, lines in self.grouped('order_id').items():
            first_unbilled_day = order._get_first_unbilled_day()
            for line in lines:
                day = line.start_date or first_unbilled_day
                if line._is_billed_in_arrears() and not line.start_date:
                    day = max(day, order._subscription_today())
                peer = order.order_line.filtered(
                    lambda other, line=line: other.plan_id == line.plan_id and other.anchor_date)
                line.sudo()._start(day, day, anchor=peer[:1].anchor_date)  # the right on the order was checked
                line.sudo()._remember_line_taxes()
                order._message_log(body=self.env._(
                    "%(product)s is served from %(date)s on.",
                    product=line.product_id.display_name, date=format_date(self.env, day),
                ))

    def _get_terms(self):
        """Return what a customer pays for each line, to tell later what changed.

        :return: {line: (quantity, unit price, discount)}
        :rtype: dict
        """
        return {line: (line.product_uom_qty, line.price_unit, line.discount) for line in self}

    def _close_served_part(self):
        """Write what was served in arrears until today and isn't billed yet, at the terms before a change."""
        in_arrears = self.filtered(lambda line: line.product_uom_qty and line._is_billed_in_arrears())
        in_arrears.sudo()._open_served_periods(  # the ledger is the engine's
            {line: line.order_id._subscription_today() for line in in_arrears.sudo()})

    def _open_served_periods(self, days):
        """Write what was served until a day and isn't in the ledger yet, at the terms before a change: as rows to
        bill, or left out where the plan gives them away.

        :param dict days: {line: the day after the last one}
        """
        lines = self.filtered(lambda line: line.next_period_start and line.next_period_start < days[line])
        ledger_quantities = lines._get_ledger_quantities()
        no_row = self.env['subscription.period']
        vals_list = []
        for line in lines:
            while (period := line._get_period_from(line.next_period_start)) and period[0] < days[line]:
                end = min(period[1], days[line])
                vals = line._prepare_due_period(DuePeriod(period[0], end, end, no_row), ledger_quantities[line])
                ledger_quantities[line] += vals['quantity']
                vals_list.append(vals)
                line.next_period_start = end
        self.env['subscription.period'].sudo().create(vals_list)

    def _record_direct_change(self, terms):
        """Write the movements and the story of a change made in the lines themselves.

        :param dict terms: see `_get_terms`, before the change
        :raise UserError: when nothing would be left of a contract
        """
        self._get_served_lines().filtered(lambda line: not line.next_period_start)._join_contract()
        self._get_served_lines().filtered(lambda line: line in terms and not terms[line][0])._resume_service()
        for order, lines in self.grouped('order_id').items():
            if not order.order_line._get_served_lines():
                raise UserError(self.env._(
                    "Nothing would be left of subscription %(name)s. Close it instead, with the button Close.",
                    name=order.name,
                ))
            dates = {line: line._get_change_date() for line in lines}
            order._record_mrr_movements(event_date=dates)
            for line in lines:
                if line in terms and terms[line] != line._get_terms()[line]:
                    line._log_direct_change(terms[line], dates[line])
            order._update_open_quotations()

    def _log_direct_change(self, terms, day):
        """Say in the chatter what changed.

        :param tuple terms: quantity, unit price and discount before
        :param datetime.date day: from when on
        """
        self.ensure_one()
        self.order_id._message_log(body=self.env._(
            "%(product)s changes from %(date)s on: %(before)s becomes %(after)s.",
            product=self.product_id.display_name,
            date=format_date(self.env, day),
            before=self._format_terms(*terms),
            after=self._format_terms(*self._get_terms()[self]),
        ))

    def _resume_service(self):
        """Serve lines which had no quantity from the contract's first unbilled day on; the days between are left
        out.
        """
        vals_list = []
        for line in self.sudo():  # the ledger is the engine's
            others = line.order_id.order_line - line
            day = others._get_served_lines() and line.order_id._get_first_unbilled_day_of(others)
            day = max(day or line.order_id._subscription_today(), line.next_period_start)
            if day > line.next_period_start:
                vals_list.append(line._prepare_period(line.next_period_start, day, state='waived', quantity=0.0))
                line.next_period_start = day
        self.env['subscription.period'].sudo().create(vals_list)

    def _begin(self, start, first_day_to_bill, anchor):
        """Serve a line which is new, or which had no quantity; the days between are left out.

        :param datetime.date start: the first day served
        :param datetime.date first_day_to_bill: the first day to bill
        :param datetime.date anchor: the billing day to follow
        """
        self.ensure_one()
        if not self.anchor_date:
            self._start(start, first_day_to_bill, anchor=anchor)
        else:
            self._leave_out_until(first_day_to_bill)

    def _get_change_date(self):
        """Return the day from which a change of this line made now takes effect.

        :rtype: datetime.date
        """
        self.ensure_one()
        return self.next_period_start or self.order_id._get_first_unbilled_day()

    def _format_terms(self, quantity, price_unit, discount):
        """Return the terms of a line in words.

        :rtype: str
        """
        self.ensure_one()
        texts = {'quantity': self._format_number(quantity), 'price': self._format_price(price_unit)}
        if discount:
            return self.env._(
                "%(quantity)s × %(price)s less %(discount)s%%", discount=self._format_number(discount), **texts)
        return self.env._("%(quantity)s × %(price)s", **texts)

    def _format_price(self, price):
        """Return a unit price in words, with all its decimals.

        :param float price: in the currency of the line
        :rtype: str
        """
        self.ensure_one()
        currency = self.currency_id
        if float_compare(price, currency.round(price), precision_digits=6) == 0:
            return format_amount(self.env, price, currency)
        return formatLang(self.env, price, dp='Product Price', currency_obj=currency)

    def _format_number(self, number):
        """Return a quantity or a percentage as it is written in the reader's language, without needless zeros.

        :param float number: a quantity or a percentage
        :rtype: str
        """
        return self.env['res.lang'].browse(get_lang(self.env).id).format('%.12g', number, grouping=True)

    def _is_changed_by(self, vals, names):
        """Return whether writing `vals` would change one of some fields of the line.

        :param dict vals: values to write
        :param frozenset names: the fields which matter
        :rtype: bool
        """
        self.ensure_one()
        return bool(get_changed_fields(self, vals, names))

    def _is_swapped_by(self, vals):
        """Return whether `vals` would turn a line which was billed into another product, unit or plan.

        :param dict vals: values to write
        :rtype: bool
        """
        self.ensure_one()
        return bool(
            self.next_period_start and self.next_period_start != self.start_date and not self.order_id.locked
            and self._is_changed_by(vals, SWAP_FIELDS)
        )

    def _swap(self, vals):
        """End lines at their first unbilled day and start new ones with other values there.

        :param dict vals: values of the new lines
        :return: the new lines
        :rtype: sale.order.line
        """
        determined = PRODUCT_FIELDS if 'product_id' in vals else PRICE_FIELDS
        vals_list, dates = [], {}
        for line in self:
            values = {
                **line.copy_data()[0], **vals,
                'order_id': line.order_id.id, 'sequence': line.sequence, 'start_date': line.next_period_start,
            }
            for field in determined - vals.keys():
                values.pop(field, None)
            vals_list.append(values)
            dates[line] = line.next_period_start
            line.sudo().end_date = line.next_period_start - timedelta(days=1)
        for order, lines in self.grouped('order_id').items():
            order._record_mrr_movements(event_date={line: dates[line] for line in lines})
        return self.with_context(sale_subscription_ext_no_setup=True).create(vals_list)

    def _determine_again(self):
        """Determine price and taxes of lines whose product, unit or plan changed before anything was billed, and
        count their periods from the new plan's billing day.
        """
        lines = self.with_context(sale_subscription_ext_changing=True, sale_subscription_ext_determining=True)
        lines._compute_price_unit()
        lines._compute_tax_ids()
        for line in lines.sudo():  # dates are the engine's
            line.anchor_date = line.plan_id._get_anchor_date(line.start_date)
