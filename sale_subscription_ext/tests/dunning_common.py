from datetime import date, timedelta

from odoo.fields import Command
from odoo.tests import freeze_time

from odoo.addons.mail.tests.common import MailCase
from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon

# What the subject of each e-mail says.
SUBJECTS = {
    'payment_failed': "failed",
    'unpaid_reminder': "is not paid yet",
    'closing_warning': "is about to be closed",
    'closed_unpaid': "is closed",
}


class SubscriptionDunningCommon(SubscriptionChargeCommon, MailCase):
    """Contracts with invoices which stay unpaid, collected on the days which a test names."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Entry = cls.env['subscription.dunning.entry']
        cls.Link = cls.env['subscription.recovery.link']
        cls.policy = cls.env.ref('sale_subscription_ext.subscription_dunning_policy_default')
        cls.charged.dunning_policy_id = cls.policy
        cls.unpaid = cls.env.ref('sale_subscription_ext.close_reason_unpaid')

    @classmethod
    def _create_policy(cls, *steps, **values):
        """Create a policy; each step is a day and the names of its actions."""
        return cls.env['subscription.dunning.policy'].create({
            'name': "Test", **values,
            'step_ids': [
                Command.create({'day_offset': day, **dict.fromkeys(actions, True)}) for day, *actions in steps],
        })

    def _create_unpaid(self, plan=None, day='2026-06-01', **values):
        """Create a contract whose invoice of that day is made, posted and due."""
        order = self._create_order(plan=plan or self.monthly, start_date=day, confirm=True, **values)
        with freeze_time(f'{day} 10:00:00'):
            self._bill(day, order)
        return order

    def _collect_on(self, day):
        with freeze_time(f'{day} 10:00:00'):
            self._collect()

    def _collect_until(self, first, last, times=1):
        """Collect on each day of a span, so many times a day."""
        day = date.fromisoformat(first)
        while day <= date.fromisoformat(last):
            for _again in range(times):
                self._collect_on(day)
            day += timedelta(days=1)

    def _pay(self, move, amount=None):
        """Book a payment, as a person who sees it on the bank statement."""
        return self.env['account.payment.register'].with_context(
            active_model='account.move', active_ids=move.ids,
        ).create({
            'amount': move.amount_residual if amount is None else amount, 'payment_date': date.today(),
        })._create_payments()

    def _get_steps(self, moves):
        """Return which steps were taken when, as (day of the policy, date)."""
        entries = self.Entry.with_context(active_test=False).search([('move_id', 'in', moves.ids)], order='id')
        return [(entry.day_offset, str(entry.date)) for entry in entries]

    def _get_mails(self, orders, template):
        """Return the e-mails on the thread of orders which were made from a template, oldest first."""
        return orders.message_ids.filtered(
            lambda message: message.subject and SUBJECTS[template] in message.subject).sorted('id')
