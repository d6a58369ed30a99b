from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date


class SubscriptionPriceIndex(models.Model):
    """A table of months and values, such as the consumer prices of a country, by which contracts are indexed."""

    _name = 'subscription.price.index'
    _description = "Price Index"
    _order = 'sequence, id'
    _check_company_auto = True

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(comodel_name='res.company', index=True, help="Empty for all companies.")
    note = fields.Text(string="Source", help="Who publishes the index, and where.")
    value_ids = fields.One2many(
        comodel_name='subscription.price.index.value', inverse_name='index_id', string="Values", copy=True)
    last_month = fields.Date(compute='_compute_last_value')
    last_value = fields.Float(compute='_compute_last_value', digits=0)

    # === COMPUTE METHODS === #

    @api.depends('value_ids.month', 'value_ids.value')
    def _compute_last_value(self):
        for index in self:
            last = index.value_ids.filtered('month').sorted('month')[-1:]
            index.last_month = last.month
            index.last_value = last.value

    # === BUSINESS METHODS === #

    def _get_value(self, month):
        """Return the value of a month.

        :param datetime.date month: any day of it
        :rtype: float
        :raise UserError: when the table has none
        """
        self.ensure_one()
        month = month.replace(day=1)
        row = self.value_ids.filtered(lambda row: row.month == month)
        if not row:
            raise UserError(self.env._(
                "Index %(index)s has no value for %(month)s. Enter it in the table of the index, or choose another"
                " month.", index=self.name, month=format_date(self.env, month, date_format='MMMM y'),
            ))
        return row.value


class SubscriptionPriceIndexValue(models.Model):
    """The value of a price index in one month."""

    _name = 'subscription.price.index.value'
    _description = "Value of a Price Index"
    _order = 'month desc'
    _rec_name = 'month'

    _month_uniq = models.UniqueIndex("(index_id, month)", "The index has a value for this month already.")
    _check_value = models.Constraint('CHECK(value > 0)', "The value of an index must be greater than 0.")
    _check_month = models.Constraint(
        'CHECK(EXTRACT(DAY FROM month) = 1)', "A month of an index is kept as its first day.")

    index_id = fields.Many2one(
        comodel_name='subscription.price.index', required=True, index=True, ondelete='cascade')
    company_id = fields.Many2one(related='index_id.company_id', store=True, precompute=True)
    month = fields.Date(required=True, help="Any day of the month; its first is kept.")
    value = fields.Float(required=True, digits=0)

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override to keep the first day of the month."""
        return super().create([self._normalize(vals) for vals in vals_list])

    def write(self, vals):
        """Override to keep the first day of the month."""
        return super().write(self._normalize(vals))

    @api.model
    def _normalize(self, vals):
        """Return values with the first day of their month.

        :rtype: dict
        """
        month = fields.Date.to_date(vals.get('month'))
        return {**vals, 'month': month.replace(day=1)} if month else vals
