from markupsafe import Markup

from odoo import api, fields, models
from odoo.fields import Command

# Lines which show something and book nothing.
TEXT_LINES = ('line_section', 'line_subsection', 'line_note')

# What `_complete_invoice` does in place of the host, and what it calls there: model -> methods.
REPLACED_METHODS = {
    'account.move': (
        '_get_sync_stack', '_sync_dynamic_line', '_sync_dynamic_line_needed_values', '_sync_dynamic_lines',
        '_sync_invoice', '_sync_tax_lines', '_compute_needed_terms', '_get_rounded_base_and_tax_lines',
        '_prepare_product_base_line_for_taxes_computation', '_get_product_base_line_currency_rate',
        '_compute_invoice_currency_rate', '_get_discount_allocation_account',
    ),
    'account.move.line': (
        '_sync_invoice', '_compute_account_id', '_compute_totals', '_compute_tax_ids', '_compute_currency_rate',
        '_compute_analytic_distribution', '_related_analytic_distribution', '_compute_is_refund',
        '_compute_partner_id', '_compute_currency_id',
    ),
    'account.tax': ('_prepare_base_line_for_taxes_computation', '_prepare_base_line_grouping_key'),
}

# Modules whose versions of these methods are known: what they ask for is done here too.
KNOWN_MODULES = frozenset({'analytic', 'account', 'sale', 'sale_subscription_ext'})

# Journal items which are completed, with the sequence the host gives them.
BATCH_LINES = {'product': 100, 'tax': 10000, 'payment_term': 12000}
NO_PRICE = {'price_subtotal': 0.0, 'price_total': 0.0}

# How a message comes to the chatter of an invoice.
CHATTER_METHODS = (
    'message_post', '_message_post_after_hook', '_message_create', '_notify_thread', '_creation_subtype',
    '_creation_message', 'message_post_with_source',
)
CHATTER_MODULES = frozenset({'mail', 'account', 'rating', 'sms', 'sale_subscription_ext'})


class SubscriptionMoveBatchMixin(models.AbstractModel):
    """Invoices which are created with all their journal items at once.

    The host creates the product lines of an invoice first, then finds tax and receivable lines by comparing before and
    after, and writes amounts line by line. Here the same helpers of the host compute all of it beforehand. What they
    don't cover, and databases in which another addon has its own version of what is replaced, go the host's way.
    """

    _name = 'subscription.move.batch.mixin'
    _description = "Invoices Created Set-wise"

    # === BUSINESS METHODS === #

    @api.model
    def _is_set_wise(self):
        """Return whether a billing run is at work.

        :rtype: bool
        """
        return bool(self.env.context.get('sale_subscription_ext_set_wise'))

    @api.model
    def _is_sync_replaceable(self):
        """Return whether no addon has its own version of what is replaced here.

        :rtype: bool
        """
        return all(
            self._is_unchanged(model_name, names, KNOWN_MODULES) for model_name, names in REPLACED_METHODS.items())

    @api.model
    def _is_unchanged(self, model_name, names, modules):
        """Return whether only some modules have versions of methods.

        :param str model_name: the model
        :param names: names of its methods
        :param frozenset modules: names of modules
        :rtype: bool
        """
        return all(
            cls._module in modules
            for cls in self.env.registry[model_name].__mro__
            if getattr(cls, '_module', None) and not vars(cls).keys().isdisjoint(names)
        )

    @api.model
    def _complete_invoices(self, vals_list):
        """Add tax lines, receivable lines and all amounts to the values of new invoices.

        :param list[dict] vals_list: values with product lines in `invoice_line_ids`, as `_prepare_invoice` gives them
        :return: values with `line_ids`, None for each invoice which the host has to create
        :rtype: list[dict|None]
        """
        has_analytic_models = bool(self.env['account.analytic.distribution.model'].sudo().search_count([], limit=1))
        cache = {}
        return [
            None if has_analytic_models or not self._can_complete_invoice(vals)
            else self._complete_invoice(vals, cache)
            for vals in vals_list
        ]

    @api.model
    def _can_complete_invoice(self, vals):
        """Return whether everything which an invoice needs is computed here.

        :param dict vals: values of a new invoice
        :rtype: bool
        """
        company = self.env['res.company'].browse(vals.get('company_id'))
        term = self.env['account.payment.term'].browse(vals.get('invoice_payment_term_id'))
        needs_host = (
            not company
            or vals.get('move_type') != 'out_invoice'
            or not vals.get('invoice_date')
            or not (term or vals.get('invoice_date_due'))
            or not vals.get('partner_id') or not vals.get('currency_id')
            or vals.get('line_ids') or vals.get('invoice_cash_rounding_id') or vals.get('tax_totals')
            or company.account_discount_expense_allocation_id or company.account_storno
            or (term.early_discount and term.early_pay_discount_computation == 'mixed')
        )
        return not needs_host and all(
            command[0] == Command.CREATE and self._can_complete_line(command[2])
            for command in vals.get('invoice_line_ids', ())
        )

    @api.model
    def _can_complete_line(self, vals):
        """Return whether an invoice line is one whose amounts are computed here.

        :param dict vals: values of a new invoice line
        :rtype: bool
        """
        if vals.get('display_type') in TEXT_LINES:
            return True
        taxes = vals.get('tax_ids') or [()]
        return bool(
            vals.get('display_type') == 'product' and vals.get('product_id') and vals.get('product_uom_id')
            and len(taxes) == 1 and taxes[0][0:1] == (Command.SET,)
            and not vals.get('is_downpayment') and not vals.get('extra_tax_data')
            and {'price_unit', 'quantity'} <= vals.keys()
            and vals.keys().isdisjoint({'balance', 'amount_currency', 'debit', 'credit', 'deductible_amount'})
        )

    @api.model
    def _complete_invoice(self, vals, cache):
        """Add tax lines, receivable lines and all amounts to the values of one new invoice.

        :param dict vals: values of a new invoice
        :param dict cache: what was found for other invoices of the batch
        :rtype: dict
        """
        company = self.env['res.company'].browse(vals['company_id'])
        AccountTax = self.env['account.tax']
        line_vals_list = [dict(command[2]) for command in vals['invoice_line_ids']]
        base_lines = [
            self._prepare_full_base_line(vals, line_vals, cache)
            for line_vals in line_vals_list if line_vals['display_type'] == 'product'
        ]
        AccountTax._add_tax_details_in_base_lines(base_lines, company)
        AccountTax._round_base_lines_tax_details(base_lines, company)
        AccountTax._add_accounting_data_in_base_lines_tax_details(base_lines, company, include_caba_tags=False)
        results = AccountTax._prepare_tax_lines(base_lines, company)
        partner_id = self.env['res.partner'].browse(vals['partner_id']).commercial_partner_id.id
        for base_line, to_update in results['base_lines_to_update']:
            base_line['record'].update(
                to_update,
                partner_id=partner_id, currency_id=vals['currency_id'], account_id=base_line['account_id'].id,
                analytic_distribution=base_line['analytic_distribution'],
                price_subtotal=base_line['tax_details']['total_excluded_currency'],
                price_total=base_line['tax_details']['total_included_currency'],
            )
        tax_lines = [{**line, **NO_PRICE, 'display_type': 'tax'} for line in results['tax_lines_to_add']]
        term_lines = self._prepare_term_lines(
            vals, [line for _base_line, line in results['base_lines_to_update']], tax_lines)
        account = self._get_batch_receivable(vals, cache)
        for line in term_lines:
            line.update(
                NO_PRICE, partner_id=partner_id, currency_id=vals['currency_id'], display_type='payment_term',
                **({'account_id': account.id} if account else {}),
                **({} if vals.get('payment_reference') or len(term_lines) > 1 else {'name': False}),
            )
        completed = {key: value for key, value in vals.items() if key != 'invoice_line_ids'}
        completed.setdefault('journal_id', self._get_batch_journal(vals, cache).id)
        completed['line_ids'] = [Command.create(line) for line in (*line_vals_list, *tax_lines, *term_lines)]
        return completed

    @api.model
    def _prepare_full_base_line(self, vals, line_vals, cache):
        """Prepare a new product line for the host's tax computation, as it does for a stored one.

        :param dict vals: values of the invoice
        :param dict line_vals: values of the line; subtotal and total are computed from this very dict later on
        :param dict cache: see `_complete_invoice`
        :rtype: dict
        """
        product = self.env['product.product'].browse(line_vals['product_id'])
        return self.env['account.tax']._prepare_base_line_for_taxes_computation(
            line_vals,
            product_id=product,
            product_uom_id=self.env['uom.uom'].browse(line_vals['product_uom_id']),
            tax_ids=self.env['account.tax'].browse(line_vals['tax_ids'][0][2]),
            price_unit=line_vals['price_unit'],
            quantity=line_vals['quantity'],
            discount=line_vals.get('discount') or 0.0,
            currency_id=self.env['res.currency'].browse(vals['currency_id']),
            rate=self._get_batch_rate(vals, cache),
            sign=-1,
            special_mode=False,
            is_refund=False,
            partner_id=self.env['res.partner'].browse(vals['partner_id']).commercial_partner_id,
            account_id=self._get_batch_account(vals, line_vals, product, cache),
            analytic_distribution=self._get_batch_distribution(line_vals),
            name=line_vals['name'],
        )

    @api.model
    def _get_batch_rate(self, vals, cache):
        """Return the currency rate of a new invoice.

        :rtype: float
        """
        key = ('rate', vals['company_id'], vals['currency_id'], vals['invoice_date'])
        if key not in cache:
            company = self.env['res.company'].browse(vals['company_id'])
            cache[key] = self.env['res.currency']._get_conversion_rate(
                from_currency=company.currency_id,
                to_currency=self.env['res.currency'].browse(vals['currency_id']),
                company=company, date=vals['invoice_date'],
            )
        return cache[key]

    @api.model
    def _get_batch_journal(self, vals, cache):
        """Return the journal which the host chooses for a new invoice.

        :rtype: account.journal
        """
        key = ('journal', vals['company_id'], vals['currency_id'])
        if key not in cache:
            cache[key] = self.env['account.move'].new({
                name: vals[name] for name in ('move_type', 'company_id', 'currency_id')}).journal_id
        return cache[key]

    @api.model
    def _get_batch_account(self, vals, line_vals, product, cache):
        """Return the account of a new product line.

        :rtype: account.account
        """
        if line_vals.get('account_id'):
            return self.env['account.account'].browse(line_vals['account_id'])
        key = ('account', vals['company_id'], vals.get('fiscal_position_id'), product.id)
        if key not in cache:
            accounts = product.with_company(vals['company_id']).product_tmpl_id.get_product_accounts(
                fiscal_pos=self.env['account.fiscal.position'].browse(vals.get('fiscal_position_id')))
            cache[key] = accounts['income']
        return cache[key]

    @api.model
    def _get_batch_receivable(self, vals, cache):
        """Return the receivable account of a new invoice, where its customer has one.

        :rtype: account.account
        """
        partner = self.env['res.partner'].browse(vals['partner_id']).commercial_partner_id
        account = partner.with_company(vals['company_id']).property_account_receivable_id
        position = self.env['account.fiscal.position'].browse(vals.get('fiscal_position_id'))
        return position.map_account(account) if account and position else account

    @api.model
    def _get_batch_distribution(self, line_vals):
        """Return the analytic distribution of a new product line: its own, or that of its order line.

        :rtype: dict|bool
        """
        if 'analytic_distribution' in line_vals:
            return line_vals['analytic_distribution']
        for command in line_vals.get('sale_line_ids', ()):
            if command[0] == Command.LINK:
                return self.env['sale.order.line'].browse(command[1]).analytic_distribution
        return False

    @api.model
    def _prepare_term_lines(self, vals, product_lines, tax_lines):
        """Prepare the receivable lines of a new invoice by its payment term.

        :param dict vals: values of the invoice
        :param list[dict] product_lines: their `balance` and `amount_currency`
        :param list[dict] tax_lines: the same
        :return: values of journal items
        :rtype: list[dict]
        """
        currency = self.env['res.currency'].browse(vals['currency_id'])
        company = self.env['res.company'].browse(vals['company_id'])
        untaxed, tax = (-company.currency_id.round(sum(line['balance'] for line in lines)) for lines in (
            product_lines, tax_lines))
        untaxed_currency, tax_currency = (
            -currency.round(sum(line['amount_currency'] for line in lines)) for lines in (product_lines, tax_lines))
        if not vals.get('invoice_payment_term_id'):
            return [{
                'date_maturity': fields.Date.to_date(vals['invoice_date_due']),
                'balance': company.currency_id.round(untaxed + tax),
                'amount_currency': currency.round(untaxed_currency + tax_currency),
            }]
        terms = self.env['account.payment.term'].browse(vals['invoice_payment_term_id'])._compute_terms(
            date_ref=fields.Date.to_date(vals['invoice_date']), currency=currency, company=company, sign=1,
            tax_amount=tax, tax_amount_currency=tax_currency,
            untaxed_amount=untaxed, untaxed_amount_currency=untaxed_currency,
        )
        discount = {
            'discount_date': terms.get('discount_date'),
            'discount_balance': terms.get('discount_balance') or 0.0,
            'discount_amount_currency': terms.get('discount_amount_currency') or 0.0,
        }
        # Instalments of the same day are one line.
        by_date = {}
        for term in terms['line_ids']:
            line = by_date.setdefault(fields.Date.to_date(term['date']), {
                **discount, 'date_maturity': fields.Date.to_date(term['date']), 'balance': 0.0, 'amount_currency': 0.0})
            line['balance'] += term['company_amount']
            line['amount_currency'] += term['foreign_amount']
        return [
            {**line, 'balance': company.currency_id.round(line['balance']),
             'amount_currency': currency.round(line['amount_currency'])}
            for line in by_date.values()
        ]

    # === BUSINESS METHODS - NUMBERS === #

    def _has_number(self):
        """Return whether the invoice has a number.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.name and self.name != '/')

    def _filter_numbered_together(self):
        """Return the invoices which get numbers one after the other, without a look at the last one for each.

        :rtype: account.move
        """
        if not self._is_set_wise():
            return self.browse()
        return self.filtered(
            lambda move: move.state == 'posted' and move.date and not move._has_number()
            and move.move_type == 'out_invoice' and not move.journal_id.is_self_billing and not move.origin_payment_id)

    def _number_together(self):
        """Give invoices their numbers: the host finds the first one of each journal and date, the others follow.

        The host locks that number in the database until the transaction is over, so those which follow are free.
        """
        moves = self.sorted(lambda move: (move.date, move.ref or '', move._origin.id))
        for same in moves.grouped(lambda move: (move.journal_id, move.date)).values():
            first, others = same[0], same[1:]
            first._set_next_sequence()
            format_string, format_values = first._get_sequence_format_param(first.name)
            for move in others.with_context(clear_sequence_mixin_cache=False):
                move.name = move._locked_increment(format_string, dict(format_values))
            others._recompute_after_numbering()
        moves._inverse_name()

    def _recompute_after_numbering(self):
        """Let everything follow which depends on the numbers, as the host's `_set_next_sequence` does."""
        registry = self.env.registry
        for path, triggered_fields in registry._field_triggers[self._fields['name']].items():
            for field in triggered_fields:
                if field.store and field.compute:
                    for inverse in registry.field_inverses[path[0]] if path else [None]:
                        self.env.add_to_compute(field, self[inverse.name] if inverse else self)

    # === BUSINESS METHODS - CHATTER === #

    @api.model
    def _is_logged_together(self):
        """Return whether the messages of new invoices are created together: no addon has its own way to post them.

        :rtype: bool
        """
        context = self.env.context
        return not (context.get('tracking_disable') or context.get('mail_create_nolog')) and self._is_unchanged(
            'account.move', CHATTER_METHODS, CHATTER_MODULES)

    def _log_creation(self):
        """Post on new invoices that they were created, as `mail` does at the end of `create`."""
        for moves in self.grouped('move_type').values():
            body = Markup('<div summary="o_mail_notification"><p>%s</p></div>') % moves[0]._creation_message()
            moves._message_post_together(dict.fromkeys(moves.ids, body), moves[0]._creation_subtype())

    def _log_origin(self):
        """Say on new invoices which subscriptions they bill, as the host does."""
        values = {move: {'self': move, 'origin': move.line_ids.sale_line_ids.order_id} for move in self}
        if not self._is_logged_together():
            for move in self:
                move.message_post_with_source(
                    'mail.message_origin_link', render_values=values[move], subtype_xmlid='mail.mt_note')
            return
        self._message_post_together({
            move.id: self.env['ir.qweb']._render('mail.message_origin_link', values[move]) for move in self
        }, self.env.ref('mail.mt_note'))

    def _message_post_together(self, bodies, subtype):
        """Post a notification on each of these invoices, as `message_post` does, but all at once.

        Invoices on which somebody has to be notified go the host's way.

        :param dict bodies: {id: body}
        :param mail.message.subtype subtype: who follows it is notified
        """
        recipients = self.env['mail.followers']._get_recipient_data(self, 'notification', subtype.id, [])
        author = self.env.user.partner_id
        heard = self.filtered(lambda move: set(recipients.get(move.id, ())) - {author.id})
        for move in heard:
            move.sudo().message_post(body=bodies[move.id], subtype_id=subtype.id, author_id=author.id)
        silent = (self - heard)._fallback_lang()
        parents = dict(self.env['mail.message'].sudo()._read_group(
            [('model', '=', self._name), ('res_id', 'in', silent.ids), ('message_type', '!=', 'user_notification')],
            ['res_id'], ['id:max']))
        reply_to = silent._notify_get_reply_to(default=author.email_formatted, author_id=author.id)
        alias_domains = silent.sudo()._mail_get_alias_domains(default_company=self.env.company)
        companies = silent._mail_get_companies(default=self.env.company)
        silent.sudo()._message_create([{
            'author_id': author.id, 'author_guest_id': False, 'email_from': author.email_formatted,
            'email_add_signature': True, 'model': self._name, 'res_id': move.id, 'body': bodies[move.id],
            'message_type': 'notification', 'parent_id': parents.get(move.id, False), 'subject': False,
            'subtype_id': subtype.id, 'partner_ids': [], 'incoming_email_to': False, 'incoming_email_cc': False,
            'outgoing_email_to': False, 'record_alias_domain_id': alias_domains[move.id].id,
            'record_company_id': companies[move.id].id, 'reply_to': reply_to[move.id],
        } for move in silent])


class SubscriptionMoveLineBatchMixin(models.AbstractModel):
    """Journal items of invoices which are created with all of them at once."""

    _name = 'subscription.move.line.batch.mixin'
    _description = "Journal Items Created Set-wise"

    # === BUSINESS METHODS === #

    @api.model
    def _add_batch_values(self, vals_list):
        """Add to complete journal items what the host would compute one by one before it stores them.

        :param list[dict] vals_list: values of new journal items, changed in place
        """
        fields_by_name = self._fields
        for vals in vals_list:
            if vals.get('display_type') not in BATCH_LINES or 'balance' not in vals:
                continue
            known = self._get_batch_values(vals)
            vals.setdefault('__precomputed__', set())
            for name, value in known.items():
                if name not in vals:
                    vals[name] = value
                    vals['__precomputed__'].add(fields_by_name[name])

    def _filter_distinct_for_company(self):
        """Return one journal item for each combination of records which have to belong to its company.

        :rtype: account.move.line
        """
        names = [name for name, field in self._fields.items() if field.relational and field.check_company]
        distinct = {}
        for line in self:
            distinct.setdefault((line.company_id.id, *(
                line[name]._ids if name != 'move_id' else line.move_id.company_id.id for name in names)), line.id)
        return self.browse(distinct.values())

    @api.model
    def _get_batch_values(self, vals):
        """Return what follows from a complete journal item and its invoice.

        :param dict vals: values of a new journal item
        :rtype: dict
        """
        move = self.env['account.move'].browse(vals['move_id'])
        tax = self.env['account.tax.repartition.line'].browse(vals.get('tax_repartition_line_id') or []).tax_id
        known = {
            'journal_id': move.journal_id.id,
            'company_id': move.company_id.id,
            'company_currency_id': move.company_currency_id.id,
            'is_storno': False,
            'sequence': BATCH_LINES[vals['display_type']],
            'debit': max(vals['balance'], 0.0),
            'credit': max(-vals['balance'], 0.0),
            'tax_line_id': tax.id,
            'tax_group_id': tax.tax_group_id.id,
        }
        if vals['display_type'] != 'product':
            known.update(tax_ids=[], product_uom_id=False, quantity=0.0, price_unit=0.0)
        return known

    def _keep_given_totals(self):
        """Don't compute again the totals with which complete journal items were created."""
        for name in ('price_subtotal', 'price_total'):
            self.env.remove_to_compute(self._fields[name], self)
