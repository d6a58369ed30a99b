from datetime import timedelta

from odoo import models


class SubscriptionDatesMixin(models.AbstractModel):
    """Between which days a subscription is served and billed."""

    _name = 'subscription.dates.mixin'
    _description = "Subscription Dates"

    # === BUSINESS METHODS === #

    def _get_service_start(self):
        """Return the first day of the subscription which the lines of this order belong to.

        :rtype: datetime.date|bool
        """
        self.ensure_one()
        # Who reads a renewal may not see the first contract of its chain.
        first = self.origin_order_id.sudo() or self
        if first.state in ('draft', 'sent'):
            return first._get_first_day_after_trial(first._get_expected_start())
        return first.trial_end_date or first.start_date

    def _get_first_unbilled_day(self):
        """Return the first day which isn't in the billing ledger yet: from when a change takes effect.

        :rtype: datetime.date
        """
        self.ensure_one()
        return self._get_first_unbilled_day_of(self.order_line)

    def _get_first_unbilled_day_of(self, lines):
        """Return the first day which isn't in the billing ledger yet, going by some lines of this order.

        :param lines: order lines
        :rtype: datetime.date
        """
        self.ensure_one()
        lines = lines.filtered('next_period_start')
        served = lines._get_served_lines().filtered(lambda line: line.plan_id == self.plan_id)
        if served:
            return min(served.mapped('next_period_start'))
        today = self._subscription_today()
        return max([*lines.mapped('next_period_start'), today]) if lines else self.start_date or today

    def _get_parts_before(self, day):
        """Return the parts of periods which the lines of this order would bill next if their periods were counted
        from another day.

        :param datetime.date day: the new billing day
        :return: {(first day, day after the last): lines}, the earliest first, without what begins with a period
        :rtype: dict[tuple, sale.order.line]
        """
        self.ensure_one()

        def get_part(line):
            natural = line.plan_id._get_natural_period(day, line.next_period_start)
            return natural.start < line.next_period_start and (line.next_period_start, natural.end)

        lines = self.order_line._get_served_lines().filtered('next_period_start')
        parts = lines.filtered(get_part).grouped(get_part)
        return {part: parts[part] for part in sorted(parts)}

    def _get_last_day(self, line):
        """Return the last day on which a line of this order is served, if there is one.

        :rtype: datetime.date|None
        """
        self.ensure_one()
        # From these on, nothing is served, or by another contract.
        breaks = [day - timedelta(days=1) for day in (self.paused_from, self.renewal_date) if day]
        return min((day for day in (line.end_date, self.end_date, *breaks) if day), default=None)

    def _get_current_period_end(self):
        """Return the last day of the current period of the order's plan, or of its trial.

        :rtype: datetime.date
        """
        self.ensure_one()
        today = self._subscription_today()
        if self._is_on_trial():
            return self.trial_end_date - timedelta(days=1)
        line = self.order_line._get_served_lines().filtered(lambda line: line.plan_id == self.plan_id)[:1]
        if not line.anchor_date:
            return today
        natural = self.plan_id._get_natural_period(line.anchor_date, max(today, line.start_date))
        last_day = natural.end - timedelta(days=1)
        return min(last_day, self.end_date) if self.end_date and self.end_date >= today else last_day
