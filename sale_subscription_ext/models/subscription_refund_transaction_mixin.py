from odoo import models
from odoo.exceptions import UserError


class SubscriptionRefundTransactionMixin(models.AbstractModel):
    """Refunds which credit notes of contracts ask for: sent once, and never again by themselves."""

    _name = 'subscription.refund.transaction.mixin'
    _description = "Subscription Refund Transaction"

    # === BUSINESS METHODS === #

    def _is_wanted_refund(self):
        """Return whether a payment sends money back because a credit note of a contract asks for it.

        :rtype: bool
        """
        self.ensure_one()
        return self.operation == 'refund' and bool(self.subscription_sent_date)

    def _get_open_refund(self, amount):
        """Return the refund of this payment of which nobody knows yet whether the provider made it.

        :param float amount: what is sent back
        :rtype: payment.transaction
        """
        self.ensure_one()
        return self.child_transaction_ids.filtered(lambda tx: (
            tx._is_wanted_refund() and not tx.provider_reference
            and (tx.state == 'draft' or (tx.state == 'pending' and tx.subscription_no_answer))
            and tx.currency_id.compare_amounts(-tx.amount, amount) == 0))[:1]

    def _send_wanted_refund(self):
        """Ask the provider to send money back, by a refund whose row is committed, and commit what it answers.

        Only the row of the refund is locked meanwhile.
        """
        tx = self.try_lock_for_update(allow_referencing=True)
        if not tx or tx.state != 'draft':
            return
        try:
            tx._ensure_provider_is_not_disabled()
        except UserError as error:  # not even sent
            tx._set_error(str(error))
        else:
            tx._ask_for(tx._send_refund_request)
        if tx.state == 'draft':
            tx._set_pending()  # it was accepted: a notification says what becomes of it
        self.env['ir.cron']._commit_progress()
        self._settle_committed()

    def _settle_refunds(self):
        """Tell credit notes what became of their refunds; what they know already changes nothing."""
        for tx in self.filtered(lambda tx: tx._is_wanted_refund()):
            if state := tx._get_unsettled_state():
                tx.subscription_settled_state = state
                for move in tx.invoice_ids:
                    move._handle_refund(tx, state)
