import re
from collections import Counter
from contextlib import contextmanager
from datetime import date
from itertools import zip_longest
from unittest.mock import patch

from hypothesis import given, reject
from hypothesis import strategies as st

from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tests import freeze_time
from odoo.tools import SQL

from .common import SaleSubscriptionCommon
from .strategies import slow

DAY = date(2026, 1, 31)
BATCH_MODULE = 'odoo.addons.sale_subscription_ext.models.subscription_move_batch_mixin'
POST_MODULE = 'odoo.addons.sale_subscription_ext.models.subscription_move_post_mixin'

# What differs between two runs which do the same.
DIFFERENT = {'id', 'create_date', 'write_date', 'access_token', 'message_id', 'mail_message_id', 'move_id'}

LINE = st.fixed_dictionaries({
    'product': st.sampled_from(['service', 'support', 'hours']),
    'quantity': st.sampled_from([1.0, 2.0, 3.0, 0.5, 7.0]),
    'price_unit': st.integers(-500, 99999).map(lambda cents: cents / 100),
    'discount': st.sampled_from([0.0, 0.0, 10.0, 33.33, 100.0]),
    'taxes': st.sets(st.sampled_from(['excluded', 'included', 'second', 'fixed', 'analytic', 'group']), max_size=3),
    'analytic': st.booleans(),
    'unit': st.booleans(),
})
ORDER = st.fixed_dictionaries({
    'lines': st.lists(LINE, min_size=1, max_size=4),
    'currency': st.sampled_from(['company', 'foreign']),
    'term': st.sampled_from(['none', 'later', 'instalments', 'same_day', 'early', 'early_mixed']),
    'customer': st.sampled_from(['company', 'contact', 'french', 'mapped']),
    'note': st.booleans(),
    'mode': st.sampled_from(['send', 'send', 'draft']),
})


@freeze_time('2026-01-31')
class TestBillingSetWise(SaleSubscriptionCommon):
    """Invoices created with all their journal items at once are what Odoo's own way makes, column by column."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._create_taxes()
        cls._create_terms()
        cls._create_customers()
        cls.hours = cls._create_service("Hours", 80.0, recurring_invoice=True)
        cls.dozen = cls.env.ref('uom.product_uom_dozen')
        cls.analytic_account = cls.env['account.analytic.account'].create({
            'name': "Lines", 'plan_id': cls.env['account.analytic.plan'].create({'name': "Departments"}).id})
        cls.foreign = cls.setup_other_currency('CHF', rounding=0.05, rates=[('2016-01-01', 1.7)])
        cls.env['product.pricelist'].create({'name': "Foreign", 'currency_id': cls.foreign.id})

    @classmethod
    def _create_taxes(cls):
        def create(name, amount, **values):
            return cls.env['account.tax'].create({
                'name': name, 'amount': amount, 'type_tax_use': 'sale', **values})

        cls.taxes = {
            'excluded': create("15 %", 15.0),
            'included': create("10 % included", 10.0, price_include_override='tax_included'),
            'second': create("5.5 %", 5.5, include_base_amount=True, sequence=0),
            'fixed': create("Fee", 0.37, amount_type='fixed'),
            'analytic': create("Analytic 3 %", 3.0, analytic=True),
        }
        cls.taxes['group'] = create("Both", 0.0, amount_type='group', children_tax_ids=[
            Command.set((create("Half 1", 2.5) + create("Half 2", 2.5)).ids)])

    @classmethod
    def _create_terms(cls):
        def create(*lines, **values):
            return cls.env['account.payment.term'].create({
                'name': "Term", 'line_ids': [Command.create({
                    'value': 'percent', 'value_amount': share, 'nb_days': days}) for share, days in lines], **values})

        early = {'early_discount': True, 'discount_percentage': 2.0, 'discount_days': 7}
        cls.terms = {
            'none': cls.env['account.payment.term'],
            'later': create((100.0, 30)),
            'instalments': create((33.33, 0), (33.33, 30), (33.34, 60)),
            'same_day': create((50.0, 10), (50.0, 10)),
            'early': create((100.0, 30), early_pay_discount_computation='included', **early),
            'early_mixed': create((100.0, 30), early_pay_discount_computation='mixed', **early),
        }

    @classmethod
    def _create_customers(cls):
        cls.env['res.lang']._activate_lang('fr_FR')
        account = cls.company_data['default_account_revenue'].copy()
        position = cls.env['account.fiscal.position'].create({
            'name': "Abroad", 'account_ids': [Command.create({
                'account_src_id': cls.company_data['default_account_revenue'].id, 'account_dest_id': account.id})]})
        Partner = cls.env['res.partner']
        parent = Partner.create({'name': "Big Company", 'is_company': True})
        cls.customers = {
            'company': cls.partner,
            'contact': Partner.create({'name': "Accounting", 'parent_id': parent.id, 'type': 'invoice'}),
            'french': Partner.create({'name': "Bois SA", 'lang': 'fr_FR', 'email': 'bois@example.com'}),
            'mapped': Partner.create({'name': "Abroad Ltd", 'property_account_position_id': position.id}),
        }

    def _create_contract(self, spec):
        pricelist = self.env['product.pricelist'].search([('currency_id', '=', self.foreign.id)], limit=1)
        order = self._create_order(
            *({'product_id': self[line['product']].id, **({'product_uom_id': self.dozen.id} if line['unit'] else {})}
              for line in spec['lines']),
            partner_id=self.customers[spec['customer']].id,
            payment_term_id=self.terms[spec['term']].id,
            start_date=DAY,
            collection_mode=spec['mode'],
            **({'pricelist_id': pricelist.id} if spec['currency'] == 'foreign' else {}),
        )
        for line, values in zip(order.order_line, spec['lines'], strict=True):
            line.write({
                'product_uom_qty': values['quantity'],
                'price_unit': values['price_unit'],
                'discount': values['discount'],
                'tax_ids': [Command.set([self.taxes[name].id for name in sorted(values['taxes'])])],
                'analytic_distribution': {str(self.analytic_account.id): 100.0} if values['analytic'] else False,
            })
        if spec['note']:
            order.order_line = [
                Command.create({'display_type': 'line_section', 'name': "Services", 'sequence': 0}),
                Command.create({'display_type': 'line_note', 'name': "As agreed", 'sequence': 99}),
            ]
        order.action_confirm()
        return order

    def __getitem__(self, name):
        return getattr(self, name)

    def _bill_and_read(self, orders, set_wise):
        """Bill in a savepoint which is rolled back, and return all that was written."""
        Move = self.env.registry['account.move']
        self.env.invalidate_all()
        self.env.cr.precommit.data.pop('sequence.mixin', None)
        with (
            patch.object(Move, '_is_set_wise', lambda move: set_wise and bool(
                move.env.context.get('sale_subscription_ext_set_wise'))),
            orders._leave_no_trace(),
        ):
            moves = orders.sudo()._bill_locked(DAY)
            self._flush_tracking()
            self.env.invalidate_all()  # what is stored counts, not what is in the cache
            return self._read(orders, moves)

    def _read(self, orders, moves):
        """Return every stored value of invoices, their items, messages and followers, and of what they bill."""
        messages = self.env['mail.message'].search([('model', '=', 'account.move'), ('res_id', 'in', moves.ids)])
        followers = self.env['mail.followers'].search(
            [('res_model', '=', 'account.move'), ('res_id', 'in', moves.ids)])
        names = {record: f'{record._name}/{index}' for records in (
            moves, messages.sorted('id')) for index, record in enumerate(records)}
        result = {}
        for title, records in (
            ('moves', moves), ('items', moves.line_ids), ('messages', messages), ('followers', followers),
            ('orders', orders), ('lines', orders.order_line), ('periods', orders.order_line.period_ids),
            ('analytic', moves.line_ids.analytic_line_ids),
            ('tracking', self.env['mail.tracking.value'].sudo().search([('mail_message_id', 'in', messages.ids)])),
        ):
            nulls = self._get_nulls(records)
            result[title] = Counter(
                f'{self._read_record(record, names)}\nempty={nulls[record.id]}' for record in records.sudo())
        return result

    def _get_nulls(self, records):
        """Return the columns without a value, which the ORM reads as 0 or nothing: {id: names}."""
        self.env.cr.execute(SQL(
            "SELECT * FROM %s WHERE id IN %s", SQL.identifier(records._table), tuple(records.ids) or (0,)))
        return {row['id']: sorted(name for name in row if row[name] is None) for row in self.env.cr.dictfetchall()}

    def _read_record(self, record, names):
        values = []
        for name, field in sorted(record._fields.items()):
            if not field.store or name in DIFFERENT or field.type == 'one2many':
                continue
            value = record[name]
            if field.relational:
                inside = ('account.move', 'account.move.line', 'mail.message')
                value = sorted(
                    names.get(other, other._name if other._name in inside else str(other.id)) for other in value)
            elif name == 'res_id':
                value = names.get(self.env['account.move'].browse(value))
            elif isinstance(value, str):
                value = re.sub(r'(account\.move|res_id=|data-oe-id=")\D{0,3}\d+', r'\1', value)
            values.append(f'{name}={value}')
        return '\n'.join(values)

    def _assert_same(self, orders):
        try:
            expected = self._bill_and_read(orders, set_wise=False)
        except UserError:
            # The host fails by itself, for example at a mixed early discount with taxes rounded globally.
            expected = None
        if not expected:
            reject()
        found = self._bill_and_read(orders, set_wise=True)
        for title, records in expected.items():
            only_host, only_ours = (
                sorted((left - right).elements()) for left, right in (
                    (records, found[title]), (found[title], records)))
            for host, ours in zip_longest(only_host, only_ours, fillvalue=''):
                host_values, our_values = host.split('\n'), ours.split('\n')
                self.fail(
                    f"{len(only_host)} {title} of the host and {len(only_ours)} of ours differ, for example in:\n"
                    f"host: {[value for value in host_values if value not in our_values]}\n"
                    f"ours: {[value for value in our_values if value not in host_values]}")

    def _create_ordinary_contract(self):
        order = self._create_order({'product_id': self.service.id}, start_date=DAY)
        order.action_confirm()
        return order

    @contextmanager
    def _spy(self):
        """Yield the list of the values of invoices which are completed."""
        Move = self.env.registry['account.move']
        complete, completed = Move._complete_invoice, []
        with patch.object(Move, '_complete_invoice', lambda move, vals, cache: (
                completed.append(vals) or complete(move, vals, cache))):
            yield completed

    def test_an_ordinary_invoice_is_created_with_all_its_items(self):
        """The fast path is really taken."""
        order = self._create_ordinary_contract()
        with self._spy() as completed:
            order.sudo()._bill_locked(DAY)
        self.assertEqual(len(completed), 1)

    def test_an_addon_which_overrides_what_is_replaced_keeps_its_way(self):
        """Where a module which isn't known has its own version, the host creates the invoices as ever."""
        order = self._create_ordinary_contract()
        with (
            patch(f'{BATCH_MODULE}.KNOWN_MODULES', frozenset({'account', 'sale_subscription_ext'})),
            self._spy() as completed,
        ):
            move = order.sudo()._bill_locked(DAY)
        self.assertFalse(completed)
        self.assertEqual(move.state, 'posted')

    def test_a_database_with_analytic_distribution_models_leaves_invoices_to_the_host(self):
        """Distribution models look at the stored line: the host applies them."""
        self.env['account.analytic.distribution.model'].create({
            'partner_id': self.partner.id, 'analytic_distribution': {str(self.analytic_account.id): 100.0}})
        order = self._create_ordinary_contract()
        with self._spy() as completed:
            order.sudo()._bill_locked(DAY)
        self.assertFalse(completed)

    def test_an_addon_with_its_own_numbers_or_messages_is_asked_for_each_invoice(self):
        """Where a module which isn't known has its own version, numbers and messages come one by one."""
        orders = self.Order.concat(*(self._create_ordinary_contract() for _order in range(3)))
        Move = self.env.registry['account.move']
        one_by_one = []
        set_next_sequence = Move._set_next_sequence
        post = Move.message_post_with_source
        with (
            patch(f'{POST_MODULE}.NUMBER_MODULES', frozenset({'sale_subscription_ext'})),
            patch(f'{POST_MODULE}.CHATTER_MODULES', frozenset({'sale_subscription_ext'})),
            patch.object(Move, '_set_next_sequence', lambda move: (
                one_by_one.append('number') or set_next_sequence(move))),
            patch.object(Move, 'message_post_with_source', lambda move, *args, **kwargs: (
                one_by_one.append('message') or post(move, *args, **kwargs))),
        ):
            moves = orders.sudo()._bill_locked(DAY)
        self.assertEqual(Counter(one_by_one), {'number': 3, 'message': 3})
        numbers = moves.sorted('sequence_number').mapped('sequence_number')
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 3)))

    @slow
    @given(specs=st.lists(ORDER, min_size=1, max_size=3), rounding=st.sampled_from(
        ['round_per_line', 'round_globally']))
    def test_random_invoices_are_what_the_host_makes(self, specs, rounding):
        """Random orders give the same columns both ways, whatever taxes, currency, terms and rounding."""
        savepoint = self.env.cr.savepoint()
        try:
            self.company.tax_calculation_rounding_method = rounding
            orders = self.Order.concat(*(self._create_contract(spec) for spec in specs))
            # Nothing is billed of what is free, and what would be negative is parked.
            if any(order.recurring_total <= 0 for order in orders):
                reject()
            self._assert_same(orders)
        finally:
            savepoint.close(rollback=True)
            self.env.invalidate_all()
