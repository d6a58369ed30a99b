from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tools import float_compare, format_amount, format_date

from ..const import BULK_SIZE_AT_ONCE, RUNNING_STATES


class SubscriptionBulkChange(models.TransientModel):
    """Changes several subscriptions alike, each by an amendment which is confirmed at once."""

    _name = 'subscription.bulk.change'
    _inherit = ['subscription.dialog.mixin']
    _description = "Change Subscriptions"

    change = fields.Selection(selection='_get_changes', required=True, default='swap')
    product_id = fields.Many2one(
        comodel_name='product.product', string="Product to Change", domain="[('recurring_invoice', '=', True)]")
    new_product_id = fields.Many2one(
        comodel_name='product.product', string="Product", domain="[('sale_ok', '=', True)]")
    quantity = fields.Float(default=1.0, digits='Product Unit')
    discount = fields.Float(string="Discount (%)", digits='Discount')
    plan_id = fields.Many2one(comodel_name='subscription.plan', string="New Plan")
    amendment_timing = fields.Selection(
        selection=[('now', "Today"), ('next_period', "With the next period"), ('date', "On a date")],
        string="From", required=True, default='now',
        help="What lowers the value of a subscription takes effect with its next period where its plan says so, unless"
            " a date is given.",
    )
    effective_date = fields.Date(string="Date")

    # === COMPUTE METHODS === #

    @api.depends('order_ids', 'change', 'product_id', 'new_product_id', 'quantity', 'discount', 'plan_id',
                 'amendment_timing', 'effective_date')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return 'change'

    def _get_action_name(self):
        """Override to name what is done."""
        return self.env._("changed")

    def _get_states(self):
        """Override to change running subscriptions only."""
        return RUNNING_STATES

    def _get_missing_choice(self):
        """Override to ask for what the kind of change needs."""
        if self.change == 'swap' and not (self.product_id and self.new_product_id):
            return self.env._("Choose the product to replace, and that which replaces it.")
        if self.change == 'swap' and not self.new_product_id.recurring_invoice:
            return self.env._("Choose a recurring product: a product which is sold once can't replace a recurring one.")
        if self.change == 'swap' and self.product_id == self.new_product_id:
            return self.env._("Choose another product to replace it.")
        if self.change == 'remove' and not self.product_id:
            return self.env._("Choose the product to remove.")
        if self.change == 'quantity' and not (self.product_id and self.quantity > 0):
            return self.env._("Choose the product, and how many of it there will be.")
        if self.change == 'discount' and not 0 < self.discount <= 100:
            return self.env._("Choose a discount above 0 and up to 100%. It replaces the discount which a line has.")
        if self.change == 'add' and not (self.new_product_id and self.quantity > 0):
            return self.env._("Choose the product to add, and how many of it.")
        if self.change == 'plan' and not self.plan_id:
            return self.env._("Choose the new plan.")
        if self.amendment_timing == 'date' and not self.effective_date:
            return self.env._("Choose from which day on the subscriptions change.")
        return super()._get_missing_choice()

    def _check_order(self, order):
        """Override to leave alone what has nothing to change, or can't be changed."""
        if self.change not in ('add', 'plan'):
            self._check_has_lines(order)
        if self.change == 'plan' and order.plan_id == self.plan_id:
            raise UserError(self.env._("it has this plan already"))
        if self.plan_id.company_id and self.change == 'plan' and self.plan_id.company_id != order.company_id:
            raise UserError(self.env._("the plan is one of another company"))
        if len(self.order_ids) <= BULK_SIZE_AT_ONCE:  # of more, the report tells
            self._new_amendment(order)._check_amendment_conflicts()

    def _apply_to(self, order):
        """Override to change it by an amendment."""
        amendment = order._create_amendment('change', **self._prepare_timing())
        self._edit(amendment)
        amendment.action_confirm()
        return amendment

    def _get_preview_of(self, order):
        """Override to say what the change costs."""
        preview = self._new_amendment(order)._get_amendment_preview()

        def get_text(amount):
            return format_amount(self.env, amount, order.currency_id)
        return self.env._(
            "from %(day)s on, MRR %(old)s becomes %(new)s; due then: %(due)s",
            day=format_date(self.env, preview.effective_date), old=get_text(order.mrr),
            new=get_text(order.mrr + preview.mrr_change), due=get_text(preview.total))

    # === TOOLING === #

    @api.model
    def _get_changes(self):
        """Return what can be changed; discounts by those who see them on orders.

        :return: values and labels of the field `change`
        :rtype: list[tuple[str, str]]
        """
        changes = [
            ('swap', self.env._("Replace a product")), ('add', self.env._("Add a product")),
            ('remove', self.env._("Remove a product")), ('quantity', self.env._("Change a quantity")),
            ('discount', self.env._("Set a discount")), ('plan', self.env._("Change the plan")),
        ]
        if not self.env.user.has_group('sale.group_discount_per_so_line'):
            changes = [change for change in changes if change[0] != 'discount']
        return changes

    def _prepare_timing(self):
        """Prepare from when on the amendments change their subscriptions.

        :rtype: dict
        """
        self.ensure_one()
        return {
            'amendment_timing': self.amendment_timing,
            'effective_date': self.amendment_timing == 'date' and self.effective_date,
        }

    def _get_lines_to_change(self, lines):
        """Return those of some lines which the change isn't true of yet.

        :param sale.order.line lines: of a subscription or an amendment
        :rtype: sale.order.line
        """
        self.ensure_one()
        lines = lines.filtered(lambda line: line.is_recurring and line.product_uom_qty and (
            line.product_id == self.product_id or not self.product_id))
        if self.change == 'quantity':
            lines = lines.filtered(
                lambda line: line.product_uom_id.compare(line.product_uom_qty, self._get_quantity_of(line)) != 0)
        if self.change == 'discount':
            digits = self.env['decimal.precision'].precision_get('Discount')
            lines = lines.filtered(lambda line: float_compare(line.discount, self.discount, digits) != 0)
        return lines

    def _get_quantity_of(self, line):
        """Return the new quantity in the unit of a line; people say it in the unit of the product.

        :param sale.order.line line: of a subscription or an amendment
        :rtype: float
        """
        self.ensure_one()
        return self.product_id.uom_id._compute_quantity(self.quantity, line.product_uom_id)

    def _check_has_lines(self, order):
        """Refuse a subscription which has nothing to change.

        :param sale.order order: one of the subscriptions
        :raise UserError: saying what it lacks
        """
        served = order.order_line._get_served_lines()
        if self.change == 'quantity' and len(served.filtered(lambda line: line.product_id == self.product_id)) > 1:
            raise UserError(self.env._(
                "it has “%(product)s” on several lines, change them by hand", product=self.product_id.display_name))
        if self._get_lines_to_change(served):
            return
        if self.change == 'discount' and not self.product_id:
            raise UserError(self.env._("its products have this discount already"))
        product = self.product_id.display_name
        if self.change == 'discount':
            raise UserError(self.env._("it has no product “%(product)s” with another discount", product=product))
        if self.change == 'quantity':
            raise UserError(self.env._("it has no product “%(product)s” in another quantity", product=product))
        raise UserError(self.env._("it has no product “%(product)s”", product=product))

    def _new_amendment(self, order):
        """Return the amendment of a subscription, without a trace.

        :param sale.order order: one of the subscriptions
        :rtype: sale.order
        """
        source = order.with_context(sale_subscription_ext_no_setup=True)
        [vals] = source.copy_data(source._prepare_amendment('change', **self._prepare_timing()))
        amendment = order.new(vals)
        self._edit(amendment)
        return amendment

    def _edit(self, amendment):
        """Change an amendment as it was chosen.

        :param sale.order amendment: a quotation, or one which isn't stored
        """
        self.ensure_one()
        if self.change == 'plan':
            # Lines which aren't stored learn from which plan they follow when it is read first: before it changes.
            amendment.order_line.mapped('inherited_plan_id')
            amendment.plan_id = self.plan_id
        elif self.change == 'add':
            vals = {'product_id': self.new_product_id.id, 'product_uom_qty': self.quantity, 'sequence': 9999}
            amendment.order_line = [Command.create(vals)]
        else:
            lines = self._get_lines_to_change(amendment.order_line)
            if self.change == 'swap':
                lines.product_id = self.new_product_id
            elif self.change == 'discount':
                lines.discount = self.discount
            elif self.change == 'remove':
                lines.product_uom_qty = 0.0
            else:
                for line in lines:
                    line.product_uom_qty = self._get_quantity_of(line)
