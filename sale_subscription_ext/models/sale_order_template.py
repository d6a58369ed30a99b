from odoo import fields, models

from .. import const


class SaleOrderTemplate(models.Model):
    _inherit = 'sale.order.template'

    plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        string="Recurring Plan",
        check_company=True,
        help="Quotations made from this template are subscriptions on this plan.",
    )
    term_value = fields.Integer(
        string="Term", help="How long subscriptions from this template are agreed for. 0 for the term of the plan.")
    term_unit = fields.Selection(selection=const.UNITS, default='month')
    term_end = fields.Selection(
        selection=lambda self: self.env['subscription.plan']._get_term_ends(),
        string="At the End of the Term", default='continue')
