from collections import Counter
from itertools import accumulate, pairwise

from odoo import models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_date


class SubscriptionProrationMixin(models.AbstractModel):
    """The invoice of a change: what it gives back and what it charges."""

    _name = 'subscription.proration.mixin'
    _description = "Subscription Proration"

    # === BUSINESS METHODS === #

    def _invoice_change(self, vals_list, date):
        """Write the ledger rows of a change of this subscription and make their invoice, if there are any.

        :param list[dict] vals_list: values of ledger rows
        :param datetime.date date: of the invoice
        :return: the invoice or credit note
        :rtype: account.move
        """
        self.ensure_one()
        if not vals_list:
            return self.env['account.move']
        return self._invoice_change_rows(self.env['subscription.period'].create(vals_list), date)

    def _invoice_change_rows(self, rows, date=None):
        """Make the invoice of what a change asks for, a credit note where more is given back than charged.

        Posted and mailed by the mode of the subscription, as its other invoices. One-off lines which can be
        invoiced join in. The right on the order was checked by the caller; ledger and invoices are the engine's.

        :param subscription.period rows: open rows of these subscriptions
        :param datetime.date date: the date of the invoices, each company's today if not given
        :return: one invoice for each subscription which has something to bill
        :rtype: account.move
        """
        engine = self.sudo()
        by_order = rows.sudo().grouped('order_id')
        rows_by_order = {
            order: {date or order._subscription_today(): by_order.get(order, rows.browse())} for order in engine}
        return engine._invoice_rows(rows_by_order, date)


class SubscriptionLineProrationMixin(models.AbstractModel):
    """What days of a line cost which were billed already, and what they cost at other terms."""

    _name = 'subscription.line.proration.mixin'
    _description = "Subscription Line Proration"

    # === BUSINESS METHODS === #

    def _prepare_credit_periods(self, start, end, **optional_values):
        """Prepare the ledger rows which give back what was billed for days of these lines.

        In proportion to the days, from what was billed, drafts included, less what was given back already; all days
        of a period give back exactly what was billed for it. Periods which were free or left out give nothing, nor
        do lines billed by delivered quantity.

        :param datetime.date start: the first day which isn't served any more at the old terms
        :param datetime.date end: the day after the last
        :param optional_values: values of each row, such as `amendment_id`
        :return: values of `credit` rows
        :rtype: list[dict]
        """
        return [
            {**vals, **optional_values}
            for row in self._get_charged_rows(start, end)
            for vals in row._prepare_credits(start, end)
        ]

    def _prepare_charge_periods(self, start, end, quantity, price_unit, discount, **optional_values):
        """Prepare the ledger rows which charge the same days as `_prepare_credit_periods` gives back, at other terms.

        Cut where the credits are cut, so that the same terms cost what is given back, to the cent.

        :param datetime.date start: the first day served at the new terms
        :param datetime.date end: the day after the last
        :param float quantity: the new quantity
        :param float price_unit: the new unit price
        :param float discount: the new discount
        :param optional_values: values of each row, such as `amendment_id`
        :return: values of `proration` rows
        :rtype: list[dict]
        """
        terms = {'quantity': quantity, 'price_unit': price_unit, 'discount': discount}
        return [
            {**vals, **optional_values}
            for row in (self._get_charged_rows(start, end) if quantity else ())
            for vals in row._prepare_charges(start, end, terms)
        ]

    def _get_charged_rows(self, start, end):
        """Return the ledger rows by which days of these lines were charged, or are about to be.

        What cost nothing was charged too. What was left out, free by the plan, or billed elsewhere wasn't.

        :param datetime.date start: the first day
        :param datetime.date end: the day after the last
        :rtype: subscription.period
        """
        lines = self.filtered(lambda line: not line._is_billed_by_delivery())
        is_free = Domain('quantity', '!=', 0) & (Domain('price_unit', '=', 0) | Domain('discount', '>=', 100))
        # The ledger is read whole, whatever the user may see of it: a part of it would give back wrong amounts.
        return self.env['subscription.period'].sudo().search(Domain([
            ('order_line_id', 'in', lines._origin.ids), ('kind', '!=', 'credit'), ('is_credited', '=', False),
            ('date_start', '<', end), ('date_end', '>', start),
        ]) & (Domain('state', '!=', 'waived') | is_free), order='date_start, id')

    def _check_days_paid_once(self):
        """Refuse what would let days of these lines be paid twice, or given back twice.

        :raise UserError: naming the days
        """
        for line in self:
            for day, times in line._get_paid_times():
                if times > 1:
                    raise UserError(self.env._(
                        "%(product)s would be paid twice from %(day)s on: these days were charged again since they were"
                        " given back. Credit that charge first.",
                        product=line.product_id.display_name, day=format_date(self.env, day)))
                if times < 0:
                    raise UserError(self.env._(
                        "%(product)s would be given back twice from %(day)s on: these days were credited otherwise"
                        " since. Cancel that credit note first.",
                        product=line.product_id.display_name, day=format_date(self.env, day)))

    def _get_billed_period(self, day):
        """Return the period of the ledger in which a day of this line was billed.

        :param datetime.date day: any day
        :return: (first day, day after the last), nothing where the day isn't in the ledger
        :rtype: tuple[datetime.date, datetime.date]|None
        """
        self.ensure_one()
        rows = self.sudo().period_ids.filtered(lambda row: (  # whoever reads the document
            row.kind == 'regular' and row.date_start <= day < row.date_end))
        return (rows[0].date_start, rows[0].date_end) if rows else None

    def _get_paid_times(self):
        """Return how often the days of this line are charged, less how often they are given back.

        :return: (day, times from that day on until the next one), in order
        :rtype: list[tuple[datetime.date, int]]
        """
        self.ensure_one()
        changes = Counter()
        for row in self.period_ids.filtered(lambda row: row._is_counted() and not row._is_free()):
            sign = -1 if row.kind == 'credit' else 1
            changes[row.date_start] += sign
            changes[row.date_end] -= sign
        days = sorted(changes)
        return list(zip(days, accumulate(changes[day] for day in days), strict=True))

    def _get_paid_spans(self):
        """Return the days of this line which are charged and not given back.

        :return: (first day, day after the last)
        :rtype: list[tuple[datetime.date, datetime.date]]
        """
        return [(start, end) for (start, times), (end, _times) in pairwise(self._get_paid_times()) if times > 0]

    def _get_untaxed_amount(self, price, taxes):
        """Return what quantity, unit price and discount cost without taxes.

        :param dict price: quantity, unit price and discount
        :param account.tax taxes: which may be included in the price
        :rtype: float
        """
        self.ensure_one()
        base_line = self._prepare_base_line_for_taxes_computation(**price, tax_ids=taxes)
        self.env['account.tax']._add_tax_details_in_base_line(base_line, self.company_id)
        return self.currency_id.round(base_line['tax_details']['raw_total_excluded_currency'])
