from odoo import api, fields, models
from odoo.exceptions import ValidationError


class ProductTemplate(models.Model):
    _inherit = 'product.template'

    recurring_invoice = fields.Boolean(
        string="Recurring", help="Sold as a subscription: billed again each period of the plan.")
    default_plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        check_company=True,
        help="The plan which an order without one takes when this product is added.",
    )
    sell_once = fields.Boolean(
        string="Can Be Sold Once", help="On an order without a plan, this product is sold once like any other.")
    setup_product_id = fields.Many2one(
        comodel_name='product.product',
        string="Setup Fee",
        domain="[('recurring_invoice', '=', False), ('sale_ok', '=', True)]",
        check_company=True,
        ondelete='restrict',
        help="Sold once with each new line of this product, when it is first served.",
    )
    setup_amount = fields.Monetary(
        help="What the setup costs. 0 for the sales price of the setup product.")

    # === CONSTRAINT METHODS === #

    @api.constrains('setup_product_id')
    def _check_setup_product(self):
        for product in self:
            if product.setup_product_id.recurring_invoice:
                raise ValidationError(self.env._(
                    "%(setup)s is recurring and can't be a setup fee, which is billed once. Choose another product.",
                    setup=product.setup_product_id.display_name,
                ))

    @api.constrains('recurring_invoice', 'type')
    def _check_recurring_type(self):
        for product in self:
            if product.recurring_invoice and product.type == 'combo':
                raise ValidationError(self.env._(
                    "%(product)s is a combo, which can't recur. Make the products in it recurring instead.",
                    product=product.name,
                ))

    # === TOOLING === #

    def _has_plan_prices(self):
        """Return whether a pricelist names a price of the product for some plan.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.env['product.pricelist.item'].sudo().search_count(
            [('plan_id', '!=', False), ('product_tmpl_id', '=', self.id)], limit=1))
