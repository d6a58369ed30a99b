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
        if not lines.filtered('is_recurring'):
            return super()._create_discount_lines()
        total = sum(lines.mapped('price_subtotal'))
        left = self.discount_amount
        parts = list(lines.grouped('plan_id').items())
        for plan, part in parts:
            values = {}
            if self.discount_type == 'amount':
                # A fixed amount is shared out; the last part takes what rounding leaves.
                share = left if part is parts[-1][1] else self.currency_id.round(
                    self.discount_amount * sum(part.mapped('price_subtotal')) / total) if total else 0.0
                left -= share
                values['discount_amount'] = share
            self._create_plan_discount_lines(plan, values)
        return None

    def _create_plan_discount_lines(self, plan, values):
        """Create the discount lines of one plan, or of the one-off part.

        :param subscription.plan plan: the plan, empty for the one-off part
        :param dict values: values of the dialog for this part
        """
        before = self.sale_order_id.order_line
        wizard = self.copy({'sale_order_id': self.sale_order_id.id, **values}).with_context(
            sale_subscription_ext_plan_only=plan.id)
        super(SaleOrderDiscount, wizard)._create_discount_lines()
        if plan:
            (self.sale_order_id.order_line - before).write({'is_recurring': True, 'plan_id': plan.id})
