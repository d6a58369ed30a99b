from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import NamedTuple

from odoo import models
from odoo.fields import Domain

from .subscription_batch_mixin import DATABASE_ERRORS


class BillingPreview(NamedTuple):
    """What billing a subscription would make, in the currency of its order."""

    invoice_count: int = 0
    # As above, but an invoice of several subscriptions counts for the first of them only.
    own_invoice_count: int = 0
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
            for group in self._group_by_invoice():
                result |= group._preview_group(date)
            return result

    def _preview_group(self, date):
        """Return what billing subscriptions which may share an invoice would make: the bad ones are left out of it.

        :param datetime.date date: the as-of date
        :rtype: dict[int, BillingPreview]
        """
        alone = {}
        for order in self:
            alone |= order._preview_alone(date)
        good = self.filtered(lambda order: order.id in alone and not alone[order.id].reason)
        try:
            return {**alone, **(good._preview_together(date) if len(good) > 1 else {})}
        except DATABASE_ERRORS:
            raise
        except Exception:  # noqa: BLE001  good alone and not together: billing leaves them apart, too
            return alone

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
        with self._leave_no_trace():
            # The lock ends with the rollback; who is being billed by a worker isn't waited for.
            orders = self._lock_batch(Domain('id', 'in', self.ids), len(self))
            orders._apply_amendments_before_billing(date)
            orders._determine_taxes()
            prepared = orders._prepare_consolidated_invoices(orders._open_ledger_rows(date), date)
            result = orders._summarise_invoices(prepared)
        return result

    def _summarise_invoices(self, prepared):
        """Add up invoices which are prepared and not created.

        :param list prepared: prepared invoices of these subscriptions
        :rtype: dict[int, BillingPreview]
        """
        Move = self.env['account.move'].sudo().with_context(default_move_type='out_invoice')
        counts, untaxed, total = defaultdict(int), defaultdict(float), defaultdict(float)
        own_counts = Counter(invoice.orders[:1] for invoice in prepared)
        for invoice in prepared:
            move = Move.new(invoice.vals)
            totals = move.tax_totals
            shares = move._get_subscription_shares(
                invoice.orders, totals['base_amount_currency'], totals['total_amount_currency'])
            for order, (untaxed_share, total_share) in shares.items():
                counts[order] += 1
                untaxed[order] += untaxed_share
                total[order] += total_share
        nothing = BillingPreview(reason=self.env._("Nothing to bill."))
        return {order.id: BillingPreview(
            counts[order], own_counts[order], order.currency_id.round(untaxed[order]),
            order.currency_id.round(total[order] - untaxed[order]), order.currency_id.round(total[order]),
        ) if counts[order] else nothing for order in self}

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
