from odoo import api, fields, models
from odoo.exceptions import UserError


class SubscriptionOptionDialog(models.TransientModel):
    """Takes and drops options of a running subscription, by a change which says what that costs."""

    _name = 'subscription.option.dialog'
    _description = "Options of a Subscription"

    order_id = fields.Many2one(comodel_name='sale.order', required=True, readonly=True, ondelete='cascade')
    line_ids = fields.One2many(comodel_name='subscription.option.dialog.line', inverse_name='dialog_id')

    # === ACTION METHODS === #

    def action_prepare_change(self):
        """Open the change which takes and drops what was chosen: with its costs, to send or to apply at once.

        :return: a window action
        :rtype: dict
        :raise UserError: when nothing was chosen
        """
        self.ensure_one()
        order = self.order_id
        order.check_access('write')
        quantities = {
            line.order_line_id or line.product_tmpl_id: line.quantity
            for line in self.line_ids if line.quantity != line.current_quantity
        }
        if not quantities:
            raise UserError(self.env._("Choose another quantity of at least one option; 0 drops it."))
        order._check_running(self.env._("changed"))
        return order._create_option_amendment(quantities)._get_records_action()


class SubscriptionOptionDialogLine(models.TransientModel):
    """An option of a subscription."""

    _name = 'subscription.option.dialog.line'
    _description = "Option of a Subscription"

    dialog_id = fields.Many2one(
        comodel_name='subscription.option.dialog', required=True, readonly=True, ondelete='cascade')
    order_line_id = fields.Many2one(comodel_name='sale.order.line', readonly=True, ondelete='cascade')
    product_tmpl_id = fields.Many2one(comodel_name='product.template', readonly=True, ondelete='cascade')
    name = fields.Char(string="Option", readonly=True)
    plan_id = fields.Many2one(comodel_name='subscription.plan', readonly=True)
    currency_id = fields.Many2one(related='dialog_id.order_id.currency_id')
    price_unit = fields.Monetary(string="Price", readonly=True)
    current_quantity = fields.Float(string="Now", digits='Product Unit', readonly=True)
    quantity = fields.Float(digits='Product Unit')

    # === CONSTRAINT METHODS === #

    @api.constrains('quantity')
    def _check_quantity(self):
        if any(line.quantity < 0 for line in self):
            raise UserError(self.env._("An option can't be taken less than 0 times. 0 drops it."))
