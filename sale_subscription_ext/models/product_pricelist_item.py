from odoo import fields, models


class ProductPricelistItem(models.Model):
    _inherit = 'product.pricelist.item'

    plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        string="Recurring Plan",
        index='btree_not_null',
        ondelete='cascade',
        check_company=True,
        help="The rule prices a period of this plan. Rules without a plan price one-off sales too.",
    )
