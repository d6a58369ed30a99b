from odoo import fields, models


class SaleOrderTemplate(models.Model):
    _inherit = 'sale.order.template'

    plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        string="Recurring Plan",
        check_company=True,
        help="Quotations made from this template are subscriptions on this plan.",
    )
