from odoo import fields, models


class SubscriptionDunningEntry(models.Model):
    """A dunning step which was taken on an invoice. The database refuses to take it again."""

    _name = 'subscription.dunning.entry'
    _description = "Dunning Entry"
    _order = 'date desc, day_offset desc, id desc'
    _rec_name = 'day_offset'

    # An invoice which becomes unpaid once more, by a chargeback, begins anew: what was done before is archived.
    _unique_step = models.UniqueIndex(
        "(move_id, step_id) WHERE active AND step_id IS NOT NULL",
        "This dunning step was taken on the invoice already.")
    _unique_day = models.UniqueIndex(
        "(move_id, day_offset) WHERE active", "The dunning step of this day was taken on the invoice already.")

    active = fields.Boolean(default=True)
    move_id = fields.Many2one(
        comodel_name='account.move', string="Invoice", required=True, index=True, ondelete='cascade')
    company_id = fields.Many2one(related='move_id.company_id', store=True, index=True)
    order_ids = fields.Many2many(
        comodel_name='sale.order', relation='subscription_dunning_entry_order_rel', column1='entry_id',
        column2='order_id', string="Subscriptions")
    step_id = fields.Many2one(
        comodel_name='subscription.dunning.step', index='btree_not_null', ondelete='set null')
    day_offset = fields.Integer(string="Day", required=True)
    date = fields.Date(required=True)
    state = fields.Selection(
        selection=[('asked', "Charged Again"), ('failed', "Not Paid"), ('done', "Done")],
        required=True, default='done',
        help="Charged again: the provider hasn't answered yet. Not paid: the rest of the step is next.",
    )
    description = fields.Char(string="What Was Done")
