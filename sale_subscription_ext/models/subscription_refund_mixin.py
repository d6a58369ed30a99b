from odoo import api, fields, models
from odoo.fields import Command


class SubscriptionRefundMixin(models.AbstractModel):
    """Credit notes of contracts whose money goes back the way it came."""

    _name = 'subscription.refund.mixin'
    _description = "Subscription Refund"

    subscription_refund_state = fields.Selection(
        selection=[
            ('wanted', "To Refund"),
            ('sent', "Refund Sent"),
            ('unknown', "No Answer"),
            ('manual', "To Refund by Hand"),
        ],
        string="Refund", copy=False, readonly=True, index='btree_not_null',
        help="Whether the amount of this credit note goes back to the customer through the payment provider.",
    )

    # === CRON === #

    @api.model
    def _refund_wanted(self):
        """Send back the money of posted credit notes which ask for it, each committed before the provider is asked.

        Once asked, a refund is never sent again by itself: who didn't answer may have sent the money.
        """
        wanted = [('subscription_refund_state', '=', 'wanted'), ('state', '=', 'posted')]
        for move_id in self.search(wanted, order='id').ids:
            move = self.browse(move_id).try_lock_for_update().filtered_domain(wanted)
            transactions = move._prepare_refunds()
            has_time = self.env['ir.cron']._commit_progress(1)
            for transaction in transactions:
                transaction._send_wanted_refund()
            if not has_time:
                break

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
                transactions |= payment.payment_transaction_id._create_child_transaction(
                    amount, is_refund=True, **move._prepare_refund_values())
                rest -= amount
            # What paid an open invoice isn't sent back.
            move.subscription_refund_state = 'sent' if transactions else False
            if move.currency_id.compare_amounts(rest, 0.0) > 0:
                move._ask_for_refund(
                    self.env._("Refund credit note %(name)s to the customer by hand.", name=move.name))
        return transactions

    def _prepare_refund_values(self):
        """Prepare what a refund of this credit note remembers of it.

        :rtype: dict
        """
        self.ensure_one()
        now = fields.Datetime.now()
        return {
            'invoice_ids': [Command.set(self.ids)], 'subscription_charge_time': now, 'subscription_sent_date': now}

    def _ask_for_refund(self, note):
        """Ask a person to send the money of a credit note back.

        :param str note: what is to be done
        """
        self.ensure_one()
        self.subscription_refund_state = 'manual'
        order = self.line_ids.sale_line_ids.order_id[:1]
        order.activity_schedule(
            'sale_subscription_ext.mail_activity_type_refund', note=note,
            user_id=(order.company_id.subscription_billing_user_id or order.user_id or self.env.user).id)

    def _get_refundable_payments(self):
        """Return the payments by providers of what this credit note gives back.

        :rtype: account.payment
        """
        self.ensure_one()
        billed = self.invoice_line_ids.subscription_period_ids.credited_period_id.invoice_line_id.move_id
        payments = billed.transaction_ids.filtered(lambda transaction: transaction.state == 'done').payment_id
        return payments.filtered(
            lambda payment: payment.payment_transaction_id.provider_id.support_refund == 'partial')

    # === BUSINESS METHODS - RESULTS === #

    def _handle_refund(self, transaction, state):
        """Take note of what became of a refund; called once for each state.

        :param payment.transaction transaction: the refund
        :param str state: its state, `unknown` where the provider didn't answer
        """
        self.ensure_one()
        terms = self._get_charge_terms(transaction)
        if state == 'unknown':
            self.subscription_refund_state = 'unknown'
            message = self.env._(
                "The payment provider was asked to send %(amount)s of %(invoice)s back, and did not say whether it did."
                " %(message)s It is not asked again. Look up payment %(reference)s in your account at %(provider)s,"
                " then press It Was Refunded or It Was Not Refunded in Payments to Resolve.", **terms)
            self._log_on_subscriptions(message)
        elif state in ('error', 'cancel'):
            self._log_on_subscriptions(self.env._(
                "%(amount)s of %(invoice)s could not be sent back: %(message)s", **terms))
            self._ask_for_refund(self.env._(
                "Refund %(amount)s of credit note %(invoice)s to the customer by hand: %(message)s", **terms))
        elif self.subscription_refund_state == 'unknown':
            self.subscription_refund_state = 'sent'
