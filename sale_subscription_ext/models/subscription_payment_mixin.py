from odoo import models
from odoo.tools import SQL

from .. import const
from .subscription_batch_mixin import DATABASE_ERRORS


class SubscriptionPaymentMixin(models.AbstractModel):
    """Subscriptions which are paid when they are confirmed: their first invoice is made at once."""

    _name = 'subscription.payment.mixin'
    _description = "Subscription Payment"

    # === BUSINESS METHODS - AMOUNTS === #

    def _get_first_prepayment(self, amount):
        """Return which payment confirms the quotation of a subscription.

        The context key `sale_subscription_ext_full_amount` asks for the whole first invoice, whatever part is enough.

        :param float amount: what the host asks for, going by the total of the order
        :rtype: float
        """
        self.ensure_one()
        payable = self._get_payable_amount()
        if self.env.context.get('sale_subscription_ext_full_amount'):
            return payable
        if self.require_payment:
            return self.currency_id.round(payable * self.prepayment_percent)
        return payable if self._is_method_required() else amount

    def _can_be_accepted_for_free(self):
        """Return whether a customer can accept a quotation by a click: a payment is asked for, yet nothing is due.

        :rtype: bool
        """
        self.ensure_one()
        return (
            self.require_payment
            and not self.is_expired
            and not self._has_to_be_signed()
            and self._is_free_at_first()
            and not self._needs_payment_method()
        )

    def _is_free_at_first(self):
        """Return whether nothing is due when the quotation of a subscription is confirmed.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.first_invoice_date) and self.currency_id.is_zero(self._get_payable_amount())

    def _is_first_invoice_paid(self):
        """Return whether the payments of a subscription reach its first invoice.

        :rtype: bool
        """
        self.ensure_one()
        return self.currency_id.compare_amounts(self.amount_paid, self._get_payable_amount()) >= 0

    def _prepare_payment_link_values(self, values):
        """Return what a payment link asks for: what is due when the quotation is confirmed, or is open afterwards.

        :param dict values: what the host proposes, going by the total of the order
        :rtype: dict
        """
        self.ensure_one()
        # Salespeople ask for payments without any right in accounting.
        order_sudo = self.sudo()
        invoices = (order_sudo.invoice_ids | order_sudo.amendment_invoice_id).filtered(
            lambda move: move.state == 'posted' and move.move_type == 'out_invoice')
        if invoices:
            remaining = sum(invoices.mapped('amount_residual'))
        else:
            remaining = max(self._get_payable_amount() - self.amount_paid, 0.0)
        is_quotation = self.state in ('draft', 'sent') and self.require_payment
        return {
            **values,
            'amount': values['prepayment_amount'] if is_quotation else remaining,
            'amount_max': remaining,
        }

    # === BUSINESS METHODS - PAID CONFIRMATIONS === #

    def _send_subscription_payment_mail(self):
        """Tell customers that their payment has arrived or is on its way."""
        template = self.env.ref('sale_subscription_ext.mail_template_payment', raise_if_not_found=False)
        for order in self:
            order._send_order_notification_mail(template)

    def _start_on_payment_day(self):
        """Let quotations which were paid on an earlier day start on that day, for which the amount was computed."""
        for order in self.filtered(lambda order: order._is_quoted_subscription() and not order.start_date):
            day = order._get_confirmation_day()
            if day < order._subscription_today() and order._is_confirmation_amount_reached():
                order.start_date = day

    def _bill_first_invoices(self):
        """Bill at once what running subscriptions were paid for, unless something was billed already.

        A start in the future doesn't put it off: who has paid gets an invoice. What fails, or is on hold, is left to
        the billing run and never stands in the way of the payment.

        :return: the new invoices
        :rtype: account.move
        """
        moves = self.env['account.move']
        engine = self.sudo()  # invoices and ledger are the engine's; who has paid may be nobody's user
        if not engine or engine._is_billing_held():
            return moves
        # Who bills them right now is waited for. If that changed them, the host tries the payment again.
        self.env.execute_query(SQL(
            "SELECT id FROM sale_order WHERE id IN %s ORDER BY id FOR NO KEY UPDATE", tuple(engine.ids)))
        for order in engine.filtered(lambda order: order.subscription_state in const.CONTRACT_STATES):
            if order.subscription_period_ids.filtered(lambda row: row.state == 'billed'):
                continue
            try:
                with self.env.cr.savepoint():
                    moves |= order._bill_first_invoice()
            except DATABASE_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001  whatever it is, the payment has arrived
                order._set_billing_error(error)
        return moves

    def _bill_first_invoice(self):
        """Make the first invoice of a locked subscription.

        :return: the new invoices: several where the start lies in the past
        :rtype: account.move
        """
        self.ensure_one()
        self._determine_taxes()
        rows = self._open_ledger_rows(self._get_first_billing_day())
        return self._invoice_rows(rows or {self: {}}, self._subscription_today())
