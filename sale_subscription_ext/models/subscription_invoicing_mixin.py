from collections import defaultdict
from datetime import timedelta

from odoo import models
from odoo.exceptions import LockError, UserError
from odoo.fields import Command


class SubscriptionParked(UserError):
    """A subscription which billing leaves alone until somebody has looked at it."""


class SubscriptionInvoicingMixin(models.AbstractModel):
    """The invoices of due subscriptions and the rows of the billing ledger which ask for them."""

    _name = 'subscription.invoicing.mixin'
    _description = "Subscription Invoicing"

    # === ACTION METHODS === #

    def action_leave_out_next_period(self):
        """Leave out beforehand what would be billed next; the following periods are billed as ever.

        :raise UserError: when a subscription isn't running, or bills nothing any more
        """
        self.check_access('write')
        self._check_running(self.env._("changed"))
        vals_list = []
        for order in self.sudo():  # the ledger is the engine's, the right on the orders was checked
            lines = order.order_line.filtered(
                lambda line, order=order: line._get_next_bill_date() == order.next_invoice_date)
            if not order.next_invoice_date or not lines:
                raise UserError(self.env._(
                    "%(name)s has no next period to leave out. Look at its billing periods: one which is to bill can be"
                    " left out there.", name=order.name,
                ))
            for line in lines:
                start, end = line._get_period_from(line.next_period_start)
                vals_list.append(line._prepare_period(start, end, state='waived'))
                line.next_period_start = end
        for order, periods in self.env['subscription.period'].sudo().create(vals_list).grouped('order_id').items():
            order._message_log(body=self.env._(
                "The period %(period)s is left out.", period=periods[0]._get_label()))

    # === BUSINESS METHODS - INVOICES === #

    def _bill_locked(self, date=None, post=True):
        """Make the invoices of what is due of locked subscriptions, with their ledger rows and next dates.

        :param datetime.date date: the as-of date and date of the invoices, each company's today if not given
        :param bool post: whether subscriptions whose mode posts do so
        :return: the new invoices
        :rtype: account.move
        """
        self._apply_amendments_before_billing(date)
        self._determine_taxes()
        moves = self._invoice_rows(self._open_ledger_rows(date), date, post)
        self.filtered('billing_error')._clear_billing_error()
        return moves

    def _invoice_rows(self, rows_by_order, date=None, post=True):
        """Make the invoices of ledger rows.

        :param dict rows_by_order: see `_open_ledger_rows`
        :param datetime.date date: the date of the invoices, each company's today if not given
        :param bool post: whether subscriptions whose mode posts do so; otherwise drafts without a date
        :return: the new invoices
        :rtype: account.move
        """
        self.order_line.mapped('tax_ids')  # the host reads these line by line
        self.order_line.mapped('invoice_lines')
        vals_list = [
            invoice.vals for invoice in self._prepare_consolidated_invoices(rows_by_order, date, post)]
        set_wise = self.with_context(sale_subscription_ext_set_wise=True)
        moves = set_wise._create_account_invoices(vals_list, final=True).with_env(self.env)
        # As the host does it: only an invoice which exists knows whether it is one. Totals wait until it is posted.
        with_credits = moves.filtered(lambda move: any(line.price_subtotal < 0 for line in move.invoice_line_ids))
        with_credits.filtered(lambda move: move.currency_id.compare_amounts(move.amount_total, 0.0) < 0) \
            .action_switch_move_type()
        rows = self.env['subscription.period'].union(*(
            rows for by_date in rows_by_order.values() for rows in by_date.values()))
        rows.filtered('invoice_line_id')._set_billed()
        moves._log_origin()
        if post:
            # Numbers come last: they are what workers wait for each other for.
            self._issue_invoices(moves)
        return moves

    def _open_ledger_rows(self, date=None, lines=None):
        """Write the ledger rows of everything which is due and move the lines on to their next periods.

        :param datetime.date date: the as-of date
        :param sale.order.line lines: what is due of these lines only
        :return: {order: {bill date: rows}}, oldest first
        :rtype: dict
        :raise SubscriptionParked: when what is due can't be right
        """
        self._check_obstacles()
        self._apply_due_prices(date)
        lines = (self.order_line if lines is None else lines).filtered('anchor_date')
        open_rows = lines._get_open_rows()
        ledger_quantities = lines._get_ledger_quantities()
        entries, vals_list, next_starts = [], [], {}
        for order in self:
            day = date or order._subscription_today()
            due = [(line, period) for line in order.order_line & lines
                   for period in line._get_due_periods(day, open_rows.get(line, ()))]
            order._check_due(due)
            for line, period in due:
                entries.append((order, period))
                if not period.row:
                    vals = line._prepare_due_period(period, ledger_quantities[line])
                    ledger_quantities[line] += vals['quantity']
                    vals_list.append(vals)
                    next_starts[line] = period.end
        for start, moved_on in self.env['sale.order.line'].concat(*next_starts).grouped(next_starts.get).items():
            moved_on.next_period_start = start
        new_rows = iter(self.env['subscription.period'].create(vals_list))
        result = defaultdict(lambda: defaultdict(self.env['subscription.period'].browse))
        for order, period in entries:
            result[order][period.bill_date] |= period.row or next(new_rows)
        return {order: dict(sorted(by_date.items())) for order, by_date in result.items()}

    def _check_due(self, due):
        """Refuse to bill what can't be right.

        :param list due: (order line, due period)
        :raise SubscriptionParked: saying what to do
        """
        self.ensure_one()
        limit = self.company_id.subscription_catch_up
        count = len({period.bill_date for _line, period in due})
        if count > limit:
            raise SubscriptionParked(self.env._(
                "More than %(limit)s missed periods are due. If that is right, ask an administrator to raise Missed"
                " Periods in the settings and press Retry; otherwise close this subscription and confirm a new one with"
                " the right dates.", limit=limit,
            ))
        if self.currency_id.compare_amounts(self.recurring_total, 0.0) < 0:
            raise SubscriptionParked(self.env._(
                "The recurring total is negative. Correct prices, quantities or discounts of the recurring lines,"
                " then press Retry."
            ))

    def _prepare_subscription_invoices(self, rows_by_date, invoice_date=None):
        """Prepare the invoices of one subscription: one per date on which something was due, oldest first.

        One-off lines which can be invoiced join the first one.

        :param dict rows_by_date: {bill date: ledger rows}
        :param datetime.date invoice_date: the date of the invoices, none on drafts made by hand
        :return: values to create invoices with
        :rtype: list[dict]
        """
        self.ensure_one()
        order = self.with_company(self.company_id).with_context(lang=self.partner_invoice_id.lang or self.env.lang)
        vals_list = []
        nothing = self.env['subscription.period']
        for rows in rows_by_date.values() or [nothing]:
            billable = rows.filtered(lambda row: row.state == 'open' and row.quantity)
            lines = order._get_subscription_invoice_lines(billable, with_one_off=not vals_list)
            is_free = not any(row._get_net_amount() for row in billable) and lines <= billable.order_line_id | (
                lines.filtered('display_type'))
            if is_free:
                self._leave_out(rows)
                continue
            vals = order._prepare_invoice()
            if invoice_date:
                vals['invoice_date'] = invoice_date
                if not order.payment_term_id:
                    # The host would take the real today, also when a missed day is billed later.
                    vals['invoice_date_due'] = invoice_date
            if order.collection_mode == 'prepaid':
                vals.update(order._prepare_prepaid_invoice(billable, invoice_date))
            vals['invoice_line_ids'] += order._prepare_subscription_invoice_lines(lines, billable)
            vals_list.append(vals)
            (rows - billable).filtered(lambda row: row.state == 'open').write({'state': 'waived', 'amount': 0.0})
        return vals_list

    def _get_subscription_invoice_lines(self, rows, with_one_off):
        """Return the lines of the next invoice with their sections and notes, as the host chooses them.

        :param rows: the ledger rows to bill
        :param bool with_one_off: whether one-off lines and down payments join in
        :rtype: sale.order.line
        """
        self.ensure_one()
        quantities = defaultdict(float)
        for row in rows:
            quantities[row.order_line_id.id] += row.quantity
        # For the host's choice of lines only: what is due is determined again when the rows are billed.
        recurring = self.order_line.filtered('is_recurring')
        field = recurring._fields['qty_to_invoice']
        self.env.remove_to_compute(field, recurring)
        with self.env.protecting([field], recurring):
            for line in recurring:
                line.qty_to_invoice = quantities[line.id]
        lines = self._get_invoiceable_lines(final=True)
        one_off = lines.filtered(
            lambda line: not (line.is_recurring or line.display_type or line.is_downpayment))
        if with_one_off and one_off:
            return lines
        # Down payments were made on the one-off part.
        recurring = lines.filtered('is_recurring')
        return lines.filtered(lambda line: line in recurring or (
            line.display_type and (line.display_type == 'line_note' or line._get_section_lines() & recurring)))

    def _prepare_subscription_invoice_lines(self, lines, rows):
        """Prepare the lines of an invoice: those of ledger rows with their periods, the others as the host does.

        :param lines: order lines to bill
        :param rows: the ledger rows of the recurring ones
        :return: commands for `invoice_line_ids`
        :rtype: list
        """
        self.ensure_one()
        rows_by_line = rows.grouped('order_line_id')
        commands = []
        has_down_payment_section = False
        for line in lines:
            if line.is_downpayment and not has_down_payment_section:
                commands.append(Command.create(self._prepare_down_payment_section_line(sequence=len(commands))))
                has_down_payment_section = True
            if line.is_recurring:
                for row in rows_by_line.get(line, ()):
                    commands += map(Command.create, line._prepare_period_invoice_lines(row, sequence=len(commands)))
                continue
            optional_values = {'sequence': len(commands)}
            if line.is_downpayment:
                # As the host does it: a final invoice takes back what was paid down.
                optional_values['quantity'] = -1.0
                optional_values['extra_tax_data'] = self.env['account.tax'] \
                    ._reverse_quantity_base_line_extra_tax_data(line.extra_tax_data)
            commands += map(Command.create, line._prepare_invoice_lines_vals_list(**optional_values))
        return commands

    def _leave_out(self, rows):
        """Close ledger rows for which no invoice is made: free periods, nothing delivered.

        :param rows: ledger rows of this subscription
        """
        rows = rows.filtered(lambda row: row.state == 'open')
        rows.write({'state': 'waived', 'amount': 0.0})
        for label in dict.fromkeys(row._get_label() for row in rows):
            self._message_log(body=self.env._("Nothing to bill for %(period)s.", period=label))

    def _create_due_invoices(self):
        """Make draft invoices of what is due, for the host's own ways to invoice an order.

        :return: the new invoices
        :rtype: account.move
        :raise UserError: when another worker is billing one of them
        """
        self.check_access('write')
        self._check_billing_hold()
        try:
            self.lock_for_update(allow_referencing=True)
        except LockError as error:
            raise UserError(self.env._(
                "These subscriptions are being billed right now. Try again in a minute.")) from error
        # As the host: salespeople make invoices of their orders without any right in accounting.
        try:
            return self.sudo()._bill_locked(post=False).sudo(self.env.su)
        except SubscriptionParked as error:
            raise UserError(str(error)) from error  # the web client knows the host's exceptions only

    def _bill_remaining(self, day):
        """Make the final invoices of subscriptions which end.

        :param datetime.date day: the last day served and date of the invoices
        :raise UserError: when all billing is on hold
        """
        self._check_billing_hold()
        # The last period of lines billed in arrears ends, and is due, on the day after.
        self._invoice_rows(self._open_ledger_rows(day + timedelta(days=1)), day)

    def _waive_remaining(self, day):
        """Leave out what was served until `day` and isn't billed: one row for each line.

        :param datetime.date day: the last day of the contract, which is served unless it is paused
        """
        self.env['subscription.period'].search(
            [('order_id', 'in', self.ids), ('state', '=', 'open')]).write({'state': 'waived', 'amount': 0.0})
        paused = self.filtered(lambda order: order._is_paused())
        # Who reopens a paused one on the day of its closing is served, and billed, from that day on.
        paused.order_line._leave_out_until(day)
        (self - paused).order_line._leave_out_until(day + timedelta(days=1))

    # === BUSINESS METHODS - POST AND SEND === #

    def _issue_invoices(self, moves):
        """Post and send new invoices by the mode of their subscriptions.

        :param moves: new invoices of these subscriptions
        """
        to_post = moves.filtered(lambda move: all(
            order._is_posting_invoices() for order in move.line_ids.sale_line_ids.order_id))
        to_post.with_context(sale_subscription_ext_set_wise=True)._post(soft=False)
        to_post._reconcile_subscription_credits()
        to_post._queue_subscription_mails()
        moves._queue_subscription_charges()
