from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date


class SubscriptionPeriod(models.Model):
    """The billing ledger: which days of which line were asked for, by which invoice line.

    Rows are never deleted; the database refuses a second regular row for a day already in the ledger.
    """

    _name = 'subscription.period'
    _inherit = ['subscription.credit.mixin']
    _description = "Billing Period"
    _order = 'date_start desc, id desc'
    _check_company_auto = True

    # No extension is needed: a line is a range of one integer.
    _no_overlap = models.Constraint(
        "EXCLUDE USING gist (int4range(order_line_id, order_line_id, '[]') WITH &&,"
        " daterange(date_start, date_end) WITH &&) WHERE (kind = 'regular')",
        "This period of the subscription is in the billing ledger already: it was billed or left out before.",
    )
    _no_double_credit = models.Constraint(
        "EXCLUDE USING gist (int4range(credited_period_id, credited_period_id, '[]') WITH &&,"
        " daterange(date_start, date_end) WITH &&)"
        " WHERE (kind = 'credit' AND state != 'waived' AND is_credited IS NOT TRUE AND credited_period_id IS NOT NULL)",
        "These days were given back to the customer already.",
    )
    _no_double_change = models.UniqueIndex(
        "(order_line_id, date_start, amendment_id) WHERE kind = 'proration' AND amendment_id IS NOT NULL",
        "This change of the subscription was charged already.",
    )
    _check_dates = models.Constraint(
        'CHECK(date_end >= date_start)',
        "A billing period can't end before it starts.",
    )
    _open_idx = models.Index("(order_line_id) WHERE state = 'open'")

    order_line_id = fields.Many2one(
        comodel_name='sale.order.line', required=True, index=True, ondelete='restrict')
    order_id = fields.Many2one(
        related='order_line_id.order_id', string="Subscription", store=True, index=True, precompute=True)
    company_id = fields.Many2one(related='order_line_id.company_id', store=True, index=True, precompute=True)
    currency_id = fields.Many2one(related='order_line_id.currency_id', store=True, precompute=True)
    product_id = fields.Many2one(related='order_line_id.product_id')
    amendment_id = fields.Many2one(
        comodel_name='sale.order', string="Change", index='btree_not_null', ondelete='restrict', readonly=True,
        help="The amendment which asks for this proration or credit.")
    credited_period_id = fields.Many2one(
        comodel_name='subscription.period', string="Credit Of", index='btree_not_null', ondelete='restrict',
        readonly=True, help="The billed period of which this credit gives days back.")
    credit_ids = fields.One2many(
        comodel_name='subscription.period', inverse_name='credited_period_id', string="Credits")
    anchor_date = fields.Date(string="Billing Day", help="The date which the period was counted from.")
    date_start = fields.Date(string="From", required=True)
    date_end = fields.Date(string="End (exclusive)", required=True, help="The first day after the period.")
    date_last = fields.Date(string="To", compute='_compute_date_last')
    kind = fields.Selection(
        selection=[('regular', "Regular"), ('proration', "Proration"), ('credit', "Credit")],
        required=True,
        default='regular',
    )
    state = fields.Selection(
        selection=[('open', "To Bill"), ('billed', "Billed"), ('waived', "Left Out")],
        required=True,
        default='open',
    )
    # Of the whole period; of a credit, of the part which is given back.
    quantity = fields.Float(digits='Product Unit')
    price_unit = fields.Float(string="Unit Price", digits='Product Price')
    discount = fields.Float(string="Discount (%)", digits='Discount')
    amount = fields.Monetary(help="Untaxed, as on the invoice line; credits are negative.")
    invoice_line_id = fields.Many2one(
        comodel_name='account.move.line', index='btree_not_null', ondelete='set null')
    credited_line_id = fields.Many2one(
        comodel_name='account.move.line', index='btree_not_null', ondelete='set null', readonly=True,
        help="The invoice line which billed the period before a credit note let it be billed again.")
    is_credited = fields.Boolean(
        string="Taken Back", readonly=True,
        help="Posted credit notes took the whole period back; of a credit, the credit note was reversed.")
    invoice_id = fields.Many2one(related='invoice_line_id.move_id', string="Invoice")
    invoice_state = fields.Selection(related='invoice_id.state', string="Invoice Status")
    billing_status = fields.Selection(
        selection=[
            ('open', "To Bill"),
            ('draft', "Draft"),
            ('posted', "Invoiced"),
            ('given_back', "Credit Note"),
            ('paid', "Paid"),
            ('credited', "Credited"),
            ('reversed', "Reversed"),
            ('waived', "Left Out"),
        ],
        string="Status",
        compute='_compute_billing_status',
        help="What became of the period, down to the state of its invoice.",
    )

    # === COMPUTE METHODS === #

    @api.depends('date_start', 'date_end')
    def _compute_date_last(self):
        for period in self:
            is_empty = not period.date_end or period.date_end == period.date_start
            period.date_last = period.date_end if is_empty else fields.Date.subtract(period.date_end, days=1)

    @api.depends('state', 'is_credited', 'invoice_state', 'invoice_id.payment_state')
    def _compute_billing_status(self):
        for period in self:
            # Whoever sees the period may not read the invoice behind it.
            invoice = period.sudo().invoice_id
            if period.state != 'billed':
                period.billing_status = period.state
            elif period.is_credited:
                period.billing_status = 'reversed' if period.kind == 'credit' else 'credited'
            elif not invoice:
                period.billing_status = 'waived'  # no money was left to give back
            elif invoice.state == 'draft':
                period.billing_status = 'draft'
            elif invoice.move_type == 'out_refund' and period.kind == 'credit':
                period.billing_status = 'given_back'
            else:
                period.billing_status = 'paid' if invoice.payment_state in ('paid', 'in_payment') else 'posted'

    @api.depends('date_start', 'date_end')
    @api.depends_context('lang')
    def _compute_display_name(self):
        for period in self:
            period.display_name = period._get_label() if period.date_start else ''

    # === ACTION METHODS === #

    def action_bill_again(self):
        """Bill credited periods again, and give back again what a reversed credit note gave back.

        :raise UserError: when one isn't credited, or days would be paid or given back twice
        """
        self.order_id.check_access('write')
        if wrong := self.filtered(lambda period: not period.is_credited or period.state != 'billed'):
            raise UserError(self.env._(
                "Only periods which were credited can be billed again. Leave out: %(periods)s.",
                periods=', '.join(wrong.mapped('display_name')),
            ))
        # Nobody has the right to write the ledger; that on the subscription was checked.
        for period in self.sudo():
            period.write({
                'state': 'open', 'is_credited': False, 'credited_line_id': period.invoice_line_id.id})
        self.sudo().order_line_id._check_days_paid_once()

    def action_leave_out(self):
        """Leave out periods which were credited, or which are to bill.

        :raise UserError: when one is on an invoice which counts
        """
        self.order_id.check_access('write')
        if wrong := self.filtered(lambda period: period.state != 'open' and not period.is_credited):
            raise UserError(self.env._(
                "Only periods which are to bill or were credited can be left out. Make a credit note first for:"
                " %(periods)s.",
                periods=', '.join(wrong.mapped('display_name')),
            ))
        # Nobody has the right to write the ledger; that on the subscription was checked.
        self.sudo().write({'state': 'waived', 'amount': 0.0})

    # === BUSINESS METHODS === #

    def _get_label(self):
        """Return the period as people read it, both ends included.

        :rtype: str
        """
        self.ensure_one()
        return self.env._(
            "%(first_day)s – %(last_day)s",
            first_day=format_date(self.env, self.date_start),
            last_day=format_date(self.env, self.date_last),
        )

    def _get_terms(self):
        """Return what the row asks for as an invoice line holds it.

        :return: quantity, unit price and discount
        :rtype: dict
        """
        self.ensure_one()
        return {'quantity': self.quantity, 'price_unit': self.price_unit, 'discount': self.discount}

    def _is_counted(self):
        """Return whether the row asks for money, or for none because it is free: not where it was left out or taken
        back.

        :rtype: bool
        """
        self.ensure_one()
        return not self.is_credited and (self.state != 'waived' or self._is_free())

    def _is_free(self):
        """Return whether the days are charged at no price.

        :rtype: bool
        """
        self.ensure_one()
        return self.kind != 'credit' and bool(self.quantity) and (not self.price_unit or self.discount >= 100)

    def _get_signed_quantity(self):
        """Return the quantity of the row, negative where it gives something back.

        :rtype: float
        """
        self.ensure_one()
        return -self.quantity if self.kind == 'credit' else self.quantity

    def _get_net_amount(self):
        """Return what the whole period costs, net of the discount.

        :rtype: float
        """
        self.ensure_one()
        return self.quantity * self.price_unit * (1 - self.discount / 100)

    def _set_billed(self):
        """Mark the rows as billed by the invoice lines which they hang on."""
        self.state = 'billed'
        self._update_from_invoice_lines()

    def _update_from_invoice_lines(self):
        """Take over what the invoice lines of billed rows really bill: a draft may have been edited."""
        billed = self.filtered(lambda period: period.state == 'billed')
        # Nothing depends on them: they are written together, when the transaction is flushed.
        with self.env.protecting([self._fields['amount'], self._fields['quantity']], billed):
            for period in billed:
                invoice_line = period.invoice_line_id
                # On a credit note a credit is positive and a charge negative: the other way round than in the ledger.
                sign = -invoice_line.move_id.direction_sign
                amount = sign * invoice_line.price_subtotal
                if period.currency_id.compare_amounts(period.amount, amount):
                    period.amount = amount
                if period.order_line_id._is_billed_by_delivery() and period.quantity != sign * invoice_line.quantity:
                    # What a reviewer took off is still to be billed.
                    period.quantity = sign * invoice_line.quantity

    def _update_credited(self):
        """Determine whether posted credit notes of the invoice took whole periods back, quantity and amount.

        What was left out, or is to be billed again, after a credit note which is undone is billed by its invoice again.
        """
        for period in self:
            is_taken_back = period.invoice_line_id._is_taken_back()
            period.is_credited = is_taken_back and period.state != 'open'
            if not is_taken_back and period.state != 'billed' and period.invoice_state == 'posted':
                period._set_billed()

    def _check_amounts_given_back(self):
        """Refuse to let credits count by which more would be given back of a period than was billed for it.

        :raise UserError: naming what gives it back
        """
        for period in self | self.credited_period_id:
            is_below = period.currency_id.compare_amounts(period.amount * period._get_amount_left(), 0.0) < 0
            if is_below and period._get_counted_credits():
                raise UserError(self.env._(
                    "%(period)s of %(product)s on %(invoice)s would be given back twice: %(documents)s. Cancel one of"
                    " them first.", period=period._get_label(), product=period.product_id.display_name,
                    invoice=period.invoice_id.display_name,
                    documents=', '.join(period._get_documents_giving_back().mapped('display_name'))))

    def _get_lines_taking_back(self):
        """Return the lines of posted documents which reverse what the invoice line of this row billed, and those which
        reverse them again.

        :rtype: account.move.line
        """
        self.ensure_one()
        return self.invoice_line_id._get_reversing_lines()

    def _get_documents_giving_back(self):
        """Return the documents which gave something back of the row, by the ledger or by hand.

        :rtype: account.move
        """
        self.ensure_one()
        return self._get_counted_credits().invoice_id | self._get_lines_taking_back().move_id

    def _reopen(self):
        """Make billed rows due again, when their draft is deleted or cancelled."""
        self.filtered(lambda period: period.state == 'billed').write({'state': 'open', 'is_credited': False})
