from odoo import fields, models


class SubscriptionIndexationCancel(models.TransientModel):
    """Asks before an indexation is called off of which customers were told, and says how many."""

    _name = 'subscription.indexation.cancel'
    _description = "Cancel an Indexation"

    indexation_id = fields.Many2one(comodel_name='subscription.indexation', required=True, ondelete='cascade')
    told_count = fields.Integer(related='indexation_id.told_count')
    applied_count = fields.Integer(related='indexation_id.applied_count')

    # === ACTION METHODS === #

    def action_apply(self):
        """Call off what isn't applied, and tell the customers who were told of it.

        :return: an action which closes the dialog
        :rtype: dict
        """
        self.ensure_one()
        self.indexation_id.action_cancel()
        return {'type': 'ir.actions.act_window_close'}
