from odoo import fields, models

from .. import const


class SubscriptionSavingMixin(models.AbstractModel):
    """Payment methods which customers save for a contract: when they confirm it, and while it runs."""

    _name = 'subscription.saving.mixin'
    _description = "Subscription Saved Payment Method"

    # === BUSINESS METHODS - QUOTATIONS === #

    def _is_method_required(self):
        """Return whether customers have to save a payment method to confirm this quotation online.

        :rtype: bool
        """
        self.ensure_one()
        return (
            self.is_subscription
            and self.subscription_state in ('draft', 'renewal')
            and self.collection_mode == 'charge'
            and self.plan_id.save_method == 'required'
        )

    def _needs_payment_method(self):
        """Return whether a quotation can't be confirmed online before its customer saves a payment method.

        :rtype: bool
        """
        self.ensure_one()
        return (
            self.state in ('draft', 'sent')
            and not self.is_expired
            and self._is_method_required()
            and not self._get_usable_token()
        )

    def _has_to_pay_and_save(self):
        """Return whether a quotation of which no payment is asked for is paid all the same: the first invoice would
        be charged to the method which has to be saved, so one step does both.

        :rtype: bool
        """
        self.ensure_one()
        return (
            not self.require_payment
            and self._needs_payment_method()
            and not self._is_free_at_first()
            and not self._is_confirmation_amount_reached()
        )

    def _has_to_save_only(self):
        """Return whether nothing but a payment method is missing to confirm a quotation online.

        :rtype: bool
        """
        self.ensure_one()
        return self._needs_payment_method() and not self._has_to_be_signed() and not self._has_to_be_paid()

    # === BUSINESS METHODS - SAVED METHODS === #

    def _is_keeping_methods(self):
        """Return whether a method which the customer saves is the one to charge later invoices to.

        :rtype: bool
        """
        self.ensure_one()
        return (
            self.is_subscription
            and self.collection_mode in ('charge', 'prepaid')
            and self.plan_id.save_method != 'no'
        )

    def _save_payment_method(self, token):
        """Charge contracts to a payment method from now on, and let go on what waited for one: quotations which were
        accepted, contracts whose trial ended without one, invoices whose charge failed.

        :param payment.token token: the method, of one of the customers who may pay for these contracts
        :raise ValidationError: when it is somebody else's
        """
        self.payment_token_id = token
        self.filtered(lambda order: order.state in ('draft', 'sent') and not (
            order._has_to_be_signed() or order._has_to_be_paid()))._validate_order()
        self.filtered(lambda order: order._is_paused_without_method())._resume_subscriptions()
        self._charge_failed_invoices()

    def _is_paused_without_method(self):
        """Return whether a contract pauses because its trial ended without a payment method.

        :rtype: bool
        """
        self.ensure_one()
        return (
            self.subscription_state == 'paused'
            and bool(self.trial_end_date)
            and self.paused_from == self.trial_end_date
            and not self.paused_until
        )

    def _charge_failed_invoices(self):
        """Charge invoices again which an earlier payment method didn't pay."""
        # Whose method it is has no right on invoices.
        failed = self.sudo().order_line.invoice_lines.move_id.filtered(
            lambda move: move.subscription_charge_state in ('failed', 'refused') and not move._get_charge_error())
        failed._request_charge()

    def _can_remove_method(self):
        """Return whether a contract can do without its saved payment method.

        :rtype: bool
        """
        self.ensure_one()
        return self.collection_mode != 'charge' or self.subscription_state not in const.CONTRACT_STATES

    # === BUSINESS METHODS - MANDATES === #

    def _prepare_mandate_values(self):
        """Prepare what providers tell banks of the payments to come.

        :return: the largest amount in order currency, the first and the last day, the interval
        :rtype: dict
        """
        self.ensure_one()
        start = max(self.start_date or self._subscription_today(), self._subscription_today())
        return {
            'amount': max(self.amount_total, self._get_payable_amount()),
            'start_datetime': fields.Datetime.to_datetime(start),
            'end_datetime': fields.Datetime.to_datetime(self.end_date) if self.end_date else None,
            'recurrence_unit': self.plan_id.billing_period_unit,
            'recurrence_duration': self.plan_id.billing_period_value,
        }
