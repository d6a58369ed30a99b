from odoo import api, fields, models
from odoo.exceptions import UserError

from .. import const


class SubscriptionEvent(models.Model):
    """The MRR ledger: one row per order line and movement, append-only."""

    _name = 'subscription.event'
    _description = "MRR Movement"
    _order = 'event_date desc, id desc'
    _check_company_auto = True

    _company_date_idx = models.Index('(company_id, event_date)')

    order_id = fields.Many2one(
        comodel_name='sale.order', string="Subscription", required=True, index=True, ondelete='restrict')
    order_line_id = fields.Many2one(
        comodel_name='sale.order.line', required=True, index=True, ondelete='restrict')
    event_type = fields.Selection(selection=const.EVENT_TYPES, string="Movement", required=True, index=True)
    event_date = fields.Date(
        string="Effective Date", required=True, help="The day from which the movement counts.")
    mrr_change_order = fields.Monetary(
        string="MRR Change in Order Currency", currency_field='currency_id', aggregator=None)
    mrr_change = fields.Monetary(string="MRR Change", currency_field='company_currency_id')
    is_price_change = fields.Boolean(string="Price Change", help="Another price and not another quantity caused it.")
    contract_change = fields.Integer(string="Contracts Change")
    customer_change = fields.Integer(string="Customers Change")

    # Dimensions, as they were when the movement happened
    currency_id = fields.Many2one(comodel_name='res.currency', string="Order Currency", required=True)
    company_id = fields.Many2one(comodel_name='res.company', required=True)
    company_currency_id = fields.Many2one(related='company_id.currency_id', string="Company Currency")
    partner_id = fields.Many2one(comodel_name='res.partner', string="Customer", index=True)
    commercial_partner_id = fields.Many2one(
        comodel_name='res.partner', string="Commercial Entity", index=True)
    user_id = fields.Many2one(comodel_name='res.users', string="Salesperson")
    team_id = fields.Many2one(comodel_name='crm.team', string="Sales Team")
    plan_id = fields.Many2one(comodel_name='subscription.plan', ondelete='restrict')
    product_id = fields.Many2one(comodel_name='product.product')
    close_reason_id = fields.Many2one(comodel_name='subscription.close.reason')

    # === COMPUTE METHODS === #

    @api.depends('event_type', 'order_id')
    def _compute_display_name(self):
        labels = dict(self._fields['event_type']._description_selection(self.env))
        for event in self:
            event.display_name = self.env._(
                "%(movement)s: %(subscription)s",
                movement=labels.get(event.event_type, ''),
                subscription=event.order_id.name or '',
            )

    # === CRUD METHODS === #

    def write(self, vals):
        """Refuse to rewrite history: the ledger is append-only."""
        if self:
            raise UserError(self.env._(
                "MRR movements can't be changed: they are what reports rely on. Correct the subscription instead, the"
                " difference is written as a new movement."
            ))
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_never(self):
        raise UserError(self.env._(
            "MRR movements can't be deleted. Correct the subscription instead, the difference is written as a"
            " new movement."
        ))
