import logging
from collections import defaultdict

from odoo import api, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_date

from .. import const

_logger = logging.getLogger(__name__)


class SubscriptionLifecycleMixin(models.AbstractModel):
    """The states of a sales order as a subscription, and the one method which changes them."""

    _name = 'subscription.lifecycle.mixin'
    _description = "Subscription Lifecycle"

    # === ACTION METHODS === #

    def action_close(self):
        """Ask for the reason and close the subscriptions.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription isn't running
        """
        return self._get_dialog('sale_subscription_ext.subscription_close_action', self.env._("closed"))

    def action_change_billing_day(self):
        """Ask for another billing day.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription isn't running
        """
        return self._get_dialog('sale_subscription_ext.subscription_change_day_action', self.env._("changed"))

    def _get_dialog(self, xmlid, action_name):
        """Return the action of a dialog about these subscriptions.

        :param str xmlid: of a window action
        :param str action_name: what is done to them, translated: “closed”
        :rtype: dict
        :raise UserError: when a subscription isn't running
        """
        self.check_access('write')
        self._check_running(action_name)
        action = self.env['ir.actions.act_window']._for_xml_id(xmlid)
        action['context'] = {'default_order_ids': self.ids}
        return action

    def _check_running(self, action_name):
        """Refuse an action on subscriptions which aren't running.

        :param str action_name: what is done to them, translated: “closed”
        :raise UserError: naming the subscriptions
        """
        idle = self.filtered(lambda order: order.subscription_state not in const.RUNNING_STATES)
        if idle:
            raise UserError(self.env._(
                "Only running subscriptions can be %(action)s. Leave out: %(names)s.",
                action=action_name, names=', '.join(idle.mapped('name')),
            ))

    # === BUSINESS METHODS - STATES === #

    def _update_subscription_state(self, target, message='', event_date=None):
        """Move subscriptions to another state: the only way a confirmed one gets there.

        Checks the table of transitions, writes the state (the stage follows), the MRR movements and the story
        in the chatter.

        :param str|bool target: the new state, False for none
        :param str message: translated sentence for the chatter
        :param dict event_date: {order line: effective date of its movement}
        :raise UserError: when a step isn't in the table
        """
        if not self:
            return
        by_event_type = defaultdict(self.browse)
        for order in self:
            step = (order.subscription_state, target)
            if step not in const.TRANSITIONS:
                labels = dict(order._fields['subscription_state']._description_selection(self.env))
                raise UserError(self.env._(
                    "Subscription %(name)s is in state “%(state)s” and can't become “%(target)s” from there.",
                    name=order.name,
                    state=labels.get(order.subscription_state, ''),
                    target=labels.get(target, self.env._("Cancelled")),
                ))
            by_event_type[const.TRANSITIONS[step]] |= order
        self.sudo().write({'subscription_state': target})  # nobody has the right to set it by hand
        # The stage follows here and not at some later flush, whose context wouldn't know whether to send its mail.
        self.mapped('stage_id')
        for event_type, orders in by_event_type.items():
            orders._record_mrr_movements(event_type, event_date)
        if message and not self.env.context.get('sale_subscription_ext_quiet'):
            self._message_log_batch(bodies=dict.fromkeys(self.ids, message))

    def _check_stage(self, stage):
        """Refuse a stage of another state: stages follow the state, not the other way round.

        :param subscription.stage stage: the wished stage
        :raise UserError: saying what to do instead
        """
        for order in self:
            if order.subscription_state != stage.subscription_state:
                raise UserError(self.env._(
                    "%(name)s can't be moved to stage “%(stage)s”, which is for another state. Use the buttons of the"
                    " subscription, such as Confirm or Close, instead.",
                    name=order.name, stage=stage.name,
                ))

    # === BUSINESS METHODS - START === #

    def _start_subscriptions(self):
        """Turn confirmed orders into running contracts: dates of the lines, state, movements.

        A `next_invoice_date` after the start says that everything before was billed elsewhere: those days are
        left out. So is what the context key `sale_subscription_ext_billing_from` excludes, see
        `_get_first_billed_day`.

        :raise UserError: when the dates of an order contradict each other
        """
        # An order which is created confirmed, or at once, hasn't been seen as a quotation.
        self.filtered(lambda order: not order.subscription_state).sudo().subscription_state = 'draft'
        billing_from = self.env.context.get('sale_subscription_ext_billing_from', 'all')
        for order in self:
            order._check_start()
            start = order.start_date or order._subscription_today()
            first_days = order.order_line._get_served_lines().sudo().grouped(
                lambda line, start=start: line._get_first_billed_day(start, billing_from))
            order.start_date = start
            for first_day, lines in first_days.items():
                lines._start(start, first_day)
        self.sudo()._remember_taxes()  # salespeople confirm without any right in accounting
        dates = {line: line.start_date for line in self.order_line.filtered('start_date')}
        self._update_subscription_state('progress', self.env._("The subscription has started."), dates)
        self._log_due_periods()

    def _check_start(self):
        """Refuse to start a subscription whose dates contradict each other.

        :raise UserError: saying which date to mend
        """
        self.ensure_one()
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise UserError(self.env._(
                "Subscription %(name)s ends on %(end)s, before it starts on %(start)s. Correct one of the dates.",
                name=self.name,
                end=format_date(self.env, self.end_date), start=format_date(self.env, self.start_date),
            ))

    def _log_due_periods(self):
        """Say in the chatter how many past periods a late start will bill."""
        for order in self:
            today = order._subscription_today()
            if not order.start_date or order.start_date >= today:
                continue
            count = len({due.bill_date for line in order.order_line for due in line._get_due_periods(today)})
            limit = order.company_id.subscription_catch_up
            if count > limit:
                order._message_log(body=self.env._(
                    "The start lies in the past and more than %(limit)s invoices are due: billing will wait until"
                    " somebody has looked at it.", limit=limit,
                ))
            elif count > 1:
                order._message_log(body=self.env._(
                    "The start lies in the past: %(count)s invoices are due and will be made by the next billing"
                    " run.", count=count,
                ))

    def _change_billing_day(self, day):
        """Count the periods of running subscriptions from another day on; what lies before it is a stub.

        :param datetime.date day: the first day of a period from now on
        """
        lines = self.order_line._get_served_lines()
        lines.sudo().anchor_date = day  # the right on the orders was checked; dates are the engine's
        for order in self:
            order._message_log(body=self.env._(
                "The billing day is changed: periods begin on %(day)s from now on.", day=format_date(self.env, day)))

    # === BUSINESS METHODS - END === #

    def _close_subscriptions(self, reason, note='', date=None, bill=False):
        """Close running subscriptions. What was paid is kept.

        :param subscription.close.reason reason: why
        :param str note: the reason in the words of who closes
        :param datetime.date date: the last day served, today where the company is if not given
        :param bool bill: whether to bill what was served and isn't billed yet, otherwise it is left out
        :raise SubscriptionParked: when what is left can't be billed
        """
        engine = self.sudo()  # the right on the orders was checked; ledger and invoices are the engine's
        for day, orders in engine.grouped(lambda order: date or order._subscription_today()).items():
            for order in orders:
                order.write({
                    'close_reason_id': reason.id,
                    'close_note': note,
                    'close_date': day,
                    'end_date': min(order.end_date or day, day),
                })
            if bill:
                orders._bill_remaining(day)
            orders._waive_remaining(day)
        event_date = {
            line: max(line.order_id.close_date, line.start_date or line.order_id.close_date)
            for line in self.order_line
        }
        self._update_subscription_state('closed', self._get_close_message(reason, note), event_date)

    @api.model
    def _get_close_message(self, reason, note):
        """Return the sentence of a closing for the chatter.

        :rtype: str
        """
        if note:
            return self.env._(
                "The subscription was closed. Reason: %(reason)s. %(note)s", reason=reason.name, note=note)
        return self.env._("The subscription was closed. Reason: %(reason)s.", reason=reason.name or '')

    def _withdraw_start(self):
        """Take back the start of subscriptions which are cancelled before anything was billed.

        :raise UserError: when one was billed
        """
        # Whatever the user may see of it: the ledger decides.
        periods = self.env['subscription.period'].sudo().search([('order_id', 'in', self.ids)])
        billed = periods.filtered(lambda period: period.state == 'billed').order_id
        billed |= self.filtered(lambda order: order.subscription_state not in const.RUNNING_STATES).sudo()
        if billed:
            raise UserError(self.env._(
                "%(names)s: a subscription which was invoiced or closed can't be cancelled. Close it instead, with the"
                " button Close.", names=', '.join(billed.mapped('name')),
            ))
        for period in periods:
            # An emptied row keeps the trace and leaves its days to a new start.
            period.write({'state': 'waived', 'date_end': period.date_start, 'amount': 0.0})
        event_date = {line: line.start_date or line.order_id.start_date for line in self.order_line}
        self._update_subscription_state(False, event_date=event_date)
        engine = self.sudo()
        engine.next_invoice_date = False
        engine.filtered(lambda order: order.start_date <= order._subscription_today()).start_date = False
        engine.order_line.write(
            {'anchor_date': False, 'start_date': False, 'end_date': False, 'next_period_start': False})

    # === CRON === #

    @api.model
    def _cron_run_lifecycle(self):
        """Close the contracts whose last day is over, and show in Orders to Invoice what is due but wasn't billed,
        because billing is off or failed. Goes by each company's own date, batch by batch.
        """
        reason = self.env.ref('sale_subscription_ext.close_reason_end_of_contract')
        due_domain = self._get_due_domain() & Domain('invoice_status', '!=', 'to invoice')
        for domain, process in (
            (self._get_ended_domain(), lambda orders: orders._close_ended(reason)),
            (due_domain, lambda orders: orders._refresh_due_quantities()),
        ):
            _made, is_done = self.env['sale.order']._run_in_batches(
                domain, process, lambda order, error: order._log_lifecycle_error(error), commit=True)
            if not is_done:
                break

    def _log_lifecycle_error(self, error):
        """Say in the chatter of a subscription why it couldn't be closed; the others go on.

        :param Exception error: what happened
        """
        _logger.warning("Subscription %s could not be closed at its end", self.name, exc_info=error)
        self._message_log(body=self.env._("The subscription could not be closed: %(error)s", error=error))

    def _close_ended(self, reason):
        """Close subscriptions as of their last day.

        :param subscription.close.reason reason: why
        """
        for end_date, ended in self.grouped('end_date').items():
            ended._close_subscriptions(reason, date=end_date)
        return []

    def _refresh_due_quantities(self):
        """Determine again what is due: time passes without anything being written."""
        self.order_line.filtered('is_recurring').modified(['next_period_start'])
        return []

    @api.model
    def _get_ended_domain(self):
        """Return the domain of running subscriptions whose last day is over and which are billed to the end.

        :rtype: Domain
        """
        return Domain('subscription_state', 'in', const.RUNNING_STATES) & Domain('next_invoice_date', '=', False) & (
            self._get_dated_domain(lambda today: Domain('end_date', '<', today)))

    # === TOOLING === #

    def _subscription_today(self):
        """Return today's date where the company of the subscription is; without a record, the current company.

        :rtype: datetime.date
        """
        return (self.company_id[:1] or self.env.company)._get_subscription_today()

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

    def _get_last_day(self, line):
        """Return the last day on which a line of this order is served, if there is one.

        :rtype: datetime.date|None
        """
        self.ensure_one()
        return min((day for day in (line.end_date, self.end_date) if day), default=None)
