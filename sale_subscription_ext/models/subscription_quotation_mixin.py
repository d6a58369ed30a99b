from odoo import api, fields, models
from odoo.fields import Command


class SubscriptionQuotationMixin(models.AbstractModel):
    """What a quotation needs to become a subscription: its plan, its prices per plan."""

    _name = 'subscription.quotation.mixin'
    _description = "Subscription Quotation"

    subscription_warning = fields.Text(compute='_compute_subscription_warning')

    # === COMPUTE METHODS === #

    @api.depends('order_line.pricelist_item_id', 'order_line.plan_id', 'order_line.is_recurring', 'plan_id', 'state')
    def _compute_subscription_warning(self):
        for order in self:
            order.subscription_warning = order._get_subscription_warning() if order.state in ('draft', 'sent') else ''

    # === BUSINESS METHODS === #

    @api.model
    def _get_default_plan(self, vals):
        """Return the plan of a new order which names none: that of its template, or of its first product.

        :param dict vals: values of the new order
        :rtype: subscription.plan
        """
        template = self.env['sale.order.template'].browse(vals.get('sale_order_template_id') or [])
        if template.plan_id:
            return template.plan_id
        products = self.env['product.product'].browse([
            command[2]['product_id'] for command in vals.get('order_line') or []
            if command[0] == Command.CREATE and command[2].get('product_id')
        ])
        return products.filtered('recurring_invoice').default_plan_id[:1]

    def _get_missing_plan_message(self):
        """Return which product of the order can't be sold without a plan.

        :return: a sentence which says what to do, or nothing
        :rtype: str|bool
        """
        self.ensure_one()
        for line in self.order_line:
            if line.is_recurring and not line.plan_id and not line.product_id.sell_once:
                return self.env._(
                    "%(product)s is a recurring product. Choose a recurring plan on order %(order)s, or remove the"
                    " product.", product=line.product_id.display_name, order=self.name,
                )
        return False

    def _complete_plans(self):
        """Settle what the confirmation leaves no choice about: orders whose lines alone have a plan take that of
        the first one, and without any plan a product which may be sold once is.
        """
        recurring = self.order_line.filtered('is_recurring')
        recurring.filtered(lambda line: not line.plan_id).is_recurring = False
        for order in self:
            # Writing a plan prices the lines again, so plain orders are left alone.
            if not order.plan_id and (plan := order.order_line.plan_id[:1]):
                order.plan_id = plan

    def _get_recurring_totals(self):
        """Return what is billed each period, plan by plan.

        :return: {plan: untaxed amount}, the order's plan first
        :rtype: dict
        """
        self.ensure_one()
        lines = self.order_line.filtered(lambda line: line.is_recurring and line.plan_id and not line.end_date)
        totals = {
            plan: sum(plan_lines.mapped('price_subtotal'))
            for plan, plan_lines in lines.grouped('plan_id').items()
        }
        return dict(sorted(totals.items(), key=lambda item: (item[0] != self.plan_id, item[0].sequence)))

    def _get_subscription_warning(self):
        """Return what somebody should look at before a quotation goes out.

        :rtype: str
        """
        self.ensure_one()
        recurring = self.order_line.filtered('is_recurring')
        missing_plan = recurring.filtered(lambda line: not line.plan_id and not line.product_id.sell_once)
        if missing_plan:
            return self.env._(
                "Choose a recurring plan: %(products)s can't be sold without one.",
                products=', '.join(missing_plan.product_id.mapped('display_name')),
            )
        unpriced = recurring.filtered(
            lambda line: line.product_id.product_tmpl_id._has_plan_prices() and not line.pricelist_item_id.plan_id)
        if unpriced:
            return self.env._(
                "No price for this plan: %(products)s. The sales price is used as the price of a period.",
                products=', '.join(unpriced.product_id.mapped('display_name')),
            )
        return ''
