from odoo import api, fields, models


class SubscriptionResume(models.TransientModel):
    """Shows what resuming or reopening subscriptions means before it is done."""

    _name = 'subscription.resume'
    _inherit = ['subscription.dialog.mixin']
    _description = "Resume or Reopen Subscriptions"

    is_reopening = fields.Boolean(compute='_compute_is_reopening')

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_is_reopening(self):
        for wizard in self:
            wizard.is_reopening = all(order.subscription_state == 'closed' for order in wizard._get_orders())

    @api.depends('order_ids')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === ACTION METHODS === #

    def action_resume(self):
        """Let paused subscriptions be served again from today on.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when one of them isn't paused any more
        """
        self.ensure_one()
        self.order_ids.check_access('write')
        self.order_ids._check_states(self.env._("resumed"), ('paused',))
        self.order_ids._resume_subscriptions()
        return {'type': 'ir.actions.act_window_close'}

    def action_reopen(self):
        """Let closed subscriptions run again from today on.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when one of them isn't closed any more
        """
        self.ensure_one()
        self.order_ids.check_access('write')
        self.order_ids._check_states(self.env._("reopened"), ('closed',))
        self.order_ids._reopen_subscriptions()
        return {'type': 'ir.actions.act_window_close'}

    # === TOOLING === #

    def _get_preview_of(self, order):
        """Override to say what resuming does."""
        return order._get_resume_preview()
