from odoo import fields, models

# What a billing period costs on its invoice.
LEDGER_FIELDS = frozenset({'quantity', 'price_unit', 'discount', 'tax_ids'})


class AccountMoveLine(models.Model):
    _name = 'account.move.line'
    _inherit = ['account.move.line', 'subscription.move.line.batch.mixin']

    service_start_date = fields.Date(string="Service From", help="The first day of the billed service period.")
    service_end_date = fields.Date(string="Service To", help="The last day of the billed service period.")
    subscription_period_ids = fields.One2many(
        comodel_name='subscription.period', inverse_name='invoice_line_id', string="Billing Periods", copy=False)

    # === CRUD METHODS === #

    def write(self, vals):
        """Override of `account`: an edited draft changes what its periods cost."""
        result = super().write(vals)
        if not LEDGER_FIELDS.isdisjoint(vals):
            # Accountants have no right on the ledger, which follows their invoices.
            self.sudo().subscription_period_ids._update_from_invoice_lines()
        return result

    def unlink(self):
        """Override of `account`: the periods of a line deleted from a draft are due again."""
        self._reopen_subscription_periods()
        return super().unlink()

    def _add_precomputed_values(self, vals_list):
        """Override of `base` to complete the journal items of a billing run together."""
        known = []
        if self.env['account.move']._is_complete():
            known = self._add_batch_values(vals_list)
        try:
            return super()._add_precomputed_values(vals_list)
        finally:
            for vals, names in known:
                vals.setdefault('__precomputed__', set()).update(self._fields[name] for name in names)

    def _check_company(self, fnames=None):
        """Override of `base` to check what the journal items of a billing run have in common once."""
        if self.env['account.move']._is_set_wise() and len(self) > 1:
            return super(AccountMoveLine, self._filter_distinct_for_company())._check_company(fnames)
        return super()._check_company(fnames)

    # === BUSINESS METHODS === #

    def _reopen_subscription_periods(self):
        """Make the periods which these lines bill due again."""
        # Accountants may delete drafts without any right in sales.
        self.sudo().subscription_period_ids._reopen()

    def _is_for_period_of(self, other):
        """Return whether the line is about the same period of the same order line as another one.

        A change gives days back and charges the same days on one invoice: the sign tells them apart.

        :param account.move.line other: a line of another invoice
        :rtype: bool
        """
        self.ensure_one()
        return (
            self.service_start_date == other.service_start_date
            and self.sale_line_ids == other.sale_line_ids
            and (self.quantity < 0) == (other.quantity < 0)
        )

    def _takes_back(self, period):
        """Return whether the line reverses what was billed for a period, or such a reversal.

        What the ledger itself gives back isn't meant.

        :param subscription.period period: a billed row of the ledger
        :rtype: bool
        """
        self.ensure_one()
        billed = period.invoice_line_id
        return (
            billed.move_id in self.move_id._get_reversed_documents()
            and not self.sudo().subscription_period_ids  # accountants have no right on the ledger
            and self._is_for_period_of(billed)
        )

    def _get_amount_taken_back(self):
        """Return by how much these lines lower what was billed, without taxes; below nothing where it was a credit.

        :rtype: float
        """
        return sum(line.move_id.direction_sign * line.price_subtotal for line in self)

    def _get_quantity_taken_back(self):
        """Return by which quantity these lines lower what was billed; below nothing where it was a credit.

        :rtype: float
        """
        return sum(line.move_id.direction_sign * line.quantity for line in self)
