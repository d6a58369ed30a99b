from datetime import timedelta

from odoo import fields, models
from odoo.exceptions import AccessError, UserError

from .. import const


class SubscriptionResolveMixin(models.AbstractModel):
    """What a person can do about an invoice of a contract whose money doesn't come in by itself."""

    _name = 'subscription.resolve.mixin'
    _description = "Payments to Resolve"

    subscription_order_ids = fields.Many2many(
        comodel_name='sale.order', string="Subscriptions", compute='_compute_subscription_order_ids')

    # === COMPUTE METHODS === #

    def _compute_subscription_order_ids(self):
        for move in self:
            # Rules decide which of them may be opened, not whether the invoice is listed.
            move.subscription_order_ids = move._get_subscriptions()

    # === ACTION METHODS === #

    def action_charge_again(self):
        """Let the invoices be charged to the saved payment method once more.

        :return: an action which says that it will be
        :rtype: dict
        :raise UserError: saying why one can't be charged
        """
        self._check_may_collect()
        self.env['sale.order']._check_collection_on()
        self.sudo()._request_charge()  # the right to collect was checked
        return self._get_done_notification(self.env._("It is charged in a moment. This list tells what came of it."))

    def action_ask_provider(self):
        """Let the provider be asked again what became of payments which brought no answer. Where it can be asked
        without asking for money, that is done at once.

        :return: an action which says so
        :rtype: dict
        :raise UserError: when the provider can't be asked, saying what to do instead
        """
        self._check_may_collect()
        self.env['sale.order']._check_collection_on()
        now = fields.Datetime.now()
        for move in self.sudo():  # the right to collect was checked
            payment = move._get_unanswered_payment()
            if payment._is_status_known():
                payment._look_up()
                continue
            if not payment._is_repeatable():
                raise UserError(self.env._(
                    "%(provider)s can't be asked again about payment %(reference)s. Look it up in your account there,"
                    " then press It Was Charged or It Was Not Charged.",
                    provider=payment.provider_id.name, reference=payment.reference))
            if reason := payment._get_stop_reason():
                raise UserError(self.env._(
                    "%(invoice)s: %(reason)s Asking again could take money which isn't owed any more. Look up payment"
                    " %(reference)s in your account at %(provider)s, then press It Was Charged or It Was Not Charged.",
                    invoice=move._get_charge_label(), reason=reason, reference=payment.reference,
                    provider=payment.provider_id.name))
            payment.subscription_sent_date = now - timedelta(minutes=const.ASK_AGAIN_MINUTES)
        self.env['sale.order']._trigger_collection()
        return self._get_done_notification(self.env._("The provider is asked. This list tells what it says."))

    def action_confirm_charged(self):
        """Book payments and refunds which brought no answer and which a person has found at the provider.

        :raise UserError: when no payment is waiting for an answer
        """
        self._check_may_resolve()
        for move in self.sudo():  # the right to resolve was checked
            payment = move._get_unanswered_payment()
            payment.subscription_no_answer = False
            payment._set_done(state_message=self.env._("Found at the provider by %(user)s.", user=self.env.user.name))
            payment._post_process()

    def action_confirm_not_charged(self):
        """Give up payments and refunds which brought no answer and which a person has not found at the provider.

        :raise UserError: when no payment is waiting for an answer
        """
        self._check_may_resolve()
        for move in self.sudo():  # the right to resolve was checked
            payment = move._get_unanswered_payment()
            payment.subscription_no_answer = False
            # Not cancelled: money which turns up after all is still booked.
            payment._set_error(self.env._("Not found at the provider by %(user)s.", user=self.env.user.name))
            payment._post_process()

    def action_book_again(self):
        """Book payments again whose money has arrived and which couldn't be booked.

        :raise UserError: saying why they still can't be
        """
        self._check_may_resolve()
        for move in self.sudo():  # the right to resolve was checked
            move.transaction_ids.filtered(
                lambda tx: tx.subscription_invoice_id and not tx.is_post_processed and tx.state != 'draft',
            )._post_process()
            move.subscription_booking_error = False

    def action_resolve_payment(self):
        """Ask how the invoices are settled without the provider: paid another way, or written off.

        :return: a window action
        :rtype: dict
        """
        self._check_may_resolve()
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.subscription_payment_resolve_action')
        action['context'] = {
            'default_move_ids': self.ids, 'default_resolution': self.env.context.get('default_resolution', 'paid')}
        return action

    def action_close_subscriptions(self):
        """Ask when, why and how the contracts of these invoices end.

        :return: a window action
        :rtype: dict
        :raise UserError: when none of them is running
        """
        running = self._get_subscriptions().filtered(
            lambda order: order.subscription_state in const.CONTRACT_STATES)
        if not running:
            raise UserError(self.env._("The subscriptions of this invoice don't run any more."))
        return running.sudo(False).action_close()

    def action_view_subscriptions(self):
        """Open the contracts which the invoice bills.

        :return: a window action
        :rtype: dict
        """
        return self._get_subscriptions().sudo(False)._get_records_action(name=self.env._("Subscriptions"))

    # === TOOLING === #

    def _get_unanswered_payment(self):
        """Return the payment of the invoice, or the refund of the credit note, which brought no answer.

        :rtype: payment.transaction
        :raise UserError: when there is none
        """
        self.ensure_one()
        payment = self.transaction_ids.filtered(
            lambda tx: tx.state == 'pending' and tx.subscription_no_answer)[:1]
        if not payment:
            raise UserError(self.env._(
                "%(invoice)s: no payment waits for an answer. Reload the page.", invoice=self._get_charge_label()))
        return payment

    def _check_may_collect(self):
        """Refuse to collect what somebody has no right on: accountants may, and whoever may change the contracts.

        :raise AccessError: naming what is missing
        """
        self.check_access('read')
        if not self.env.user.has_group('account.group_account_invoice'):
            if any(not move._get_subscriptions() for move in self):
                raise AccessError(self.env._("Only accountants may collect invoices which bill no subscription."))
            self._get_subscriptions().sudo(False).check_access('write')

    def _check_may_resolve(self):
        """Refuse to say what became of money to who is neither an accountant nor an administrator of sales.

        :raise UserError: saying whom to ask
        """
        self._check_may_collect()
        if not self.env.user.has_groups('account.group_account_invoice,sales_team.group_sale_manager'):
            raise UserError(self.env._(
                "Only accountants and administrators of Sales may say what became of a payment. Ask one of them."))

    def _get_done_notification(self, message):
        """Return an action which tells of something and reloads the list.

        :param str message: what to tell
        :rtype: dict
        """
        return {
            'type': 'ir.actions.client',
            'tag': 'display_notification',
            'params': {
                'type': 'info', 'message': message, 'next': {'type': 'ir.actions.client', 'tag': 'soft_reload'}},
        }
