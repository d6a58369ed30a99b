from unittest.mock import patch

from odoo.exceptions import ValidationError

from odoo.addons.sale_subscription_ext.models.payment_provider import PaymentUnanswered
from odoo.addons.sale_subscription_ext.tests.payment_common import SubscriptionPaymentCommon

# What the provider says when it refuses a charge: for now, or for good.
DECLINES = {'decline': "Your card has insufficient funds.", 'hard': "Your card was reported stolen."}


class SubscriptionChargeCommon(SubscriptionPaymentCommon):
    """Contracts which are charged to a saved method, at a provider whose answers the test decides on."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.token = cls.env['payment.token'].create({
            'provider_id': cls.provider.id,
            'payment_method_id': cls.payment_method_id,
            'payment_details': "4242",
            'partner_id': cls.partner.id,
            'provider_ref': "customer",
        })
        cls.charged = cls._create_plan(
            "Charged", 1, 'month', collection_mode='charge', dunning_policy_id=False)
        cls.Transaction = cls.env['payment.transaction']

    def setUp(self):
        super().setUp()
        # What the provider was asked for, as (reference, amount).
        self.requests = []
        self.answer = 'done'
        # Tests can't commit; a commit is where what is pending is written.
        def commit(cron, *args, **kwargs):
            cron.env.flush_all()
            return float('inf')

        def provide(tx):
            self._provide(tx)

        self.startPatcher(patch.object(type(self.env['ir.cron']), '_commit_progress', commit))
        self.startPatcher(patch.object(type(self.Transaction), '_send_payment_request', provide))

    def _provide(self, tx):
        """Answer as the provider: a state of the payment, or an exception."""
        self.requests.append((tx.reference, tx.amount))
        answer = self.answer(tx) if callable(self.answer) else self.answer
        if answer == 'timeout':
            error = PaymentUnanswered("Could not establish the connection to the payment provider.")
            tx._note_answer(error)
            raise error
        tx._note_answer()
        if answer in DECLINES:
            tx.subscription_hard_decline = answer == 'hard'
            raise ValidationError(DECLINES[answer])
        {'done': tx._set_done, 'pending': tx._set_pending, 'authorized': tx._set_authorized, 'cancel': tx._set_canceled,
         'draft': lambda: None}[answer]()

    def _create_charged(self, **values):
        values = {'plan': self.charged, 'payment_token_id': self.token.id, 'confirm': True, **values}
        return self._create_order(**values)

    def _collect(self):
        self.Order._cron_collect_payments()

    def _get_charges(self, orders):
        return self.Transaction.search(
            [('subscription_invoice_id', 'in', orders.invoice_ids.ids)], order='id')

    def _get_story(self, order):
        """Return what the chatter of a contract tells."""
        return ' '.join(order.message_ids.mapped('body'))
