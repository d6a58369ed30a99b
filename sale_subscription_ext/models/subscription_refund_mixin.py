from odoo import api, fields, models
from odoo.exceptions import ValidationError


class SubscriptionRefundMixin(models.AbstractModel):
    """Credit notes of contracts whose money goes back the way it came."""

    _name = 'subscription.refund.mixin'
    _description = "Subscription Refund"

    subscription_refund_state = fields.Selection(
        selection=[('wanted', "To Refund"), ('sent', "Refund Sent"), ('manual', "To Refund by Hand")],
        string="Refund", copy=False, readonly=True, index='btree_not_null',
        help="Whether the amount of this credit note goes back to the customer through the payment provider.",
    )

    # === CRON === #

    @api.model
    def _refund_wanted(self):
        """Send back the money of posted credit notes which ask for it, each committed before the provider is asked.

        Once asked, a refund is never sent again by itself: what the provider says stands on its transaction.
        """
        wanted = [('subscription_refund_state', '=', 'wanted'), ('state', '=', 'posted')]
        for move_id in self.search(wanted, order='id').ids:
            move = self.browse(move_id).try_lock_for_update().filtered_domain(wanted)
            transactions = move._prepare_refunds()
            if not self.env['ir.cron']._commit_progress(1):
                break
            for transaction in transactions:
                try:
                    transaction._send_refund_request()
                except ValidationError as error:
                    transaction._set_error(str(error))
            self.env['ir.cron']._commit_progress()

    def _prepare_refunds(self):
        """Make the refund transactions of a credit note, and ask a person for what no provider can send back.

        :return: draft transactions, to be sent
        :rtype: payment.transaction
        """
        transactions = self.env['payment.transaction']
        for move in self:
            rest = move.amount_residual
            for payment in move._get_refundable_payments():
                amount = move.currency_id.round(min(rest, payment.amount_available_for_refund))
                if move.currency_id.compare_amounts(amount, 0.0) <= 0 or payment.currency_id != move.currency_id:
                    continue
                transaction = payment.payment_transaction_id._create_child_transaction(amount, is_refund=True)
                transaction.invoice_ids = move
                transactions |= transaction
                rest -= amount
            # What paid an open invoice isn't sent back.
            move.subscription_refund_state = 'sent' if transactions else False
            if move.currency_id.compare_amounts(rest, 0.0) > 0:
                move.subscription_refund_state = 'manual'
                order = move.line_ids.sale_line_ids.order_id[:1]
                order.activity_schedule(
                    'sale_subscription_ext.mail_activity_type_refund',
                    note=self.env._("Refund credit note %(name)s to the customer by hand.", name=move.name),
                    user_id=(order.company_id.subscription_billing_user_id or order.user_id or self.env.user).id)
        return transactions

    def _get_refundable_payments(self):
        """Return the payments by providers of what this credit note gives back.

        :rtype: account.payment
        """
        self.ensure_one()
        billed = self.invoice_line_ids.subscription_period_ids.credited_period_id.invoice_line_id.move_id
        payments = billed.transaction_ids.filtered(lambda transaction: transaction.state == 'done').payment_id
        return payments.filtered(
            lambda payment: payment.payment_transaction_id.provider_id.support_refund == 'partial')
