from odoo import api, fields, models
from odoo.fields import Command

# Lines which show something and book nothing.
TEXT_LINES = ('line_section', 'line_subsection', 'line_note')

# What `_complete_invoice` does in place of the host, and what it calls there: model -> methods. Where an addon has its
# own version of one, or does something of its own when invoices are created, the host's way is taken.
REPLACED_METHODS = {
    'account.move': (
        'create', '_get_sync_stack', '_sync_dynamic_line', '_sync_dynamic_line_needed_values', '_sync_dynamic_lines',
        '_sync_invoice', '_sync_tax_lines', '_sync_rounding_lines', '_sync_unbalanced_lines',
        '_sync_non_deductible_base_lines', '_recompute_cash_rounding_lines', '_compute_needed_terms',
        '_compute_always_tax_exigible', '_compute_direction_sign', '_compute_journal_id', '_search_default_journal',
        '_get_rounded_base_and_tax_lines', '_prepare_product_base_line_for_taxes_computation',
        '_get_product_base_line_currency_rate', '_compute_invoice_currency_rate', '_compute_expected_currency_rate',
        '_get_expected_currency_rate_at', '_get_invoice_currency_rate_date', '_get_discount_allocation_account',
    ),
    'account.move.line': (
        'create', '_sync_invoice', '_compute_account_id', '_compute_totals', '_compute_tax_ids',
        '_compute_currency_rate', '_compute_analytic_distribution', '_related_analytic_distribution',
        '_compute_is_refund', '_compute_is_storno', '_compute_partner_id', '_compute_currency_id',
        '_compute_sequence', '_compute_debit_credit', '_compute_balance', '_compute_amount_currency',
        '_compute_quantity', '_compute_price_unit', '_compute_product_uom_id', '_get_computed_taxes',
        '_compute_epd_needed', '_compute_discount_allocation_needed', '_compute_term_key', '_inverse_product_id',
    ),
    'account.tax': ('_prepare_base_line_for_taxes_computation', '_prepare_base_line_grouping_key'),
}

# Modules whose versions of these methods are known: what they ask for is done here too.
KNOWN_MODULES = frozenset({'analytic', 'account', 'sale', 'sale_subscription_ext'})

# Versions of other modules which make no difference to invoices of sales.
KNOWN_VERSIONS = frozenset({
    ('mail', 'create'), ('purchase', 'create'), ('l10n_gcc_invoice', 'create'),
    ('purchase', '_related_analytic_distribution'),
    ('point_of_sale', '_compute_is_storno'), ('point_of_sale', '_compute_always_tax_exigible'),
})

NO_PRICE = {'price_subtotal': 0.0, 'price_total': 0.0}


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
    def _is_complete(self):
        """Return whether invoices are just created which `_complete_invoices` completed.

        :rtype: bool
        """
        return bool(self.env.context.get('sale_subscription_ext_complete'))

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
            cls._module in modules or (cls._module, name) in KNOWN_VERSIONS
            for cls in self.env.registry[model_name].__mro__ if getattr(cls, '_module', None)
            for name in names if name in vars(cls)
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
            None if has_analytic_models or not self._can_complete_invoice(vals, cache)
            else self._complete_invoice(vals, cache)
            for vals in vals_list
        ]

    @api.model
    def _can_complete_invoice(self, vals, cache):
        """Return whether everything which an invoice needs is computed here.

        :param dict vals: values of a new invoice
        :param dict cache: see `_complete_invoice`
        :rtype: bool
        """
        company = self.env['res.company'].browse(vals.get('company_id'))
        term = self.env['account.payment.term'].browse(vals.get('invoice_payment_term_id'))
        needs_host = (
            not company
            or vals.get('move_type') != 'out_invoice'
            or not vals.get('invoice_date')
            or not (term or vals.get('invoice_date_due'))
            or not {'fiscal_position_id', 'invoice_payment_term_id'} <= vals.keys()
            or 'invoice_currency_rate' in vals
            or not vals.get('partner_id') or not vals.get('currency_id')
            or vals.get('line_ids') or vals.get('invoice_cash_rounding_id') or vals.get('tax_totals')
            or company.account_discount_expense_allocation_id or company.account_storno
            or (term.early_discount and term.early_pay_discount_computation == 'mixed')
        )
        return not needs_host and bool(self._get_batch_receivable(vals)) and all(
            command[0] == Command.CREATE and self._can_complete_line(vals, command[2], cache)
            for command in vals.get('invoice_line_ids', ())
        )

    @api.model
    def _can_complete_line(self, vals, line_vals, cache):
        """Return whether an invoice line is one whose amounts are computed here.

        :param dict vals: values of a new invoice
        :param dict line_vals: values of its new line
        :param dict cache: see `_complete_invoice`
        :rtype: bool
        """
        if line_vals.get('display_type') in TEXT_LINES:
            return True
        taxes = line_vals.get('tax_ids') or [()]
        return bool(
            line_vals.get('display_type') == 'product' and line_vals.get('product_id')
            and line_vals.get('product_uom_id')
            and len(taxes) == 1 and taxes[0][0:1] == (Command.SET,)
            and not line_vals.get('is_downpayment') and not line_vals.get('extra_tax_data')
            and {'price_unit', 'quantity'} <= line_vals.keys()
            and all(command[0] == Command.LINK for command in line_vals.get('sale_line_ids', ()))
            and line_vals.keys().isdisjoint({'balance', 'amount_currency', 'debit', 'credit', 'deductible_amount'})
            and self._get_batch_account(vals, line_vals, cache)
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
        account_id = self._get_batch_receivable(vals).id
        for line in term_lines:
            line.update(
                NO_PRICE, partner_id=partner_id, currency_id=vals['currency_id'], display_type='payment_term',
                account_id=account_id,
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
            account_id=self._get_batch_account(vals, line_vals, cache),
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
    def _get_batch_account(self, vals, line_vals, cache):
        """Return the account of a new product line, none where the host looks for one elsewhere.

        :rtype: account.account
        """
        if line_vals.get('account_id'):
            return self.env['account.account'].browse(line_vals['account_id'])
        key = ('account', vals['company_id'], vals.get('fiscal_position_id'), line_vals['product_id'])
        if key not in cache:
            product = self.env['product.product'].browse(line_vals['product_id'])
            accounts = product.with_company(vals['company_id']).product_tmpl_id.get_product_accounts(
                fiscal_pos=self.env['account.fiscal.position'].browse(vals.get('fiscal_position_id')))
            cache[key] = accounts['income']
        return cache[key]

    @api.model
    def _get_batch_receivable(self, vals):
        """Return the receivable account of a new invoice, none where the host looks for one elsewhere.

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
        order_line_ids = [command[1] for command in line_vals.get('sale_line_ids', ())]
        return self.env['sale.order.line'].browse(order_line_ids[:1]).analytic_distribution

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
                'discount_balance': 0.0,
                'discount_amount_currency': 0.0,
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
