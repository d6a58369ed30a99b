from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import SQL, format_amount

from .. import const


class SubscriptionBegunPaymentMixin(models.AbstractModel):
    """Online payments of invoices which customers begin: not of what is being charged, nor of more than is left."""

    _name = 'subscription.begun.payment.mixin'
    _description = "Payments of Subscription Invoices by Customers"

    # === BUSINESS METHODS === #

    @api.model
    def _check_no_charge_under_way(self, vals_list):
        """Refuse to begin online payments of invoices which are being charged: the customer would pay twice.

        :param list[dict] vals_list: values of new payments
        :raise ValidationError: saying what to do
        """
        begun = [self._get_invoices_to_pay(vals) for vals in vals_list]
        moves = self.env['account.move'].sudo().union(*begun).filtered('subscription_charge_state')
        if not moves:
            return
        # A worker which looked at the invoice just before this is turned back by the database. Where a saved method
        # is used, the unique index does so, and the invoice isn't locked while the provider is asked.
        if not all(self._get_guarded_invoice(vals) for vals in vals_list):
            self.env.execute_query(SQL(
                "UPDATE account_move SET subscription_charge_count = subscription_charge_count"
                " WHERE id IN %s RETURNING id", tuple(moves.ids)))
        if self.sudo().search_count([
            ('subscription_invoice_id', 'in', moves.ids), ('state', 'in', const.OPEN_TRANSACTION_STATES),
        ], limit=1):
            raise ValidationError(self.env._(
                "This invoice is being charged to the saved payment method right now. Reload this page in some"
                " minutes to see whether it is paid."))

    @api.model
    def _check_still_owed(self, vals_list):
        """Refuse to begin online payments of more than is left of invoices of contracts: a link which was mailed, or a
        page which stayed open, would take money a second time.

        :param list[dict] vals_list: values of new payments
        :raise ValidationError: saying what is left
        """
        for vals in vals_list:
            moves = self._get_invoices_to_pay(vals)
            if not moves._get_subscriptions() or set(moves.mapped('move_type')) != {'out_invoice'}:
                continue
            left, currency = moves._get_amount_left(), moves.currency_id[:1]
            if currency.is_zero(left):
                raise ValidationError(self.env._(
                    "Nothing is left to be paid of this invoice. Reload this page."))
            if currency.compare_amounts(vals.get('amount') or 0.0, left) > 0:
                raise ValidationError(self.env._(
                    "%(amount)s are left to be paid of this invoice. Reload this page.",
                    amount=format_amount(self.env, left, currency)))

    @api.model
    def _get_invoices_to_pay(self, vals):
        """Return the invoices which somebody begins to pay online.

        :param dict vals: values of a new payment
        :return: in sudo: customers have no right on invoices
        :rtype: account.move
        """
        moves = self.env['account.move'].sudo()
        if not (vals.get('operation') or '').startswith('online') or not vals.get('invoice_ids'):
            return moves
        return moves.browse(self._fields['invoice_ids'].convert_to_cache(vals['invoice_ids'], self))

    @api.model
    def _prepare_guarded_payment(self, vals):
        """Let what a customer pays online with a saved method be kept open and asked about, as a charge is, when its
        provider doesn't answer.

        :param dict vals: values of a new payment
        :return: the values, completed
        :rtype: dict
        """
        move = self._get_guarded_invoice(vals)
        if not move:
            return vals
        now = fields.Datetime.now()
        return {
            **vals, 'subscription_invoice_id': move.id, 'subscription_charge_time': now, 'subscription_sent_date': now}

    @api.model
    def _get_guarded_invoice(self, vals):
        """Return the invoice of a subscription which a customer pays online with a saved method.

        :param dict vals: values of a new payment
        :return: nothing where something else is paid, or otherwise
        :rtype: account.move
        """
        moves = self._get_invoices_to_pay(vals)
        is_guarded = vals.get('operation') == 'online_token' and len(moves) == 1 and moves._get_subscriptions()
        return moves if is_guarded else moves.browse()
