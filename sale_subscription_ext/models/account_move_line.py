from odoo import fields, models
from odoo.exceptions import UserError

# What a billing period costs on its invoice.
LEDGER_FIELDS = frozenset({'quantity', 'price_unit', 'discount', 'tax_ids'})


class AccountMoveLine(models.Model):
    _name = 'account.move.line'
    _inherit = ['account.move.line', 'subscription.move.line.batch.mixin']

    service_start_date = fields.Date(string="Service From", help="The first day of the billed service period.")
    service_end_date = fields.Date(string="Service To", help="The last day of the billed service period.")
    subscription_period_ids = fields.One2many(
        comodel_name='subscription.period', inverse_name='invoice_line_id', string="Billing Periods", copy=False)
    credited_period_ids = fields.One2many(
        comodel_name='subscription.period', inverse_name='credited_line_id', copy=False)

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

    def _reconcile_post_hook(self, data):
        """Override of `account`, which tells of payments only, to end the dunning of what a credit note settles."""
        result = super()._reconcile_post_hook(data)
        reversed_moves = data['not_paid_invoices'].filtered(lambda move: move.payment_state == 'reversed')
        reversed_moves.sudo()._end_settled_dunning()  # whoever books a credit note
        return result

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

    def _reverses(self, other):
        """Return whether the line takes back what another one billed, or reverses that in its turn.

        What the ledger itself gives back isn't meant.

        :param account.move.line other: the line of a document of a subscription
        :rtype: bool
        """
        self.ensure_one()
        return (
            self._is_for_period_of(other)
            and not self.sudo().subscription_period_ids  # accountants have no right on the ledger
            and other.move_id in self.move_id._get_reversed_documents()
        )

    def _get_reversing_lines(self):
        """Return the lines of posted documents which reverse this one, and those which reverse them in their turn.

        :rtype: account.move.line
        """
        return self.move_id._get_posted_reversals().invoice_line_ids.filtered(lambda line: line._reverses(self))

    def _is_taken_back(self):
        """Return whether posted documents took back quantity and amount of the whole line.

        :rtype: bool
        """
        self.ensure_one()
        lines = self._get_reversing_lines()
        return bool(lines) and abs(lines._get_quantity_taken_back()) >= abs(self.quantity) and (
            self.currency_id.compare_amounts(abs(lines._get_amount_taken_back()), abs(self.price_subtotal)) >= 0)

    def _take_periods_back(self):
        """Let periods which were to be billed again, or left out, after a credit note which is undone now hang on the
        lines of their first invoice again.

        :raise UserError: when another invoice bills them
        """
        for line in self.filtered(lambda line: (
                line.service_start_date and not line.subscription_period_ids and not line.move_id.reversed_entry_id
                and any(line.sale_line_ids.mapped('is_recurring')) and not line._is_taken_back())):
            rows = line.credited_period_ids
            billed = rows.filtered(lambda row: row.state == 'billed' and not row.is_credited)
            if billed or not rows:
                raise UserError(self.env._(
                    "%(name)s would count again, but its periods were billed by %(invoices)s since. Credit or cancel"
                    " that first.", name=line.move_id.display_name,
                    invoices=', '.join(billed.invoice_id.mapped('display_name')) or self.env._("another invoice")))
            rows.write({'invoice_line_id': line.id, 'is_credited': False, 'credited_line_id': False})

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
