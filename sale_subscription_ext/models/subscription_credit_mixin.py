from odoo import models
from odoo.fields import Command

from ..tools import proration


class SubscriptionCreditMixin(models.AbstractModel):
    """What a row of the billing ledger gives back when its days aren't served as they were billed."""

    _name = 'subscription.credit.mixin'
    _description = "Subscription Credit"

    # === BUSINESS METHODS - CREDITS === #

    def _get_uncredited_spans(self, start, end):
        """Return the days of the row which weren't given back yet, and weren't charged anew by a later change: what
        is free gives nothing back.

        :param datetime.date start: the first day to look at
        :param datetime.date end: the day after the last
        :return: (first day, day after the last), in order
        :rtype: list[tuple[datetime.date, datetime.date]]
        """
        self.ensure_one()
        changes = self.order_line_id.period_ids.filtered(
            lambda row: row.kind == 'proration' and row.id > self.id and row._is_counted())
        return proration.get_remaining_spans(
            max(start, self.date_start), min(end, self.date_end),
            [(row.date_start, row.date_end) for row in self._get_active_credits() | changes],
        )

    def _get_active_credits(self):
        """Return the credits of these rows which count.

        :rtype: subscription.period
        """
        return self.credit_ids.filtered(lambda credit: credit._is_counted())

    def _get_counted_credits(self):
        """Return the credits of these rows which are on a document that counts.

        :rtype: subscription.period
        """
        return self._get_active_credits().filtered(lambda credit: credit.state == 'billed')

    def _get_amount_left(self):
        """Return how much of what was billed for the row wasn't given back, by the ledger or by accountants, without
        taxes.

        :rtype: float
        """
        self.ensure_one()
        rows = self | self._get_counted_credits()
        return self.currency_id.round(sum(
            row.amount - row._get_lines_taking_back()._get_amount_taken_back() for row in rows))

    def _prepare_credits(self, start, end):
        """Prepare the rows which give days of this one back.

        In proportion to the days, rounded once for each span; the last days of a row take what earlier credits
        left, so that all of them together give back what was billed, to the cent. Days for which no money is left are
        given back as well, by a row without an invoice: they aren't paid any more.

        :param datetime.date start: the first day to give back
        :param datetime.date end: the day after the last
        :return: values of credit rows
        :rtype: list[dict]
        """
        self.ensure_one()
        line = self.order_line_id
        billed = self._get_billed_terms()
        total = line._get_amount_of_part(billed)
        remaining = total - self._get_amount_given_back()
        if total * remaining < 0:
            remaining = 0.0  # accountants gave more than everything back: there is nothing to take again
        spans = self._get_uncredited_spans(start, end) if total else []
        is_last = spans == self._get_uncredited_spans(self.date_start, self.date_end)
        vals_list = []
        for index, (span_start, span_end) in enumerate(spans):
            terms, ratio = self._get_terms_of_span(billed, span_start, span_end)
            amount = line._get_amount_of_part(terms, ratio)
            if (is_last and index == len(spans) - 1) or abs(amount) > abs(remaining):
                amount = remaining
            amount = line.currency_id.round(amount)
            remaining -= amount
            is_nothing = line.currency_id.is_zero(amount)
            price = {**terms, 'price_unit': 0.0} if is_nothing else line._get_price_of_part(terms, ratio, amount)
            vals_list.append({
                'order_line_id': line.id,
                'credited_period_id': self.id,
                'anchor_date': self.anchor_date,
                'date_start': span_start,
                'date_end': span_end,
                'kind': 'credit',
                'state': 'billed' if is_nothing else 'open',
                'amount': -line._get_untaxed_amount(price, self._get_credited_taxes()),
                **price,
            })
        return vals_list

    def _prepare_charges(self, start, end, terms):
        """Prepare the rows which charge days of this one anew: those which `_prepare_credits` gives back.

        :param datetime.date start: the first day served at the new terms
        :param datetime.date end: the day after the last
        :param dict terms: the new quantity, unit price and discount
        :return: values of proration rows
        :rtype: list[dict]
        """
        self.ensure_one()
        line = self.order_line_id
        vals_list = []
        for span_start, span_end in self._get_uncredited_spans(start, end):
            ratio = line._get_period_ratio(span_start, span_end, self.anchor_date)
            price = line._get_price_of_part(terms, ratio, line._get_amount_of_part(terms, ratio))
            vals_list.append({
                'order_line_id': line.id,
                'anchor_date': self.anchor_date,
                'date_start': span_start,
                'date_end': span_end,
                'kind': 'proration',
                'amount': line._get_untaxed_amount(price, line.tax_ids),
                **terms,
            })
        return vals_list

    def _prepare_charge_again(self, start, end):
        """Prepare the row which charges days again that this credit gave back: for what was given back.

        :param datetime.date start: the first day, not before that of the credit
        :param datetime.date end: the day after the last, not after that of the credit
        :return: values of a proration row
        :rtype: dict
        """
        self.ensure_one()
        line, billed = self.order_line_id, self.credited_period_id
        ratio = line._get_period_ratio(self.date_start, self.date_end, self.anchor_date)
        amount, terms = line._get_amount_of_part(self._get_terms()), billed._get_terms()
        if line.currency_id.compare_amounts(line._get_amount_of_part(terms, ratio), amount):
            # Less was left, or a draft was edited: the price of a whole period of which these days are that part.
            terms = {'quantity': 1.0, 'price_unit': amount * ratio.denominator / ratio.numerator, 'discount': 0.0}
        return line._prepare_period(
            start, end, kind='proration', anchor_date=self.anchor_date,
            state='open' if terms['price_unit'] else 'billed', **terms)

    def _get_billed_terms(self):
        """Return quantity, unit price and discount of what was billed for the row, or will be.

        :rtype: dict
        """
        self.ensure_one()
        invoice_line = self.invoice_line_id
        if self.state != 'billed':
            return self.order_line_id._prepare_period_price(self)
        sign = -invoice_line.move_id.direction_sign
        return {
            'quantity': sign * invoice_line.quantity,
            'price_unit': invoice_line.price_unit,
            'discount': invoice_line.discount,
        }

    def _get_terms_of_span(self, billed, start, end):
        """Return what a part of the row is to be counted from, and which part it is.

        Those are the terms of the whole natural period, as long as the row was billed at them: a new charge for the
        same days at the same terms is the same to the cent. A row whose draft was edited is shared out itself.

        :param dict billed: see `_get_billed_terms`
        :param datetime.date start: the first day of the part
        :param datetime.date end: the day after the last
        :return: quantity, unit price and discount; the part
        :rtype: tuple[dict, fractions.Fraction]
        """
        self.ensure_one()
        line = self.order_line_id
        ratio = line._get_period_ratio(start, end, self.anchor_date)
        asked = line._prepare_period_price(self)
        if line.currency_id.compare_amounts(
                line._get_amount_of_part(asked), line._get_amount_of_part(billed)) == 0:
            return self._get_terms(), ratio
        return billed, ratio / line._get_period_ratio(self.date_start, self.date_end, self.anchor_date)

    def _get_amount_given_back(self):
        """Return what was given back of the row already: by credits of the ledger, by credit notes of accountants.

        :return: as the unit price is: with taxes where they are included
        :rtype: float
        """
        self.ensure_one()
        parts = [credit._get_terms() for credit in self._get_active_credits()]
        parts += [
            {
                'quantity': line._get_quantity_taken_back(),
                'price_unit': line.price_unit, 'discount': line.discount,
            }
            for row in self | self._get_counted_credits() for line in row._get_lines_taking_back()
        ]
        return sum(map(self.order_line_id._get_amount_of_part, parts))

    def _get_credited_taxes(self):
        """Return the taxes with which a credit is given back: those which were billed.

        :rtype: account.tax
        """
        self.ensure_one()
        billed = self.credited_period_id or self
        return billed.invoice_line_id.tax_ids if billed.state == 'billed' else billed.order_line_id.tax_ids

    def _prepare_credit_taxes(self):
        """Prepare what differs on the invoice line of a credit from that of a charge.

        :rtype: dict
        """
        self.ensure_one()
        if self.kind != 'credit':
            return {}
        return {
            'tax_ids': [Command.set(self._get_credited_taxes().ids)],
            'extra_tax_data': self.env['account.tax']._reverse_quantity_base_line_extra_tax_data(
                self.order_line_id.extra_tax_data),
        }
