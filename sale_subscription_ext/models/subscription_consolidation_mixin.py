from typing import NamedTuple

from odoo import api, models
from odoo.fields import Command, Domain
from odoo.tools import SQL

# Subscriptions which may share an invoice agree in these columns at least: one worker takes all of them.
GROUP_COLUMNS = ('company_id', 'partner_invoice_id', 'currency_id')


class PreparedInvoice(NamedTuple):
    """Values of an invoice which isn't created yet, and the subscriptions which it bills."""

    orders: models.BaseModel
    vals: dict


class SubscriptionConsolidationMixin(models.AbstractModel):
    """One invoice for all due subscriptions of an invoice address, where their plans ask for it.

    Subscriptions which may share an invoice are a group; its leader is the one with the lowest id which is due. Only
    leaders are selected for a batch, the others are locked after theirs: whoever doesn't hold the leader can't take
    a part of the group.
    """

    _name = 'subscription.consolidation.mixin'
    _description = "Consolidated Invoices"

    # === BUSINESS METHODS - GROUPS === #

    @api.model
    def _get_consolidating_plans(self):
        """Return the plans whose subscriptions share invoices, archived ones too.

        :rtype: subscription.plan
        """
        return self.env['subscription.plan'].sudo().with_context(active_test=False).search(
            [('consolidate', '=', True)])

    def _group_by_invoice(self):
        """Return these subscriptions in groups which may share an invoice; others are groups of one.

        :rtype: list[sale.order]
        """
        return list(self.grouped(
            lambda order: order._get_group_key() if order.plan_id.consolidate else order.id).values())

    def _get_group_key(self):
        """Return what the subscriptions of a group have in common.

        :rtype: tuple
        """
        self.ensure_one()
        return tuple(self[name].id for name in GROUP_COLUMNS)

    @api.model
    def _lock_groups(self, due_domain, domain, limit):
        """Select and lock subscriptions, those which may share an invoice together or not at all.

        :param Domain due_domain: all subscriptions which are due
        :param Domain domain: those of them which are left to do
        :param int limit: how many at the most; a group which is larger comes alone
        :return: ids of the subscriptions of each group, its leader first
        :rtype: list[list[int]]
        """
        plans = self._get_consolidating_plans()
        if not plans:
            return self._lock_singles(domain, limit)
        leaders = self._lock_batch(domain & self._get_leader_domain(due_domain, plans), limit)
        followers = self._lock_followers(due_domain, leaders, plans).grouped(lambda order: order._get_group_key())
        result, size = [], 0
        for leader in leaders:
            group = leader.ids
            if leader.plan_id in plans and leader._get_group_key() in followers:
                group += followers[leader._get_group_key()].ids
            size += len(group)
            if result and size > limit:
                break  # they come with the next batch
            result.append(group)
        return result

    @api.model
    def _get_leader_domain(self, due_domain, plans):
        """Return the domain of subscriptions which lead their group: no other which is due has a lower id.

        :param Domain due_domain: all subscriptions which are due
        :param plans: the plans whose subscriptions share invoices
        :rtype: Domain
        """
        peers = self._search(due_domain & Domain('plan_id', 'in', plans.ids))
        columns = [SQL.identifier(peers.table, name) for name in ('id', *GROUP_COLUMNS)]

        def to_sql(model, alias, query):
            return SQL(
                "NOT EXISTS (SELECT 1 FROM (%s) AS peer WHERE peer.id < %s AND %s IN %s AND %s)",
                peers.select(*columns),
                model._field_to_sql(alias, 'id', query),
                model._field_to_sql(alias, 'plan_id', query),
                tuple(plans.ids),
                SQL(" AND ").join(
                    SQL("%s = %s", SQL.identifier('peer', name), model._field_to_sql(alias, name, query))
                    for name in GROUP_COLUMNS
                ),
            )

        return Domain.custom(to_sql=to_sql)

    @api.model
    def _lock_followers(self, due_domain, leaders, plans):
        """Lock the subscriptions which may share the invoices of locked leaders.

        :param Domain due_domain: all subscriptions which are due
        :param leaders: locked subscriptions
        :param plans: the plans whose subscriptions share invoices
        :rtype: sale.order
        """
        keys = tuple(leader._get_group_key() for leader in leaders if leader.plan_id in plans)
        if not keys:
            return self.browse()
        in_groups = Domain.custom(to_sql=lambda model, alias, query: SQL(
            "(%s) IN %s",
            SQL(", ").join(model._field_to_sql(alias, name, query) for name in GROUP_COLUMNS),
            keys,
        ))
        return self._lock_batch(
            due_domain & Domain('plan_id', 'in', plans.ids) & Domain('id', 'not in', leaders.ids) & in_groups, None)

    # === BUSINESS METHODS - INVOICES === #

    def _prepare_consolidated_invoices(self, rows_by_order, date=None, post=True):
        """Prepare the invoices of ledger rows; subscriptions whose plans ask for it share them.

        :param dict rows_by_order: see `_open_ledger_rows`
        :param datetime.date date: the date of the invoices, each company's today if not given
        :param bool post: whether the invoices get a date; drafts made by hand have none
        :rtype: list[PreparedInvoice]
        """
        prepared = []
        for order in self:
            invoice_date = (date or order._subscription_today()) if post else None
            prepared += [
                PreparedInvoice(order, vals)
                for vals in order._prepare_subscription_invoices(rows_by_order.get(order, {}), invoice_date)
            ]
        groups = {}
        for invoice in prepared:
            key = invoice.orders._get_consolidation_key(invoice.vals) if self._may_consolidate(invoice) else object()
            groups.setdefault(key, []).append(invoice)
        return [self._merge_invoices(invoices) for invoices in groups.values()]

    @api.model
    def _may_consolidate(self, invoice):
        """Return whether a prepared invoice may be merged with others.

        The context key `sale_subscription_ext_one_invoice_per_order` keeps subscriptions apart for who asks the
        host for an invoice per order.

        :param PreparedInvoice invoice: of one subscription
        :rtype: bool
        """
        return invoice.orders.plan_id.consolidate and not self.env.context.get(
            'sale_subscription_ext_one_invoice_per_order')

    @api.model
    def _merge_invoices(self, invoices):
        """Merge prepared invoices of the same key, as the host merges those of several orders.

        The lines stay together by subscription, under a section with its name, the oldest period first. What the
        invoices don't agree in is that of the first, but references and origins, which are listed.

        :param list invoices: prepared invoices
        :rtype: PreparedInvoice
        """
        if len(invoices) == 1:
            return invoices[0]
        orders = self.browse().union(*(invoice.orders for invoice in invoices))
        vals_list = [invoice.vals for invoice in invoices]
        commands = []
        for order in orders:
            own = [command for invoice in invoices if invoice.orders == order
                   for command in invoice.vals['invoice_line_ids']]
            commands += order._prepare_consolidated_lines(own) if len(orders) > 1 else own
        Line = self.env['sale.order.line']
        for sequence, (_command, _id, line) in enumerate(commands, start=1):
            line['sequence'] = Line._get_invoice_line_sequence(new=sequence, old=line['sequence'])
        payment_references = {vals['payment_reference'] for vals in vals_list}
        return PreparedInvoice(orders, {
            **vals_list[0],
            'ref': self._join_distinct(vals['ref'] for vals in vals_list)[:2000],
            'invoice_origin': self._join_distinct(vals['invoice_origin'] for vals in vals_list),
            'payment_reference': payment_references.pop() if len(payment_references) == 1 else False,
            'transaction_ids': [Command.set({
                transaction_id for vals in vals_list for command in vals['transaction_ids']
                for transaction_id in command[2]
            })],
            'invoice_line_ids': commands,
        })

    def _prepare_consolidated_lines(self, commands):
        """Put the lines of this subscription under a section with its name.

        :param list commands: commands for `invoice_line_ids`
        :rtype: list
        """
        self.ensure_one()
        for _command, _id, line in commands:
            if line.get('display_type') == 'line_section':
                line['display_type'] = 'line_subsection'
        order = self.with_context(lang=self.partner_invoice_id.lang or self.env.lang)
        return [Command.create(order._prepare_consolidation_section_line(sequence=0)), *commands]

    @api.model
    def _join_distinct(self, texts):
        """Return texts one after the other, each once.

        :param texts: any iterable
        :rtype: str
        """
        return ', '.join(dict.fromkeys(text for text in texts if text))

    # === HOOKS === #

    def _get_consolidation_key(self, vals):
        """Return what the invoices which are merged have in common.

        Addons which keep more invoices apart add to it, and must call super.

        :param dict vals: prepared values of an invoice of this subscription
        :rtype: tuple
        """
        self.ensure_one()
        names = (*self._get_invoice_grouping_keys(), 'journal_id', 'invoice_payment_term_id', 'invoice_date')
        return (*(vals.get(name) or False for name in names), self.collection_mode, self.payment_token_id)

    def _prepare_consolidation_section_line(self, **optional_values):
        """Prepare the section under which the lines of this subscription stand on an invoice of several.

        :param dict optional_values: whatever should be added to the invoice line
        :rtype: dict
        """
        self.ensure_one()
        name = self.env._("Subscription %(name)s", name=self.name)
        if self.client_order_ref:
            name = self.env._(
                "Subscription %(name)s, your reference %(reference)s",
                name=self.name, reference=self.client_order_ref)
        return {'display_type': 'line_section', 'name': name, **optional_values}
