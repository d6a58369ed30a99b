from odoo import models
from odoo.exceptions import UserError
from odoo.fields import Command


class SubscriptionOptionMixin(models.AbstractModel):
    """Options of a contract: offered on it as long as it runs."""

    _name = 'subscription.option.mixin'
    _description = "Subscription Options"

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
