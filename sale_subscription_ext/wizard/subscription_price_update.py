from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tools import format_amount, format_date

from ..const import RUNNING_STATES
from ..models.subscription_price_change import PENDING_STATES


class SubscriptionPriceUpdate(models.TransientModel):
    """Compares the prices of running subscriptions with those of their pricelists now, to accept them line by line."""

    _name = 'subscription.price.update'
    _inherit = ['subscription.dialog.mixin']
    _description = "Update Prices"

    currency_id = fields.Many2one(comodel_name='res.currency', compute='_compute_totals')
    line_ids = fields.One2many(
        comodel_name='subscription.price.update.line', inverse_name='wizard_id', string="Lines",
        compute='_compute_line_ids', store=True, readonly=False)
    # Of a dialog which is gone: {id of an order line: [price, discount] as they were seen}
    accepted_prices = fields.Json()
    has_difference = fields.Boolean(compute='_compute_totals')
    has_discount = fields.Boolean(compute='_compute_totals')
    old_total = fields.Monetary(string="Recurring Now", compute='_compute_totals')
    new_total = fields.Monetary(string="Recurring Then", compute='_compute_totals')
    mrr_change = fields.Monetary(string="MRR Change", compute='_compute_totals')

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_line_ids(self):
        for wizard in self:
            lines = wizard.order_ids._origin.order_line._get_served_lines().filtered(
                lambda line: line.next_period_start and line._is_price_listed())
            wizard.line_ids = [Command.clear()] + [Command.create({'order_line_id': line.id}) for line in lines]

    @api.depends('order_ids', 'line_ids.is_accepted')
    def _compute_totals(self):
        for wizard in self:
            orders = wizard.order_ids._origin
            accepted = wizard.line_ids.filtered('is_accepted')
            # Amounts of several currencies have no sum.
            wizard.currency_id = orders.currency_id if len(orders.currency_id) == 1 else False
            wizard.has_difference = any(wizard.line_ids.mapped('is_different'))
            wizard.has_discount = any(line.discount or line.new_discount for line in wizard.line_ids)
            wizard.old_total = sum(orders.mapped('recurring_total'))
            wizard.new_total = wizard.old_total + sum(
                line.difference for line in accepted if line.plan_id == line.order_line_id.order_id.plan_id)
            wizard.mrr_change = sum(accepted.mapped('mrr_change'))

    @api.depends('order_ids', 'line_ids.is_accepted')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return 'update_prices'

    def _get_action_name(self):
        """Override to name what is done."""
        return self.env._("changed")

    def _get_states(self):
        """Override to change running subscriptions only."""
        return RUNNING_STATES

    def _get_missing_choice(self):
        """Override to ask for prices."""
        if not self._get_accepted_lines():
            return self.env._("Tick the prices which are to change.")
        return super()._get_missing_choice()

    def _check_order(self, order):
        """Override to leave alone what is about to change already, and what nobody ticked."""
        accepted = self._get_accepted_lines(order)
        if not accepted:
            raise UserError(self.env._("none of its prices differs and is ticked, or they changed meanwhile"))
        # Whoever may change the subscription is told of its price changes.
        if waiting := self.env['subscription.price.change'].sudo().search(
                [('order_line_id', 'in', accepted.order_line_id.ids), ('state', 'in', PENDING_STATES)], limit=1):
            raise UserError(self.env._(
                "A price of %(name)s is about to change already: %(change)s. Call that off first.",
                name=waiting.order_id.name, change=waiting._get_text(),
            ))

    def _apply_to(self, order):
        """Override to give the accepted lines the prices of the pricelist: from their next period on, what is billed
        stays.
        """
        # Price changes and the ledger are the engine's; the right on the subscription was checked.
        changes = self.env['subscription.price.change'].sudo().create([
            line._prepare_price_change() for line in self._get_accepted_lines(order)])
        at_once = changes.filtered(lambda change: not change.order_line_id._is_billed_in_arrears())
        at_once._apply()
        (changes - at_once)._log(lambda change: change._get_text())

    def _get_preview_of(self, order):
        """Override to say which prices change."""
        return '; '.join(
            self.env._("%(product)s: %(old)s becomes %(new)s from %(day)s on", product=line.product_id.display_name,
                       old=format_amount(self.env, line.price_unit, line.currency_id),
                       new=format_amount(self.env, line.new_price_unit, line.currency_id),
                       day=format_date(self.env, line.effective_date))
            for line in self._get_accepted_lines(order))

    def _prepare_choices(self):
        """Override to keep the accepted lines with the prices which were seen."""
        return {**super()._prepare_choices(), 'accepted_prices': {
            str(line.order_line_id.id): [line.new_price_unit, line.new_discount]
            for line in self._get_accepted_lines()}}

    # === TOOLING === #

    def _get_accepted_lines(self, order=None):
        """Return the lines whose price is to change.

        :param sale.order order: one of the subscriptions, all of them if not given
        :rtype: subscription.price.update.line
        """
        self.ensure_one()
        orders = self._get_orders() if order is None else order
        if self.accepted_prices:
            return self._get_kept_lines(orders)
        return self.line_ids.filtered(
            lambda line: line.is_accepted and line.is_different and line.order_line_id.order_id in orders)

    def _get_kept_lines(self, orders):
        """Return the lines which were accepted in a dialog that is gone, where their price is still what was seen.

        :param sale.order orders: some of the subscriptions
        :rtype: subscription.price.update.line
        """
        order_lines = orders.order_line.filtered(lambda line: str(line.id) in self.accepted_prices)
        Line = self.env['subscription.price.update.line']
        lines = Line.union(*(Line.new({'order_line_id': line.id}) for line in order_lines._get_served_lines()))
        return lines.filtered(lambda line: line.is_different and [
            line.new_price_unit, line.new_discount] == self.accepted_prices[str(line.order_line_id.id)])


class SubscriptionPriceUpdateLine(models.TransientModel):
    """A line whose price may be updated."""

    _name = 'subscription.price.update.line'
    _description = "Line to Update"

    wizard_id = fields.Many2one(
        comodel_name='subscription.price.update', required=True, index=True, ondelete='cascade')
    order_line_id = fields.Many2one(comodel_name='sale.order.line', required=True, ondelete='cascade')
    order_id = fields.Many2one(related='order_line_id.order_id', string="Subscription")
    product_id = fields.Many2one(related='order_line_id.product_id')
    plan_id = fields.Many2one(related='order_line_id.plan_id')
    quantity = fields.Float(related='order_line_id.product_uom_qty')
    currency_id = fields.Many2one(related='order_line_id.currency_id')
    price_unit = fields.Float(string="Price Now", min_display_digits='Product Price', compute='_compute_prices')
    discount = fields.Float(string="Disc.% Now", digits='Discount', compute='_compute_prices')
    new_price_unit = fields.Float(string="Pricelist", min_display_digits='Product Price', compute='_compute_prices')
    new_discount = fields.Float(string="Disc.%", digits='Discount', compute='_compute_prices')
    difference = fields.Monetary(
        compute='_compute_prices', help="For a period of the line's plan, without taxes.")
    mrr_change = fields.Monetary(string="MRR Change", compute='_compute_prices')
    effective_date = fields.Date(string="From", compute='_compute_prices')
    is_different = fields.Boolean(compute='_compute_prices')
    is_manual = fields.Boolean(
        string="By Hand", compute='_compute_prices', help="Price or discount were set by hand.")
    is_accepted = fields.Boolean(
        string="Accept", compute='_compute_is_accepted', store=True, readonly=False)

    # === COMPUTE METHODS === #

    @api.depends('order_line_id')
    def _compute_prices(self):
        prices = self.order_line_id._get_price_now()
        for line in self:
            line.update(line.order_line_id._prepare_price_update(*prices[line.order_line_id]))

    @api.depends('order_line_id')
    def _compute_is_accepted(self):
        for line in self:
            line.is_accepted = line.is_different and not line.is_manual

    # === BUSINESS METHODS === #

    def _prepare_price_change(self):
        """Prepare the price change of an accepted line.

        :rtype: dict
        """
        self.ensure_one()
        return {
            'order_line_id': self.order_line_id.id,
            'old_price_unit': self.price_unit,
            'new_price_unit': self.new_price_unit,
            'old_discount': self.discount,
            'new_discount': self.new_discount,
            'effective_date': self.effective_date,
            'apply_date': self.order_line_id._get_price_apply_day(self.effective_date),
            'is_listed': True,
            'state': 'to_apply',
        }
