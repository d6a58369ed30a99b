from typing import NamedTuple

from odoo import fields, models
from odoo.fields import Command
from odoo.tools import float_compare

from .subscription_change_mixin import SWAP_FIELDS

# What an amendment line can wish to be different. Floats are compared with these digits at the most.
TERM_FIELDS = ('product_id', 'product_uom_id', 'plan_id', 'product_uom_qty', 'price_unit', 'discount', 'tax_ids')
MONEY_FIELDS = frozenset({'product_uom_qty', 'price_unit', 'discount', 'tax_ids'})
PRECISION_DIGITS = 6


class LineChange(NamedTuple):
    """What confirming an amendment does because of one of its lines."""

    # change: in place · remove: the line ends · swap: it ends and a new one starts · add: a recurring line starts ·
    # once: something is sold once
    kind: str
    line: models.BaseModel
    # The line of the contract, empty for what is new.
    parent: models.BaseModel

    def is_start(self):
        """Return whether a recurring line begins to be served: a new one, or one which had no quantity."""
        return self.kind in ('add', 'swap') or (
            self.kind == 'change' and self.line.product_uom_qty and not self.parent.product_uom_qty)


class SubscriptionLineAmendmentMixin(models.AbstractModel):
    """A line of an amendment: the line of the contract which it is about, what it saw there, what it wishes."""

    _name = 'subscription.line.amendment.mixin'
    _description = "Subscription Line Amendment"

    parent_line_id = fields.Many2one(
        comodel_name='sale.order.line', string="Changes", copy=False, readonly=True, index='btree_not_null',
        ondelete='restrict',
        help="On an amendment: the line of the subscription which this line is about. On a subscription: the line"
            " which this line took over from.",
    )
    successor_ids = fields.One2many(comodel_name='sale.order.line', inverse_name='parent_line_id', copy=False)
    # Twin of the terms, as they were on the subscription when the amendment last looked.
    base_terms = fields.Json(copy=False, readonly=True)
    base_quantity = fields.Float(
        string="Quantity Before", digits='Product Unit', compute='_compute_base_quantity',
        help="The quantity on the subscription: today, or when the change was made if it took effect already.")

    # === COMPUTE METHODS === #

    def _compute_base_quantity(self):
        for line in self:
            line.base_quantity = (line.base_terms or {}).get('product_uom_qty', 0.0)
            if line.base_terms and not line.order_id.applied_date:
                parent = line.sudo()._get_amended_line()  # whoever may see the subscription
                line.base_quantity = 0.0 if parent.end_date else parent.product_uom_qty

    # === BUSINESS METHODS - TERMS === #

    def _get_raw_terms(self, names=TERM_FIELDS):
        """Return the terms of a line as they can be kept and compared.

        :param names: which terms
        :rtype: dict
        """
        self.ensure_one()
        terms = {}
        for name in names:
            field = self._fields[name]
            if field.type == 'many2many':
                terms[name] = sorted(self[name]._origin.ids)
            elif field.type == 'many2one':
                terms[name] = self[name]._origin.id
            else:
                terms[name] = self[name]
        return terms

    def _get_changed_terms(self, before, names=TERM_FIELDS):
        """Return which terms of the line differ from others.

        :param dict before: see `_get_raw_terms`
        :param names: which terms to look at
        :rtype: set[str]
        """
        self.ensure_one()
        return {
            name for name, value in self._get_raw_terms(names).items() if not self._is_same_term(value, before[name])}

    def _is_same_term(self, value, other):
        """Return whether two raw terms are the same.

        :rtype: bool
        """
        if isinstance(value, float):
            return float_compare(value, other, precision_digits=PRECISION_DIGITS) == 0
        return value == other

    def _keeps_terms_of_contract(self, names=SWAP_FIELDS):
        """Return whether a line of an amendment still is what it is on the contract, so that its price, discount and
        taxes are the contract's.

        :param frozenset names: what would make it another line
        :rtype: bool
        """
        self.ensure_one()
        base = self._origin.base_terms or self.base_terms
        return bool(base) and not self._get_changed_terms(base, names)

    def _has_price_of_contract(self):
        """Return whether a line of an amendment became another one and has the contract's price still.

        :rtype: bool
        """
        self.ensure_one()
        base = self._origin.base_terms or self.base_terms
        return bool(base) and self._is_same_term(self.price_unit, base['price_unit'])

    def _get_amended_line(self):
        """Return the line of the contract which a line of an amendment is about: that which took over from the one
        it was made for, if there is one.

        :rtype: sale.order.line
        """
        self.ensure_one()
        parent = self.parent_line_id
        while successor := parent.successor_ids.filtered(lambda line, parent=parent: line.order_id == parent.order_id):
            parent = successor[:1]
        return parent

    # === BUSINESS METHODS - AMENDMENT === #

    def _prepare_amendment_line(self):
        """Prepare the line of an amendment which is about this line of a contract.

        :rtype: dict
        """
        self.ensure_one()
        return {**self.copy_data()[0], 'parent_line_id': self.id, 'base_terms': self._get_raw_terms()}

    def _prepare_contract_line(self, **optional_values):
        """Prepare the line of the contract which a line of an amendment adds.

        :param optional_values: values which differ
        :rtype: dict
        """
        self.ensure_one()
        return {**self.copy_data()[0], 'order_id': self.order_id.subscription_id.id, **optional_values}

    def _get_line_changes(self):
        """Return what confirming the amendment does because of these lines, in their order.

        :rtype: list[LineChange]
        """
        changes = []
        for line in self.filtered(lambda line: not line.display_type and not line.is_downpayment):
            changes += line._get_changes_of_line()
        return changes

    def _get_changes_of_line(self):
        """Return what confirming the amendment does because of this line.

        :rtype: list[LineChange]
        """
        self.ensure_one()
        parent = self._get_amended_line()
        if parent.end_date:
            kinds = []
        elif not parent:
            kinds = [('add' if self.is_recurring else 'once')] if self.product_uom_qty else []
        elif not (changed := self._get_changed_terms(parent._get_raw_terms())):
            kinds = ['change'] if self._has_other_words(parent) else []
        elif not self.product_uom_qty:
            kinds = ['remove']
        elif not self.is_recurring:
            kinds = ['remove', 'once']
        else:
            kinds = ['swap'] if SWAP_FIELDS & changed else ['change']
        return [
            LineChange(kind, self, parent if kind not in ('add', 'once') else parent.browse()) for kind in kinds]

    def _has_other_words(self, parent):
        """Return whether description or analytic distribution differ from those of the contract.

        :param sale.order.line parent: the line of the contract
        :rtype: bool
        """
        self.ensure_one()
        return self.name != parent.name or (self.analytic_distribution or {}) != (parent.analytic_distribution or {})

    def _get_price_terms(self):
        """Return quantity, unit price and discount.

        :rtype: dict
        """
        self.ensure_one()
        return {'quantity': self.product_uom_qty, 'price_unit': self.price_unit, 'discount': self.discount}

    def _is_other_money(self, parent):
        """Return whether the line costs something else than that of the contract.

        :param sale.order.line parent: the line of the contract
        :rtype: bool
        """
        self.ensure_one()
        return bool(MONEY_FIELDS & self._get_changed_terms(parent._get_raw_terms()))

    def _write_to_contract(self, parent):
        """Write what differs to the line of the contract, in place.

        :param sale.order.line parent: the line of the contract
        """
        self.ensure_one()
        changed = self._get_changed_terms(parent._get_raw_terms())
        values = {name: self[name] for name in changed - {'tax_ids'}}
        if 'price_unit' in changed:
            values['technical_price_unit'] = self.technical_price_unit
        if 'tax_ids' in changed:
            values['tax_ids'] = [Command.set(self.tax_ids.ids)]
        if self._has_other_words(parent):
            values |= {'name': self.name, 'analytic_distribution': self.analytic_distribution}
        parent.write(values)

    def _get_monthly_value(self):
        """Return what a line of an amendment is worth in a month, as its MRR would be on the contract.

        :rtype: float
        """
        self.ensure_one()
        if not self.is_recurring or not self.plan_id:
            return 0.0
        return self.currency_id.round(self.plan_id._get_monthly_amount(self.price_subtotal, self.company_id))

    # === BUSINESS METHODS - REBASE === #

    def _rebase(self):
        """Let lines of amendments follow what changed on the contract since they looked: quantities as a difference,
        everything else as a value.

        A line with a conflict is left alone.
        """
        rebased = self.browse()
        for line in self.filtered('base_terms'):
            parent = line._get_amended_line()
            current = parent._get_raw_terms()
            if parent.end_date or not parent._get_changed_terms(line.base_terms) or line._get_conflict():
                continue
            values = {
                name: value for name, value in line._get_rebased_terms(current).items()
                if not line._is_same_term(value, line._get_raw_terms()[name])
            }
            if 'tax_ids' in values:
                values['tax_ids'] = [Command.set(values['tax_ids'])]
            # Without the host's own ideas about prices, and also where the amendment is confirmed and waits.
            line.with_context(sale_subscription_ext_changing=True).write(
                {**values, 'parent_line_id': parent.id, 'base_terms': current})
            rebased |= line
        for order in rebased.order_id:
            order._message_log(body=self.env._(
                "Brought up to date with what was changed on %(name)s.", name=order.subscription_id.name))

    def _get_rebased_terms(self, current):
        """Return the terms which the line wishes, seen from what is on the contract now.

        :param dict current: the terms of the contract's line
        :rtype: dict
        """
        self.ensure_one()
        terms = {}
        for name, wish in self._get_raw_terms().items():
            base = self.base_terms[name]
            if self._is_same_term(wish, base):
                terms[name] = current[name]
            elif name == 'product_uom_qty':
                terms[name] = current[name] + (wish - base if wish else -current[name])
            else:
                terms[name] = wish
        return terms

    def _get_conflict(self):
        """Return why the line can't be confirmed: something else was changed in the same place.

        :return: a sentence, or nothing
        :rtype: str
        """
        self.ensure_one()
        if not self.base_terms:
            return ''
        wished = self._get_changed_terms(self.base_terms)
        if not wished:
            return ''
        parent = self._get_amended_line()
        if parent.end_date:
            return self.env._(
                "%(product)s isn't served any more on %(order)s.",
                product=parent.product_id.display_name, order=parent.order_id.name)
        current, wish = parent._get_raw_terms(), self._get_raw_terms()
        if wish['product_uom_qty'] < 0 <= self.base_terms['product_uom_qty']:
            return self.env._(
                "The quantity of %(product)s can't be negative. Set 0 to remove it.",
                product=parent.product_id.display_name)
        moved = parent._get_changed_terms(self.base_terms)
        is_removal = not wish['product_uom_qty']
        clashes = {
            name for name in wished & moved
            if not self._is_same_term(wish[name], current[name]) and (name != 'product_uom_qty' or is_removal)
        }
        rebased = self._get_rebased_terms(current)
        if not is_removal and rebased['product_uom_qty'] < 0:
            clashes.add('product_uom_qty')
        if not clashes:
            return ''
        return self.env._(
            "%(product)s was changed in the meantime too: %(fields)s. It was %(before)s, is %(now)s now, and this"
            " change asks for %(wish)s.",
            product=parent.product_id.display_name,
            fields=', '.join(self._fields[name]._description_string(self.env) for name in sorted(clashes)),
            **{key: self._format_terms(terms['product_uom_qty'], terms['price_unit'], terms['discount'])
               for key, terms in (('before', self.base_terms), ('now', current), ('wish', rebased))},
        )

    # === BUSINESS METHODS - MRR === #

    def _prepare_mrr_movement(self, event_type, event_date, change, company_change):
        """Override to give the movements of an amendment its salesperson, and to remember why something is removed.

        The context key `sale_subscription_ext_amendment_id` holds the amendment which causes them.
        """
        values = super()._prepare_mrr_movement(event_type, event_date, change, company_change)
        if amendment_id := self.env.context.get('sale_subscription_ext_amendment_id'):
            amendment = self.env['sale.order'].browse(amendment_id)
            values |= {'user_id': amendment.user_id.id, 'team_id': amendment.team_id.id}
            if change < 0:
                values['close_reason_id'] = amendment.close_reason_id.id
        return values
