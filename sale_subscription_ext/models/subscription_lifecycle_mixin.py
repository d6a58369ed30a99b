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

    def action_change_billing_day(self):
        """Ask for another billing day.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription isn't running
        """
        return self._get_dialog('sale_subscription_ext.subscription_change_day_action', self.env._("changed"))

    def _get_dialog(self, xmlid, action_name, states=const.RUNNING_STATES, **defaults):
        """Return the action of a dialog about these subscriptions; of several, it leaves out those in another state.

        :param str xmlid: of a window action
        :param str action_name: what is done to them, translated: “closed”
        :param tuple states: in which this can be done
        :param defaults: values of the dialog
        :rtype: dict
        :raise UserError: when all of them are in another state
        """
        self.check_access('write')
        if not self.filtered(lambda order: order.subscription_state in states):
            self._check_states(action_name, states)
        action = self.env['ir.actions.act_window']._for_xml_id(xmlid)
        action['context'] = {
            'default_order_ids': self.ids, **{f'default_{name}': value for name, value in defaults.items()}}
        return action

    def _check_running(self, action_name):
        """Refuse an action on subscriptions which aren't running.

        :param str action_name: what is done to them, translated: “closed”
        :raise UserError: naming the subscriptions
        """
        self._check_states(action_name, const.RUNNING_STATES)

    def _check_states(self, action_name, states):
        """Refuse an action on subscriptions which are in another state than it is for.

        :param str action_name: what is done to them, translated: “closed”
        :param tuple states: in which this can be done
        :raise UserError: naming the subscriptions
        """
        if wrong := self.filtered(lambda order: order.subscription_state not in states):
            labels = dict(self._fields['subscription_state']._description_selection(self.env))
            is_running = set(const.RUNNING_STATES) <= set(states)
            raise UserError(self.env._(
                "Only %(states)s subscriptions can be %(action)s. Leave out: %(names)s.",
                states=self.env._("running") if is_running else ', '.join(labels[state] for state in states),
                action=action_name, names=', '.join(wrong.mapped('name')),
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
        by_event_type, by_mail = defaultdict(self.browse), defaultdict(self.browse)
        uncounted = self._get_uncounted()
        for order in self:
            step = (order.subscription_state, target)
            if step not in const.TRANSITIONS:
                order._refuse_step(target)
            by_event_type[order._get_movement(step, order in uncounted)] |= order
            by_mail[const.STEP_MAIL_TEMPLATES.get(step)] |= order
        for template_xmlid, orders in by_mail.items():
            orders._set_subscription_state(target, template_xmlid)
        for event_type, orders in by_event_type.items():
            if event_type:
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

    def _refuse_step(self, target):
        """Say that a subscription can't get from its state to another.

        :param str|bool target: the wished state
        :raise UserError: always
        """
        self.ensure_one()
        labels = dict(self._fields['subscription_state']._description_selection(self.env))
        raise UserError(self.env._(
            "Subscription %(name)s is in state “%(state)s” and can't become “%(target)s” from there.",
            name=self.name,
            state=labels.get(self.subscription_state, ''),
            target=labels.get(target, self.env._("Cancelled")),
        ))

    def _set_subscription_state(self, target, template_xmlid=None):
        """Write the state, and let the e-mail of the step go out: the given one, or that of the stage.

        :param str|bool target: the new state
        :param str template_xmlid: e-mail to send instead of that of the stage
        """
        self.sudo().write({  # nobody has the right to set it by hand
            'subscription_state': target,
            **({} if target == 'closing' else {'state_before_closing': False}),
        })
        # The stage follows here and not at some later flush, whose context wouldn't know whether to send its mail.
        self.mapped('stage_id')
        if template_xmlid:
            self._send_instead_of_stage_mail(template_xmlid)

    def _get_uncounted(self):
        """Return the subscriptions which never were in the MRR ledger: they are still, or ended, in their trial.

        :rtype: sale.order
        """
        # The ledger is read whole, whatever the user may see of it.
        rows = self.env['subscription.event'].sudo()._read_group([('order_id', 'in', self.ids)], ['order_id'])
        return self - self.browse([order.id for [order] in rows])

    def _get_movement(self, step, is_uncounted):
        """Return the MRR movement which a step writes.

        :param tuple step: a key of `const.TRANSITIONS`
        :param bool is_uncounted: see `_get_uncounted`
        :rtype: str|None
        """
        self.ensure_one()
        event_type = const.TRANSITIONS[step]
        if not is_uncounted:
            return event_type
        return {'churn': None, 'resume': 'new', 'reactivation': 'new'}.get(event_type, event_type)

    # === BUSINESS METHODS - START === #

    def _start_subscriptions(self):
        """Turn confirmed orders into running contracts: dates of the lines, state, movements.

        A `next_invoice_date` after the start says that everything before was billed elsewhere: those days are
        left out. So is what the context key `sale_subscription_ext_billing_from` excludes, see
        `_get_first_billed_day`.

        :raise UserError: when the dates of an order contradict each other
        """
        # An order which is created confirmed, or at once, hasn't been seen as a quotation.
        for order in self.filtered(lambda order: not order.subscription_state).sudo():
            order.subscription_state = order._get_quotation_state()
        renewals = self.filtered(lambda order: order.subscription_state == 'renewal')
        renewals._confirm_renewals()
        starting = self - renewals
        billing_from = self.env.context.get('sale_subscription_ext_billing_from', 'all')
        for order in starting:
            order._check_start()
            start = order.start_date or order._subscription_today()
            order.sudo().trial_end_date = order._get_trial_end(start)
            served_from = order._get_first_day_after_trial(start)
            first_days = order.order_line._get_served_lines().sudo().grouped(
                lambda line, served_from=served_from: line._get_first_billed_day(served_from, billing_from))
            order.start_date = start
            for first_day, lines in first_days.items():
                lines._start(served_from, first_day)
            order.sudo()._set_term(served_from)
        starting.sudo()._remember_taxes()  # salespeople confirm without any right in accounting
        on_trial = starting.filtered(lambda order: order._is_on_trial())
        on_trial._start_trial()
        running = starting - on_trial
        dates = {line: line.start_date for line in running.order_line.filtered('start_date')}
        running._update_subscription_state('progress', self.env._("The subscription has started."), dates)
        running._log_due_periods()

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

    # === BUSINESS METHODS - CANCEL === #

    def _withdraw_start(self):
        """Take back the start of subscriptions which are cancelled before anything was billed.

        :raise UserError: when one was billed
        """
        # Whatever the user may see of it: the ledger decides.
        periods = self.env['subscription.period'].sudo().search([('order_id', 'in', self.ids)])
        billed = periods.filtered(lambda period: period.state == 'billed').order_id
        billed |= self.filtered(
            lambda order: order.subscription_state not in ('renewal', 'trial', 'progress')).sudo()
        if billed:
            raise UserError(self.env._(
                "%(names)s: a subscription which was invoiced, paused or closed can't be cancelled. Close it instead,"
                " with the button Close.", names=', '.join(billed.mapped('name')),
            ))
        self._withdraw_renewals()
        for period in periods:
            # An emptied row keeps the trace and leaves its days to a new start.
            period.write({'state': 'waived', 'date_end': period.date_start, 'amount': 0.0})
        event_date = {line: line.start_date or line.order_id.start_date for line in self.order_line}
        self._update_subscription_state(False, event_date=event_date)
        engine = self.sudo()
        engine.next_invoice_date = False
        engine.filtered(
            lambda order: order.start_date and order.start_date <= order._subscription_today()).start_date = False
        engine.write({
            'trial_end_date': False, 'trial_reminder_date': False, 'term_end_date': False,
            'term_reminder_date': False, 'commitment_end_date': False, 'paused_from': False, 'paused_until': False,
        })
        engine.order_line.write(
            {'anchor_date': False, 'start_date': False, 'end_date': False, 'next_period_start': False})

    # === CRON === #

    @api.model
    def _cron_run_lifecycle(self):
        """Take the steps whose day has come, batch by batch and by each company's own date: trials, pauses, renewals,
        reminders, ends; and show in Orders to Invoice what is due but wasn't billed, because billing is off or failed.
        """
        for get_domain, process in self._get_lifecycle_steps():
            _made, is_done = self.env['sale.order']._run_in_batches(
                get_domain(), process, lambda order, error: order._log_lifecycle_error(error), commit=True)
            if not is_done:
                return
        self.env['account.move']._refund_wanted()

    @api.model
    def _get_lifecycle_steps(self):
        """Return what `_cron_run_lifecycle` does, in its order.

        Addons add their own steps; call super. A subscription on which the step was taken must not match its domain
        any more.

        :return: (function which returns the domain, function which is called with locked subscriptions)
        :rtype: list[tuple]
        """
        engine = self.env['sale.order']
        return [
            (engine._get_trial_reminder_domain, lambda orders: orders._remind_of_trial_end()),
            (engine._get_trial_ended_domain, lambda orders: orders._end_trial()),
            (engine._get_pause_due_domain, lambda orders: orders._begin_pause()),
            (engine._get_resume_due_domain, lambda orders: orders._end_pause()),
            (engine._get_term_reminder_domain, lambda orders: orders._remind_of_term_end()),
            (engine._get_renewal_due_domain, lambda orders: orders._renew_automatically()),
            (engine._get_takeover_domain, lambda orders: orders._take_over()),
            (engine._get_ended_domain, lambda orders: orders._close_ended()),
            (engine._get_unseen_due_domain, lambda orders: orders._refresh_due_quantities()),
        ]

    def _log_lifecycle_error(self, error):
        """Ask somebody to look at a subscription on which a step couldn't be taken; the others go on.

        :param Exception error: what happened
        """
        _logger.warning("The lifecycle of subscription %s stopped", self.name, exc_info=error)
        activity_type = self.env.ref('sale_subscription_ext.mail_activity_type_lifecycle_error')
        if activity_type in self.activity_ids.activity_type_id:
            return  # tried again each hour, told once
        message = self.env._("The subscription could not be changed: %(error)s", error=error)
        self._message_log(body=message)
        self.activity_schedule(
            'sale_subscription_ext.mail_activity_type_lifecycle_error', note=message,
            user_id=(self.user_id or self.env.user).id)

    def _refresh_due_quantities(self):
        """Determine again what is due: time passes without anything being written."""
        self.order_line.filtered('is_recurring').modified(['next_period_start'])
        return []

    @api.model
    def _get_unseen_due_domain(self):
        """Return the domain of due subscriptions which don't show in Orders to Invoice yet.

        :rtype: Domain
        """
        return self._get_due_domain() & Domain('invoice_status', '!=', 'to invoice')

    # === TOOLING === #

    def _subscription_today(self):
        """Return today's date where the company of the subscription is; without a record, the current company.

        :rtype: datetime.date
        """
        return (self.company_id[:1] or self.env.company)._get_subscription_today()

    def _get_quotation_state(self):
        """Return the state of this order as long as it isn't confirmed.

        :rtype: str
        """
        self.ensure_one()
        return 'renewal' if self.subscription_id else 'draft'
