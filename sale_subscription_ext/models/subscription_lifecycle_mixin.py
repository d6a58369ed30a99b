from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_date

from .. import const


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
        self.check_access('write')
        self._check_running(self.env._("close"))
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.subscription_close_action')
        action['context'] = {'default_order_ids': self.ids}
        return action

    def _check_running(self, action_name):
        """Refuse an action on subscriptions which aren't running.

        :param str action_name: the translated verb of the action
        :raise UserError: naming the subscriptions
        """
        idle = self.filtered(lambda order: order.subscription_state not in const.RUNNING_STATES)
        if idle:
            raise UserError(self.env._(
                "Only running subscriptions can be changed this way (%(action)s). Leave out: %(names)s.",
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
        event_types = set()
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
            event_types.add(const.TRANSITIONS[step])
        self.write({'subscription_state': target})
        # The stage follows here and not at some later flush, whose context wouldn't know whether to send its mail.
        self.mapped('stage_id')
        for event_type in event_types:
            self._record_mrr_movements(event_type, event_date)
        if message and not self.env.context.get('sale_subscription_ext_quiet'):
            self._message_log_batch(bodies=dict.fromkeys(self.ids, message))

    # === BUSINESS METHODS - START === #

    def _start_subscriptions(self):
        """Turn confirmed orders into running contracts: dates of the lines, state, movements.

        A `next_invoice_date` after the start says that everything before was billed elsewhere: those days are
        left out.

        :raise UserError: when the dates of an order contradict each other
        """
        for order in self:
            order._check_start()
            start = order.start_date or order._subscription_today()
            first_unbilled_day = max(order.next_invoice_date or start, start)
            order.start_date = start
            order.order_line._get_served_lines()._start(start, first_unbilled_day)
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

    # === BUSINESS METHODS - END === #

    def _close_subscriptions(self, reason, note='', date=None):
        """Close running subscriptions.

        Periods which are due and weren't billed are left out; what was paid is kept.

        :param subscription.close.reason reason: why
        :param str note: the reason in the words of who closes
        :param datetime.date date: the last day served, today where the company is if not given
        """
        for order in self:
            day = date or order._subscription_today()
            order._waive_due_periods(day)
            order.write({
                'close_reason_id': reason.id,
                'close_note': note,
                'close_date': day,
                'end_date': min(order.end_date or day, day),
            })
        event_date = {line: line.order_id.close_date for line in self.order_line}
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
        billed = self.env['subscription.period'].sudo().search(
            [('order_id', 'in', self.ids), ('state', '=', 'billed')]).order_id
        if billed:
            raise UserError(self.env._(
                "%(names)s: a subscription which was invoiced can't be cancelled. Close it instead, with the button"
                " Close.", names=', '.join(billed.mapped('name')),
            ))
        periods = self.env['subscription.period'].sudo().search([('order_id', 'in', self.ids)])
        for period in periods:
            # An emptied row keeps the trace and leaves its days to a new start.
            period.write({'state': 'waived', 'date_end': period.date_start, 'amount': 0.0})
        event_date = {line: line.start_date or line.order_id.start_date for line in self.order_line}
        self._update_subscription_state(False, event_date=event_date)
        self.order_line.write({'anchor_date': False, 'start_date': False, 'next_period_start': False})

    # === CRON === #

    @api.model
    def _cron_run_lifecycle(self):
        """Close the contracts whose last day is over, and show in Orders to Invoice what is due but wasn't billed,
        because billing is off or failed. Goes by each company's own date, batch by batch.
        """
        reason = self.env.ref('sale_subscription_ext.close_reason_end_of_contract')
        due_domain = self._get_due_domain() & Domain('invoice_status', '!=', 'to invoice')
        for domain, method in (
            (self._get_ended_domain(), lambda orders: orders._close_ended(reason)),
            (due_domain, lambda orders: orders._refresh_due_quantities()),
        ):
            if not self._run_in_batches(domain, method):
                break

    @api.model
    def _run_in_batches(self, domain, method):
        """Lock the subscriptions of a domain batch by batch, work on them and commit.

        :param Domain domain: the subscriptions
        :param method: called with each locked batch
        :return: whether time is left
        :rtype: bool
        """
        self.env['ir.cron']._commit_progress(remaining=self.search_count(domain))
        last_id = 0
        while orders := self.search(domain & Domain('id', '>', last_id), order='id', limit=const.BILLING_BATCH_SIZE):
            last_id = orders[-1].id
            method(orders.try_lock_for_update(allow_referencing=True).filtered_domain(domain))
            if not self.env['ir.cron']._commit_progress(len(orders)):
                return False
            self.env.invalidate_all()
        return True

    def _close_ended(self, reason):
        """Close subscriptions as of their last day.

        :param subscription.close.reason reason: why
        """
        for end_date, ended in self.grouped('end_date').items():
            ended._close_subscriptions(reason, date=end_date)

    def _refresh_due_quantities(self):
        """Determine again what is due: time passes without anything being written."""
        self.order_line.filtered('is_recurring').modified(['next_period_start'])

    @api.model
    def _get_ended_domain(self):
        """Return the domain of running subscriptions whose last day is over and which are billed to the end.

        :rtype: Domain
        """
        return Domain('subscription_state', 'in', const.RUNNING_STATES) & Domain('next_invoice_date', '=', False) & (
            Domain.OR(
                Domain('company_id', 'in', companies.ids) & Domain('end_date', '<', today)
                for today, companies in self.env['res.company']._get_companies_by_subscription_today().items()
            )
        )

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
        lines = self.order_line.filtered('next_period_start')
        served = lines.filtered(lambda line: line.plan_id == self.plan_id and not line.end_date)
        if served:
            return min(served.mapped('next_period_start'))
        return max(lines.mapped('next_period_start'), default=self.start_date or self._subscription_today())

    def _get_last_day(self, line):
        """Return the last day on which a line of this order is served, if there is one.

        :rtype: datetime.date|None
        """
        self.ensure_one()
        return min((day for day in (line.end_date, self.end_date) if day), default=None)

    @api.model
    def _get_day_before(self, day):
        """Return the day before `day`.

        :rtype: datetime.date
        """
        return fields.Date.to_date(day) - timedelta(days=1)
