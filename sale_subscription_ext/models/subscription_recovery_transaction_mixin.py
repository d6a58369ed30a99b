from odoo import fields, models


class SubscriptionRecoveryTransactionMixin(models.AbstractModel):
    """Payments which came by the link of an unpaid invoice."""

    _name = 'subscription.recovery.transaction.mixin'
    _description = "Payment by a Payment Link"

    subscription_recovery_link_id = fields.Many2one(
        comodel_name='subscription.recovery.link', string="Payment Link", readonly=True, copy=False,
        index='btree_not_null', ondelete='set null', help="The link by which the customer paid without a login.")

    # === BUSINESS METHODS === #

    def _keep_recovered_methods(self):
        """Let the contracts of an invoice be charged to the method by which the customer paid it, where the customer
        chose to save it.
        """
        for tx in self.filtered(lambda tx: (
                tx.state == 'done' and tx.subscription_recovery_link_id and tx.token_id
                and not tx.subscription_method_kept)):
            orders = tx.invoice_ids._get_running_contracts() | tx.invoice_ids._get_subscriptions()
            changed = orders.filtered(
                lambda order, token=tx.token_id: order.payment_token_id != token and order._is_token_of_customer(token))
            changed.payment_token_id = tx.token_id
            changed._message_log_batch(bodies=dict.fromkeys(changed.ids, self.env._(
                "The customer saved payment method %(method)s for this subscription when paying %(invoice)s.",
                method=tx.token_id.display_name, invoice=', '.join(
                    move._get_charge_label() for move in tx.invoice_ids))))
