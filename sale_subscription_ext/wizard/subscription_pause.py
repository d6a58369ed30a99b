from datetime import timedelta

from odoo import api, fields, models


class SubscriptionPause(models.TransientModel):
    """Asks from when until when subscriptions pause; of paused ones, until when they stay so."""

    _name = 'subscription.pause'
    _inherit = ['subscription.dialog.mixin']
    _description = "Pause Subscriptions"

    pause_when = fields.Selection(
        selection=[('now', "Today"), ('period_end', "After the current period"), ('date', "On a date")],
        string="From",
        required=True,
        default='now',
    )
    pause_from = fields.Date(string="First Day Paused")
    pause_until = fields.Date(
        string="Resume On", compute='_compute_pause_until', store=True, readonly=False,
        help="The first day which is served again. Empty: until somebody resumes it.")
    is_begun = fields.Boolean(compute='_compute_is_begun')

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_is_begun(self):
        for wizard in self:
            wizard.is_begun = all(order._is_paused() for order in wizard._get_orders())

    @api.depends('order_ids')
    def _compute_pause_until(self):
        """Begin with the day which is agreed already, where it is one."""
        for wizard in self:
            days = {order.paused_until for order in wizard._get_orders()}
            wizard.pause_until = wizard.is_begun and len(days) == 1 and days.pop()

    @api.depends('order_ids', 'pause_when', 'pause_from', 'pause_until')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return 'pause'

    def _get_action_name(self):
        """Override to name what is done."""
        return self.env._("paused")

    def _get_states(self):
        """Override to pause what is in progress, and to move the end of pauses."""
        return ('progress', 'paused')

    def _get_missing_choice(self):
        """Override to ask for a day."""
        if self.pause_when == 'date' and not self.pause_from and not self.is_begun:
            return self.env._("Choose the first day on which the subscriptions pause.")
        return super()._get_missing_choice()

    def _check_order(self, order):
        """Override to leave alone what can't be paused on these days."""
        order._check_pause(self._get_first_day(order), self.pause_until or None, order._is_paused())

    def _apply_to(self, order):
        """Override to pause it, or to plan its pause."""
        order._pause_subscriptions(self._get_first_day(order), self.pause_until or None)

    # === TOOLING === #

    def _get_first_day(self, order):
        """Return the first day on which a subscription pauses, by the choices of the dialog.

        :param sale.order order: one of the subscriptions
        :rtype: datetime.date
        """
        self.ensure_one()
        if order._is_paused():
            return order.paused_from
        if self.pause_when == 'period_end':
            return order._get_current_period_end() + timedelta(days=1)
        return (self.pause_when == 'date' and self.pause_from) or order._subscription_today()

    def _get_preview_of(self, order):
        """Override to say what pausing does."""
        return order._get_pause_preview(self._get_first_day(order), self.pause_until or None)
