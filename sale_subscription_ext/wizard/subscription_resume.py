from odoo import api, fields, models
from odoo.exceptions import UserError

from ..const import RUNNING_STATES


class SubscriptionResume(models.TransientModel):
    """Shows what letting subscriptions go on means before it is done: paused, closed or closing ones."""

    _name = 'subscription.resume'
    _inherit = ['subscription.dialog.mixin']
    _description = "Resume or Reopen Subscriptions"

    kind = fields.Selection(
        selection=[('resume', "Resume"), ('reopen', "Reopen"), ('undo_closing', "Undo Closing")],
        required=True, default='resume')

    # === COMPUTE METHODS === #

    @api.depends('order_ids', 'kind')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return self.kind

    def _get_action_name(self):
        """Override to name what is done."""
        return {
            'resume': self.env._("resumed"), 'reopen': self.env._("reopened"), 'undo_closing': self.env._("kept open"),
        }[self.kind]

    def _get_states(self):
        """Override to let go on what doesn't; a pause which is only planned is withdrawn."""
        return {'resume': ('paused', *RUNNING_STATES), 'reopen': ('closed',), 'undo_closing': ('closing',)}[self.kind]

    def _check_order(self, order):
        """Override to leave alone what neither is paused nor will be."""
        if self.kind != 'resume' or order._is_pause_planned():
            return
        if order.subscription_state != 'paused':
            raise UserError(
                self.env._("its end is announced, undo its closing first") if order._is_paused() else
                self.env._("it isn't paused"))

    def _apply_to(self, order):
        """Override to let it go on."""
        if self.kind == 'reopen':
            order._reopen_subscriptions()
        elif self.kind == 'undo_closing':
            order._undo_closing()
        elif order._is_pause_planned():
            order._withdraw_pause()
        else:
            order._resume_subscriptions()

    def _get_preview_of(self, order):
        """Override to say what going on means."""
        if self.kind == 'undo_closing':
            return self.env._("goes on as if it had not been closed")
        if order._is_pause_planned():
            return self.env._("the planned pause is withdrawn")
        return order._get_resume_preview()
