import logging

from odoo import api, fields, models
from odoo.fields import Domain

from .subscription_price_change import ENDED_STATES, PENDING_STATES, STATES

_logger = logging.getLogger(__name__)


class SubscriptionIndexationLine(models.Model):
    """What an indexation does to one subscription, or why it leaves it alone."""

    _name = 'subscription.indexation.line'
    _description = "Indexed Subscription"
    _order = 'indexation_id desc, effective_date, id'
    _check_company_auto = True

    _order_uniq = models.UniqueIndex(
        "(indexation_id, order_id)", "An indexation takes each subscription once.")
    _one_waits = models.UniqueIndex(
        "(order_id) WHERE state IN ('to_announce', 'to_apply')",
        "Another indexation of this subscription waits already. Cancel that first.")
    # What was announced once can't come back to be announced.
    _announced_once = models.Constraint(
        "CHECK(announce_time IS NULL OR state NOT IN ('preview', 'to_announce'))",
        "This indexation was announced already.")
    # What was withdrawn once isn't told again.
    _withdrawn_once = models.Constraint(
        "CHECK(NOT is_withdrawal_due OR (withdraw_time IS NULL AND state = 'cancel'))",
        "The customer was told that these prices don't apply already.")
    _announce_idx = models.Index("(announce_date, order_id) WHERE state = 'to_announce'")
    _withdraw_idx = models.Index("(order_id) WHERE is_withdrawal_due")

    indexation_id = fields.Many2one(
        comodel_name='subscription.indexation', required=True, index=True, ondelete='cascade')
    order_id = fields.Many2one(
        comodel_name='sale.order', string="Subscription", required=True, index=True, ondelete='cascade',
        check_company=True)
    company_id = fields.Many2one(related='indexation_id.company_id', store=True, index=True, precompute=True)
    partner_id = fields.Many2one(related='order_id.partner_id')
    plan_id = fields.Many2one(related='order_id.plan_id', string="Plan")
    currency_id = fields.Many2one(related='order_id.currency_id', store=True, precompute=True)
    change_ids = fields.One2many(
        comodel_name='subscription.price.change', inverse_name='indexation_line_id', string="Prices", readonly=True)
    old_amount = fields.Monetary(
        string="Now", aggregator=None, help="What a period of the subscription's plan costs, without taxes.")
    new_amount = fields.Monetary(string="Then", aggregator=None)
    mrr_change = fields.Monetary(string="MRR Change", aggregator=None, help="Of all lines, in the order's currency.")
    effective_date = fields.Date(string="From", help="The first day at the new price.")
    announce_date = fields.Date(string="Announce On")
    announce_time = fields.Datetime(string="Announced", readonly=True)
    is_withdrawal_due = fields.Boolean(
        readonly=True, help="The customer was told of prices which were called off since, and will be told so.")
    withdraw_time = fields.Datetime(string="Told of Cancellation", readonly=True)
    state = fields.Selection(
        selection=[*STATES, ('skipped', "Left Out")], string="Status", required=True, default='preview', index=True)
    reason = fields.Char()

    # === COMPUTE METHODS === #

    @api.depends('indexation_id', 'order_id')
    def _compute_display_name(self):
        for line in self:
            line.display_name = f"{line.indexation_id.name or ''}: {line.order_id.name or ''}"

    # === ACTION METHODS === #

    def action_cancel(self):
        """Call the indexation of these subscriptions off, as long as it isn't applied."""
        self.indexation_id.check_access('write')
        self.sudo()._cancel()  # nobody has the right to write them; that on the indexation was checked

    def action_open_order(self):
        """Open the subscription.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        return self.order_id.get_formview_action()

    # === BUSINESS METHODS === #

    def _cancel(self):
        """Call off what isn't applied; who was told of it is told so, too."""
        pending = self.filtered(lambda line: line.state in PENDING_STATES)
        pending.change_ids._cancel()
        pending.state = 'cancel'
        # Where a part is applied, not all of it is called off.
        if told := pending.filtered(
                lambda line: line.announce_time and 'applied' not in line.change_ids.mapped('state')):
            told.is_withdrawal_due = True
            self.env.ref('sale_subscription_ext.ir_cron_run_indexations')._trigger()
        pending._update_states()

    def _withdraw(self):
        """Send the e-mail which takes announced prices back, once, in the language of each customer."""
        lines = self.filtered('is_withdrawal_due')
        lines.is_withdrawal_due = False
        told = lines.filtered(
            lambda line: line.partner_id.email and line.order_id.subscription_state not in ENDED_STATES)
        template = self.env.ref('sale_subscription_ext.mail_template_indexation_withdrawn', raise_if_not_found=False)
        if not told or not template:
            return
        told.withdraw_time = fields.Datetime.now()
        template.send_mail_batch(
            told.order_id.ids, email_layout_xmlid='mail.mail_notification_layout_with_responsible_signature')

    # === CRON === #

    @api.model
    def _run_withdrawals(self):
        """Tell customers whose announced prices were called off, batch by batch; any number of workers share it.

        :return: whether time is left
        :rtype: bool
        """
        def process(orders):
            orders.indexation_line_ids._withdraw()
            return []

        def fail(order, error):
            _logger.warning("The customer of %s could not be told of called off prices", order.name, exc_info=error)
            order.indexation_line_ids.is_withdrawal_due = False
            order._message_log(body=self.env._(
                "The customer could not be told that the new prices are called off: %(error)s", error=error))

        domain = Domain('indexation_line_ids', 'any', [('is_withdrawal_due', '=', True)])
        _made, is_done = self.env['sale.order']._run_in_batches(domain, process, fail, commit=True)
        return is_done

    # === BUSINESS METHODS - ANNOUNCEMENT === #

    def _skip(self, reason):
        """Leave subscriptions out whose prices were about to change.

        :param str reason: a translated sentence
        """
        self.change_ids.filtered(lambda change: change.state in PENDING_STATES).state = 'cancel'
        self.write({'state': 'skipped', 'reason': reason})

    def _announce(self):
        """Send the e-mail which announces the new prices, once, in the language of each customer.

        What is announced late takes effect later: customers have the days which were promised.
        """
        lines = self.filtered(lambda line: line.state == 'to_announce')
        ended = lines.filtered(lambda line: line.order_id.subscription_state in ENDED_STATES)
        ended._skip(self.env._("It isn't running."))
        (lines - ended)._postpone()
        lines = lines.filtered(lambda line: line.state == 'to_announce')
        no_address = lines.filtered(lambda line: not line.partner_id.email)
        no_address._skip(self.env._("The customer has no e-mail address to announce it to."))
        lines -= no_address
        for template, announced in lines.grouped(lambda line: line.indexation_id.mail_template_id).items():
            template.send_mail_batch(
                announced.order_id.ids,
                email_layout_xmlid='mail.mail_notification_layout_with_responsible_signature',
            )
        lines.change_ids.filtered(lambda change: change.state == 'to_announce').state = 'to_apply'
        lines.write({'state': 'to_apply', 'announce_time': fields.Datetime.now()})
        self._update_states()

    def _postpone(self):
        """Let prices change later which couldn't be announced as many days ahead as promised, or were billed
        meanwhile.
        """
        for line in self:
            today = line.order_id._subscription_today()
            day = fields.Date.add(today, days=line.indexation_id.announce_days)
            ending = line.change_ids.filtered(lambda change: change.state == 'to_announce')._postpone(day)
            line._leave_out_ended(ending)
            rest = line.change_ids.filtered(lambda change: change.state == 'to_announce')
            if rest and line.effective_date != (first := min(rest.mapped('effective_date'))):
                line.effective_date = first

    def _leave_out_ended(self, changes):
        """Leave prices out whose lines will have ended by their day, or the whole subscription where none is left.

        :param subscription.price.change changes: some of this subscription's, before they are announced
        """
        self.ensure_one()
        if not changes:
            return
        before = self.change_ids.filtered(lambda change: change.state != 'cancel')
        changes.state = 'cancel'
        if rest := before - changes:
            preview = self.indexation_id._prepare_preview(self.order_id, {change.order_line_id: {
                name: change[name] for name in ('new_price_unit', 'new_discount', 'effective_date', 'apply_date')
            } for change in rest})
            self.write({
                'old_amount': self.order_id.recurring_total, 'new_amount': preview['new_amount'],
                'mrr_change': preview['mrr_change'],
                'reason': self.indexation_id._get_ending_reason(changes.order_line_id),
            })
        else:
            self._skip(self.env._("It ends before another price could take effect."))

    def _update_states(self):
        """Let the indexations of subscriptions follow what became of their prices."""
        for line in self.filtered(lambda line: line.state == 'to_apply'):
            states = set(line.change_ids.mapped('state'))
            if not states & set(PENDING_STATES):
                is_applied = 'applied' in states
                line.state = 'applied' if is_applied else 'skipped'
                line.reason = False if is_applied else self.env._("It was changed or closed meanwhile.")
            else:
                first = min(line.change_ids.filtered(lambda change: change.state != 'cancel').mapped('effective_date'))
                if line.effective_date != first:
                    line.effective_date = first
        self.indexation_id._update_state()
