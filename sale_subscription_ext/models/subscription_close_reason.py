from odoo import fields, models


class SubscriptionCloseReason(models.Model):
    _name = 'subscription.close.reason'
    _description = "Subscription Close Reason"
    _order = 'sequence, id'

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    kind = fields.Selection(
        selection=[('voluntary', "Voluntary"), ('involuntary', "Involuntary")],
        required=True,
        default='voluntary',
        help="Voluntary: the customer decided to leave. Involuntary: the contract ended by itself or was"
            " left unpaid.",
    )
    is_automatic = fields.Boolean(
        string="Only Automatic",
        help="Given by itself, such as at the end of a contract: not offered to whoever closes a contract by hand.",
    )
    customer_visible = fields.Boolean(
        string="Offered to Customers",
        default=True,
        help="Customers can choose this reason when they close their contract themselves.",
    )
