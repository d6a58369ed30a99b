from contextlib import contextmanager
from typing import NamedTuple

from odoo import models
from odoo.fields import Domain

from .subscription_batch_mixin import DATABASE_ERRORS


class BillingPreview(NamedTuple):
    """What billing a subscription would make, in the currency of its order."""

    invoice_count: int = 0
    amount_untaxed: float = 0.0
    amount_tax: float = 0.0
    amount_total: float = 0.0
    # Why nothing would be billed.
    reason: str = ''


class SubscriptionPreviewMixin(models.AbstractModel):
    """What billing would make of subscriptions, without leaving a trace in the database."""

    _name = 'subscription.preview.mixin'
    _description = "Subscription Billing Preview"

    # === BUSINESS METHODS === #

    def _preview_billing(self, date):
        """Return what billing these subscriptions would make.

        The very code which bills prepares ledger rows and invoices, up to the values with which invoices are
        created; the host computes their totals as it does for an invoice which isn't saved. All of it is rolled
        back, before an invoice or a number exists.

        :param datetime.date date: the as-of date
        :return: {id of the subscription: preview}; one which is being billed right now is left out
        :rtype: dict[int, BillingPreview]
        """
        try:
            return self._preview_together(date)
        except DATABASE_ERRORS:
            raise
        except Exception:  # noqa: BLE001  whatever it is, find out whose it is
            result = {}
            for order in self:
                result |= order._preview_alone(date)
            return result

    def _preview_alone(self, date):
        """Return what billing one subscription would make, or why it would fail.

        :param datetime.date date: the as-of date
        :rtype: dict[int, BillingPreview]
        """
        self.ensure_one()
        try:
            return self._preview_together(date)
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  billing would record it, whatever it is
            return {self.id: BillingPreview(reason=self._get_billing_error_message(error))}

    def _preview_together(self, date):
        """Prepare the invoices of subscriptions as billing does, and roll everything back.

        :param datetime.date date: the as-of date
        :rtype: dict[int, BillingPreview]
        """
        result = {}
        with self._leave_no_trace():
            # The lock ends with the rollback; who is being billed by a worker isn't waited for.
            orders = self._lock_batch(Domain('id', 'in', self.ids), len(self))
            orders._apply_amendments_before_billing(date)
            orders._determine_taxes()
            rows_by_order = orders._open_ledger_rows(date)
            for order in orders:
                vals_list = order._prepare_subscription_invoices(rows_by_order.get(order, {}), date)
                result[order.id] = order._summarise_invoices(vals_list)
        return result

    def _summarise_invoices(self, vals_list):
        """Add up invoices which are prepared and not created.

        :param list[dict] vals_list: values to create invoices with
        :rtype: BillingPreview
        """
        self.ensure_one()
        if not vals_list:
            return BillingPreview(reason=self.env._("Nothing to bill."))
        totals = [
            self.env['account.move'].sudo().with_context(default_move_type='out_invoice').new(vals).tax_totals
            for vals in vals_list
        ]
        untaxed, tax, total = (
            self.currency_id.round(sum(invoice[key] for invoice in totals))
            for key in ('base_amount_currency', 'tax_amount_currency', 'total_amount_currency')
        )
        return BillingPreview(len(vals_list), untaxed, tax, total)

    def _get_blocked_reason(self):
        """Return why billing leaves a subscription alone which failed before.

        :rtype: str
        """
        self.ensure_one()
        if self.billing_parked:
            return self.env._("Billing is stopped until somebody presses Retry: %(error)s", error=self.billing_error)
        return self.env._("Billing failed on this day already: %(error)s", error=self.billing_error)

    @contextmanager
    def _leave_no_trace(self):
        """Roll back whatever is written in this context, cached or not."""
        savepoint = self.env.cr.savepoint()
        try:
            yield
        finally:
            savepoint.close(rollback=True)
