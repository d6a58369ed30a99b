from odoo import fields, models


class SubscriptionBulkActionLine(models.Model):
    """What became of a subscription in a bulk action."""

    _name = 'subscription.bulk.action.line'
    _description = "Subscription in a Bulk Action"
    _order = 'id'
    _rec_name = 'order_id'

    _once_an_action = models.UniqueIndex('(bulk_id, order_id)', "A subscription is in a bulk action once.")
    _todo_idx = models.Index("(bulk_id, order_id) WHERE state = 'todo'")

    bulk_id = fields.Many2one(
        comodel_name='subscription.bulk.action', string="Bulk Action", required=True, index=True, ondelete='cascade')
    order_id = fields.Many2one(
        comodel_name='sale.order', string="Subscription", required=True, index=True, ondelete='cascade')
    company_id = fields.Many2one(related='order_id.company_id', store=True, precompute=True)
    partner_id = fields.Many2one(related='order_id.partner_id', string="Customer")
    state = fields.Selection(
        selection=[('todo', "To Do"), ('done', "Done"), ('skipped', "Left Out"), ('error', "Failed")],
        string="Status", required=True, default='todo')
    message = fields.Text(string="What Happened")
    made_order_id = fields.Many2one(
        comodel_name='sale.order', string="Quotation", index='btree_not_null', ondelete='set null',
        help="The renewal or change which was made.")

    # === ACTION METHODS === #

    def action_view_order(self):
        """Open the subscription.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        return self.order_id._get_records_action(name=self.env._("Subscription"))

    def action_view_made(self):
        """Open the quotation which was made.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        return self.made_order_id._get_records_action(name=self.env._("Quotation"))
