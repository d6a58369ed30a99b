from odoo import api, models


class SubscriptionPrepaidMixin(models.AbstractModel):
    """Contracts which are paid in advance: their invoices are drafts until the money is there."""

    _name = 'subscription.prepaid.mixin'
    _description = "Prepaid Subscription"

    # === BUSINESS METHODS === #

    def _prepare_prepaid_invoice(self, rows, invoice_date=None):
        """Prepare what differs on a draft which the customer pays before it is an invoice: it is due when its period
        begins.

        :param rows: the ledger rows which it bills
        :param datetime.date invoice_date: its date, if any
        :return: values of the invoice
        :rtype: dict
        """
        self.ensure_one()
        made = invoice_date or self._subscription_today()
        return {
            'subscription_is_prepaid': True,
            'invoice_payment_term_id': False,
            'invoice_date_due': max(made, min(rows.mapped('date_start'), default=made)),
        }

    def _cancel_prepaid_drafts(self):
        """Cancel what was asked for ahead and nobody has paid; what is being paid right now is left alone.

        The invoice of several contracts goes on without these.
        """
        drafts = self.order_line.invoice_lines.move_id.filtered(
            lambda move: move.subscription_is_prepaid and move.state == 'draft' and not move._get_open_transactions())
        ending = drafts.filtered(lambda move: move._get_subscriptions() <= self)
        ending.button_cancel()
        (drafts - ending).invoice_line_ids.filtered(lambda line: line.sale_line_ids.order_id & self).unlink()

    @api.model
    def _cancel_left_drafts(self):
        """Cancel what was kept when its contracts closed, because somebody was paying it, and wasn't paid in the end.

        :return: whether time is left
        :rtype: bool
        """
        return self._run_one_by_one(
            self.env['account.move']._lock_next_left_draft, lambda move: move._cancel_left_draft())
