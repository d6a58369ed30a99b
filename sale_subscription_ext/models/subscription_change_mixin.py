from odoo import models
from odoo.tools import format_amount, format_date

# What a line costs or is: a change of one of these on a running contract is an amendment.
CHANGE_FIELDS = frozenset({
    'product_id', 'product_uom_id', 'product_uom_qty', 'price_unit', 'discount', 'plan_id',
})

# A line with another of these is another line: the old one ends, a new one starts.
SWAP_FIELDS = frozenset({'product_id', 'plan_id'})

FIELDS_OF_PRODUCT = frozenset({
    'name', 'is_recurring', 'product_uom_id', 'price_unit', 'technical_price_unit', 'tax_ids',
})


class SubscriptionChangeMixin(models.AbstractModel):
    """Direct edits of the lines of a running contract, effective at the first unbilled day."""

    _name = 'subscription.change.mixin'
    _description = "Subscription Change"

    # === BUSINESS METHODS === #

    def _join_contract(self):
        """Let new lines of running contracts be served from the contract's first unbilled day on.

        They follow the billing day of the contract; until it, they bill the rest of the period.
        """
        for order, lines in self.grouped('order_id').items():
            first_unbilled_day = order._get_first_unbilled_day()
            for line in lines:
                day = line.start_date or first_unbilled_day
                peer = order.order_line.filtered(
                    lambda other, line=line: other.plan_id == line.plan_id and other.anchor_date)
                line._start(day, day, anchor=peer[:1].anchor_date)
            order._record_mrr_movements(event_date={line: line.start_date for line in lines})

    def _get_terms(self):
        """Return what a customer pays for each line, to tell later what changed.

        :return: {line: (quantity, unit price, discount)}
        :rtype: dict
        """
        return {line: (line.product_uom_qty, line.price_unit, line.discount) for line in self}

    def _record_direct_change(self, terms):
        """Write the movements and the story of a change made in the lines themselves.

        :param dict terms: see `_get_terms`, before the change
        """
        self.filtered(lambda line: not line.next_period_start)._get_served_lines()._join_contract()
        changed = self.filtered(lambda line: terms[line] != line._get_terms()[line])
        for order, lines in changed.grouped('order_id').items():
            dates = {line: line._get_change_date() for line in lines}
            order._record_mrr_movements(event_date=dates)
            for line in lines:
                order._message_log(body=self.env._(
                    "%(product)s changes from %(date)s on: %(before)s becomes %(after)s.",
                    product=line.product_id.display_name,
                    date=format_date(self.env, dates[line]),
                    before=line._format_terms(*terms[line]),
                    after=line._format_terms(*line._get_terms()[line]),
                ))

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
        price = format_amount(self.env, price_unit, self.currency_id)
        if discount:
            return self.env._(
                "%(quantity)g × %(price)s less %(discount)g%%", quantity=quantity, price=price, discount=discount)
        return self.env._("%(quantity)g × %(price)s", quantity=quantity, price=price)

    def _filter_swapped(self, vals):
        """Return the lines which `vals` would turn into another product or plan after they were billed.

        :param dict vals: values to write
        :rtype: sale.order.line
        """
        swap_fields = SWAP_FIELDS & vals.keys()
        return self.filtered(
            lambda line: line.next_period_start and line.next_period_start != line.start_date
            and any(line[field].id != vals[field] for field in swap_fields))

    def _swap(self, vals):
        """End lines at their first unbilled day and start new ones with other values there.

        :param dict vals: values of the new lines
        :return: the new lines
        :rtype: sale.order.line
        """
        vals_list = []
        for line in self:
            values = {
                **line.copy_data()[0], **vals,
                'order_id': line.order_id.id, 'sequence': line.sequence, 'start_date': line.next_period_start,
            }
            if 'product_id' in vals:
                # What follows from the product is determined anew.
                for field in FIELDS_OF_PRODUCT - vals.keys():
                    values.pop(field, None)
            vals_list.append(values)
            line.end_date = line.order_id._get_day_before(line.next_period_start)
        dates = {line: line.next_period_start for line in self}
        for order, lines in self.grouped('order_id').items():
            order._record_mrr_movements(event_date={line: dates[line] for line in lines})
        return self.create(vals_list)
