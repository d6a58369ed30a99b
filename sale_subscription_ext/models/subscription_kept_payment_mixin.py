from odoo import fields, models


class SubscriptionKeptPaymentMixin(models.AbstractModel):
    """What had paid an invoice of contracts pays the draft by which it is replaced, once that is confirmed: the host
    leaves it open, and the customer would be charged a second time.
    """

    _name = 'subscription.kept.payment.mixin'
    _description = "Kept Payments of an Invoice"

    subscription_kept_item_ids = fields.Many2many(
        comodel_name='account.move.line', relation='subscription_kept_item_rel', column1='move_id', column2='line_id',
        copy=False, readonly=True, help="What pays this draft as soon as it is confirmed.")

    # === BUSINESS METHODS === #

    def _get_paying_items(self):
        """Return the journal items which pay this invoice.

        :rtype: account.move.line
        """
        self.ensure_one()
        terms = self.line_ids.filtered(lambda line: line.display_type == 'payment_term')
        return terms.matched_credit_ids.credit_move_id

    def _reconcile_kept_payments(self):
        """Let what is kept for these posted invoices pay them, as far as nothing else was paid by it meanwhile."""
        for move in self.filtered('subscription_kept_item_ids'):
            terms = move.line_ids.filtered(lambda line: line.display_type == 'payment_term' and not line.reconciled)
            items = move.subscription_kept_item_ids.filtered(lambda line, terms=terms: (
                not line.reconciled and line.parent_state == 'posted' and line.account_id in terms.account_id))
            move.subscription_kept_item_ids = False
            if items:
                (terms | items).reconcile()
