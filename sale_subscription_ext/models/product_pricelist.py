from odoo import models
from odoo.fields import Domain


class ProductPricelist(models.Model):
    _inherit = 'product.pricelist'

    # === BUSINESS METHODS === #

    def _get_applicable_rules(self, products, date, **kwargs):
        """Override of `product` to let the rules of the plan win over those without one.

        :param dict kwargs: `plan`, the plan of the line to price, none or empty for one-off sales
        """
        rules = super()._get_applicable_rules(products, date, **kwargs)
        return rules.sorted(lambda rule: not rule.plan_id) if kwargs.get('plan') else rules

    def _get_applicable_rules_domain(self, products, date, **kwargs):
        """Override of `product` to keep the rules of other plans out; those of a plan never price one-off sales.

        :param dict kwargs: `plan`, the plan of the line to price, none or empty for one-off sales
        """
        domain = super()._get_applicable_rules_domain(products, date, **kwargs)
        plan_ids = [False, *(kwargs.get('plan') or self.env['subscription.plan']).ids]
        return list(Domain(domain) & Domain('plan_id', 'in', plan_ids))
