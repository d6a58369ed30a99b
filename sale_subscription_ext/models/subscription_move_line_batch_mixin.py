from odoo import api, models

# Journal items which are completed, with the sequence the host gives them.
BATCH_LINES = {'product': 100, 'tax': 10000, 'payment_term': 12000}


class SubscriptionMoveLineBatchMixin(models.AbstractModel):
    """Journal items of invoices which are created with all of them at once."""

    _name = 'subscription.move.line.batch.mixin'
    _description = "Journal Items Created Set-wise"

    # === BUSINESS METHODS === #

    @api.model
    def _add_batch_values(self, vals_list):
        """Add to complete journal items what the host would compute one by one before it stores them.

        :param list[dict] vals_list: values of new journal items, changed in place
        :return: values and the names of those which were added
        :rtype: list[tuple[dict, list[str]]]
        """
        added = []
        for vals in vals_list:
            if vals.get('display_type') in BATCH_LINES and 'balance' in vals:
                known = self._get_batch_values(vals)
                added.append((vals, [name for name in known if name not in vals]))
                vals.update({**known, **vals})
        return added

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
        given = self.filtered(lambda line: line.display_type in BATCH_LINES)
        for name in ('price_subtotal', 'price_total'):
            self.env.remove_to_compute(self._fields[name], given)
