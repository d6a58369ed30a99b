from odoo import models


class SaleOrderDiscount(models.TransientModel):
    _inherit = 'sale.order.discount'

    # === BUSINESS METHODS === #

    def _create_discount_lines(self):
        """Override of `sale` to give each plan and the one-off part discount lines of their own, so that the
        discount on what recurs recurs.
        """
        self.ensure_one()
        lines = self.sale_order_id.order_line.filtered(lambda line: not line.display_type)
        if 'sale_subscription_ext_plan_only' in self.env.context or not lines.filtered('is_recurring'):
            return super()._create_discount_lines()
        parts = lines.grouped('plan_id')
        for plan, amount in self._share_discount_amount(parts).items():
            before = self.sale_order_id.order_line
            part = self.copy({'sale_order_id': self.sale_order_id.id, 'discount_amount': amount})
            part.with_context(sale_subscription_ext_plan_only=plan.id)._create_discount_lines()
            if plan:
                (self.sale_order_id.order_line - before).write({'is_recurring': True, 'plan_id': plan.id})
        return None

    def _share_discount_amount(self, parts):
        """Share a fixed discount out over the parts of an order, in proportion to their untaxed amounts.

        :param dict parts: {plan, empty for the one-off part: order lines}
        :return: {plan: amount}; the last part takes what rounding leaves
        :rtype: dict
        """
        self.ensure_one()
        total = sum(sum(lines.mapped('price_subtotal')) for lines in parts.values())
        left = self.discount_amount
        shares = {}
        for plan, lines in parts.items():
            share = self.discount_amount * sum(lines.mapped('price_subtotal')) / total if total else 0.0
            shares[plan] = left if len(shares) == len(parts) - 1 else self.currency_id.round(share)
            left -= shares[plan]
        return shares
