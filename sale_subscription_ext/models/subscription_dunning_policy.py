from odoo import api, fields, models


class SubscriptionDunningPolicy(models.Model):
    """What is done about an invoice of a subscription which stays unpaid, and when."""

    _name = 'subscription.dunning.policy'
    _description = "Dunning Policy"
    _order = 'sequence, id'
    _check_company_auto = True

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(comodel_name='res.company', index=True)
    step_ids = fields.One2many(
        comodel_name='subscription.dunning.step', inverse_name='policy_id', string="Steps", copy=True)
    plan_ids = fields.One2many(
        comodel_name='subscription.plan', inverse_name='dunning_policy_id', string="Plans", check_company=True)
    summary = fields.Char(string="Days", compute='_compute_summary')
    unpaid_count = fields.Integer(string="In Dunning", compute='_compute_unpaid_count')

    # === COMPUTE METHODS === #

    @api.depends('step_ids.day_offset')
    def _compute_summary(self):
        for policy in self:
            policy.summary = ', '.join(str(day) for day in sorted(policy.step_ids.mapped('day_offset')))

    def _compute_unpaid_count(self):
        # Sales managers count invoices which they may not read.
        counts = dict(self.env['account.move'].sudo()._read_group(
            [('subscription_dunning_policy_id', 'in', self.ids)], ['subscription_dunning_policy_id'], ['__count']))
        for policy in self:
            policy.unpaid_count = counts.get(policy, 0)

    # === CRUD METHODS === #

    def copy_data(self, default=None):
        """Override to tell a copy from its original."""
        default = dict(default or {})
        return [
            {**vals, **({} if 'name' in default else {'name': self.env._("%(name)s (copy)", name=policy.name)})}
            for policy, vals in zip(self, super().copy_data(default), strict=True)
        ]

    # === ACTION METHODS === #

    def action_view_unpaid(self):
        """Open the subscriptions which this policy is applied to now.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        # Sales managers see the subscriptions of invoices which they may not read.
        moves = self.env['account.move'].sudo().search([('subscription_dunning_policy_id', '=', self.id)])
        action = self.env['ir.actions.act_window']._for_xml_id('sale_subscription_ext.sale_order_action_subscription')
        action['domain'] = [('id', 'in', (moves._get_subscriptions() | moves._get_running_contracts()).ids)]
        action['context'] = {'create': False}
        return action
