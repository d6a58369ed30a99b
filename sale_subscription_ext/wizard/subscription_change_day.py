from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date


class SubscriptionChangeDay(models.TransientModel):
    """Moves the billing day of subscriptions: the days to the new one are billed in proportion."""

    _name = 'subscription.change.day'
    _description = "Change Billing Day"

    order_ids = fields.Many2many(comodel_name='sale.order', string="Subscriptions", required=True)
    billing_date = fields.Date(
        string="New Billing Day", required=True,
        help="The first day of a period from now on, such as the 1st of next month. The days until then are billed in"
            " proportion.",
    )
    first_unbilled_day = fields.Date(compute='_compute_first_unbilled_day')

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_first_unbilled_day(self):
        for wizard in self:
            wizard.first_unbilled_day = max(
                (order._get_first_unbilled_day() for order in wizard.order_ids), default=False)

    # === ACTION METHODS === #

    def action_change(self):
        """Count the periods of the subscriptions from the new billing day on.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when the day is billed already, or a subscription isn't running
        """
        self.ensure_one()
        self.order_ids.check_access('write')
        self.order_ids._check_running(self.env._("changed"))
        for order in self.order_ids:
            if self.billing_date < order._get_first_unbilled_day():
                raise UserError(self.env._(
                    "%(name)s is billed beyond that day. Choose a day from %(day)s on.",
                    name=order.name, day=format_date(self.env, order._get_first_unbilled_day()),
                ))
        self.order_ids._change_billing_day(self.billing_date)
        return {'type': 'ir.actions.act_window_close'}
