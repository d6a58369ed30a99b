from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import format_date

from .. import const


class SubscriptionLineRenewalMixin(models.AbstractModel):
    """A line of a renewal."""

    _name = 'subscription.line.renewal.mixin'
    _description = "Subscription Line Renewal"

    renewed_line_id = fields.Many2one(
        comodel_name='sale.order.line', copy=False, readonly=True, index='btree_not_null', ondelete='set null',
        help="The line of the renewed contract which this line goes on with.")

    # === BUSINESS METHODS === #

    def _get_first_day_to_renew(self, takeover):
        """Return the first day to bill of a line of a renewal: not what is paid already.

        :param datetime.date takeover: from when on the renewal serves the customer
        :rtype: datetime.date
        """
        self.ensure_one()
        renewed = self.renewed_line_id.sudo()  # who makes the renewal may not see the contract
        paid_until = renewed.order_id == self.order_id.subscription_id.sudo() and renewed.next_period_start
        return max(takeover, paid_until or takeover)

    def _prepare_expected_dates(self, start):
        """Override to let a line of a renewal go on with the billing of the contract."""
        self.ensure_one()
        dates = super()._prepare_expected_dates(start)
        if self.order_id.subscription_state != 'renewal':
            return dates
        return {
            **dates,
            'anchor_date': self.order_id.sudo()._get_renewed_anchor(self) or dates['anchor_date'],
            'next_period_start': self._get_first_day_to_renew(start),
        }


class SubscriptionRenewalMixin(models.AbstractModel):
    """Renewals: a new contract which takes over from a running one, without gap or overlap."""

    _name = 'subscription.renewal.mixin'
    _description = "Subscription Renewal"

    subscription_id = fields.Many2one(
        comodel_name='sale.order', copy=False, readonly=True, index='btree_not_null',
        ondelete='restrict', check_company=True, help="The running contract which this order changes or renews.")
    origin_order_id = fields.Many2one(
        comodel_name='sale.order', string="First Subscription", copy=False, readonly=True, index='btree_not_null',
        ondelete='restrict', help="The first contract of the chain of renewals.")
    renewal_ids = fields.One2many(
        comodel_name='sale.order', inverse_name='subscription_id', string="Renewals",
        domain=[('amendment_type', '=', False)])
    renewal_date = fields.Date(
        string="Renewed From", copy=False, readonly=True,
        help="The day from which a confirmed renewal serves the customer instead of this contract.")
    renewal_before_closing_id = fields.Many2one(
        comodel_name='sale.order', copy=False, readonly=True, index='btree_not_null', ondelete='set null',
        help="The confirmed renewal which an announced end cancelled.")
    chain_count = fields.Integer(string="History", compute='_compute_chain_count')

    # === COMPUTE METHODS === #

    @api.depends('origin_order_id')
    def _compute_chain_count(self):
        origins = {order: order.origin_order_id or order for order in self}
        counts = dict(self.env['sale.order']._read_group(
            [('origin_order_id', 'in', [origin.id for origin in origins.values()]), ('amendment_type', '=', False)],
            ['origin_order_id'], ['__count']))
        for order, origin in origins.items():
            count = counts.get(origin._origin, 0)
            order.chain_count = count and count + 1

    # === ACTION METHODS === #

    def action_renew(self):
        """Open the renewal quotation of the subscription, or a new one; of several, ask for prices and term.

        :return: a window action
        :rtype: dict
        :raise UserError: when none can be renewed
        """
        if len(self) > 1:
            return self._get_dialog('sale_subscription_ext.subscription_renew_action', self.env._("renewed"))
        self.check_access('write')
        self._check_running(self.env._("renewed"))
        self._check_no_waiting_renewal()
        renewal = self._get_renewal_quotation() or self._create_renewal()
        return renewal._get_records_action(name=self.env._("Renewal"))

    def action_view_chain(self):
        """Open the whole chain of renewals which a subscription belongs to.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        origin = self.origin_order_id or self
        action = self.env['ir.actions.act_window']._for_xml_id('sale_subscription_ext.sale_order_action_subscription')
        action['display_name'] = self.env._("History")
        action['domain'] = [
            ('amendment_type', '=', False), '|', ('id', '=', origin.id), ('origin_order_id', '=', origin.id)]
        action['context'] = {'create': False}
        return action

    # === BUSINESS METHODS - CONFIRMATION === #

    def _confirm_renewals(self):
        """Let confirmed renewals take over: at once where it is time, else by the cron. An announced end is undone.

        :raise UserError: when the renewed contract doesn't run any more
        """
        for order in self:
            # The right on the renewal was checked; the contract and its dates are the engine's.
            parent = order.subscription_id.sudo()
            closing = parent.filtered(lambda contract: contract.subscription_state == 'closing')
            closing.renewal_before_closing_id = False  # this one is confirmed instead
            closing._undo_closing()
            order._check_renewal()
            takeover = order._get_expected_start()
            order.sudo().write({'start_date': takeover, 'trial_end_date': False})
            parent.renewal_date = takeover
            parent._report_conflicting_changes()
            parent._message_log(body=self.env._(
                "Renewal %(name)s is confirmed. It takes over on %(day)s.",
                name=order.name, day=format_date(self.env, takeover)))
            order._message_log(body=self.env._(
                "This renewal takes over from %(name)s on %(day)s.",
                name=parent.name, day=format_date(self.env, takeover)))
        self.filtered(lambda order: order.start_date <= order._subscription_today()).sudo()._take_over()

    def _check_renewal(self):
        """Refuse to confirm a renewal of a contract which doesn't run or is renewed already.

        :raise UserError: saying what to do instead
        """
        self.ensure_one()
        parent = self.subscription_id.sudo()  # who confirms the renewal may not see it
        if parent.subscription_state not in const.RUNNING_STATES:
            raise UserError(self.env._(
                "%(name)s renews %(parent)s, which isn't running. Resume or reopen that one first, or cancel this"
                " renewal and make a new quotation.", name=self.name, parent=parent.name))
        parent._check_no_waiting_renewal(self)
        if parent.company_id != self.company_id:
            raise UserError(self.env._(
                "%(name)s renews %(parent)s of another company. Make a new quotation instead.",
                name=self.name, parent=parent.name))

    def _check_no_waiting_renewal(self, renewal=None):
        """Refuse to renew what is about to be renewed.

        :param sale.order renewal: the one which is being confirmed
        :raise UserError: naming the renewal
        """
        if waiting := self._get_waiting_renewals() - (renewal or self.browse()):
            raise UserError(self.env._(
                "%(renewal)s is confirmed already and renews %(name)s. Cancel it first.",
                renewal=waiting[0].name, name=waiting[0].subscription_id.name))

    def _get_waiting_renewals(self):
        """Return the confirmed renewals of these contracts which haven't taken over yet.

        :rtype: sale.order
        """
        return self.sudo().renewal_ids.filtered(  # whoever asks may not see them
            lambda order: order.state == 'sale' and order.subscription_state == 'renewal')

    def _cancel_waiting_renewals(self):
        """Cancel the confirmed renewals of contracts which end otherwise."""
        self._get_waiting_renewals()._action_cancel()

    def _bring_renewal_back(self, renewal):
        """Confirm a renewal again which an announced end had cancelled; of a contract which doesn't run now, let it be
        a quotation.

        :param sale.order renewal: nothing, where none was cancelled or it isn't any more
        """
        self.ensure_one()
        if renewal.state != 'cancel' or renewal.subscription_id != self:
            return
        renewal.state = 'draft'  # signed as it is
        self._update_open_quotations()
        if self.subscription_state in const.RUNNING_STATES:
            try:
                with self.env.cr.savepoint():
                    renewal.action_confirm()
            except UserError as error:
                renewal._message_log(body=str(error))
            else:
                return
        self._message_log(body=self.env._(
            "Renewal %(name)s, which the end had cancelled, is a quotation again. Confirm it once the subscription"
            " goes on and nothing stands in its way.", name=renewal.name))

    def _withdraw_renewals(self):
        """Let contracts go on whose confirmed renewal is cancelled."""
        waiting = self.filtered(lambda order: order.subscription_state == 'renewal' and order.state == 'sale')
        for order in waiting.sudo():  # whoever may cancel the renewal
            order.subscription_id.renewal_date = False
            order.subscription_id._message_log(body=self.env._("Renewal %(name)s is cancelled.", name=order.name))

    def _get_takeover_date(self):
        """Return the day from which a renewal confirmed now serves the customer: the next invoice date, for what is
        paid ahead the first unpaid day. An announced end doesn't count: the confirmation undoes it.

        :rtype: datetime.date
        """
        self.ensure_one()
        contract = self.sudo()  # whoever confirms the renewal may not see the contract
        lines = contract.order_line._get_served_lines().filtered(
            lambda line: line.plan_id == contract.plan_id and line.next_period_start)
        days = [
            line.plan_id._get_natural_period(line.anchor_date, line.next_period_start).end
            if line._is_billed_in_arrears() else line.next_period_start
            for line in lines
        ]
        day = min(days, default=contract._get_first_unbilled_day())
        end = contract.end_date_before_closing if contract.subscription_state == 'closing' else contract.end_date
        return min(day, end + timedelta(days=1)) if end else day

    # === BUSINESS METHODS - TAKEOVER === #

    def _take_over(self):
        """Let renewals serve the customer whose day has come; the contracts which they renew end the day before."""
        for order in self:
            parent = order.subscription_id
            takeover = order.start_date
            for line in order.order_line._get_served_lines():
                line._start(
                    takeover, line._get_first_day_to_renew(takeover), anchor=order._get_renewed_anchor(line))
            order._remember_taxes()
            order._set_term(takeover, with_commitment=False)
            booked = parent._get_booked_mrr()[parent]
            parent.write({
                'end_date': takeover - timedelta(days=1), 'renewal_date': takeover, **parent._prepare_no_closing()})
            parent._update_subscription_state(
                'renewed', self.env._("The contract is renewed by %(name)s.", name=order.name))
            order._update_subscription_state(
                'progress', self.env._("The renewal takes over from %(name)s.", name=parent.name))
            order._record_renewal(booked, takeover)
            parent._give_back_dropped(order)
        return []

    def _get_expected_start(self):
        """Override to let a renewal start when it takes over."""
        self.ensure_one()
        parent = self.subscription_id.sudo()  # who makes the renewal may not see it
        if self.subscription_state != 'renewal' or parent.subscription_state not in const.RUNNING_STATES:
            return super()._get_expected_start()
        takeover = parent._get_takeover_date()
        return max(self.start_date or takeover, takeover)

    def _get_first_day_after_trial(self, start):
        """Override to give renewals no trial: the customer knows what is renewed."""
        self.ensure_one()
        return start if self.subscription_state == 'renewal' else super()._get_first_day_after_trial(start)

    def _get_renewed_anchor(self, line):
        """Return the billing day of a line of a renewal: that of the contract, unless the plan sets another.

        :param sale.order.line line: a line of this renewal
        :rtype: datetime.date|None
        """
        self.ensure_one()
        anchored = self.subscription_id.order_line.filtered('anchor_date')
        same_plan = anchored.filtered(lambda other: other.plan_id == line.plan_id)
        if not same_plan and line.plan_id.billing_alignment != 'anniversary':
            return None
        main = anchored.filtered(lambda other: other.plan_id == self.subscription_id.plan_id)
        return (same_plan.filtered(lambda other: not other.end_date) or same_plan or main)[:1].anchor_date

    def _give_back_dropped(self, renewal):
        """Credit what was paid beyond the takeover for lines which the renewal doesn't go on with.

        :param sale.order renewal: the renewal of this contract
        """
        self.ensure_one()
        dropped = self.order_line.filtered(
            lambda line: line.next_period_start and line.next_period_start > renewal.start_date)
        dropped -= renewal.order_line.renewed_line_id
        if not dropped:
            return
        self._invoice_change(
            dropped._prepare_credit_periods(renewal.start_date, max(dropped.mapped('next_period_start'))),
            self._subscription_today())

    def _record_renewal(self, booked, day):
        """Write how MRR moves from a contract to its renewal: what is the same is transferred, only the difference is
        an expansion or a contraction.

        :param dict booked: of the renewed contract, see `_get_booked_mrr`
        :param datetime.date day: of the takeover
        """
        self.ensure_one()
        parent = self.subscription_id
        successors = self._get_successors(booked)
        vals_list = []
        for line, (in_order, in_company) in booked.items():
            if line not in successors:
                if in_order or in_company:
                    event_type = 'contraction' if in_order > 0 else 'expansion'
                    vals_list.append(line._prepare_mrr_movement(event_type, day, -in_order, -in_company))
                continue
            received = parent.currency_id._convert(in_order, self.currency_id, self.company_id, day)
            vals_list += [
                line._prepare_mrr_movement('transfer', day, -in_order, -in_company),
                successors[line]._prepare_mrr_movement('transfer', day, received, in_company),
            ]
        self._count_new_customer(vals_list)
        self.env['subscription.event'].sudo().create(vals_list)  # movements are written by the engine only
        self._record_mrr_movements(event_date=dict.fromkeys(self.order_line, day))

    def _get_successors(self, booked):
        """Return which line of the renewal follows which line of the contract: the copied ones, then what is left in
        its order, as one product replaces another.

        :param dict booked: of the renewed contract, see `_get_booked_mrr`
        :return: {line of the contract: line of this renewal}
        :rtype: dict
        """
        self.ensure_one()
        lines = self.order_line.filtered('anchor_date')
        successors = {line.renewed_line_id: line for line in lines if line.renewed_line_id in booked}
        left = [line for line, amounts in booked.items() if line not in successors and any(amounts)]
        new = lines.filtered(lambda line: line not in successors.values())
        successors.update(zip(left, new, strict=False))
        return successors

    def _count_new_customer(self, vals_list):
        """Count the contract for its new customer, where a renewal has another one than the contract.

        :param list vals_list: values of the movements of this renewal, changed in place
        """
        self.ensure_one()
        if self.subscription_id.partner_id.commercial_partner_id == self.partner_id.commercial_partner_id:
            return
        for order, change in ((self.subscription_id, -1), (self, 1)):
            first = next((vals for vals in vals_list if vals['order_id'] == order.id), None)
            if first:
                first['contract_change'] = change
        self._count_customers(vals_list)

    # === BUSINESS METHODS - CRON === #

    def _renew_automatically(self):
        """Renew contracts whose term is about to end, for another term at the same prices."""
        for order in self:
            order._create_renewal(start_date=order.term_end_date + timedelta(days=1)).action_confirm()
        return []

    @api.model
    def _get_renewal_due_domain(self):
        """Return the domain of contracts which renew themselves and of which nobody may give notice any more.

        :rtype: Domain
        """
        plans = self.env['subscription.plan'].with_context(active_test=False).search([])
        return Domain([
            ('subscription_state', '=', 'progress'), ('term_end', '=', 'renew'), ('renewal_date', '=', False),
            ('paused_from', '=', False), ('end_date', '=', False),
        ]) & Domain.OR(
            Domain('plan_id', 'in', same.ids) & self._get_dated_domain(
                lambda today, days=days: Domain('term_end_date', '<=', today + timedelta(days=days)))
            for days, same in plans.grouped('notice_days').items()
        )

    @api.model
    def _get_takeover_domain(self):
        """Return the domain of confirmed renewals which take over.

        :rtype: Domain
        """
        return Domain([
            ('subscription_state', '=', 'renewal'), ('state', '=', 'sale'),
            ('subscription_id.subscription_state', 'in', const.RUNNING_STATES),
        ]) & self._get_dated_domain(lambda today: Domain('start_date', '<=', today))
