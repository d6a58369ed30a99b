from markupsafe import Markup

from odoo import models
from odoo.tools import format_date

# What is told of a line, in this order.
TOLD_FIELDS = ('product_uom_qty', 'product_uom_id', 'plan_id', 'price_unit', 'discount', 'tax_ids')


class SubscriptionAmendmentStoryMixin(models.AbstractModel):
    """What the chatters tell of an amendment: what it changes, since when, how it was billed."""

    _name = 'subscription.amendment.story.mixin'
    _description = "Story of Subscription Amendments"

    # === BUSINESS METHODS === #

    def _get_change_texts(self, changes):
        """Return in plain sentences what an amendment changes; to be asked before it is applied.

        :param list[LineChange] changes: see `_get_line_changes`
        :rtype: list[str]
        """
        self.ensure_one()
        contract = self.subscription_id
        texts = []
        if self.plan_id != contract.plan_id:
            texts.append(self.env._(
                "Recurring plan: %(before)s → %(after)s.", before=contract.plan_id.name, after=self.plan_id.name))
        return texts + [text for change in changes if (text := change.line._get_change_text(change))]

    def _format_story(self, headline, texts):
        """Return a sentence and what follows from it as they are written to a chatter.

        :param str headline: a sentence
        :param list[str] texts: more of them
        :rtype: Markup
        """
        items = Markup('').join(Markup('<li>%s</li>') % text for text in texts)
        return Markup('<p class="mb-0">%s</p>') % headline + (Markup('<ul>%s</ul>') % items if items else '')

    def _log_scheduled(self):
        """Tell in the chatters of amendment and contract what will change, and when."""
        self.ensure_one()
        day = format_date(self.env, self.effective_date)
        self._message_log(body=self.env._("The change takes effect on %(date)s.", date=day))
        amendment = self.sudo()  # who confirms may be the customer, who sees the amendment only
        amendment.subscription_id._message_log(body=self._format_story(
            self.env._("Change %(name)s was confirmed and takes effect on %(date)s.", name=self.name, date=day),
            amendment._get_change_texts(amendment.order_line._get_line_changes())))

    def _log_applied(self, texts, movements, moves):
        """Tell in the chatters of amendment and contract what was changed.

        :param list[str] texts: see `_get_change_texts`
        :param subscription.event movements: what it moves
        :param account.move moves: the invoice or credit note
        """
        self.ensure_one()
        mrr = sum(movements.mapped('mrr_change_order'))
        headline = self.env._(
            "%(name)s takes effect on %(date)s. MRR: %(change)s.",
            name=self.name, date=format_date(self.env, self.effective_date),
            change=f"{'+' if mrr > 0 else ''}{self.currency_id.format(mrr)}",
        )
        credit_notes = moves.filtered(lambda move: move.move_type == 'out_refund')
        if invoices := moves - credit_notes:
            headline += ' ' + self.env._(
                "Billed by %(invoices)s.", invoices=', '.join(invoices.mapped('display_name')))
        if credit_notes:
            headline += ' ' + self.env._(
                "Credited by %(credit_notes)s.", credit_notes=', '.join(credit_notes.mapped('display_name')))
        orders = self | self.subscription_id
        orders._message_log_batch(bodies=dict.fromkeys(orders.ids, self._format_story(headline, texts)))


class SubscriptionLineAmendmentStoryMixin(models.AbstractModel):
    """What the chatters tell of a line of an amendment."""

    _name = 'subscription.line.amendment.story.mixin'
    _description = "Story of Subscription Amendment Lines"

    # === BUSINESS METHODS === #

    def _get_change_text(self, change):
        """Return in a sentence what is done because of this line.

        :param LineChange change: one of those of this line
        :return: nothing where the switch of the order's plan says all
        :rtype: str
        """
        self.ensure_one()
        product, parent = self.product_id.display_name, change.parent
        if change.kind == 'once':
            return self.env._("%(product)s is sold once: %(terms)s.", product=product, terms=self._get_terms_text())
        if change.kind == 'remove':
            product, terms = parent.product_id.display_name, parent._get_terms_text()
            if reason := self.order_id.close_reason_id:
                return self.env._(
                    "%(product)s is removed, until then %(terms)s. Reason: %(reason)s.",
                    product=product, terms=terms, reason=reason.name)
            return self.env._("%(product)s is removed, until then %(terms)s.", product=product, terms=terms)
        if not parent.product_uom_qty:
            return self.env._("%(product)s is added: %(terms)s.", product=product, terms=self._get_terms_text())
        details = ', '.join(self._get_detail_texts(parent))
        if self.product_id != parent.product_id:
            before = parent.product_id.display_name
            if not details:
                return self.env._("%(before)s → %(after)s.", before=before, after=product)
            return self.env._("%(before)s → %(after)s: %(details)s.", before=before, after=product, details=details)
        return details and self.env._("%(product)s: %(details)s.", product=product, details=details)

    def _get_detail_texts(self, parent):
        """Return what differs from the line of the contract, beside the product.

        :param sale.order.line parent: the line of the contract
        :rtype: list[str]
        """
        self.ensure_one()
        changed = self._get_changed_terms(parent._get_raw_terms())
        if self._follows_plan_switch(parent):
            changed.discard('plan_id')
        texts = [
            self.env._(
                "%(field)s %(before)s → %(after)s", field=self._fields[name]._description_string(self.env),
                before=parent._format_term(name), after=self._format_term(name))
            for name in TOLD_FIELDS if name in changed
        ]
        if self.product_id == parent.product_id and self.name != parent.name:
            texts.append(self.env._("another description"))
        if (self.analytic_distribution or {}) != (parent.analytic_distribution or {}):
            texts.append(self.env._("another analytic distribution"))
        return texts

    def _follows_plan_switch(self, parent):
        """Return whether the plan of a line changes together with that of its order.

        :param sale.order.line parent: the line of the contract
        :rtype: bool
        """
        self.ensure_one()
        return parent.plan_id == parent.order_id.plan_id and self.plan_id == self.order_id.plan_id

    def _format_term(self, name):
        """Return what a line is or costs in one respect, in words.

        :param str name: one of `TOLD_FIELDS`
        :rtype: str
        """
        self.ensure_one()
        if self._fields[name].relational:
            return ', '.join(self[name].mapped('display_name')) or self.env._("none")
        return self._format_price(self.price_unit) if name == 'price_unit' else self._format_number(self[name])

    def _get_terms_text(self):
        """Return what a line costs, and how often where it recurs.

        :rtype: str
        """
        self.ensure_one()
        terms = self._format_terms(self.product_uom_qty, self.price_unit, self.discount)
        if not self.is_recurring or not self.plan_id:
            return terms
        return self.env._("%(terms)s every %(period)s", terms=terms, period=self.plan_id.billing_period_display)
