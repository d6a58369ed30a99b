from odoo import models

from .. import const


class PaymentTransaction(models.Model):
    _inherit = 'payment.transaction'

    # === BUSINESS METHODS - POST-PROCESSING === #

    def _post_process(self):
        """Override of `sale` to make first invoices which wait for review once the payment is there: the host posts
        whatever is linked before.
        """
        result = super()._post_process()
        self._get_paid_contracts().filtered(
            lambda order: not order._is_posting_invoices())._bill_first_invoices()
        return result

    def _check_amount_and_confirm_order(self):
        """Override of `sale` to bill the first invoice of a subscription which this payment confirms, and link it to
        the payment before that is booked.
        """
        self.sale_order_ids._start_on_payment_day()
        confirmed_orders = super()._check_amount_and_confirm_order()
        for tx in self:
            contracts = tx._get_paid_contracts()
            contracts.filtered(lambda order: order._is_posting_invoices())._bill_first_invoices()
            tx._link_open_invoices(contracts.invoice_ids | tx._get_paid_amendments().amendment_invoice_id)
        return confirmed_orders

    def _invoice_sale_orders(self):
        """Override of `sale`: subscriptions are billed through their ledger, also where paid orders are invoiced
        automatically.
        """
        return super(PaymentTransaction, self._filter_without_subscriptions())._invoice_sale_orders()

    def _send_invoice(self):
        """Override of `sale`: the invoices of subscriptions are mailed as their plan says."""
        return super(PaymentTransaction, self._filter_without_subscriptions())._send_invoice()

    # === TOOLING === #

    def _filter_without_subscriptions(self):
        """Return the transactions which pay no subscription.

        :rtype: payment.transaction
        """
        return self.filtered(lambda tx: not any(order._is_in_ledger() for order in tx.sale_order_ids))

    def _get_paid_contracts(self):
        """Return the running subscriptions whose money has arrived with these transactions.

        :rtype: sale.order
        """
        paid = self.filtered(lambda tx: tx.state == 'done' and tx.operation != 'validation')
        return paid.sale_order_ids.filtered(lambda order: order.subscription_state in const.CONTRACT_STATES)

    def _get_paid_amendments(self):
        """Return the changes of subscriptions whose money has arrived with these transactions.

        :rtype: sale.order
        """
        paid = self.filtered(lambda tx: tx.state == 'done' and tx.operation != 'validation')
        return paid.sale_order_ids.filtered('amendment_type')

    def _link_open_invoices(self, invoices):
        """Link a payment to open invoices: of a change, or of subscriptions which the billing run has billed in the
        meantime.

        :param account.move invoices: of what it pays
        """
        self.ensure_one()
        if self.invoice_ids or self.payment_id:
            return
        self.invoice_ids = invoices.filtered(
            lambda move: move.move_type == 'out_invoice' and move.state == 'posted' and move.amount_residual)
