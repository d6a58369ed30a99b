from datetime import date
from typing import NamedTuple

from odoo import api, fields, models
from odoo.exceptions import UserError


class MissedPeriod(NamedTuple):
    """A period which is due when a quotation with a start in the past is confirmed."""

    line: models.BaseModel
    start: date
    end: date  # exclusive
    bill_date: date
    amount: float


class SubscriptionStartMixin(models.AbstractModel):
    """A start in the past: which of the periods since then are billed."""

    _name = 'subscription.start.mixin'
    _description = "Subscription Start"

    has_missed_periods = fields.Boolean(compute='_compute_has_missed_periods')

    # === COMPUTE METHODS === #

    @api.depends('state', 'is_subscription', 'subscription_state', 'start_date', 'trial_end_date', 'next_invoice_date',
                 'company_id', 'plan_id', 'order_line.plan_id', 'order_line.is_recurring',
                 'order_line.product_uom_qty')
    def _compute_has_missed_periods(self):
        for order in self:
            is_quoted = order._is_quoted_subscription() and order.subscription_state != 'renewal'
            start = is_quoted and order.start_date and order._get_first_day_after_trial(order.start_date)
            order.has_missed_periods = bool(start) and any(
                line._get_first_billed_day(start, 'current') > line._get_first_billed_day(start)
                for line in order.order_line._get_served_lines()
            )

    # === ACTION METHODS === #

    def action_ask_missed_periods(self):
        """Ask which of the periods since a start in the past are billed, then confirm the quotation.

        :return: a window action
        :rtype: dict
        :raise UserError: when it can't be confirmed anyway
        """
        self.ensure_one()
        self.check_access('write')
        if message := self._confirmation_error_message():
            raise UserError(message)
        action = self.env['ir.actions.act_window']._for_xml_id('sale_subscription_ext.subscription_start_action')
        action['context'] = {'default_order_id': self.id}
        return action

    # === BUSINESS METHODS === #

    def _start_imported(self):
        """Start subscriptions which were created confirmed, and close those with a close date.

        :raise UserError: when a recurring product has no plan
        """
        for order in self:
            if message := order._get_missing_plan_message():
                raise UserError(message)
        self._complete_plans()
        quiet = self.filtered('is_subscription').with_context(
            tracking_disable=True, sale_subscription_ext_quiet=True)
        quiet._start_subscriptions()
        for (reason, note, day), orders in quiet.filtered('close_date').grouped(
            lambda order: (order.close_reason_id, order.close_note or '', order.close_date)
        ).items():
            orders._close_subscriptions(reason, note, day)

    def _get_missed_periods(self, billing_from='all', day=None):
        """Return what would be due at once if this quotation were confirmed today.

        :param str billing_from: from where on to bill, see `_get_first_billed_day`
        :param datetime.date day: the first day to bill, where it is to begin later
        :return: oldest first, of each line at most one more than the company catches up with
        :rtype: list[MissedPeriod]
        """
        self.ensure_one()
        today = self._subscription_today()
        start = self._get_first_day_after_trial(self.start_date or today)
        missed = []
        for line in self.order_line._get_served_lines():
            missed += line._get_missed_line_periods(start, line._get_first_billed_day(start, billing_from, day), today)
        return sorted(missed, key=lambda period: (period.start, period.line.sequence, period.line.id))


class SubscriptionLineStartMixin(models.AbstractModel):
    """From which day on a line which begins to be served is billed."""

    _name = 'subscription.line.start.mixin'
    _description = "Subscription Line Start"

    # === BUSINESS METHODS === #

    def _get_first_billed_day(self, start, billing_from='all', day=None):
        """Return the first day to bill of a line which begins to be served.

        :param datetime.date start: the first day served
        :param str billing_from: `all` from the start, or from the first unbilled day of the order; `current` from the
            period on which holds today; `later` from a day
        :param datetime.date day: the first day to bill, for `later`
        :rtype: datetime.date
        """
        self.ensure_one()
        first = max(self.order_id.next_invoice_date or start, start)
        if billing_from == 'later' and day:
            return max(first, day)
        if billing_from == 'current':
            anchor = self.plan_id._get_anchor_date(start)
            return max(first, self.plan_id._get_natural_period(anchor, self.order_id._subscription_today()).start)
        return first

    def _get_missed_line_periods(self, start, first_billed_day, today):
        """Return which periods of a line of a quotation would be due at once, without writing anything.

        :param datetime.date start: the first day served
        :param datetime.date first_billed_day: the first day to bill
        :param datetime.date today: where the company is
        :rtype: list[MissedPeriod]
        """
        self.ensure_one()
        started = self.new({
            'start_date': start,
            'anchor_date': self.plan_id._get_anchor_date(start),
            'next_period_start': first_billed_day,
        }, origin=self)
        result = []
        for period in started._get_due_periods(today):
            row = self.env['subscription.period'].new(started._prepare_due_period(period, 0.0))
            price = started._prepare_period_price(row)
            amount = price['price_unit'] * price['quantity'] * (1 - price['discount'] / 100)
            result.append(MissedPeriod(
                self, period.start, period.end, period.bill_date,
                self.currency_id.round(amount) if row.state == 'open' else 0.0,
            ))
        return result
