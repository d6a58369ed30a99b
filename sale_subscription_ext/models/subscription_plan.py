from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from .. import const
from ..tools import metrics, recurrence

# What running subscriptions were signed for.
SCHEDULE_FIELDS = frozenset({
    'billing_period_value', 'billing_period_unit', 'billing_alignment', 'billing_month_day',
    'first_period', 'bill_in', 'invoice_lead_days',
})


class SubscriptionPlan(models.Model):
    """How often and in which way a subscription is billed."""

    _name = 'subscription.plan'
    _description = "Subscription Plan"
    _order = 'sequence, id'
    _check_company_auto = True

    _check_billing_period_value = models.Constraint(
        'CHECK(billing_period_value >= 1)',
        "The billing period of a plan must be at least 1. Enter 1 for every month, 3 for every three months.",
    )
    _check_billing_month_day = models.Constraint(
        'CHECK(billing_month_day BETWEEN 1 AND 31)',
        "The billing day of a plan must be between 1 and 31. Enter 31 for the last day of the month.",
    )
    _check_invoice_lead_days = models.Constraint(
        'CHECK(invoice_lead_days >= 0)',
        "The number of days an invoice is made ahead can't be negative.",
    )

    _check_charge_reminder_days = models.Constraint(
        'CHECK(charge_reminder_days >= 0)',
        "A charge can't be announced after it was made. Enter 0 for no reminder.",
    )
    _check_auto_close_days = models.Constraint(
        'CHECK(auto_close_days >= 0 AND close_warning_days >= 0)',
        "Unpaid subscriptions can't be closed, nor their customers warned, before something is due. Enter 0 for never.",
    )
    _check_trial_value = models.Constraint(
        'CHECK(trial_value >= 0 AND trial_reminder_days >= 0)',
        "The trial of a plan can't be negative. Enter 0 for none.",
    )
    _check_term_value = models.Constraint(
        'CHECK(term_value >= 0 AND commitment_value >= 0 AND notice_days >= 0 AND renewal_reminder_days >= 0)',
        "Term, commitment, notice and reminder of a plan can't be negative. Enter 0 for none.",
    )

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(comodel_name='res.company', index=True)

    # Recurrence
    billing_period_value = fields.Integer(string="Billing Period", required=True, default=1)
    billing_period_unit = fields.Selection(selection=const.UNITS, string="Unit", required=True, default='month')
    billing_period_display = fields.Char(string="Every", compute='_compute_billing_period_display')
    billing_alignment = fields.Selection(
        selection=[
            ('anniversary', "On the day it starts"),
            ('calendar', "On the first day of the calendar period"),
            ('month_day', "On a day of the month"),
        ],
        string="Billing Day",
        required=True,
        default='anniversary',
        help="On which day a new period begins. The calendar's periods are Monday, the first of the month, and"
            " months and years counted from January.",
    )
    billing_month_day = fields.Integer(
        string="Day of the Month",
        default=1,
        help="1 to 31. Shorter months take their last day; 31 is always the last day.",
    )
    first_period = fields.Selection(
        selection=[
            ('prorate', "Bill the days served"),
            ('full', "Bill it in full"),
            ('free', "Leave it free"),
        ],
        string="Incomplete First Period",
        required=True,
        default='prorate',
        help="What is billed when a subscription starts between two billing days.",
    )
    bill_in = fields.Selection(
        selection=[('advance', "At the start of the period"), ('arrears', "At the end of the period")],
        string="Bill",
        required=True,
        default='advance',
    )
    invoice_lead_days = fields.Integer(
        string="Invoice Days Ahead",
        help="Make the invoice this many days before the period begins.",
    )

    # Invoicing and collection
    collection_mode = fields.Selection(
        selection='_get_collection_modes',
        required=True,
        default='send',
        help="Draft: invoices wait for somebody to check and post them.\n"
            "Send: invoices are posted and e-mailed to the customer.\n"
            "Charge: invoices are posted and charged to the saved payment method of the subscription.\n"
            "Prepaid: invoices stay drafts until the customer pays them, at the latest when the period begins.",
    )
    save_method = fields.Selection(
        selection=[
            ('required', "Must be saved"),
            ('offered', "May be saved"),
            ('no', "Is not asked for"),
        ],
        string="Payment Method",
        required=True,
        default='required',
        help="Whether customers save the payment method which later invoices are charged to when they confirm online.",
    )
    charge_reminder_days = fields.Integer(
        string="Reminder of Charges",
        help="Remind the customer this many days before the payment method is charged. 0 for no reminder.",
    )
    consolidate = fields.Boolean(
        string="Consolidate Invoices",
        help="One invoice for all subscriptions of an invoice address which are due, whose plans ask for it and which"
            " agree in delivery address, currency, journal, fiscal position, payment terms and collection mode.",
    )
    invoice_mail_template_id = fields.Many2one(
        comodel_name='mail.template',
        string="Invoice E-mail",
        domain="[('model', '=', 'account.move')]",
        default=lambda self: self.env.ref('account.email_template_edi_invoice', raise_if_not_found=False),
        help="The e-mail which carries a new invoice. Leave it empty to post invoices without mailing them.",
    )
    send_mails = fields.Boolean(
        string="E-mails to the Customer",
        default=True,
        help="Send the e-mails of the stages, such as the confirmation of a closing, to the customer.",
    )

    dunning_policy_id = fields.Many2one(
        comodel_name='subscription.dunning.policy', check_company=True,
        index='btree_not_null', ondelete='restrict',
        default=lambda self: self.env.ref(
            'sale_subscription_ext.subscription_dunning_policy_default', raise_if_not_found=False),
        help="What is done about invoices which stay unpaid. Empty: nothing, apart from closing below.",
    )
    auto_close_days = fields.Integer(
        string="Close When Unpaid", help="Days after the due date of the oldest unpaid invoice. 0 for never.")
    close_warning_days = fields.Integer(
        string="Warning of Closing", default=7,
        help="E-mail the customer this many days before an unpaid subscription is closed. 0 for no warning.")

    # Changes
    downgrade_policy = fields.Selection(
        selection=[
            ('period_end', "With the next period"),
            ('credit', "At once, unused days are credited"),
            ('no_credit', "At once, nothing is credited"),
        ],
        string="Downgrades",
        required=True,
        default='period_end',
        help="When a change which lowers the monthly value takes effect. Upgrades take effect at once.",
    )
    switchable_plan_ids = fields.Many2many(
        comodel_name='subscription.plan', relation='subscription_plan_switchable_rel',
        column1='plan_id', column2='switchable_plan_id', string="Can Switch To", check_company=True,
        domain="[('id', '!=', id)]",
        help="The plans which customers may switch to.",
    )

    # Trial
    trial_value = fields.Integer(string="Trial", help="How long a new subscription is served for free. 0 for no trial.")
    trial_unit = fields.Selection(selection=const.UNITS, required=True, default='day')
    trial_end = fields.Selection(
        selection=[
            ('invoice', "Invoice"),
            ('pause', "Pause the subscription"),
            ('close', "Close the subscription"),
        ],
        string="Without a Payment Method",
        required=True,
        default='invoice',
        help="What happens at the end of a trial when no method to charge is saved.",
    )
    trial_reminder_days = fields.Integer(
        string="Trial Reminder", default=3,
        help="Remind the customer this many days before the trial ends. 0 for no reminder.")

    # Term
    term_value = fields.Integer(
        string="Term", help="How long a subscription is agreed for. 0 for open-ended ones.")
    term_unit = fields.Selection(selection=const.UNITS, required=True, default='month')
    term_end = fields.Selection(
        selection='_get_term_ends', string="At the End of the Term", required=True, default='continue')
    commitment_value = fields.Integer(
        string="Minimum Commitment", help="Customers can't leave before. 0 for none; staff can close earlier.")
    commitment_unit = fields.Selection(
        selection=const.UNITS, required=True, default='month')
    notice_days = fields.Integer(
        string="Period of Notice",
        help="How many days before the end customers must give notice. A subscription which renews itself does so when"
            " nobody has given notice by then.",
    )
    renewal_reminder_days = fields.Integer(
        string="Renewal Reminder", default=30,
        help="Remind salesperson and customer this many days before the end, or before the last day for giving notice."
            " 0 for no reminder.",
    )
    pause_policy = fields.Selection(
        selection=[
            ('skip', "Invoiced days are forfeited"),
            ('credit', "Invoiced days are credited"),
        ],
        string="During a Pause",
        required=True,
        default='skip',
        help="Days of a pause are never billed. This is about those which were invoiced before.",
    )

    # Relations
    pricelist_item_ids = fields.One2many(
        comodel_name='product.pricelist.item', inverse_name='plan_id', string="Prices")
    subscription_count = fields.Integer(compute='_compute_subscription_count')

    # === COMPUTE METHODS === #

    @api.depends('billing_period_value', 'billing_period_unit')
    @api.depends_context('lang')
    def _compute_billing_period_display(self):
        for plan in self:
            plan.billing_period_display = plan._get_period_label()

    def _compute_subscription_count(self):
        counts = dict(self.env['sale.order']._read_group(
            [('plan_id', 'in', self.ids), ('subscription_state', 'in', const.CONTRACT_STATES)],
            ['plan_id'], ['__count'],
        ))
        for plan in self:
            plan.subscription_count = counts.get(plan, 0)

    # === CONSTRAINT METHODS === #

    @api.constrains('billing_alignment', 'billing_period_unit')
    def _check_alignment_unit(self):
        for plan in self:
            if plan.billing_alignment == 'month_day' and plan.billing_period_unit not in ('month', 'year'):
                raise ValidationError(self.env._(
                    "Plan %(plan)s: only periods of months or years can begin on a day of the month. Choose"
                    " another billing day or another unit.",
                    plan=plan.name,
                ))

    # === CRUD METHODS === #

    def write(self, vals):
        """Override to keep the schedule of plans by which running subscriptions are billed.

        :raise UserError: naming the plan
        """
        for plan in self:
            changed = [name for name in SCHEDULE_FIELDS & vals.keys() if plan[name] != vals[name]]
            if changed and plan._is_in_use():
                raise UserError(self.env._(
                    "Running subscriptions are billed by plan %(plan)s, so its %(fields)s can't change. Create another"
                    " plan instead.",
                    plan=plan.name,
                    fields=', '.join(self._fields[name]._description_string(self.env) for name in sorted(changed)),
                ))
        return super().write(vals)

    def _is_in_use(self):
        """Return whether running subscriptions have lines on this plan.

        :rtype: bool
        """
        self.ensure_one()
        # Whoever may see the subscriptions or not.
        return bool(self.env['sale.order.line'].sudo().search_count([
            ('plan_id', '=', self.id),
            ('anchor_date', '!=', False),
            ('order_id.subscription_state', 'in', const.CONTRACT_STATES),
        ], limit=1))

    # === ACTION METHODS === #

    def action_view_subscriptions(self):
        """Open the running subscriptions of this plan.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.sale_order_action_subscription')
        action['domain'] = [('plan_id', '=', self.id), ('subscription_state', 'in', const.CONTRACT_STATES)]
        return action

    # === BUSINESS METHODS === #

    def _get_anchor_date(self, start):
        """Return the date which the periods of a line that starts on `start` are counted from.

        :param datetime.date start: the first day served
        :rtype: datetime.date
        """
        self.ensure_one()
        return recurrence.aligned_anchor(
            start, self.billing_period_value, self.billing_period_unit,
            self.billing_alignment, self.billing_month_day,
        )

    def _get_natural_period(self, anchor, day):
        """Return the whole period of the plan which holds `day`.

        :param datetime.date anchor: the line's billing day
        :param datetime.date day: any day
        :rtype: odoo.addons.sale_subscription_ext.tools.recurrence.Period
        """
        self.ensure_one()
        return recurrence.period_at(anchor, self.billing_period_value, self.billing_period_unit, day)

    def _get_monthly_amount(self, amount, company):
        """Return what an amount per period of this plan is worth in a month.

        :param float amount: an amount per period
        :param company: the company whose days per month count
        :return: the unrounded amount per month
        :rtype: float
        """
        self.ensure_one()
        return metrics.monthly(
            amount, self.billing_period_value, self.billing_period_unit,
            days_per_month=float(company.subscription_days_per_month),
        )

    def _get_period_label(self):
        """Return the recurrence in words: "month", "3 months".

        :rtype: str
        """
        self.ensure_one()
        singular = {
            'day': self.env._("day"), 'week': self.env._("week"),
            'month': self.env._("month"), 'year': self.env._("year"),
        }
        value = self.billing_period_value
        if value == 1:
            return singular.get(self.billing_period_unit, '')
        plural = {
            'day': self.env._("%(count)s days", count=value), 'week': self.env._("%(count)s weeks", count=value),
            'month': self.env._("%(count)s months", count=value), 'year': self.env._("%(count)s years", count=value),
        }
        return plural.get(self.billing_period_unit, '')

    # === HOOKS === #

    def _get_collection_modes(self):
        """Return the ways in which the money of a subscription is collected.

        Addons which add a way extend the list; call super.

        :rtype: list[tuple[str, str]]
        """
        return [
            ('draft', self.env._("Draft invoices for review")),
            ('send', self.env._("Post and send invoices")),
            ('charge', self.env._("Post and charge invoices")),
            ('prepaid', self.env._("Wait for payment, then post")),
        ]

    @api.model
    def _get_term_ends(self):
        """Return what can follow the term of a contract.

        :rtype: list[tuple[str, str]]
        """
        return [
            ('continue', self.env._("Continue open-ended")),
            ('renew', self.env._("Renew for another term")),
            ('close', self.env._("Close the subscription")),
        ]
