from odoo import fields, models


class SubscriptionSetupMixin(models.AbstractModel):
    """Setup fees: a one-time line for each recurring line which is served for the first time."""

    _name = 'subscription.setup.mixin'
    _description = "Subscription Setup Fee"

    setup_parent_id = fields.Many2one(
        comodel_name='sale.order.line', string="Sets Up", copy=False, readonly=True, index='btree_not_null',
        ondelete='set null', help="The recurring line of which this line is the setup fee.")
    setup_line_ids = fields.One2many(
        comodel_name='sale.order.line', inverse_name='setup_parent_id', string="Setup Fee")

    # === CRUD METHODS === #

    def unlink(self):
        """Override to delete setup fees together with the lines which they are for."""
        return super(SubscriptionSetupMixin, self | self.setup_line_ids).unlink()

    # === BUSINESS METHODS === #

    def _add_setup_lines(self):
        """Let the setup fee of each new recurring line follow it; one which came along, in a copy, is taken for it.

        The context key `sale_subscription_ext_no_setup` says that the lines were served before.
        """
        context = self.env.context
        if context.get('sale_subscription_ext_no_setup') or context.get('sale_subscription_ext_starting'):
            return
        vals_list = []
        loose = self.filtered(lambda line: not (line.is_recurring or line.setup_parent_id or line.display_type))
        lines = self.filtered(lambda line: line._has_setup_fee())
        for line in lines:
            brought = loose.filtered(
                lambda other, line=line: other.order_id == line.order_id
                and other.product_id == line.product_id.setup_product_id)[:1]
            loose -= brought
            if brought:
                brought.setup_parent_id = line
            else:
                vals_list.append(line._prepare_setup_line())
        if vals_list:
            self.create(vals_list)
        for order in lines.order_id:
            order.order_line._place_setup_lines()

    def _get_unserved(self, vals):
        """Return the lines which would be served for the first time if `vals` were written.

        :param dict vals: values to write
        :rtype: sale.order.line
        """
        if not {'product_id', 'product_uom_qty'} & vals.keys():
            return self.browse()
        return self.filtered(lambda line: not line.product_uom_qty or (
            line.state in ('draft', 'sent') and line._is_changed_by(vals, frozenset({'product_id'}))))

    def _update_setup_lines(self, unserved):
        """Add and remove the setup fees of lines whose product or quantity changed.

        :param sale.order.line unserved: see `_get_unserved`
        """
        self.setup_line_ids.filtered(lambda line: line.state in ('draft', 'sent') and not (
            line.setup_parent_id.product_uom_qty
            and line.product_id == line.setup_parent_id.product_id.setup_product_id)).unlink()
        unserved._add_setup_lines()

    def _place_setup_lines(self):
        """Let each setup fee follow its line in the order of the document."""
        lines = []
        for line in self.sorted().filtered(lambda line: not line.setup_parent_id):
            lines += [line, *line.setup_line_ids]
        for sequence, line in enumerate(lines, start=10):
            if line.sequence != sequence:
                line.sequence = sequence

    def _has_setup_fee(self):
        """Return whether a setup fee is to be added for this line.

        :rtype: bool
        """
        self.ensure_one()
        is_open = self.state in ('draft', 'sent') or self._is_running()
        return bool(
            is_open and self.is_recurring and self.product_uom_qty and self.product_id.setup_product_id
            and not self.setup_line_ids and not self._is_set_up_before())

    def _is_set_up_before(self):
        """Return whether the line changes or goes on with one whose setup fee was sold: on an amendment, after a change
        or a switch of the plan, on a renewal.

        :rtype: bool
        """
        self.ensure_one()
        line = self.sudo()  # whoever makes the amendment may not see the contract
        before = line._get_amended_line() if line.order_id.amendment_type else line._get_predecessor()
        while before and self.product_id.setup_product_id not in before.setup_line_ids.product_id:
            before = before._get_predecessor()
        return bool(before)

    def _get_predecessor(self):
        """Return the line which served the same product before this one took over.

        :rtype: sale.order.line
        """
        self.ensure_one()
        return (self.parent_line_id or self.renewed_line_id).filtered(lambda line: line.product_id == self.product_id)

    def _prepare_setup_line(self):
        """Prepare the one-time line of the setup fee.

        :rtype: dict
        """
        self.ensure_one()
        order, product = self.order_id, self.product_id
        values = {
            'order_id': order.id,
            'product_id': product.setup_product_id.id,
            'product_uom_qty': 1.0,
            'setup_parent_id': self.id,
            'sequence': self.sequence,
        }
        if product.setup_amount:
            values['price_unit'] = product.currency_id._convert(
                product.setup_amount, order.currency_id, order.company_id, order.date_order)
        return values
