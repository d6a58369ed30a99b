from odoo import models
from odoo.exceptions import UserError
from odoo.tools import format_amount


class SubscriptionReversalMixin(models.AbstractModel):
    """Documents which accountants reverse, and reversals which they reverse or undo: what the ledger makes of it."""

    _name = 'subscription.reversal.mixin'
    _description = "Subscription Reversal"

    # === BUSINESS METHODS - CHECKS === #

    def _check_given_back(self):
        """Refuse to post credit notes which give back days that a change, a pause or an end gave back before.

        The context key `sale_subscription_ext_modifying` says that a new draft bills the periods instead.

        :raise UserError: saying how much is left
        """
        if self.env.context.get('sale_subscription_ext_modifying'):
            return
        for period in self._get_credited_subscription_periods().filtered('credit_ids'):
            lines = self.invoice_line_ids.filtered(lambda line, period=period: line._reverses(period.invoice_line_id))
            rest = period._get_amount_left()
            if not lines or period.currency_id.compare_amounts(lines._get_amount_taken_back(), rest) <= 0:
                continue
            raise UserError(self.env._(
                "%(period)s of %(product)s on %(invoice)s was given back in part already: %(amount)s without taxes can"
                " be credited at the most. Lower the line on the credit note, or cancel %(credits)s first.",
                period=period._get_label(), product=period.product_id.display_name,
                invoice=period.invoice_id.display_name,
                amount=format_amount(self.env, max(rest, 0.0), period.currency_id),
                credits=', '.join(period._get_documents_giving_back().mapped('display_name')),
            ))

    def _check_not_reversed(self):
        """Refuse to undo a document of subscriptions which a posted one reverses: what is left would be half of it.

        :raise UserError: naming the reversal
        """
        for move in self.filtered(lambda move: move.state == 'posted'):
            reversals = move.reversal_move_ids.filtered(lambda other: other.state == 'posted')
            # Accountants have no right on the ledger, which follows their invoices.
            documents = move | move._get_reversed_documents() if reversals else move.browse()
            if documents.invoice_line_ids.sudo().subscription_period_ids:
                raise UserError(self.env._(
                    "%(name)s is reversed by %(reversals)s. Undo that first, or leave both as they are.",
                    name=move.display_name, reversals=', '.join(reversals.mapped('display_name'))))

    # === BUSINESS METHODS === #

    def _update_reversed_periods(self):
        """Let the ledger follow documents which reverse others, when they begin to count and when they stop.

        The context key `sale_subscription_ext_modifying` says that a new draft will bill the periods instead.

        :raise UserError: when days would be paid or given back twice then
        """
        # Accountants have no right on the ledger, which follows their invoices.
        lines = self._get_reversed_documents().invoice_line_ids.sudo()
        lines._take_periods_back()
        periods = lines.subscription_period_ids
        periods._update_credited()
        if not self.env.context.get('sale_subscription_ext_modifying'):
            periods._check_amounts_given_back()
            periods.order_line_id._check_days_paid_once()

    def _get_credited_subscription_periods(self):
        """Return the periods of the documents which these ones reverse, also those of a reversal which is reversed.

        :rtype: subscription.period
        """
        # Accountants have no right on the ledger, which follows their invoices.
        return self._get_reversed_documents().invoice_line_ids.sudo().subscription_period_ids

    def _get_reversed_documents(self):
        """Return what these documents reverse, and what that reverses in its turn.

        :rtype: account.move
        """
        documents, reversed_moves = self.browse(), self.reversed_entry_id
        while reversed_moves:
            documents |= reversed_moves
            reversed_moves = reversed_moves.reversed_entry_id - documents
        return documents

    def _get_posted_reversals(self):
        """Return the posted documents which reverse these ones, and those which reverse them in their turn.

        :rtype: account.move
        """
        documents, reversals = self.browse(), self.reversal_move_ids
        while reversals := reversals.filtered(lambda move: move.state == 'posted') - documents:
            documents |= reversals
            reversals = reversals.reversal_move_ids
        return documents

    def _move_subscription_periods(self, new_move):
        """Let a new draft bill the periods of an invoice which was reversed to be modified.

        :param account.move new_move: the copy
        """
        self.ensure_one()
        for line in self.invoice_line_ids:
            # Accountants have no right on the ledger, which follows their invoices.
            periods = line.sudo().subscription_period_ids
            new_line = new_move.invoice_line_ids.filtered(
                lambda other, line=line: other._is_for_period_of(line))
            if periods and new_line:
                periods.write({
                    'invoice_line_id': new_line[0].id, 'is_credited': False, 'credited_line_id': line.id})
                periods._update_from_invoice_lines()
