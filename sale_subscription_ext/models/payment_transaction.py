from odoo import api, models
from odoo.exceptions import ValidationError

from .. import const
from .payment_provider import PaymentUnanswered


class PaymentTransaction(models.Model):
    _name = 'payment.transaction'
    _inherit = [
        'payment.transaction', 'subscription.begun.payment.mixin', 'subscription.charge.transaction.mixin',
        'subscription.recovery.transaction.mixin',
        'subscription.saving.transaction.mixin', 'subscription.refund.transaction.mixin',
        'subscription.left.transaction.mixin',
    ]

    _one_open_charge = models.UniqueIndex(
        "(subscription_invoice_id) WHERE subscription_invoice_id IS NOT NULL"
        " AND state IN ('draft', 'pending', 'authorized')",
        "This invoice is being charged already. Wait for the answer of the payment provider.")

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `payment` to keep customers from paying what is paid, or being charged."""
        self._check_still_owed(vals_list)
        self._check_no_charge_under_way(vals_list)
        return super().create([self._prepare_guarded_payment(vals) for vals in vals_list])

    # === BUSINESS METHODS - REFUNDS === #

    def _create_child_transaction(self, amount, is_refund=False, **custom_create_values):
        """Override of `payment`: what a provider, or a person, says of a refund without an answer is about that one."""
        is_of_credit_note = 'invoice_ids' in custom_create_values  # which asks for a refund of its own
        if is_refund and not is_of_credit_note and (refund := self._get_open_refund(amount)):
            refund.write(custom_create_values)
            return refund
        return super()._create_child_transaction(amount, is_refund=is_refund, **custom_create_values)

    # === BUSINESS METHODS - ANSWERS === #

    def _send_api_request(self, method, endpoint, *, params=None, data=None, json=None, **kwargs):
        """Override of `payment` to remember whether the provider answered."""
        try:
            answer = super()._send_api_request(
                method, endpoint, params=params, data=data, json=json, **kwargs)
        except ValidationError as error:
            self._note_answer(error)
            raise
        self._note_answer()
        return answer

    def _process(self, provider_code, payment_data):
        """Override of `payment`: whatever the provider says of a payment is an answer."""
        tx = self or self._search_by_reference(provider_code, payment_data)
        if len(tx) == 1:
            tx._note_answer()
        result = super(PaymentTransaction, tx)._process(provider_code, payment_data)
        if result.subscription_invoice_id and result.state == 'error':
            result.subscription_hard_decline = result._is_hard_decline(payment_data)
        return result

    def _validate_amount(self, payment_data):
        """Override of `payment`: an answer about other money than was asked for leaves open what was taken. That is
        left to a person, and is no failure after which one tries again.

        :raise PaymentUnanswered: when amount or currency of a charge differ
        """
        state = self.state
        result = super()._validate_amount(payment_data)
        if self._is_kept_open() and self.state == 'error' and state != 'error':
            error = PaymentUnanswered(self.state_message)
            self.state = state
            self._note_answer(error)
            raise error
        return result

    def _extract_token_values(self, payment_data):
        """Override of `payment` to remember when a saved card expires, where the provider says so."""
        values = super()._extract_token_values(payment_data)
        if values and (day := self._extract_expiry_date(payment_data)):
            values = {**values, 'subscription_expiry_date': day}
        return values

    def _set_error(self, state_message, extra_allowed_states=()):
        """Override of `payment`: no answer is not “no”, the payment stays open and is asked about again."""
        unanswered = self.filtered('subscription_no_answer')
        kept = unanswered._set_unanswered(state_message)
        return kept | super(PaymentTransaction, self - unanswered)._set_error(
            state_message, extra_allowed_states=extra_allowed_states)

    def _update_state(self, allowed_states, target_state, state_message):
        """Override of `payment` to tell invoices at once what a notification said of their charge."""
        updated = super()._update_state(allowed_states, target_state, state_message)
        if updated.subscription_invoice_id and not self.env.context.get('sale_subscription_ext_charging'):
            # Whoever notified us may be nobody's user.
            self.env.ref('payment.cron_post_process_payment_tx').sudo()._trigger()
        return updated

    def _get_mandate_values(self):
        """Override of `payment` to say which payments of a subscription are to follow."""
        order = self._get_subscription_to_mandate()
        return {**super()._get_mandate_values(), **(order._prepare_mandate_values() if order else {})}

    # === BUSINESS METHODS - POST-PROCESSING === #

    def _post_process(self):
        """Override of `sale` to make first invoices which wait for review once the payment is there: the host posts
        whatever is linked before. Invoices and contracts learn what became of their charge.
        """
        result = super()._post_process()
        self._book_captures()
        self._settle_charges()
        self._settle_refunds()
        self._keep_recovered_methods()
        self._keep_saved_methods()
        self._get_paid_contracts().filtered(
            lambda order: not order._is_billed_with_payment())._bill_first_invoices()
        return result

    def _check_amount_and_confirm_order(self):
        """Override of `sale` to bill the first invoice of a subscription which this payment confirms, and link it to
        the payment before that is booked.
        """
        self.sale_order_ids._start_on_payment_day()
        confirmed_orders = super()._check_amount_and_confirm_order()
        for tx in self:
            contracts = tx._get_paid_contracts()
            contracts.filtered(lambda order: order._is_billed_with_payment())._bill_first_invoices()
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
            lambda move: move.move_type == 'out_invoice' and move.amount_residual
            and (move.state == 'posted' or move.subscription_is_prepaid) and move.state != 'cancel')
