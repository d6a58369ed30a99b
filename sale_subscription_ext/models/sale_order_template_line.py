from odoo import fields, models


class SaleOrderTemplateLine(models.Model):
    _inherit = 'sale.order.template.line'

    plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        check_company=True,
        help="The plan of this line, where it differs from the plan of the template.",
    )

    # === BUSINESS METHODS === #

    def _prepare_order_line_values(self):
        """Override of `sale_management` to hand on the line's own plan."""
        values = super()._prepare_order_line_values()
        if self.plan_id:
            values['plan_id'] = self.plan_id.id
        return values
