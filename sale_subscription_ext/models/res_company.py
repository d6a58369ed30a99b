from odoo import api, fields, models

from odoo.addons.base.models.res_partner import _tz_get


class ResCompany(models.Model):
    _inherit = 'res.company'

    _check_subscription_catch_up = models.Constraint(
        'CHECK(subscription_catch_up >= 1)',
        "At least one missed period must be billed by itself. Enter 1 or more.",
    )

    _check_subscription_max_run = models.Constraint(
        'CHECK(subscription_max_run >= 0)',
        "The largest billing run can't be negative. Enter 0 for no limit.",
    )

    subscription_tz = fields.Selection(
        selection=_tz_get,
        string="Subscriptions Time Zone",
        required=True,
        default=lambda self: self.env.user.tz or 'UTC',
        help="Decides on which day a subscription of this company is billed.",
    )
    subscription_days_per_month = fields.Selection(
        selection=[('30', "30"), ('30.4375', "30.4375"), ('30.44', "30.44")],
        string="Days per Month",
        required=True,
        default='30.4375',
        help="How many days a month counts when daily and weekly prices become monthly revenue.",
    )
    subscription_catch_up = fields.Integer(
        string="Missed Periods Billed by Themselves",
        required=True,
        default=24,
        help="A subscription with more missed periods than this waits until somebody has looked at it.",
    )

    subscription_max_run = fields.Integer(
        string="Largest Billing Run",
        help="An automatic billing run which would bill more subscriptions than this waits in preview until somebody"
            " starts it. 0 for no limit.",
    )
    subscription_billing_user_id = fields.Many2one(
        comodel_name='res.users',
        string="Responsible for Billing",
        domain="[('share', '=', False), ('company_ids', 'in', id)]",
        help="Is asked to look at a billing run which waits. Sales administrators are where nobody is set.",
    )

    # === BUSINESS METHODS === #

    def _get_subscription_today(self):
        """Return today's date where the company is.

        :rtype: datetime.date
        """
        self.ensure_one()
        return fields.Date.context_today(self.with_context(tz=self.subscription_tz))

    @api.model
    def _get_companies_by_subscription_today(self):
        """Group all companies by the date it is there.

        :return: {date: companies}
        :rtype: dict
        """
        return self.sudo().search([]).grouped(lambda company: company._get_subscription_today())
