from odoo import models


class SubscriptionForecastMixin(models.AbstractModel):
    """The invoices of the coming periods, computed without writing anything."""

    _name = 'subscription.forecast.mixin'
    _description = "Subscription Forecast"

    # === BUSINESS METHODS === #

    def get_subscription_forecast(self, periods):
        """Return the next invoices of running subscriptions, with real taxes, rounding and payment terms.

        Goes by the lines as they are now and by the changes which are confirmed for a day to come: prices, quantities,
        taxes. Lines billed by delivered quantity are counted with what is delivered and not billed.

        :param int periods: how many invoices of each subscription
        :return: a dict for each invoice, by subscription and date: `order_id`, `date` (on which it is made),
            `currency_id`, `amount_untaxed`, `amount_tax`, `amount_total`, `terms` (list of `date` and `amount` to
            pay), `lines` (list of `order_line_id`, False for a line which a change is about to add, `date_start`,
            `date_end` exclusive, `amount` untaxed)
        :rtype: list[dict]
        """
        self.check_access('read')
        result = []
        for order in self.sudo():  # the right on the orders was checked; taxes and terms may be hidden from who asks
            result += order._get_forecast_invoices(periods)
        return result

    def _get_forecast_invoices(self, periods):
        """Return the next invoices of one subscription.

        :param int periods: how many
        :return: see `get_subscription_forecast`
        :rtype: list[dict]
        """
        self.ensure_one()
        return [self._get_forecast_invoice(day, rows) for day, rows in self._get_forecast_entries(periods)]

    def _get_forecast_entries(self, periods):
        """Return what the next invoices of one subscription bill.

        :param int periods: how many invoices
        :return: (bill date, list of ledger rows which aren't stored)
        :rtype: list[tuple]
        """
        self.ensure_one()
        rows_by_date = {}
        lines = self.order_line.filtered('anchor_date')
        open_rows = lines._get_open_rows()
        ledger_quantities = lines._get_ledger_quantities()
        for line in lines:
            for row in open_rows.get(line, ()):
                rows_by_date.setdefault(line._get_row_bill_date(row), []).append(row)
            for day, vals in line._get_forecast_periods(periods, ledger_quantities[line]):
                rows_by_date.setdefault(day, []).append(self.env['subscription.period'].new(vals))
        billed = sorted(
            (day, rows) for day, rows in rows_by_date.items()
            if any(row.state == 'open' and row._get_net_amount() for row in rows)
        )
        return billed[:periods]

    def _get_forecast_invoice(self, day, rows, once=()):
        """Return one coming invoice.

        :param datetime.date day: the date on which it is made
        :param list rows: ledger rows
        :param once: one-off lines which join in
        :return: see `get_subscription_forecast`
        :rtype: dict
        """
        self.ensure_one()
        base_lines = self._get_forecast_base_lines(rows)
        totals = self._get_forecast_totals(base_lines + [
            line._prepare_base_line_for_taxes_computation(quantity=line._get_first_quantity()) for line in once])
        return {
            'order_id': self.id,
            'date': day,
            'currency_id': self.currency_id.id,
            'amount_untaxed': self.currency_id.round(totals['base_amount_currency']),
            'amount_tax': self.currency_id.round(totals['tax_amount_currency']),
            'amount_total': self.currency_id.round(totals['total_amount_currency']),
            'terms': self._get_forecast_terms(day, totals),
            'lines': [{
                'order_line_id': base_line['row'].order_line_id.id,
                'date_start': base_line['row'].date_start,
                'date_end': base_line['row'].date_end,
                'amount': self.currency_id.round(
                    base_line['tax_details']['total_excluded_currency']
                    + base_line['tax_details']['delta_total_excluded_currency']),
            } for base_line in base_lines],
        }

    def _get_forecast_base_lines(self, rows):
        """Return what the host computes taxes from for ledger rows, stored or not.

        :param rows: ledger rows of this subscription
        :return: base lines, each with its `row`
        :rtype: list[dict]
        """
        self.ensure_one()
        base_lines = []
        for row in rows:
            if row.state == 'open' and row.quantity:
                base_lines.append({**row.order_line_id._prepare_period_base_line(row), 'row': row})
        return base_lines

    def _get_forecast_totals(self, base_lines):
        """Return the totals of an invoice with these lines, whose tax details are filled in.

        :param list[dict] base_lines: base lines of the host's taxes
        :return: the host's tax totals
        :rtype: dict
        """
        self.ensure_one()
        AccountTax = self.env['account.tax']
        company = self.company_id or self.env.company
        AccountTax._add_tax_details_in_base_lines(base_lines, company)
        early_payment_lines = self._prepare_early_payment_base_lines(base_lines)
        AccountTax._add_tax_details_in_base_lines(early_payment_lines, company)
        all_lines = base_lines + early_payment_lines
        AccountTax._round_base_lines_tax_details(all_lines, company)
        return AccountTax._get_tax_totals_summary(all_lines, self.currency_id or company.currency_id, company)

    def _prepare_early_payment_base_lines(self, base_lines):
        """Return the lines by which the host takes the taxes of a discount for early payment off beforehand.

        :param list[dict] base_lines: base lines with tax details
        :return: base lines, none without such a payment term
        :rtype: list[dict]
        """
        self.ensure_one()
        term = self.payment_term_id
        if not term.early_discount or term.early_pay_discount_computation != 'mixed' or not term.discount_percentage:
            return []
        AccountTax = self.env['account.tax']
        result = []
        for base_line in base_lines:
            untaxed = self.currency_id.round(base_line['tax_details']['raw_total_excluded_currency'])
            values = {
                'record': self, 'price_unit': untaxed * term.discount_percentage / 100, 'quantity': 1.0,
                'currency_id': self.currency_id, 'sign': 1, 'special_type': 'early_payment',
            }
            taxes = base_line['tax_ids'].flatten_taxes_hierarchy().filtered(lambda tax: tax.amount_type != 'fixed')
            result.append(AccountTax._prepare_base_line_for_taxes_computation(
                **{**values, 'price_unit': -values['price_unit'], 'tax_ids': taxes}))
            result.append(AccountTax._prepare_base_line_for_taxes_computation(**values))
        return result

    def _get_forecast_terms(self, day, totals):
        """Return when a coming invoice is to be paid.

        :param datetime.date day: its date
        :param dict totals: the host's tax totals
        :return: list of `date` and `amount`
        :rtype: list[dict]
        """
        self.ensure_one()
        if not self.payment_term_id:
            return [{'date': day, 'amount': totals['total_amount_currency']}]
        terms = self.payment_term_id._compute_terms(
            date_ref=day, currency=self.currency_id, company=self.company_id, sign=1,
            tax_amount=totals['tax_amount'], tax_amount_currency=totals['tax_amount_currency'],
            untaxed_amount=totals['base_amount'], untaxed_amount_currency=totals['base_amount_currency'],
        )
        return [
            {'date': term['date'], 'amount': self.currency_id.round(term['foreign_amount'])}
            for term in terms['line_ids']
        ]


class SubscriptionLineForecastMixin(models.AbstractModel):
    """The coming periods of a line."""

    _name = 'subscription.line.forecast.mixin'
    _description = "Subscription Line Forecast"

    # === BUSINESS METHODS === #

    def _get_forecast_periods(self, periods, ledger_quantity):
        """Return the next periods of the line.

        :param int periods: how many
        :param float ledger_quantity: what the ledger holds of the line already
        :return: (bill date, values of a ledger row)
        :rtype: list[tuple]
        """
        self.ensure_one()
        result = []
        start = self.next_period_start if self.product_uom_qty else None
        # Periods which cost nothing make no invoice and don't count.
        while len(result) < periods + 1 and (period := self._get_period_from(start)):
            vals = self._prepare_period(
                *period,
                quantity=self._get_period_quantity(ledger_quantity),
                state='waived' if self._is_free_period(*period) else 'open',
            )
            ledger_quantity += vals['quantity']
            result.append((self._get_bill_date(*period), vals))
            start = period[1]
        return result
