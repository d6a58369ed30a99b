from odoo import models

from .subscription_invoicing_mixin import SubscriptionParked


class SubscriptionTaxMixin(models.AbstractModel):
    """Taxes of a running contract: determined again at each billing unless somebody set them by hand.

    Order and lines keep what was last determined. What equals it is automatic; what differs was set by hand.
    """

    _name = 'subscription.tax.mixin'
    _description = "Subscription Taxes"

    # === BUSINESS METHODS === #

    def _remember_taxes(self):
        """Keep what the host determines for subscriptions which start."""
        fiscal_positions = self._get_determined_fiscal_positions()
        for order in self:
            order.determined_fiscal_position_id = fiscal_positions[order]
        self.order_line.filtered('is_recurring')._remember_line_taxes()

    def _determine_taxes(self):
        """Determine fiscal position and taxes of subscriptions which are about to be billed, and say what changed.

        :raise SubscriptionParked: when a line has an archived tax which was set by hand
        """
        fiscal_positions = self._get_determined_fiscal_positions()
        served = self.order_line._get_served_lines()
        served_by_order = served.grouped('order_id')
        touched = self.browse()
        for order in self:
            story = order._apply_fiscal_position(fiscal_positions[order])
            lines = served_by_order.get(order, served.browse()).with_prefetch(served.ids)
            changed = self.env['sale.order.line']
            taxes_by_line = lines._get_determined_taxes()
            for line in lines:
                taxes = taxes_by_line[line]
                if line.tax_ids == line.determined_tax_ids and line.tax_ids != taxes:
                    story.append(line._get_tax_change_message(taxes))
                    line.with_context(sale_subscription_ext_changing=True).write(
                        {'tax_ids': taxes.ids, 'determined_tax_ids': taxes.ids})
                    changed |= line
            lines._check_archived_taxes()
            if changed:
                order._record_mrr_movements(event_date={line: line.next_period_start for line in changed})
                touched |= order
            if story:
                order._message_log(body=' '.join(story))
        touched._update_open_quotations()

    def _apply_fiscal_position(self, fiscal_position):
        """Take over a newly determined fiscal position, unless another was set by hand.

        :param account.fiscal.position fiscal_position: what the host determines now
        :return: sentences for the chatter
        :rtype: list[str]
        """
        self.ensure_one()
        is_automatic = self.fiscal_position_id == self.determined_fiscal_position_id
        if not is_automatic or self.fiscal_position_id == fiscal_position:
            return []
        self.write({
            'fiscal_position_id': fiscal_position.id, 'determined_fiscal_position_id': fiscal_position.id})
        return [self.env._(
            "The fiscal position is now “%(position)s”.", position=fiscal_position.name or self.env._("none"))]

    def _get_determined_fiscal_positions(self):
        """Return the fiscal position which the host determines for each order now.

        :return: {order: fiscal position}
        :rtype: dict
        """
        cache = {}
        result = {}
        for order in self:
            key = (order.company_id, order.partner_id, order.partner_shipping_id)
            if key not in cache:
                cache[key] = self.env['account.fiscal.position'].with_company(
                    order.company_id)._get_fiscal_position(order.partner_id, order.partner_shipping_id)
            result[order] = cache[key]
        return result


class SubscriptionLineTaxMixin(models.AbstractModel):
    """Taxes of a line of a running contract."""

    _name = 'subscription.line.tax.mixin'
    _description = "Subscription Line Taxes"

    # === BUSINESS METHODS === #

    def _check_archived_taxes(self):
        """Refuse to bill with a tax which is no longer in use.

        :raise SubscriptionParked: naming the line
        """
        for line in self:
            if archived := line.tax_ids.filtered(lambda tax: not tax.active):
                raise SubscriptionParked(self.env._(
                    "%(product)s has the archived tax %(tax)s. Choose another tax on the product and on the line, then"
                    " press Retry.",
                    product=line.product_id.display_name, tax=archived[0].name,
                ))

    def _remember_line_taxes(self):
        """Keep what the host determines for lines which begin to be served."""
        taxes = self._get_determined_taxes()
        for line in self:
            line.determined_tax_ids = taxes[line]

    def _get_determined_taxes(self):
        """Return the taxes which product and fiscal position ask for now.

        :return: {order line: taxes}
        :rtype: dict
        """
        cache = {}
        result = {}
        for line in self:
            key = (line.product_id, line.company_id, line.order_id.fiscal_position_id)
            if key not in cache:
                product = line.product_id
                # A tax which was archived without a successor is kept; billing refuses it.
                taxes = (
                    product.taxes_id._filter_taxes_by_company(line.company_id)
                    or product.with_context(active_test=False).taxes_id._filter_taxes_by_company(line.company_id)
                )
                cache[key] = line.order_id.fiscal_position_id.map_tax(taxes)
            result[line] = cache[key]
        return result

    def _get_tax_change_message(self, taxes):
        """Return the sentence which tells of newly determined taxes.

        :param account.tax taxes: the new ones
        :rtype: str
        """
        self.ensure_one()
        none = self.env._("none")
        return self.env._(
            "The taxes of %(product)s are now %(after)s instead of %(before)s.",
            product=self.product_id.display_name,
            before=', '.join(self.tax_ids.mapped('name')) or none,
            after=', '.join(taxes.mapped('name')) or none,
        )
