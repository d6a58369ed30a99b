from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_date

from .. import const
from ..tools import recurrence


class SubscriptionTermMixin(models.AbstractModel):
    """How long a contract was agreed for: its term and what follows, minimum commitment, notice."""

    _name = 'subscription.term.mixin'
    _description = "Subscription Term"

    term_value = fields.Integer(
        string="Term", compute='_compute_term', store=True, readonly=False, precompute=True,
        help="How long the contract is agreed for. 0 for a contract which is open-ended from the start.")
    term_unit = fields.Selection(
        selection=const.UNITS, compute='_compute_term', store=True, readonly=False, precompute=True)
    term_end = fields.Selection(
        selection='_get_term_ends', string="At the End of the Term",
        compute='_compute_term', store=True, readonly=False, precompute=True)
    term_end_date = fields.Date(
        copy=False, readonly=True, tracking=True, help="The last day of the present term.")
    term_reminder_date = fields.Date(
        copy=False, readonly=True, help="When salesperson and customer were reminded of the end of the term.")
    commitment_end_date = fields.Date(
        string="Committed Until", copy=False, readonly=True,
        help="The last day of the minimum commitment: customers can't leave before.")

    # === COMPUTE METHODS === #

    @api.depends('plan_id', 'sale_order_template_id')
    def _compute_term(self):
        for order in self:
            template = order.sale_order_template_id
            source = template if template.term_value else order.plan_id
            if order._origin and order.state not in ('draft', 'sent'):
                source = order  # confirmed as it was agreed
            order.term_value = source.term_value
            order.term_unit = source.term_unit
            order.term_end = source.term_end

    # === BUSINESS METHODS === #

    def _set_term(self, start, with_commitment=True):
        """Set until when a contract which begins was agreed.

        :param datetime.date start: the first day which is billed
        :param bool with_commitment: whether the customer commits itself, a renewed one did before
        """
        self.ensure_one()
        plan = self.plan_id
        if self.term_value and not self.end_date:
            self.term_end_date = self._get_term_end_from(start)
            while self.term_end == 'renew' and self.next_invoice_date and self.term_end_date < self.next_invoice_date:
                # Terms before the first day to bill here were over elsewhere.
                self.term_end_date = self._get_term_end_from(self.term_end_date + timedelta(days=1))
            if self.term_end == 'close':
                self.end_date = self.term_end_date
        if with_commitment and plan.commitment_value:
            end = recurrence.occurrence(start, plan.commitment_value, plan.commitment_unit, 1)
            self.commitment_end_date = end - timedelta(days=1)

    def _get_term_end_from(self, start):
        """Return the last day of a term which begins on `start`.

        :param datetime.date start: its first day
        :rtype: datetime.date
        """
        self.ensure_one()
        anchor = self.order_line.filtered('anchor_date')[:1].anchor_date or start
        end = recurrence.span_end(start, anchor, self.term_value, self.term_unit)
        return end - timedelta(days=1)

    def _remind_of_term_end(self):
        """Remind salesperson and customer that a contract ends or is about to be renewed, once."""
        for order in self:
            order.term_reminder_date = order._subscription_today()
            day = format_date(self.env, order.end_date or order.term_end_date)
            note = (
                self.env._("The contract ends on %(day)s. Offer a renewal.", day=day) if order.end_date else
                self.env._("The contract is renewed by itself after %(day)s. Offer new terms before.", day=day))
            order.activity_schedule(
                'sale_subscription_ext.mail_activity_type_renewal', note=note,
                date_deadline=order.end_date or order.term_end_date,
                user_id=(order.user_id or self.env.user).id)
        self._send_subscription_mail('sale_subscription_ext.mail_template_subscription_term_ending')
        return []

    # === BUSINESS METHODS - NOTICE === #

    def _get_customer_close_date(self):
        """Return the earliest day with which the customer may let the contract end: by notice, term and commitment.

        :rtype: datetime.date
        """
        self.ensure_one()
        if self._is_on_trial():
            return self._subscription_today()  # that is what a trial is for
        day = self._subscription_today() + timedelta(days=self.plan_id.notice_days)
        if self.commitment_end_date:
            day = max(day, self.commitment_end_date)
        if self.term_end_date:
            last_day = self.term_end_date
            while self.term_end == 'renew' and last_day < day:
                last_day = self._get_term_end_from(last_day + timedelta(days=1))
            day = max(day, last_day)
        return min(day, self.end_date) if self.end_date and self.subscription_state != 'closing' else day

    def _check_customer_close(self, date):
        """Refuse to let a contract end earlier than the customer agreed to.

        :param datetime.date date: the wished last day served
        :raise UserError: saying which day is possible
        """
        for order in self:
            earliest = order._get_customer_close_date()
            if date < earliest:
                raise UserError(self.env._(
                    "By its term, commitment or period of notice, %(name)s can end on %(day)s at the earliest.",
                    name=order.name, day=format_date(self.env, earliest)))

    def _close_for_customer(self, reason, note='', date=None):
        """Close contracts as their customers may: on the earliest day which was agreed, or later.

        :param subscription.close.reason reason: why
        :param str note: the reason in the words of the customer
        :param datetime.date date: the wished last day served, the earliest possible one if not given
        :raise UserError: when a contract can't end on that day
        """
        if date:
            self._check_customer_close(date)
        for order in self:
            order._plan_closing(reason, note, date or order._get_customer_close_date())

    # === BUSINESS METHODS - CRON === #

    @api.model
    def _get_term_reminder_domain(self):
        """Return the domain of contracts whose term ends soon and whose salespeople don't know yet.

        :rtype: Domain
        """
        plans = self.env['subscription.plan'].with_context(active_test=False).search(
            [('renewal_reminder_days', '>', 0)])
        return Domain([
            ('subscription_state', '=', 'progress'), ('term_reminder_date', '=', False), ('renewal_date', '=', False),
        ]) & Domain.OR(
            Domain('plan_id', 'in', same.ids) & self._get_dated_domain(
                lambda today, days=days, notice=notice: self._get_ending_domain(today, days, notice))
            for (days, notice), same in plans.grouped(
                lambda plan: (plan.renewal_reminder_days, plan.notice_days)).items()
        )

    @api.model
    def _get_ending_domain(self, today, days, notice_days):
        """Return the domain of contracts of whose end somebody is to be reminded.

        :param datetime.date today: where their company is
        :param int days: how long before the end, or before the last day for giving notice
        :param int notice_days: period of notice of contracts which would be renewed
        :rtype: Domain
        """
        last_day = today + timedelta(days=days)
        return (
            Domain('end_date', '>=', today) & Domain('end_date', '<=', last_day)
        ) | (
            Domain('end_date', '=', False) & Domain('term_end', '=', 'renew')
            & Domain('term_end_date', '>=', today)
            & Domain('term_end_date', '<=', last_day + timedelta(days=notice_days))
        )

    # === TOOLING === #

    @api.model
    def _get_term_ends(self):
        """Return what can follow a term.

        :rtype: list[tuple[str, str]]
        """
        return self.env['subscription.plan']._get_term_ends()
