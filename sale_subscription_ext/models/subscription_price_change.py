from odoo import api, fields, models
from odoo.tools import float_compare, format_date

PENDING_STATES = ('to_announce', 'to_apply')

# A subscription in one of these has no price to change any more; one in another state which isn't running waits.
ENDED_STATES = ('closed', 'renewed', False)

STATES = [
    ('preview', "Preview"),
    ('to_announce', "To Announce"),
    ('to_apply', "To Apply"),
    ('applied', "Applied"),
    ('cancel', "Cancelled"),
]


class SubscriptionPriceChange(models.Model):
    """The price of a line which changes at one of its next periods; nothing of the contract changes before."""

    _name = 'subscription.price.change'
    _description = "Price Change"
    _order = 'effective_date, id'
    _check_company_auto = True

    _one_waits = models.UniqueIndex(
        "(order_line_id) WHERE state IN ('to_announce', 'to_apply')",
        "The price of this line is about to change already. Cancel that first.")
    _due_idx = models.Index("(apply_date, order_id) WHERE state = 'to_apply'")

    indexation_line_id = fields.Many2one(
        comodel_name='subscription.indexation.line', string="Indexation", index='btree_not_null', ondelete='cascade')
    order_line_id = fields.Many2one(
        comodel_name='sale.order.line', string="Line", required=True, index=True, ondelete='cascade')
    order_id = fields.Many2one(
        related='order_line_id.order_id', string="Subscription", store=True, index=True, precompute=True)
    company_id = fields.Many2one(related='order_line_id.company_id', store=True, index=True, precompute=True)
    currency_id = fields.Many2one(related='order_line_id.currency_id', store=True, precompute=True)
    product_id = fields.Many2one(related='order_line_id.product_id')
    quantity = fields.Float(related='order_line_id.product_uom_qty')
    old_price_unit = fields.Float(string="Price", min_display_digits='Product Price', required=True)
    new_price_unit = fields.Float(string="New Price", min_display_digits='Product Price', required=True)
    old_discount = fields.Float(string="Discount (%)", digits='Discount')
    new_discount = fields.Float(string="New Discount (%)", digits='Discount')
    effective_date = fields.Date(string="From", required=True, help="The first day at the new price.")
    apply_date = fields.Date(
        required=True, help="When the period with the new price may be billed: the price is set on this day.")
    is_listed = fields.Boolean(help="The new price is the pricelist's.")
    state = fields.Selection(selection=STATES, string="Status", required=True, default='preview')

    # === COMPUTE METHODS === #

    @api.depends('order_line_id', 'new_price_unit', 'effective_date')
    @api.depends_context('lang')
    def _compute_display_name(self):
        for change in self:
            change.display_name = change._get_text() if change.order_line_id else ''

    # === BUSINESS METHODS === #

    def _get_text(self):
        """Return the change in words.

        :rtype: str
        """
        self.ensure_one()
        line = self.order_line_id
        return self.env._(
            "%(product)s from %(date)s on: %(before)s becomes %(after)s",
            product=line.product_id.display_name,
            date=format_date(self.env, self.effective_date),
            before=line._format_terms(line.product_uom_qty, self.old_price_unit, self.old_discount),
            after=line._format_terms(line.product_uom_qty, self.new_price_unit, self.new_discount),
        )

    def _apply(self):
        """Set the new prices, with the movements of MRR and the story; what is served before keeps the old ones.

        Changes which don't fit any more, because somebody changed the line meanwhile, are given up.
        """
        changes = self._filter_current()
        if not changes:
            return
        days = {change.order_line_id: change.effective_date for change in changes}
        changes.order_line_id.sudo()._open_served_periods(days)  # the ledger is the engine's
        for change in changes:
            vals = {'price_unit': change.new_price_unit, 'discount': change.new_discount}
            if change.is_listed:
                vals['technical_price_unit'] = change.new_price_unit
            change.order_line_id.with_context(sale_subscription_ext_changing=True).write(vals)
        changes.state = 'applied'
        changes.order_id.with_context(sale_subscription_ext_price_change=True)._record_mrr_movements(event_date=days)
        changes.order_id._update_open_quotations()
        changes._log(lambda change: change._get_text())
        changes.indexation_line_id._update_states()

    def _filter_current(self):
        """Return the changes which can be applied. Those of lines which were changed meanwhile are cancelled, those
        whose period was billed already wait for the next one.

        :rtype: subscription.price.change
        """
        outdated = self.filtered(lambda change: change._is_outdated())
        current = (self - outdated).filtered(lambda change: change.order_line_id._is_running())
        late = current.filtered(lambda change: change.order_line_id.next_period_start > change.effective_date)
        outdated |= late._postpone()
        outdated._log(lambda change: change.env._(
            "The line was changed meanwhile or ends before, so its price stays: %(change)s", change=change._get_text()))
        outdated.state = 'cancel'
        (late | outdated).indexation_line_id._update_states()
        return current - late

    def _is_outdated(self):
        """Return whether a change doesn't fit its line any more: ended by its day, fixed, or changed by somebody.

        :rtype: bool
        """
        self.ensure_one()
        line = self.order_line_id
        digits = self.env['decimal.precision'].precision_get('Product Price')
        return bool(
            line.order_id.subscription_state in ENDED_STATES
            or not line.is_recurring or line.end_date or line._is_price_change_void(self.effective_date)
            or (line.is_price_fixed and self.indexation_line_id)
            or float_compare(line.price_unit, self.old_price_unit, precision_digits=digits)
            or float_compare(line.discount, self.old_discount, precision_digits=6)
        )

    def _postpone(self, day=None):
        """Let changes take effect at the next period which isn't in the ledger yet.

        :param datetime.date day: not before this day
        :return: those whose line ends before
        :rtype: subscription.price.change
        """
        ending = self.browse()
        for change in self:
            line = change.order_line_id
            effective_date = line._get_price_change_day(max(day or change.effective_date, change.effective_date))
            if not effective_date:
                ending |= change
            elif effective_date != change.effective_date:
                change.write({
                    'effective_date': effective_date, 'apply_date': line._get_price_apply_day(effective_date)})
        return ending

    def _cancel(self):
        """Call changes off before they are applied."""
        pending = self.filtered(lambda change: change.state in PENDING_STATES)
        pending.state = 'cancel'
        pending._log(lambda change: change.env._("Called off: %(change)s", change=change._get_text()))

    def _log(self, get_sentence):
        """Say in the chatter of each subscription what became of changes.

        :param get_sentence: returns the sentence of a change
        """
        bodies = {}
        for order, changes in self.grouped('order_id').items():
            sentences = [get_sentence(change) for change in changes]
            if indexation := changes.indexation_line_id.indexation_id[:1]:
                bodies[order.id] = self.env._(
                    "Indexation %(name)s. %(changes)s.", name=indexation.name, changes='; '.join(sentences))
            else:
                bodies[order.id] = self.env._("Prices. %(changes)s.", changes='; '.join(sentences))
        if bodies:
            self.order_id._message_log_batch(bodies=bodies)
