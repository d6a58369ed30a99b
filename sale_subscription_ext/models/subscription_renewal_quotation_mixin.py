from odoo import fields, models
from odoo.fields import Command

from .subscription_amendment_line_mixin import TERM_FIELDS


class SubscriptionLineRenewalQuotationMixin(models.AbstractModel):
    """A line of a renewal follows the line of the contract which it goes on with."""

    _name = 'subscription.line.renewal.quotation.mixin'
    _description = "Line of a Subscription Renewal Quotation"

    def _prepare_renewal_line(self, renewal):
        """Prepare the line of a renewal which goes on with this line of a contract.

        :param sale.order renewal: the renewal, maybe in another currency
        :rtype: dict
        """
        self.ensure_one()
        price, automatic_price = (
            self.currency_id._convert(
                amount, renewal.currency_id, renewal.company_id, renewal._subscription_today(), round=False)
            for amount in (self.price_unit, self.technical_price_unit))
        return {
            **self.copy_data()[0], 'order_id': renewal.id, 'renewed_line_id': self.id,
            'price_unit': price, 'technical_price_unit': automatic_price,
        }

    def _follow_terms(self, wished, before, current):
        """Take over what changed on the contract, except where the renewal agrees on something else.

        :param dict wished: the terms of this line of a renewal, see `_get_raw_terms`
        :param dict before: the terms of the contract's line when the renewal last looked
        :param dict current: its terms now
        """
        self.ensure_one()
        terms = {
            name: current[name] if self._is_same_term(wish, before[name]) else wish for name, wish in wished.items()}
        # Another plan of the order may have priced the line again.
        values = {name: terms[name] for name in self._get_changed_terms(terms, wished)}
        if 'tax_ids' in values:
            values['tax_ids'] = [Command.set(values['tax_ids'])]
        if values:
            # With price and discount, which the host determines again for another quantity.
            self.write({**{name: terms.get(name, self[name]) for name in ('price_unit', 'discount')}, **values})


class SubscriptionRenewalQuotationMixin(models.AbstractModel):
    """What renewals are made of: what the customer has. Until they take over they follow what is changed on their
    contract, where they don't agree on something else.
    """

    _name = 'subscription.renewal.quotation.mixin'
    _description = "Subscription Renewal Quotation"

    # The plan, and the terms of each recurring line, as they were on the contract when the renewal last looked.
    renewed_terms = fields.Json(copy=False, readonly=True)

    # === BUSINESS METHODS - QUOTATION === #

    def _get_renewal_quotation(self):
        """Return the renewal quotation of the subscription which isn't confirmed yet.

        :rtype: sale.order
        """
        quotations = self.renewal_ids.filtered(lambda order: order.state in ('draft', 'sent'))
        return quotations.filtered(lambda order: order.subscription_state == 'renewal')[:1]

    def _create_renewal(self, **values):
        """Make the quotation of a renewal: what is served now, at the same prices.

        :param values: other values of the quotation
        :return: the quotation
        :rtype: sale.order
        """
        self.ensure_one()
        source = self.with_context(sale_subscription_ext_renewing=True, sale_subscription_ext_no_setup=True)
        lines = source._get_copiable_order_lines()
        renewal = source.copy({
            'subscription_id': self.id,
            'origin_order_id': (self.origin_order_id or self).id,
            'collection_mode': self.collection_mode,
            'payment_token_id': self.payment_token_id.id,
            **values,
        }).with_env(self.env)
        for line, copied in zip(lines.sorted(), renewal.order_line.sorted(), strict=True):
            copied.renewed_line_id = line
        renewal.sudo().renewed_terms = self._get_terms_to_renew()  # only the engine writes it
        renewal.message_post_with_source(
            'mail.message_origin_link', render_values={'self': renewal, 'origin': self}, subtype_xmlid='mail.mt_note')
        self._message_log(body=self.env._("A renewal is prepared: %(name)s.", name=renewal.name))
        return renewal

    def _is_renewable_line(self, line):
        """Return whether a line of this contract goes on its renewal: what recurs, with its sections and notes.

        :param sale.order.line line: a line of this order
        :rtype: bool
        """
        self.ensure_one()
        if line.display_type in ('line_section', 'line_subsection'):
            return bool(line._get_section_lines().filtered('is_recurring'))
        return bool(line.display_type) or line.is_recurring

    # === BUSINESS METHODS - CHANGES OF THE CONTRACT === #

    def _get_terms_to_renew(self):
        """Return what a renewal of this contract goes on with.

        :return: {'plan_id': id of the plan, 'lines': {id of a line, as text: see `_get_raw_terms`}}
        :rtype: dict
        """
        self.ensure_one()
        lines = self.order_line.filtered(lambda line: line.is_recurring and not line.end_date)
        return {'plan_id': self.plan_id.id, 'lines': {str(line.id): line._get_raw_terms() for line in lines}}

    def _update_open_quotations(self):
        """Let what is agreed on contracts but doesn't serve them yet follow a change: amendments and renewals."""
        self._get_open_amendments().order_line._rebase()
        for contract in self.sudo():  # who changes the contract may not see its renewals
            renewals = contract.renewal_ids.filtered(lambda order: (
                order.subscription_state == 'renewal' and order.state != 'cancel' and order.renewed_terms))
            if not renewals:
                continue
            terms = contract._get_terms_to_renew()
            for renewal in renewals.filtered(lambda order, terms=terms: order.renewed_terms != terms):
                renewal._follow_contract(terms)

    def _follow_contract(self, terms):
        """Let a renewal follow its contract: products which joined and left, plan, quantities, prices, discounts and
        taxes, each only where the renewal doesn't agree on something else.

        :param dict terms: of the contract, see `_get_terms_to_renew`
        """
        self.ensure_one()
        contract = self.subscription_id
        renewal = self.with_context(
            sale_subscription_ext_changing=True, sale_subscription_ext_no_setup=True, sale_no_log_for_new_lines=True)
        before, current = self.renewed_terms['lines'], terms['lines']
        # An amount in another currency isn't that of the contract.
        names = [name for name in TERM_FIELDS if name != 'price_unit' or renewal.currency_id == contract.currency_id]
        wishes = {
            line: line._get_raw_terms(names) for line in renewal.order_line
            if line.renewed_line_id and not line.display_type
        }
        if renewal.plan_id.id == self.renewed_terms['plan_id'] != terms['plan_id']:
            renewal.plan_id = contract.plan_id
        left = renewal.order_line.browse()
        for line, wished in wishes.items():
            key = str(line.renewed_line_id.id)
            if key not in current:
                left |= line
            elif key in before:
                line._follow_terms(wished, before[key], current[key])
        if renewal.state == 'sale':
            left.product_uom_qty = 0.0  # what is confirmed keeps its lines
        else:
            left.unlink()
        joined = contract.order_line.filtered(lambda line: str(line.id) in current.keys() - before.keys())
        renewal.order_line.create([line._prepare_renewal_line(renewal) for line in joined])
        self.renewed_terms = terms
        self._message_log(body=self.env._(
            "Brought up to date with what was changed on %(name)s.", name=contract.name))
