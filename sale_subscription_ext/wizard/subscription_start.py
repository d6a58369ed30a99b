from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date


class SubscriptionStart(models.TransientModel):
    """Asks which of the periods since a start in the past are billed, and confirms the quotation."""

    _name = 'subscription.start'
    _description = "Start in the Past"

    order_id = fields.Many2one(comodel_name='sale.order', string="Quotation", required=True)
    currency_id = fields.Many2one(related='order_id.currency_id')
    start_date = fields.Date(related='order_id.start_date')
    billing_from = fields.Selection(
        selection=[
            ('all', "Bill all missed periods"),
            ('current', "Bill from today's period on"),
            ('later', "Start billing later"),
        ],
        string="What to Bill",
        required=True,
        default='all',
        help="What isn't billed is left out: its periods stay in the list of the subscription as left out.",
    )
    billing_date = fields.Date(
        string="From", compute='_compute_billing_date', store=True, readonly=False,
        help="The first day to bill. Where it lies in the middle of a period, the rest of that period is billed in"
            " proportion.",
    )
    periods = fields.Html(compute='_compute_periods', sanitize=False)
    missed_count = fields.Integer(compute='_compute_periods')
    missed_amount = fields.Monetary(compute='_compute_periods')
    billed_count = fields.Integer(compute='_compute_billed')
    billed_amount = fields.Monetary(compute='_compute_billed')
    is_over_limit = fields.Boolean(compute='_compute_billed')
    catch_up_limit = fields.Integer(related='order_id.company_id.subscription_catch_up')

    # === COMPUTE METHODS === #

    @api.depends('order_id', 'billing_from')
    def _compute_billing_date(self):
        for wizard in self:
            today = wizard.order_id._subscription_today()
            wizard.billing_date = wizard.billing_date or max(today, wizard.order_id.start_date or today)

    @api.depends('order_id')
    @api.depends_context('lang')
    def _compute_periods(self):
        for wizard in self:
            missed = wizard.order_id._get_missed_periods()
            wizard.missed_count = len({period.bill_date for period in missed})
            wizard.missed_amount = sum(period.amount for period in missed)
            wizard.periods = self.env['ir.qweb']._render('sale_subscription_ext.subscription_start_periods', {
                'currency': wizard.currency_id,
                'rows': [{
                    'first_day': format_date(self.env, period.start),
                    'last_day': format_date(self.env, period.end - timedelta(days=1)),
                    'product': period.line.product_id.display_name,
                    'amount': period.amount,
                } for period in missed],
            })

    @api.depends('order_id', 'billing_from', 'billing_date')
    def _compute_billed(self):
        for wizard in self:
            billed = wizard.order_id._get_missed_periods(wizard.billing_from, wizard.billing_date)
            wizard.billed_count = len({period.bill_date for period in billed})
            wizard.billed_amount = sum(period.amount for period in billed)
            wizard.is_over_limit = wizard.billed_count > wizard.catch_up_limit

    # === ACTION METHODS === #

    def action_confirm(self):
        """Confirm the quotation and leave out what isn't to be billed.

        :return: what the confirmation returns, or an action which closes the dialog
        :rtype: dict
        :raise UserError: when billing would begin before the start or after the end
        """
        self.ensure_one()
        order = self.order_id
        order.check_access('write')
        if self.billing_from == 'later':
            self._check_billing_date()
            order.next_invoice_date = self.billing_date
        result = order.with_context(
            validate_analytic=True, sale_subscription_ext_billing_from=self.billing_from).action_confirm()
        return result if isinstance(result, dict) else {'type': 'ir.actions.act_window_close'}

    def _check_billing_date(self):
        """Refuse a first day to bill on which the subscription isn't served.

        :raise UserError: saying which day to choose
        """
        order = self.order_id
        if not self.billing_date or self.billing_date < order.start_date:
            raise UserError(self.env._(
                "Choose the first day to bill: %(start)s, when the subscription starts, or a later day.",
                start=format_date(self.env, order.start_date),
            ))
        if order.end_date and self.billing_date > order.end_date:
            raise UserError(self.env._(
                "The subscription ends on %(end)s. Choose that day or an earlier one as the first day to bill.",
                end=format_date(self.env, order.end_date),
            ))
