from datetime import timedelta

from odoo import api, models
from odoo.fields import Domain

from .. import const

# As long as a charge is in one of these states, nobody knows whether the money has arrived.
OPEN_CHARGE_STATES = ('waiting', 'sent', 'unknown')


class SubscriptionUnpaidMixin(models.AbstractModel):
    """Invoices of subscriptions which aren't paid: which they are, since when, and whom they are about."""

    _name = 'subscription.unpaid.mixin'
    _description = "Unpaid Invoice of a Subscription"

    # === BUSINESS METHODS - DOMAINS === #

    @api.model
    def _get_unpaid_domain(self):
        """Return the domain of the invoices of subscriptions about whose payment something may be done.

        Left alone are those which somebody has blocked or excluded from follow-up, and those whose money may be on
        its way. Drafts are paid where subscriptions are paid in advance.

        :rtype: Domain
        """
        subscription = Domain('invoice_line_ids.sale_line_ids.order_id.is_subscription', '=', True)
        prepaid = Domain('subscription_is_prepaid', '=', True)
        return (
            Domain('move_type', '=', 'out_invoice')
            & Domain('payment_state', 'in', ('not_paid', 'partial'))
            & (Domain('state', '=', 'posted') | Domain('state', '=', 'draft') & prepaid)
            & Domain('line_ids', 'not any', [('display_type', '=', 'payment_term'), ('no_followup', '=', True)])
            & subscription
            & self._get_no_money_underway_domain()
        )

    @api.model
    def _get_no_money_underway_domain(self):
        """Return the domain of the invoices for which no payment has been begun whose outcome is open.

        :rtype: Domain
        """
        charged = Domain('subscription_charge_state', 'in', OPEN_CHARGE_STATES)
        return ~charged & ~Domain('transaction_ids', 'any', self._get_begun_payment_domain())

    @api.model
    def _get_begun_payment_domain(self):
        """Return the domain of payments whose money may be on its way, or isn't booked yet.

        :rtype: Domain
        """
        return (
            Domain('state', 'in', ('pending', 'authorized')) & Domain('provider_code', 'not in', const.MANUAL_PROVIDERS)
            | Domain('state', '=', 'done') & Domain('is_post_processed', '=', False)
        ) & Domain('operation', 'not in', ('refund', 'validation'))

    @api.model
    def _get_overdue_domain(self, days=0):
        """Return the domain of the invoices of which something was due that many days ago or earlier.

        :param int days: counted by the date where each company is
        :rtype: Domain
        """
        return self.env['sale.order']._get_dated_domain(lambda today: Domain('line_ids', 'any', [
            ('display_type', '=', 'payment_term'), ('reconciled', '=', False),
            ('date_maturity', '<=', today - timedelta(days=days)),
        ]))

    # === BUSINESS METHODS - LOCKS === #

    @api.model
    def _lock_with_contracts(self, domain, limit):
        """Select and lock invoices, each with the running contracts it is about; what somebody else holds is left to
        a later run.

        :param Domain domain: which invoices
        :param int limit: how many at the most
        :return: their ids, as groups of one
        :rtype: list[list[int]]
        """
        last_id = 0
        while moves := self._lock_batch(domain & Domain('id', '>', last_id), limit):
            contracts = moves._get_running_contracts()
            locked = contracts._lock_batch(Domain('id', 'in', contracts.ids), None)
            free = moves.filtered(lambda move, locked=locked: move._get_running_contracts() <= locked)
            if free:
                return [move.ids for move in free]
            last_id = moves[-1].id
        return []

    # === BUSINESS METHODS - SUBSCRIPTIONS === #

    def _get_running_contracts(self):
        """Return the contracts which still serve the customers of these invoices; where one was renewed, what
        followed it.

        :rtype: sale.order
        """
        orders = self._get_subscriptions()
        running = orders.browse()
        while orders:
            running |= orders.filtered(lambda order: order.subscription_state in const.CONTRACT_STATES)
            orders = orders.filtered(lambda order: order.subscription_state == 'renewed').renewal_ids.filtered(
                lambda order: order.subscription_state in (*const.CONTRACT_STATES, 'renewed'))
        return running.sorted('id')

    def _is_closed_as_unpaid(self):
        """Return whether the contracts of this invoice were closed because nobody paid: no more is done about it.

        :rtype: bool
        """
        self.ensure_one()
        reason = self._get_unpaid_reason()
        return not self._get_running_contracts() and reason in self._get_subscriptions().close_reason_id

    @api.model
    def _get_unpaid_reason(self):
        """Return the reason of contracts which are closed because nobody paid.

        :rtype: subscription.close.reason
        """
        return self.env.ref('sale_subscription_ext.close_reason_unpaid')

    # === TOOLING === #

    def _is_payable_by_link(self):
        """Return whether something of this invoice is left to be paid, disputed or not.

        :rtype: bool
        """
        self.ensure_one()
        return (
            self.move_type == 'out_invoice'
            and (self.state == 'posted' or (self.state == 'draft' and self.subscription_is_prepaid))
            and self.payment_state in ('not_paid', 'partial', 'blocked')
            and self.currency_id.compare_amounts(self._get_charge_amount(), 0.0) > 0
        )

    def _is_method_saved_by_link(self):
        """Return whether who pays this invoice by a link may save the method: contracts which are never charged have
        no use for it.

        :rtype: bool
        """
        self.ensure_one()
        return any(
            order.collection_mode in ('charge', 'prepaid') and order.plan_id.save_method != 'no'
            for order in self._get_subscriptions())

    def _has_money_underway(self):
        """Return whether a payment of this invoice has been begun whose outcome is open.

        :rtype: bool
        """
        self.ensure_one()
        return not self.filtered_domain(self._get_no_money_underway_domain())

    def _is_being_paid(self):
        """Return whether a provider was asked for the money of this invoice and hasn't said what became of it, or the
        money has arrived and isn't booked. What only waits to be charged may be paid by other ways.

        :rtype: bool
        """
        self.ensure_one()
        return self.subscription_charge_state in ('sent', 'unknown') or bool(
            self.transaction_ids.filtered_domain(self._get_begun_payment_domain()))

    def _is_blocked(self):
        """Return whether somebody has said that nothing is to be done about the payment of this invoice.

        :rtype: bool
        """
        self.ensure_one()
        terms = self.line_ids.filtered(lambda line: line.display_type == 'payment_term')
        return self.payment_state == 'blocked' or any(terms.mapped('no_followup'))

    def _get_oldest_due_date(self):
        """Return since when something of this invoice is due.

        :rtype: datetime.date
        """
        self.ensure_one()
        terms = self.line_ids.filtered(lambda line: line.display_type == 'payment_term' and not line.reconciled)
        return min((line.date_maturity for line in terms if line.date_maturity), default=self.invoice_date_due)

    def _get_unpaid_since(self):
        """Return the day from which an invoice counts as unpaid: its oldest due date; where money went back which had
        been paid, the day on which its dunning began, so that nothing happens at once.

        :return: nothing where money went back and nobody asks for it again
        :rtype: datetime.date|bool
        """
        self.ensure_one()
        if self.subscription_paid_date:
            return self.subscription_dunning_date
        return self._get_oldest_due_date()
