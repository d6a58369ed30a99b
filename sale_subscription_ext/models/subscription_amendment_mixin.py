from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError
from odoo.fields import Command, Domain
from odoo.tools import format_date

from .. import const


class SubscriptionAmendmentMixin(models.AbstractModel):
    """Amendments: quotations which change a running contract once they are confirmed."""

    _name = 'subscription.amendment.mixin'
    _description = "Subscription Amendment"

    amendment_type = fields.Selection(
        selection=[('upsell', "Upsell"), ('change', "Change")], copy=False, readonly=True, index='btree_not_null',
        help="Set on quotations which change a running subscription instead of becoming one.")
    amendment_ids = fields.One2many(
        comodel_name='sale.order', inverse_name='subscription_id', string="Amendments",
        domain=[('amendment_type', '!=', False)])
    amendment_count = fields.Integer(compute='_compute_amendment_count')
    amendment_timing = fields.Selection(
        selection=[
            ('now', "On confirmation"),
            ('next_period', "With the next period"),
            ('date', "On a date"),
        ],
        string="Takes Effect",
        default='now', copy=False,
        help="From when on the subscription is changed. What lowers its value takes effect with the next period where"
            " the plan says so, unless a date is given.",
    )
    effective_date = fields.Date(
        copy=False, tracking=True, help="The first day on which the subscription is served as changed.")
    applied_date = fields.Date(string="Applied On", copy=False, readonly=True)
    amendment_invoice_id = fields.Many2one(
        comodel_name='account.move', string="Billed By", copy=False, readonly=True, index='btree_not_null',
        help="The invoice or credit note of this change.")
    amendment_warning = fields.Text(compute='_compute_amendment_warning')

    # === COMPUTE METHODS === #

    def _compute_amendment_count(self):
        counts = dict(self.env['sale.order']._read_group(
            [('subscription_id', 'in', self.ids), ('amendment_type', '!=', False)], ['subscription_id'], ['__count']))
        for order in self:
            order.amendment_count = counts.get(order._origin, 0)

    @api.depends('amendment_type', 'state', 'applied_date', 'order_line.product_uom_qty', 'order_line.price_unit',
                 'order_line.discount', 'order_line.plan_id', 'order_line.product_id', 'currency_id')
    @api.depends_context('lang')
    def _compute_amendment_warning(self):
        for order in self:
            is_open = order.amendment_type and not order.applied_date and order.state != 'cancel'
            order.amendment_warning = '\n'.join(order._get_amendment_conflicts()) if is_open else False

    # === CONSTRAINT METHODS === #

    @api.constrains('amendment_timing', 'effective_date')
    def _check_effective_date(self):
        for order in self:
            today = order._subscription_today()
            if order.amendment_type and order.amendment_timing == 'date' and (
                    order.effective_date and order.effective_date < today and order.state in ('draft', 'sent')):
                raise ValidationError(self.env._(
                    "A change of a subscription can't take effect in the past. Choose %(today)s or a later date.",
                    today=format_date(self.env, today)))

    # === ACTION METHODS === #

    def action_upsell(self):
        """Open a new quotation which sells more on a running subscription.

        :return: a window action
        :rtype: dict
        :raise UserError: when the subscription isn't running
        """
        return self._open_new_amendment('upsell')

    def action_change(self):
        """Open a new quotation which changes a running subscription: products, quantities, prices, plan. Of several,
        ask what is changed on all of them.

        :return: a window action
        :rtype: dict
        :raise UserError: when the subscription isn't running
        """
        if len(self) > 1:
            return self._get_dialog('sale_subscription_ext.subscription_bulk_change_action', self.env._("changed"))
        return self._open_new_amendment('change')

    @api.readonly
    def action_view_amendments(self):
        """Open the amendments of the subscription.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        action = self.env['ir.actions.act_window']._for_xml_id('sale_subscription_ext.sale_order_action_amendment')
        action['domain'] = [('subscription_id', '=', self.id), ('amendment_type', '!=', False)]
        if self.amendment_count == 1:
            action |= {
                'views': [(False, 'form')],
                'res_id': self.env['sale.order'].search(action['domain'], limit=1).id,
            }
        return action

    # === BUSINESS METHODS - QUOTATION === #

    def _open_new_amendment(self, amendment_type):
        """Create an amendment and open it.

        :param str amendment_type: see the field
        :return: a window action
        :rtype: dict
        :raise UserError: when the subscription isn't running
        """
        self.ensure_one()
        self.check_access('write')
        self._check_running(self.env._("changed"))
        amendment = self._create_amendment(amendment_type)
        return {
            'type': 'ir.actions.act_window',
            'name': amendment.name,
            'res_model': 'sale.order',
            'res_id': amendment.id,
            'views': [(False, 'form')],
        }

    def _create_amendment(self, amendment_type, **values):
        """Make the quotation of an amendment: what is served today, at today's prices.

        :param str amendment_type: see the field
        :param values: other values of the quotation
        :return: the quotation
        :rtype: sale.order
        """
        self.ensure_one()
        source = self.with_context(sale_subscription_ext_no_setup=True)
        amendment = source.copy(source._prepare_amendment(amendment_type, **values)).with_env(self.env)
        amendment.message_post_with_source(
            'mail.message_origin_link', render_values={'self': amendment, 'origin': self},
            subtype_xmlid='mail.mt_note')
        self._message_log(body=self.env._("A change is prepared: %(name)s.", name=amendment.name))
        return amendment

    def _prepare_amendment(self, amendment_type, **values):
        """Prepare what the quotation of an amendment has that isn't a copy of its contract.

        :param str amendment_type: see the field
        :param values: other values of the quotation
        :rtype: dict
        """
        self.ensure_one()
        return {
            'amendment_type': amendment_type,
            'subscription_id': self.id,
            'origin_order_id': (self.origin_order_id or self).id,
            'origin': self.name,
            'user_id': self.user_id.id or self.env.uid,
            'order_line': [
                Command.create(line._prepare_amendment_line() if line.is_recurring else line.copy_data()[0])
                for line in self._get_amended_lines()
            ],
            **values,
        }

    def _get_amended_lines(self):
        """Return the lines of a contract which an amendment shows: what is served, the options which are offered, and
        the sections which they are in.

        :rtype: sale.order.line
        """
        self.ensure_one()
        lines = self.order_line._get_served_lines()
        lines |= self.order_line.filtered(lambda line: (
            line.is_recurring and not line.end_date and line._is_line_optional()))
        sections = self.order_line.filtered(lambda line: (
            line.display_type in ('line_section', 'line_subsection') and line._get_section_lines() & lines))
        return (lines | sections).sorted()

    def _get_open_amendments(self):
        """Return the amendments of contracts which can still be applied, whoever may see them.

        :rtype: sale.order
        """
        return self.sudo().amendment_ids.filtered(lambda order: order._is_open_amendment())

    def _get_missed_changes(self, day):
        """Return the confirmed amendments which wait and whose date lies before a day, whoever may see them.

        :param datetime.date day: the first day on which this contract is served again
        :rtype: sale.order
        """
        self.ensure_one()
        return self._get_agreed_amendments().filtered(lambda order: order.effective_date < day)

    def _postpone_missed_changes(self, day):
        """Let what should have changed before, but didn't, change when service begins again: the past is billed.

        :param datetime.date day: the first day on which this contract is served again
        """
        for amendment in self._get_missed_changes(day):
            amendment.effective_date = day
            amendment._message_log(body=self.env._(
                "This change didn't take effect before %(name)s stopped. It does on %(day)s, when that goes on.",
                name=self.name, day=format_date(self.env, day)))

    def _get_amendment_conflicts(self, day=None):
        """Return why an amendment can't be confirmed.

        :param datetime.date day: on which it would take effect, as agreed if not given
        :return: sentences which say what to do
        :rtype: list[str]
        """
        self.ensure_one()
        contract = self.subscription_id.sudo()  # who confirms may be the customer, who sees the amendment only
        if contract.subscription_state not in const.RUNNING_STATES:
            return [self.env._(
                "%(name)s isn't running, so it can't be changed. Make a new quotation instead.", name=contract.name)]
        if self.currency_id != contract.currency_id:
            return [self.env._(
                "%(name)s is billed in %(currency)s. Choose a pricelist in this currency.",
                name=contract.name, currency=contract.currency_id.name)]
        changes = self.order_line.sudo()._get_line_changes()
        conflicts = [conflict for line in self.order_line.sudo() if (conflict := line._get_conflict())]
        if conflicts:
            return [*conflicts, self.env._("Make a new change of %(name)s instead.", name=contract.name)]
        ending = sum((change.parent for change in changes if change.kind == 'remove'), self.order_line.browse())
        if not contract.order_line._get_served_lines() - ending and not any(
                change.kind in ('add', 'swap') for change in changes):
            return [self.env._(
                "Nothing would be left of subscription %(name)s. Close it instead, with the button Close.",
                name=contract.name)]
        # What is confirmed keeps its date, also when that has come.
        agreed_day = self.effective_date if self.state == 'sale' else self._get_effective_day()
        return self._get_date_conflicts(contract, day or agreed_day)

    def _get_date_conflicts(self, contract, day):
        """Return what is wrong with the date of an amendment.

        :param sale.order contract: the running contract
        :param datetime.date day: on which it would take effect
        :rtype: list[str]
        """
        self.ensure_one()
        if contract.end_date and day > contract.end_date:
            return [self.env._(
                "%(name)s ends on %(end)s, before the change would take effect. Choose an earlier date.",
                name=contract.name, end=format_date(self.env, contract.end_date))]
        waiting = contract._get_waiting_renewals()
        if waiting and day > waiting[0].start_date:
            return [self.env._(
                "%(renewal)s takes over from %(name)s on %(day)s, before the change would take effect. Choose an"
                " earlier date, or change %(renewal)s from then on.",
                name=contract.name, renewal=waiting[0].name, day=format_date(self.env, waiting[0].start_date))]
        return []

    def _check_amendment_conflicts(self, day=None):
        """Refuse amendments which conflict with what was changed in the meantime.

        :param datetime.date day: on which they would take effect, as agreed if not given
        :raise UserError: saying what to do
        """
        for order in self:
            if conflicts := order._get_amendment_conflicts(day):
                raise UserError('\n'.join(conflicts))

    # === BUSINESS METHODS - DATES === #

    def _get_mrr_difference(self):
        """Return by how much an amendment changes the monthly value of its contract.

        :rtype: float
        """
        self.ensure_one()
        return sum(
            (change.line._get_monthly_value() if change.kind in ('change', 'swap', 'add') else 0.0) - change.parent.mrr
            for change in self.order_line.sudo()._get_line_changes() if change.kind != 'once'
        )

    def _is_upgrade(self):
        """Return whether the monthly value doesn't fall, judged whole.

        :rtype: bool
        """
        self.ensure_one()
        return self.currency_id.compare_amounts(self._get_mrr_difference(), 0.0) >= 0

    def _get_effective_day(self):
        """Return the first day on which the contract would be served as changed, if the amendment were confirmed now.

        :rtype: datetime.date
        """
        self.ensure_one()
        contract, earliest = self.subscription_id.sudo(), self._get_earliest_day()
        if self.amendment_timing == 'date':
            return max(self.effective_date or earliest, earliest)
        is_waiting = self.amendment_timing == 'next_period' or (
            contract.plan_id.downgrade_policy == 'period_end' and not self._is_upgrade())
        if not is_waiting:
            return earliest
        changes = self.order_line.sudo()._get_line_changes()
        return contract._get_next_period_start(sum((change.parent for change in changes), self.order_line.browse()))

    def _get_earliest_day(self):
        """Return the first day from which on an amendment can change its contract: today, or the start of that.

        :rtype: datetime.date
        """
        self.ensure_one()
        contract = self.subscription_id.sudo()
        return max(contract._subscription_today(), contract.start_date)

    def _get_service_start(self):
        """Override to let the lines of an amendment be counted from the start of its contract."""
        self.ensure_one()
        return super(SubscriptionAmendmentMixin, self._get_contract())._get_service_start()

    def _get_last_day(self, line):
        """Override to let the lines of an amendment end with its contract."""
        self.ensure_one()
        return super(SubscriptionAmendmentMixin, self._get_contract())._get_last_day(line)

    def _get_contract(self):
        """Return the contract of an amendment, any other order itself.

        :rtype: sale.order
        """
        self.ensure_one()
        return self.subscription_id if self.amendment_type else self

    def _get_next_period_start(self, changed):
        """Return the day after the current period of what is changed, of the order's plan where that has several: the
        start of the contract before it.

        :param sale.order.line changed: lines of this contract
        :rtype: datetime.date
        """
        self.ensure_one()
        today = self._subscription_today()
        if today < self.start_date:
            return self.start_date
        lines = self.order_line._get_served_lines()
        plan = (changed & lines).plan_id
        plan = plan if len(plan) == 1 else self.plan_id
        peers = lines.filtered(lambda line: line.plan_id == plan)
        anchor = (peers or lines)[:1].anchor_date or self.start_date
        return plan._get_natural_period(anchor, today).end

    def _is_money_given_back(self):
        """Return whether days which were paid are given back and charged anew: not at a downgrade whose plan credits
        nothing.

        :rtype: bool
        """
        self.ensure_one()
        return self.subscription_id.sudo().plan_id.downgrade_policy != 'no_credit' or self._is_upgrade()

    # === CRON === #

    @api.model
    def _get_lifecycle_steps(self):
        """Override to apply the amendments whose date has come, before anything else, and those which waited for the
        end of a pause.
        """
        engine = self.env['sale.order']
        apply_due = (engine._get_due_amendments_domain, lambda orders: orders._apply_due_amendments())
        return [apply_due, *super()._get_lifecycle_steps(), apply_due]

    def _log_lifecycle_error(self, error):
        """Override to ask the salesperson of an amendment which couldn't be applied to look at it."""
        return self._log_amendment_error(error) if self.amendment_type else super()._log_lifecycle_error(error)

    @api.model
    def _get_due_amendments_domain(self):
        """Return the domain of the confirmed amendments whose date has come and which aren't applied.

        :rtype: Domain
        """
        return self._get_waiting_amendments_domain() & self._get_dated_domain(
            lambda today: Domain('effective_date', '<=', today))

    @api.model
    def _get_waiting_amendments_domain(self):
        """Return the domain of the confirmed amendments which aren't applied.

        :rtype: Domain
        """
        return Domain([('amendment_type', '!=', False), ('state', '=', 'sale'), ('applied_date', '=', False)])
