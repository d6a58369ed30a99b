from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import format_date

from ..tools import recurrence


class SubscriptionTrialMixin(models.AbstractModel):
    """Trials: served without being billed or counted, until the first day which is."""

    _name = 'subscription.trial.mixin'
    _description = "Subscription Trial"

    trial_end_date = fields.Date(
        string="Trial Ends On", copy=False, tracking=True,
        help="The first day which is billed. Left empty on a quotation, the trial of the plan counts from the start.")
    plan_trial_value = fields.Integer(compute='_compute_plan_trial_value')
    trial_reminder_date = fields.Date(
        copy=False, readonly=True, help="When the customer was reminded of the end of the trial.")

    # === COMPUTE METHODS === #

    @api.depends('plan_id')
    def _compute_plan_trial_value(self):
        for order in self:
            order.plan_trial_value = order.plan_id.trial_value

    # === BUSINESS METHODS === #

    def _get_trial_end(self, start):
        """Return the first billed day of an order which starts with a trial.

        :param datetime.date start: the first day served
        :rtype: datetime.date|bool
        """
        self.ensure_one()
        plan = self.plan_id
        trial_end = self.trial_end_date
        # A contract of which earlier days were billed elsewhere has its trial behind it.
        if not trial_end and plan.trial_value and not self.next_invoice_date:
            trial_end = recurrence.occurrence(start, plan.trial_value, plan.trial_unit, 1)
        return trial_end if trial_end and trial_end > start else False

    def _get_first_day_after_trial(self, start):
        """Return from when on an order which starts is served for money.

        :param datetime.date start: the first day served
        :rtype: datetime.date
        """
        self.ensure_one()
        return self._get_trial_end(start) or start

    def _is_on_trial(self):
        """Return whether the contract is in its trial, or would be if it were confirmed now.

        :rtype: bool
        """
        self.ensure_one()
        state = self.state_before_closing if self.subscription_state == 'closing' else self.subscription_state
        return state in ('draft', 'trial') and bool(
            self.trial_end_date and self.trial_end_date > self._subscription_today())

    def _start_trial(self):
        """Begin the trial of confirmed orders."""
        for order in self:
            order._update_subscription_state('trial', self.env._(
                "The trial has started. It ends on %(day)s, from when on the subscription is billed.",
                day=format_date(self.env, order.trial_end_date)))

    def _remind_of_trial_end(self):
        """Remind customers of the end of their trial, once."""
        for order in self:
            order.trial_reminder_date = order._subscription_today()
            order._message_log(body=self.env._(
                "The customer is reminded: the trial ends on %(day)s.",
                day=format_date(self.env, order.trial_end_date)))
        self._send_subscription_mail('sale_subscription_ext.mail_template_subscription_trial_ending')
        return []

    def _end_trial(self):
        """Let contracts run whose trial is over. Where the money can't be collected, the plan says what happens."""
        for order in self:
            dates = {line: line.start_date or order.trial_end_date for line in order.order_line}
            if order._has_payment_method() or order.plan_id.trial_end == 'invoice':
                order._update_subscription_state(
                    'progress', self.env._("The trial is over, the subscription is billed from now on."), dates)
            elif order.plan_id.trial_end == 'pause':
                order.paused_from = order.trial_end_date
                order._update_subscription_state('paused', self.env._(
                    "The trial is over without a payment method: the subscription pauses until there is one."), dates)
            else:
                order._close_subscriptions(
                    self.env.ref('sale_subscription_ext.close_reason_trial'),
                    date=order.trial_end_date - timedelta(days=1))
        return []

    # === BUSINESS METHODS - CRON === #

    @api.model
    def _get_trial_reminder_domain(self):
        """Return the domain of contracts whose trial ends soon and whose customers don't know yet.

        :rtype: Domain
        """
        plans = self.env['subscription.plan'].with_context(active_test=False).search(
            [('trial_reminder_days', '>', 0)])
        return Domain('subscription_state', '=', 'trial') & Domain('trial_reminder_date', '=', False) & Domain.OR(
            Domain('plan_id', 'in', same.ids) & self._get_dated_domain(
                lambda today, days=days: Domain('trial_end_date', '<=', today + timedelta(days=days)))
            for days, same in plans.grouped('trial_reminder_days').items()
        )

    @api.model
    def _get_trial_ended_domain(self):
        """Return the domain of contracts whose trial is over.

        :rtype: Domain
        """
        return Domain('subscription_state', '=', 'trial') & self._get_dated_domain(
            lambda today: Domain('trial_end_date', '<=', today))
