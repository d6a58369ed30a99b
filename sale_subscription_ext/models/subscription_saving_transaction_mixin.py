import logging

from odoo import fields, models

from .subscription_batch_mixin import DATABASE_ERRORS

_logger = logging.getLogger(__name__)


class SubscriptionSavingTransactionMixin(models.AbstractModel):
    """Payments, and validations without one, by which customers save a method for their contracts."""

    _name = 'subscription.saving.transaction.mixin'
    _description = "Subscription Method Transaction"

    subscription_order_id = fields.Many2one(
        comodel_name='sale.order', string="Saves the Method of", readonly=True, copy=False, index='btree_not_null',
        ondelete='cascade', help="The subscription whose payment method is saved by this validation.")

    subscription_method_kept = fields.Boolean(
        readonly=True, copy=False, help="The subscriptions know the method; they may have got another one since.")

    # === BUSINESS METHODS === #

    def _keep_saved_methods(self):
        """Let contracts be charged to the method which their customers used or saved.

        A method which a running contract has already is replaced by a validation for it only.
        """
        for tx in self.filtered(lambda tx: (
                tx.state in ('authorized', 'done') and tx.token_id and not tx.subscription_method_kept)):
            tx.subscription_method_kept = True
            orders = tx.subscription_order_id | tx.sale_order_ids.filtered(
                lambda order: not order.payment_token_id or order.state in ('draft', 'sent'))
            orders = orders.filtered(
                lambda order, token=tx.token_id: order._is_keeping_methods() and order.payment_token_id != token)
            tx._keep_saved_method_of(orders)

    def _keep_saved_method_of(self, orders):
        """Hand over the method of a payment to contracts. Whatever comes of it, the payment itself is booked.

        :param sale.order orders: the contracts which are to be charged to it
        """
        self.ensure_one()
        token = self.token_id
        own = orders.filtered(lambda order: order._is_token_of_customer(token))
        # Somebody else's login paid, as a consultant's: their method isn't charged again.
        others = orders - own
        others._message_log_batch(bodies=dict.fromkeys(others.ids, self.env._(
            "Payment method %(method)s belongs to %(owner)s and isn't kept. Ask the customer for one.",
            method=token.display_name, owner=token.partner_id.display_name)))
        try:
            with self.env.cr.savepoint():
                own._save_payment_method(token)
        except DATABASE_ERRORS:
            raise
        except Exception as error:
            _logger.warning("The payment method of %s could not be kept", self.reference, exc_info=True)
            own._message_log_batch(bodies=dict.fromkeys(own.ids, self.env._(
                "Payment method %(method)s could not be kept: %(error)s", method=token.display_name, error=error)))

    def _get_subscription_to_mandate(self):
        """Return the contract whose later payments a mandate is asked for with this transaction.

        :rtype: sale.order
        """
        self.ensure_one()
        orders = self.subscription_order_id or self.sale_order_ids
        return orders.filtered(lambda order: order._is_keeping_methods())[:1]
