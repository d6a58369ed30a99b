from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_amount, format_date

from .. import const


class SubscriptionPauseMixin(models.AbstractModel):
    """Pauses: nothing is served, billed or counted, and no date shifts."""

    _name = 'subscription.pause.mixin'
    _description = "Subscription Pause"

    paused_from = fields.Date(
        copy=False, readonly=True, tracking=True, help="The first day which isn't served.")
    paused_until = fields.Date(
        string="Resumes On", copy=False, readonly=True, tracking=True,
        help="The first day which is served again, empty for an open-ended pause.")

    invoice_date_after_pause = fields.Date(
        string="Next Invoice after the Pause", compute='_compute_invoice_date_after_pause', compute_sudo=True,
        help="When billing goes on after a pause whose end is known.")

    # === COMPUTE METHODS === #

    @api.depends('subscription_state', 'paused_from', 'paused_until', 'next_invoice_date', 'end_date',
                 'order_line.next_period_start', 'order_line.product_uom_qty', 'order_line.end_date',
                 'order_line.anchor_date', 'order_line.plan_id')
    def _compute_invoice_date_after_pause(self):
        for order in self:
            is_told = order.subscription_state in const.CONTRACT_STATES and not order.next_invoice_date
            lines = order.order_line if is_told and order._is_resumed_before_end() else order.order_line.browse()
            days = [line._get_bill_date_after(order.paused_until) for line in lines]
            order.invoice_date_after_pause = min((day for day in days if day), default=False)

    # === ACTION METHODS === #

    def action_pause(self):
        """Ask from when until when the subscriptions pause.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription isn't in progress
        """
        action = self._get_dialog(
            'sale_subscription_ext.subscription_pause_action', self.env._("paused"), ('progress', 'paused'))
        if all(order._is_paused() for order in self):
            action['name'] = self.env._("Change Pause")
        return action

    def action_resume(self):
        """Show what resuming the subscriptions means, and ask for it; a pause which is only planned is withdrawn.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription neither is paused nor will be
        """
        planned = self.filtered(lambda order: order._is_pause_planned())
        if len(self) == 1 and planned:
            self.check_access('write')
            self._withdraw_pause()
            return False
        return self._get_dialog(
            'sale_subscription_ext.subscription_resume_action', self.env._("resumed"),
            ('paused', *const.RUNNING_STATES) if planned else ('paused',), kind='resume')

    # === BUSINESS METHODS === #

    def _pause_subscriptions(self, paused_from=None, paused_until=None):
        """Pause subscriptions, at once or by the cron when the day has come; of paused ones, move the end.

        :param datetime.date paused_from: the first day which isn't served, today where the company is if not given
        :param datetime.date paused_until: the first day served again, None for an open-ended pause
        :raise UserError: when the dates contradict each other
        """
        engine = self.sudo()  # the right on the orders was checked; dates and ledger are the engine's
        due = engine.browse()
        for order in engine:
            today = order._subscription_today()
            is_paused = order.subscription_state == 'paused'
            start = order.paused_from if is_paused else paused_from or today
            order._check_pause(start, paused_until, is_paused)
            order.write({'paused_from': start, 'paused_until': paused_until or False})
            if is_paused:
                order._credit_pause()
                order._message_log(body=order._get_pause_message())
            elif start <= today:
                due |= order
            else:
                order._message_log(body=order._get_pause_message())
        due._begin_pause()

    def _check_pause(self, start, until, is_paused):
        """Refuse a pause whose dates contradict each other or the contract.

        :param datetime.date start: the first day which isn't served
        :param datetime.date until: the first day served again, if there is one
        :param bool is_paused: whether the pause has begun
        :raise UserError: saying which dates are possible
        """
        self.ensure_one()
        today = self._subscription_today()
        first_day = today if is_paused else max(today, self.start_date)
        if not is_paused and start < first_day:
            raise UserError(self.env._(
                "%(name)s can't be paused before %(day)s. Choose that day or a later one.",
                name=self.name, day=format_date(self.env, first_day)))
        if until and until <= max(start, first_day):
            raise UserError(self.env._(
                "%(name)s must resume after %(day)s. Choose a later day, or leave it empty for an open-ended pause.",
                name=self.name, day=format_date(self.env, max(start, first_day))))
        if self.end_date and start > self.end_date:
            raise UserError(self.env._(
                "%(name)s ends on %(day)s, before it would be paused.",
                name=self.name, day=format_date(self.env, self.end_date)))
        if waiting := self._get_waiting_renewals():
            raise UserError(self.env._(
                "%(name)s is about to be renewed by %(renewal)s. Cancel the renewal first.",
                name=self.name, renewal=waiting[0].name))

    def _begin_pause(self):
        """Stop service as of the day for which a pause is planned, and give unused invoiced days back where the plan
        says so.
        """
        for order in self.filtered(lambda order: not order.end_date or order.paused_from <= order.end_date):
            order._update_paused_state()
            order._credit_pause()
        return []

    def _update_paused_state(self):
        """Let a contract count no more, also one whose end is announced."""
        self.ensure_one()
        event_date = dict.fromkeys(self.order_line, self.paused_from)
        message = self._get_pause_message()
        if self.subscription_state != 'closing':
            self._update_subscription_state('paused', message, event_date)
            return
        self.state_before_closing = 'paused'
        self._record_mrr_movements('pause', event_date)
        self._message_log(body=message)
        self._send_subscription_mail('sale_subscription_ext.mail_template_subscription_paused')

    def _credit_pause(self, start=None):
        """Give back what was billed for days of the pause, where the plan says so.

        :param datetime.date start: the first of these days, all of them if not given
        """
        self.ensure_one()
        if self.plan_id.pause_policy != 'credit':
            return
        days = self._get_paused_days(start or self.paused_from, self.paused_until)
        self._log_given_back(
            self._invoice_change(self._prepare_unused_credits(*days), self._subscription_today()))

    def _credit_longer_pauses(self, ends):
        """Give back further days of pauses under way, once the contracts end later than it was said, or not at all.

        :param dict ends: {order: its last day until now, if it had one}
        """
        for order in self.filtered(lambda order: order._is_paused() and ends[order]):
            order._credit_pause(max(order.paused_from, fields.Date.add(ends[order], days=1)))

    def _get_paused_days(self, start, until):
        """Return the days which aren't served because of a pause: what is paid beyond the end of the contract is kept
        or given back by its closing.

        :param datetime.date start: the first day of the pause
        :param datetime.date until: the first day served again, if there is one
        :return: the first day and the day after the last, if there is one
        :rtype: tuple
        """
        self.ensure_one()
        ends = [day for day in (until, self.end_date and fields.Date.add(self.end_date, days=1)) if day]
        return start, min(ends, default=None)

    def _get_pause_message(self):
        """Return the sentence of a pause for the chatter.

        :rtype: str
        """
        self.ensure_one()
        start = format_date(self.env, self.paused_from)
        is_ending = self.subscription_state == 'closing' or bool(self.end_date and self.paused_until)
        if is_ending and not self._is_resumed_before_end():
            return self.env._(
                "The subscription pauses from %(start)s on and doesn't resume before its end.", start=start)
        if self.paused_until:
            return self.env._(
                "The subscription pauses from %(start)s on and resumes on %(end)s.",
                start=start, end=format_date(self.env, self.paused_until))
        return self.env._("The subscription pauses from %(start)s on, until somebody resumes it.", start=start)

    def _withdraw_pause(self):
        """Take back pauses which haven't begun."""
        self.sudo().write({'paused_from': False, 'paused_until': False})  # the right on the orders was checked
        self._message_log_batch(bodies=dict.fromkeys(self.ids, self.env._("The planned pause is withdrawn.")))

    def _resume_subscriptions(self):
        """Serve paused subscriptions again: those with a set day from that day on, the others and those whose day
        isn't there yet from today on. The days of the pause are never billed.
        """
        engine = self.sudo()  # the right on the orders was checked; dates and ledger are the engine's
        for order in engine:
            today = order._subscription_today()
            day = max(min(order.paused_until or today, today), order.paused_from)
            charges = order._prepare_charges_again(day)
            lines = order.order_line._get_served_lines().filtered('next_period_start')
            # What was served before the pause is still to be billed.
            lines._open_served_periods(dict.fromkeys(lines, order.paused_from))
            order.write({'paused_from': False, 'paused_until': False})
            order._skip_until(day)
            invoice = order._invoice_change(charges, today)
            order._postpone_missed_changes(day)
            order._with_step_invoice(invoice)._update_resumed_state(day)
        return []

    def _end_pause(self):
        """Resume subscriptions as of the day which was set for it, unless they end before."""
        return self.filtered(
            lambda order: not order.end_date or order.paused_until <= order.end_date)._resume_subscriptions()

    def _update_resumed_state(self, day):
        """Let a contract count again, also one whose end is announced.

        :param datetime.date day: the first day served again
        """
        self.ensure_one()
        event_date = dict.fromkeys(self.order_line, day)
        message = self._get_step_message(
            self.env._("The subscription resumes on %(day)s.", day=format_date(self.env, day)))
        if self.subscription_state == 'paused':
            self._update_subscription_state('progress', message, event_date)
            return
        self.state_before_closing = 'progress'
        self._record_mrr_movements('new' if self in self._get_uncounted() else 'resume', event_date)
        self._message_log(body=message)

    # === BUSINESS METHODS - CRON === #

    @api.model
    def _get_pause_due_domain(self):
        """Return the domain of contracts whose planned pause begins.

        :rtype: Domain
        """
        running = Domain('subscription_state', '=', 'progress') | (
            Domain('subscription_state', '=', 'closing') & Domain('state_before_closing', '=', 'progress'))
        return running & self._get_dated_domain(lambda today: Domain('paused_from', '<=', today))

    @api.model
    def _get_resume_due_domain(self):
        """Return the domain of paused contracts whose pause is over.

        :rtype: Domain
        """
        paused = Domain('subscription_state', '=', 'paused') | (
            Domain('subscription_state', '=', 'closing') & Domain('state_before_closing', '=', 'paused'))
        return paused & self._get_dated_domain(lambda today: Domain('paused_until', '<=', today))

    # === TOOLING === #

    def _is_paused(self):
        """Return whether nothing is served for now.

        :rtype: bool
        """
        self.ensure_one()
        return 'paused' in (self.subscription_state, self.subscription_state == 'closing' and self.state_before_closing)

    def _is_resumed_before_end(self):
        """Return whether a pause, planned or under way, is over by itself while the contract still runs.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.paused_from and self.paused_until) and not (
            self.end_date and self.paused_until > self.end_date)

    def _is_pause_planned(self):
        """Return whether a pause hasn't begun yet.

        :rtype: bool
        """
        self.ensure_one()
        return self.subscription_state in const.RUNNING_STATES and bool(self.paused_from) and not self._is_paused()

    def _check_not_paused(self):
        """Refuse to change what isn't served for now.

        :raise UserError: naming the subscription
        """
        for order in self:
            if order._is_paused():
                raise UserError(self.env._(
                    "Subscription %(name)s is paused. Resume it before you change it.", name=order.name))

    def _get_pause_preview(self, paused_from, paused_until):
        """Return what pausing this subscription does, in a sentence.

        :param datetime.date paused_from: the first day which isn't served
        :param datetime.date paused_until: the first day served again, if there is one
        :rtype: str
        """
        self.ensure_one()
        sentences = [
            self.env._("not served from %(start)s until %(end)s",
                       start=format_date(self.env, paused_from), end=format_date(self.env, paused_until))
            if paused_until else
            self.env._("not served from %(start)s on", start=format_date(self.env, paused_from))
        ]
        days = self._get_paused_days(paused_from, paused_until)
        amount = self.sudo()._get_unused_amount(*days)  # the ledger is the engine's
        if not self.currency_id.is_zero(amount):
            text = format_amount(self.env, amount, self.currency_id)
            if self.plan_id.pause_policy != 'credit':
                sentence = self.env._("%(amount)s incl. tax, invoiced for these days, are kept", amount=text)
            elif self._is_posting_invoices():
                sentence = self.env._("%(amount)s incl. tax, invoiced for these days, are credited", amount=text)
            else:
                sentence = self.env._(
                    "%(amount)s incl. tax, invoiced for these days, are credited by a draft to be checked", amount=text)
            sentences.append(sentence)
        return ', '.join(sentences)

    def _get_resume_preview(self):
        """Return what resuming or reopening this subscription today does, in a sentence.

        :rtype: str
        """
        self.ensure_one()
        today = self._subscription_today()
        lines = self.order_line._get_served_lines().filtered('next_period_start')
        first_day = max(min(lines.mapped('next_period_start'), default=today), today)
        stopped = self._get_stop_day()
        sentences = [self.env._("served again from %(today)s on", today=format_date(self.env, today))]
        if stopped < today:
            sentences.append(self.env._(
                "nothing is billed for %(first)s – %(last)s", first=format_date(self.env, stopped),
                last=format_date(self.env, fields.Date.subtract(today, days=1))))
        amount = self.sudo()._get_amount_charged_again(today)  # the ledger is the engine's
        if not self.currency_id.is_zero(amount):
            sentences.append(self.env._(
                "%(amount)s incl. tax are invoiced now for days which were given back",
                amount=format_amount(self.env, amount, self.currency_id)))
        sentences.append(
            self.env._("the next days to bill begin on %(day)s", day=format_date(self.env, first_day)))
        if missed := self._get_missed_changes(today):
            sentences.append(self.env._("changes which take effect: %(names)s", names=', '.join(missed.mapped('name'))))
        return '; '.join(sentences)
