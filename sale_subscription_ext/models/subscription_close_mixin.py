from datetime import date, timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_date

from .. import const
from ..tools.proration import get_remaining_spans


class SubscriptionCloseMixin(models.AbstractModel):
    """The end of a contract: now or later, with or without money back; undone, or reopened."""

    _name = 'subscription.close.mixin'
    _description = "Subscription Closing"

    close_reason_id = fields.Many2one(
        comodel_name='subscription.close.reason', copy=False, tracking=True, ondelete='restrict')
    close_note = fields.Text(copy=False)
    close_date = fields.Date(string="Closing Date", copy=False)
    state_before_closing = fields.Selection(
        selection=const.STATES, copy=False, readonly=True,
        help="What a closing contract is until its end, and will be again if the closing is undone.")
    end_date_before_closing = fields.Date(copy=False, readonly=True)
    close_money = fields.Selection(
        selection=[
            ('keep', "Keep it"),
            ('credit', "Credit it"),
            ('refund', "Refund it"),
        ],
        string="Invoiced Rest", copy=False, readonly=True,
        help="What happens with the money for days after the end.",
    )
    close_unbilled = fields.Selection(
        selection=[('bill', "Bill it"), ('leave_out', "Leave it out")],
        string="Unbilled Rest", copy=False, readonly=True,
        help="What happens with days before the end which aren't on an invoice.",
    )

    # === ACTION METHODS === #

    def action_close(self):
        """Ask when, why and how the subscriptions end.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription isn't running
        """
        return self._get_dialog(
            'sale_subscription_ext.subscription_close_action', self.env._("closed"), const.CONTRACT_STATES)

    def action_undo_closing(self):
        """Let a subscription go on whose end was announced; of several, show what that means and ask for it.

        :return: a window action, nothing for one
        :rtype: dict|bool
        :raise UserError: when a subscription isn't closing
        """
        if len(self) > 1:
            return self._get_dialog(
                'sale_subscription_ext.subscription_undo_closing_action', self.env._("kept open"), ('closing',),
                kind='undo_closing')
        self.check_access('write')
        self._check_states(self.env._("kept open"), ('closing',))
        self._undo_closing()
        return False

    def action_reopen(self):
        """Show what reopening the subscriptions means, and ask for it.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription isn't closed
        """
        return self._get_dialog(
            'sale_subscription_ext.subscription_reopen_action', self.env._("reopened"), ('closed',), kind='reopen')

    # === BUSINESS METHODS - CLOSE === #

    def _plan_closing(self, reason, note='', date=None, money='keep', bill=True):
        """Close subscriptions at the end of a day: at once if it is today or over, else by the cron.

        :param subscription.close.reason reason: why
        :param str note: the reason in the words of who closes
        :param datetime.date date: the last day served, today where the company is if not given
        :param str money: what happens with paid days after the end: `keep`, `credit`, `refund`
        :param bool bill: whether to bill what was served and isn't billed at the end
        :raise UserError: when a subscription ends before that day, or never gets there in its state
        """
        later = self.filtered(lambda order: date and date > order._subscription_today())
        for order in later:
            order._check_close_date(date)
        (self - later)._close_subscriptions(reason, note, bill=bill, money=money)
        engine = later.sudo()  # the right on the orders was checked; the end is the engine's
        for order in engine:
            if renewals := order._get_waiting_renewals():
                order.renewal_before_closing_id = renewals[0]
        engine._cancel_waiting_renewals()  # who goes on by one never gets to the end
        ends = {order: order.end_date for order in engine}
        for order in engine:
            values = order._prepare_closing(reason, note, date)
            values['close_money'] = money
            values['close_unbilled'] = 'bill' if bill else 'leave_out'
            if order.subscription_state != 'closing':
                values['state_before_closing'] = order.subscription_state
            order.write(values)
        message = engine[:1]._get_close_message(reason, note, date)
        engine.filtered(lambda order: order.subscription_state != 'closing')._update_subscription_state(
            'closing', message)
        engine._log_announced_rest(date, money)
        engine._credit_longer_pauses(ends)

    def _check_close_date(self, date):
        """Refuse to let a subscription end on a day which it can't reach.

        :param datetime.date date: the wished last day served
        :raise UserError: saying which days are possible
        """
        self.ensure_one()
        is_fixed = self.end_date and self.subscription_state != 'closing'
        last_day = self.end_date if is_fixed else self.end_date_before_closing
        if self._is_on_trial():
            last_day = self.trial_end_date - timedelta(days=1)
        if last_day and date > last_day:
            raise UserError(self.env._(
                "%(name)s or its trial ends on %(day)s anyway. Choose that day or an earlier one.",
                name=self.name, day=format_date(self.env, last_day),
            ))

    def _prepare_closing(self, reason, note, day):
        """Prepare what an order remembers of its closing.

        :rtype: dict
        """
        self.ensure_one()
        before = self.end_date_before_closing if self.subscription_state == 'closing' else self.end_date
        return {
            'close_reason_id': reason.id,
            'close_note': note,
            'close_date': day,
            'end_date': min(before or day, day),
            'end_date_before_closing': before,
        }

    def _close_subscriptions(self, reason, note='', date=None, bill=False, money='keep'):
        """Close subscriptions now.

        :param subscription.close.reason reason: why
        :param str note: the reason in the words of who closes
        :param datetime.date date: the last day served, today where the company is if not given
        :param bool bill: whether to bill what was served and isn't billed yet, otherwise it is left out
        :param str money: what happens with paid days after the end: `keep`, `credit`, `refund`
        :raise SubscriptionParked: when what is left can't be billed
        """
        engine = self.sudo()  # the right on the orders was checked; ledger and invoices are the engine's
        for day, orders in engine.grouped(lambda order: date or order._subscription_today()).items():
            orders._cancel_waiting_renewals()
            for order in orders:
                order.write(order._prepare_closing(reason, note, day))
            if bill:
                orders._bill_remaining(day)
            orders._cancel_prepaid_drafts()
            orders._waive_remaining(day)
            if money != 'keep':
                orders._give_back({order: day + timedelta(days=1) for order in orders}, day, money == 'refund')
        event_date = {
            line: max(line.order_id.close_date, line.start_date or line.order_id.close_date)
            for line in self.order_line
        }
        self._update_subscription_state('closed', self._get_close_message(reason, note), event_date)

    @api.model
    def _get_close_message(self, reason, note, day=None):
        """Return the sentence of a closing for the chatter.

        :param subscription.close.reason reason: why
        :param str note: the reason in the words of who closes
        :param datetime.date day: the last day served, of a closing which is announced
        :rtype: str
        """
        if day:
            message = self.env._(
                "The subscription will be closed at the end of %(day)s. Reason: %(reason)s.",
                day=format_date(self.env, day), reason=reason.name or '')
        else:
            message = self.env._("The subscription was closed. Reason: %(reason)s.", reason=reason.name or '')
        return f'{message} {note}' if note else message

    def _undo_closing(self):
        """Take announced closings back: the contracts go on as if nothing had been said."""
        message = self.env._("The closing is undone, the subscription goes on.")
        ends = {order: order.end_date for order in self}
        renewals = {order: order.renewal_before_closing_id for order in self.sudo()}
        for state, orders in self.grouped('state_before_closing').items():
            for order in orders.sudo():  # the right on the orders was checked; the end is the engine's
                order.write({'end_date': order.end_date_before_closing, **order._prepare_no_closing()})
            orders._update_subscription_state(state, message)
            orders.sudo()._credit_longer_pauses(ends)
        for order, renewal in renewals.items():
            order._bring_renewal_back(renewal)

    @api.model
    def _prepare_no_closing(self):
        """Prepare what an order which goes on remembers of its closing: nothing.

        :rtype: dict
        """
        return {
            'close_reason_id': False, 'close_note': False, 'close_date': False, 'close_money': False,
            'close_unbilled': False, 'end_date_before_closing': False, 'renewal_before_closing_id': False,
        }

    # === BUSINESS METHODS - MONEY BACK === #

    def _give_back(self, start_dates, invoice_date, is_refunded=False):
        """Credit what was billed for days which will not be served.

        :param dict start_dates: {order: the first day to give back}
        :param datetime.date invoice_date: of the credit notes
        :param bool is_refunded: whether the money goes back to the customer
        :return: the credit notes
        :rtype: account.move
        """
        moves = self.env['account.move']
        for order in self:
            move = order._invoice_change(order._prepare_unused_credits(start_dates[order]), invoice_date)
            order._log_given_back(move)
            moves |= move
        if is_refunded:
            # Asked for once this is committed: what a provider did can't be rolled back.
            moves.filtered(lambda move: move.move_type == 'out_refund').subscription_refund_state = 'wanted'
        return moves

    def _prepare_unused_credits(self, start, end=None):
        """Prepare rows which give back what was billed for days which aren't served.

        :param datetime.date start: the first of these days
        :param datetime.date end: the day after the last, up to where everything is paid if not given
        :return: values of ledger rows
        :rtype: list[dict]
        """
        self.ensure_one()
        lines = self.order_line.filtered(lambda line: line.next_period_start and line.next_period_start > start)
        paid_until = max(lines.mapped('next_period_start'), default=start)
        end = min(end or paid_until, paid_until)
        return lines._prepare_credit_periods(start, end) if end > start else []

    def _get_unused_amount(self, start, end=None):
        """Return what was billed for days which aren't served, with taxes.

        :param datetime.date start: the first of these days
        :param datetime.date end: see `_prepare_unused_credits`
        :rtype: float
        """
        self.ensure_one()
        return -self._get_amount_of_rows(self._prepare_unused_credits(start, end))

    def _get_amount_of_rows(self, vals_list):
        """Return what an invoice of ledger rows which aren't written comes to, with taxes.

        :param list[dict] vals_list: values of ledger rows
        :rtype: float
        """
        self.ensure_one()
        rows = self.env['subscription.period'].concat(*(
            self.env['subscription.period'].new({'state': 'open', **vals}) for vals in vals_list))
        return self._get_forecast_totals(self._get_forecast_base_lines(rows))['total_amount_currency']

    # === BUSINESS METHODS - REOPEN === #

    def _reopen_subscriptions(self):
        """Let closed subscriptions run again from today on. The days between are left out; what was paid ahead and
        given back is charged again.
        """
        engine = self.sudo()  # the right on the orders was checked; dates and ledger are the engine's
        for order in engine:
            today = order._subscription_today()
            end_date = order.end_date_before_closing
            charges = order._prepare_charges_again(today)
            order.write({
                'end_date': end_date if end_date and end_date > today else False,
                'paused_from': False, 'paused_until': False,
                **order._prepare_no_closing(),
            })
            order._skip_until(today)
            told = order._with_step_invoice(order._invoice_change(charges, today)).sudo(self.env.su)
            order._postpone_missed_changes(today)
            told._update_subscription_state(
                'progress', told._get_step_message(self.env._("The subscription is open again from today on.")),
                dict.fromkeys(order.order_line, today))

    def _skip_until(self, day):
        """Leave out the days until `day`: what lies before it will not be billed any more.

        :param datetime.date day: the first day to bill
        """
        self.order_line._get_served_lines()._leave_out_until(day)

    def _get_stop_day(self):
        """Return since when a paused or closed subscription isn't served; one may be closed while it is paused.

        :rtype: datetime.date
        """
        self.ensure_one()
        if self._is_paused():
            return self.paused_from
        day_after = self.close_date + timedelta(days=1)
        return min(self.paused_from or day_after, day_after)

    def _prepare_charges_again(self, day):
        """Prepare rows which charge days again that were given back when service stopped.

        :param datetime.date day: the first day served again
        :return: values of ledger rows
        :rtype: list[dict]
        """
        self.ensure_one()
        lines = self.order_line.filtered(lambda line: (
            line.is_recurring and line.product_uom_qty and line.next_period_start
            and (not line.end_date or line.end_date >= day)))
        credits = self.env['subscription.period'].search([
            ('order_line_id', 'in', lines.ids), ('kind', '=', 'credit'), ('state', '!=', 'waived'),
            ('is_credited', '=', False), ('amendment_id', '=', False),
            ('date_start', '>=', self._get_stop_day()), ('date_end', '>', day),
        ]).grouped('order_line_id')
        vals_list = []
        for line in lines.filtered(credits.get):
            # Days which were charged again, and given back again by the next closing, have two credits: the last one
            # counts.
            taken = line._get_paid_spans()
            if line.end_date:
                taken.append((line.end_date + timedelta(days=1), date.max))
            for credit in credits[line].sorted('id', reverse=True):
                vals_list += [
                    credit._prepare_charge_again(start, end)
                    for start, end in get_remaining_spans(max(credit.date_start, day), credit.date_end, taken)
                ]
                taken.append((credit.date_start, credit.date_end))
        return vals_list

    def _get_amount_charged_again(self, day):
        """Return what an invoice will ask for days which were given back, with taxes.

        :param datetime.date day: the first day served again
        :rtype: float
        """
        self.ensure_one()
        return self._get_amount_of_rows(self._prepare_charges_again(day))

    # === BUSINESS METHODS - CRON === #

    def _close_ended(self):
        """Close subscriptions as of their last day, those with an announced end as it was announced."""
        reason = self.env.ref('sale_subscription_ext.close_reason_end_of_contract')
        for order in self:
            is_announced = order.subscription_state == 'closing'
            order._close_subscriptions(
                order.close_reason_id if is_announced else reason, order.close_note or '', order.end_date,
                money=order.close_money or 'keep')
        return []

    @api.model
    def _get_ended_domain(self):
        """Return the domain of contracts whose last day is over and which are billed to the end, or needn't be.

        :rtype: Domain
        """
        return (
            Domain('subscription_state', 'in', const.CONTRACT_STATES)
            & Domain('renewal_date', '=', False)
            & (Domain('next_invoice_date', '=', False) | Domain('close_unbilled', '=', 'leave_out'))
            & self._get_dated_domain(lambda today: Domain('end_date', '<', today))
        )
