from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command

from .. import const


class SubscriptionOptionMixin(models.AbstractModel):
    """Options of a contract: offered on it as long as it runs."""

    _name = 'subscription.option.mixin'
    _description = "Subscription Options"

    has_options = fields.Boolean(compute='_compute_has_options')

    # === COMPUTE METHODS === #

    @api.depends('subscription_state', 'order_line.is_recurring', 'order_line.end_date', 'order_line.product_uom_qty')
    def _compute_has_options(self):
        for order in self:
            order.has_options = order.subscription_state in const.CONTRACT_STATES and bool(order._get_options())

    # === ACTION METHODS === #

    def action_options(self):
        """Open the options of a running subscription, to take or drop some.

        :return: a window action
        :rtype: dict
        :raise UserError: when the subscription isn't running, or nothing is offered on it
        """
        self.ensure_one()
        self.check_access('write')
        self._check_running(self.env._("changed"))
        options = self._get_options()
        if not options:
            raise UserError(self.env._(
                "No options are offered on %(name)s. Add them to an optional section of the order, or to the optional"
                " products of what it serves.", name=self.name))
        dialog = self.env['subscription.option.dialog'].create({
            'order_id': self.id,
            'line_ids': [Command.create(self._prepare_option(option)) for option in options],
        })
        return dialog._get_records_action(name=self.env._("Options of %(name)s", name=self.name), target='new')

    # === BUSINESS METHODS === #

    def _get_option_lines(self):
        """Return the recurring lines of optional sections: those with a quantity are taken, the others are offered.

        :rtype: sale.order.line
        """
        self.ensure_one()
        return self.order_line.filtered(
            lambda line: line.is_recurring and not line.end_date and line._is_line_optional())

    def _get_optional_products(self):
        """Return the recurring optional products of what is served, which aren't on the contract yet.

        :rtype: product.template
        """
        self.ensure_one()
        served = self.order_line._get_served_lines().product_id.product_tmpl_id
        known = self.order_line.filtered(lambda line: not line.end_date).product_id.product_tmpl_id
        return served.optional_product_ids.filtered('recurring_invoice') - known

    def _set_option_quantity(self, option, quantity):
        """Take or drop an option of a running contract, effective at its first unbilled day.

        :param option: a line of `_get_option_lines`, or a product of `_get_optional_products`
        :param float quantity: 0 to drop it
        :raise UserError: when this isn't an option of the contract
        """
        self.ensure_one()
        if option in self._get_options():
            if option._name == 'sale.order.line':
                option.product_uom_qty = quantity
            else:
                self.order_line = [
                    Command.create({'product_id': option.product_variant_id.id, 'product_uom_qty': quantity})]
            return
        raise UserError(self.env._(
            "%(option)s isn't an option of %(name)s. Choose one of those which are offered.",
            option=option.display_name, name=self.name))

    def _get_options(self):
        """Return everything which can be taken or dropped.

        :return: order lines and product templates
        :rtype: list
        """
        return [*self._get_option_lines(), *self._get_optional_products()]

    def _prepare_option(self, option):
        """Prepare the line of the dialog which takes or drops an option.

        :param option: one of `_get_options`
        :rtype: dict
        """
        self.ensure_one()
        if option._name == 'sale.order.line':
            return {'order_line_id': option.id, **option._prepare_option_terms()}
        line = self.env['sale.order.line'].new({
            'order_id': self.id, 'product_id': option.product_variant_id.id, 'product_uom_qty': 0.0})
        return {'product_tmpl_id': option.id, **line._prepare_option_terms()}

    def _get_offers_beside_contract(self):
        """Return the lines of a running contract which only offer options, with the sections that hold nothing else.

        :rtype: sale.order.line
        """
        self.ensure_one()
        if self.subscription_state not in const.CONTRACT_STATES:
            return self.order_line.browse()
        offers = self._get_option_lines().filtered(lambda line: not line.product_uom_qty)
        sections = self.order_line.filtered(lambda line: line.display_type in ('line_section', 'line_subsection'))
        return offers | sections.filtered(
            lambda section: (held := section._get_section_lines()) and held.filtered(
                lambda line: not line.display_type) <= offers)

    def _get_offered_options(self):
        """Return the options of a running contract as its customer reads them.

        :return: name, price of a unit, plan and quantity of each
        :rtype: list[dict]
        """
        self.ensure_one()
        order = self.sudo()  # whoever may read the contract; optional products may be hidden from its customer
        return [order._prepare_option(option) for option in order._get_options()]

    def _create_option_amendment(self, quantities):
        """Prepare the change which takes or drops options.

        :param dict quantities: {option: wished quantity}, options as `_get_options` returns them
        :return: the quotation of the change
        :rtype: sale.order
        """
        self.ensure_one()
        amendment = self._create_amendment('change')
        for option, quantity in quantities.items():
            if option._name == 'sale.order.line':
                line = amendment.order_line.filtered(lambda line, option=option: line.parent_line_id == option)
                line.product_uom_qty = quantity
            elif quantity:
                amendment.order_line = [Command.create({
                    'product_id': option.product_variant_id.id, 'product_uom_qty': quantity})]
        return amendment


class SubscriptionLineOptionMixin(models.AbstractModel):
    """A line which offers an option."""

    _name = 'subscription.line.option.mixin'
    _description = "Subscription Line Option"

    # === BUSINESS METHODS === #

    def _prepare_option_terms(self):
        """Return what an option is and costs.

        :rtype: dict
        """
        self.ensure_one()
        return {
            'name': self.product_id.display_name,
            'plan_id': self.plan_id.id,
            'price_unit': self.price_unit * (1 - self.discount / 100),
            'current_quantity': self.product_uom_qty,
            'quantity': self.product_uom_qty,
        }

    def _offer_again(self):
        """Offer options which were dropped by a change again: their ended lines stay, new ones without a quantity
        take their places.
        """
        for line in self.filtered(lambda line: line._is_line_optional()):
            offer = line.copy({'order_id': line.order_id.id, 'product_uom_qty': 0.0})
            # What was set up once isn't set up again.
            line.setup_line_ids.setup_parent_id = offer
