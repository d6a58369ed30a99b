from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from ..tools import indexation
from .subscription_price_change import PENDING_STATES

# What decides which prices change and how: another value needs another preview.
SCOPE_FIELDS = frozenset({
    'company_id', 'date', 'method', 'percentage', 'amount', 'currency_id', 'index_id', 'base_month',
    'reference_month', 'has_floor', 'floor', 'has_cap', 'cap', 'selection', 'order_ids', 'plan_ids',
    'partner_category_ids', 'product_category_ids', 'months_between', 'is_announced', 'announce_days',
})

# What follows from the buttons.
ENGINE_FIELDS = frozenset({'state', 'preview_state', 'preview_last_id'})


class SubscriptionIndexation(models.Model):
    """New prices for many subscriptions: previewed, announced, applied at the next period of each."""

    _name = 'subscription.indexation'
    _description = "Indexation"
    _inherit = ['mail.thread', 'subscription.indexation.work.mixin']
    _order = 'date desc, id desc'
    _check_company_auto = True

    _check_announce_days = models.Constraint(
        'CHECK(announce_days >= 0 AND months_between >= 0)', "Days and months can't be negative.")
    _check_percentage = models.Constraint(
        'CHECK(percentage > -100)', "A price can't fall by 100% or more.")
    _check_limits = models.Constraint(
        'CHECK(NOT has_floor OR NOT has_cap OR floor <= cap)', "The floor can't be above the cap.")
    _check_floor = models.Constraint(
        'CHECK((NOT has_floor OR floor > -100) AND (NOT has_cap OR cap > -100))',
        "Floor and cap must be above -100%.")

    name = fields.Char(required=True, default=lambda self: self.env._("Indexation"), tracking=True)
    company_id = fields.Many2one(
        comodel_name='res.company', required=True, index=True, default=lambda self: self.env.company)
    state = fields.Selection(
        selection=[
            ('draft', "New"),
            ('announced', "Scheduled"),
            ('partial', "Partly Applied"),
            ('done', "Done"),
            ('cancel', "Cancelled"),
        ],
        string="Status", required=True, readonly=True, copy=False, default='draft', tracking=True,
    )
    preview_state = fields.Selection(
        selection=[('none', "Not Yet"), ('running', "In Progress"), ('done', "Complete")],
        string="Preview", required=True, readonly=True, copy=False, default='none')
    # Subscriptions are previewed by id, up to this one by now.
    preview_last_id = fields.Integer(readonly=True, copy=False)

    # What becomes of a price
    date = fields.Date(
        string="From", required=True, default=lambda self: self.env.company._get_subscription_today(), tracking=True,
        help="Each subscription has its new prices from its next period on or after this day.",
    )
    method = fields.Selection(
        selection=[('percentage', "Percentage"), ('amount', "Amount"), ('index', "Price Index")],
        required=True, default='percentage', tracking=True,
    )
    percentage = fields.Float(digits=(16, 4), tracking=True, help="5 raises prices by 5%, -5 lowers them.")
    amount = fields.Monetary(
        tracking=True,
        help="Added to the unit price of each line, for a period of its plan. Prices never fall below 0.",
    )
    currency_id = fields.Many2one(
        comodel_name='res.currency', required=True, default=lambda self: self.env.company.currency_id,
        help="Subscriptions in another currency are left out when an amount is added.")
    index_id = fields.Many2one(comodel_name='subscription.price.index', ondelete='restrict', check_company=True)
    base_month = fields.Date(help="The month with which the index is compared. Any day of it.")
    reference_month = fields.Date(help="The month whose value decides. Any day of it.")
    has_floor = fields.Boolean(string="At Least")
    floor = fields.Float(string="Floor (%)", digits=(16, 4), help="0 lets prices never fall.")
    has_cap = fields.Boolean(string="At Most")
    cap = fields.Float(string="Cap (%)", digits=(16, 4))
    rate_text = fields.Char(string="Change of Prices", compute='_compute_rate_text')

    # Which subscriptions
    selection = fields.Selection(
        selection=[('domain', "All which fit"), ('list', "Chosen ones")], required=True, default='domain')
    order_ids = fields.Many2many(
        comodel_name='sale.order', string="Chosen Subscriptions", check_company=True, copy=False)
    plan_ids = fields.Many2many(
        comodel_name='subscription.plan', string="Plans", check_company=True, help="Empty for all plans.")
    partner_category_ids = fields.Many2many(
        comodel_name='res.partner.category', string="Customer Tags", help="Customers with one of them.")
    product_category_ids = fields.Many2many(
        comodel_name='product.category', string="Product Categories",
        help="Only the prices of products in these change. Empty for all products.")
    months_between = fields.Integer(
        default=12,
        help="A subscription whose prices were indexed less than this many months before is left out.")

    # Announcement
    is_announced = fields.Boolean(string="Announce by E-mail", default=True)
    announce_days = fields.Integer(
        string="Days Ahead", default=30,
        help="Customers hear of it at least so many days before: new prices which couldn't be announced in time take"
            " effect one period later.",
    )
    mail_template_id = fields.Many2one(
        comodel_name='mail.template', string="E-mail", domain="[('model', '=', 'sale.order')]",
        default=lambda self: self.env.ref(
            'sale_subscription_ext.mail_template_indexation', raise_if_not_found=False),
    )

    # What becomes of it
    line_ids = fields.One2many(
        comodel_name='subscription.indexation.line', inverse_name='indexation_id', string="Subscriptions",
        readonly=True)
    to_announce_count = fields.Integer(compute='_compute_counts')
    pending_count = fields.Integer(string="Not Yet Applied", compute='_compute_counts')
    applied_count = fields.Integer(string="Applied", compute='_compute_counts')
    told_count = fields.Integer(
        string="Told, Not Yet Applied", compute='_compute_told_count',
        help="Customers who were told of new prices which aren't applied yet.")
    skipped_count = fields.Integer(string="Left Out", compute='_compute_counts')
    line_count = fields.Integer(string="Subscriptions Count", compute='_compute_counts')
    totals = fields.Char(string="MRR Change", compute='_compute_counts')

    # === COMPUTE METHODS === #

    @api.depends('method', 'percentage', 'amount', 'currency_id', 'index_id', 'base_month', 'reference_month',
                 'has_floor', 'floor', 'has_cap', 'cap')
    @api.depends_context('lang')
    def _compute_rate_text(self):
        for record in self:
            try:
                record.rate_text = record._get_rate_text()
            except UserError as error:
                record.rate_text = str(error)

    @api.depends('line_ids.state', 'line_ids.mrr_change')
    def _compute_counts(self):
        for record in self:
            counts = record._get_counts()
            record.to_announce_count = counts['to_announce']
            record.pending_count = counts['to_announce'] + counts['to_apply']
            record.applied_count = counts['applied']
            record.skipped_count = counts['skipped']
            record.line_count = sum(counts.values())
            record.totals = record._get_totals_text()

    @api.depends('line_ids.state', 'line_ids.announce_time')
    def _compute_told_count(self):
        counts = dict(self.env['subscription.indexation.line']._read_group([
            ('indexation_id', 'in', self.ids), ('announce_time', '!=', False), ('state', 'in', PENDING_STATES),
        ], ['indexation_id'], ['__count']))
        for record in self:
            record.told_count = counts.get(record._origin, 0)

    # === CONSTRAINT METHODS === #

    @api.constrains('method', 'index_id', 'base_month', 'reference_month', 'mail_template_id', 'is_announced')
    def _check_complete(self):
        for record in self:
            if record.method == 'index' and not (record.index_id and record.base_month and record.reference_month):
                raise ValidationError(self.env._("An index needs its table, a base month and a reference month."))
            if record.is_announced and not record.mail_template_id:
                raise ValidationError(self.env._("Choose the e-mail which announces the new prices."))

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override to leave the status to the buttons.

        :raise UserError: for a status set by hand
        """
        for vals in vals_list:
            self._check_engine_fields(vals)
        return super().create(vals_list)

    def write(self, vals):
        """Override to withdraw a preview which doesn't fit any more, and to keep what was announced.

        :raise UserError: for another scope of an indexation which is under way, or a state set by hand
        """
        self._check_engine_fields(vals)
        if SCOPE_FIELDS & vals.keys():
            if self.filtered(lambda record: record.state != 'draft'):
                raise UserError(self.env._("This indexation is under way and can't be changed. Cancel it instead."))
            self.sudo()._withdraw_preview()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_applied(self):
        if self.filtered(lambda record: (
                record.state not in ('draft', 'cancel') or record.applied_count
                or any(record.line_ids.mapped('is_withdrawal_due')))):
            raise UserError(self.env._("An indexation which is under way or done is kept. Cancel what isn't applied."))

    @api.model
    def _check_engine_fields(self, vals):
        """Refuse to set by hand what follows from the buttons.

        :param dict vals: the wished values
        :raise UserError: saying so
        """
        if not self.env.su and ENGINE_FIELDS & vals.keys():
            raise UserError(self.env._("The status of an indexation follows from its buttons and can't be set."))

    # === ACTION METHODS === #

    def action_preview(self):
        """Compute what would become of each subscription. Nothing of the subscriptions is changed.

        :raise UserError: when a month is missing in the index, or the indexation is under way
        """
        self.check_access('write')
        self._check_draft()
        for record in self.sudo():  # salespeople's rules don't narrow what the administrators of Sales may change
            record._get_rate()
            record._start_preview()

    def action_confirm(self):
        """Announce the new prices when their days come, and apply them at the next period of each subscription.

        :raise UserError: when there is no complete preview, or nothing to change
        """
        self.check_access('write')
        self._check_draft()
        for record in self.sudo():
            if record.preview_state != 'done':
                raise UserError(self.env._("Wait for the complete preview first: press Preview."))
            record._schedule()

    def action_cancel(self):
        """Call off what isn't applied; what is applied stays. Customers who were told of it are told so by e-mail."""
        self.check_access('write')
        for record in self.sudo():
            if record.state in ('draft', 'announced', 'partial'):
                record.line_ids.filtered(lambda line: line.state in PENDING_STATES)._cancel()
                record.state = 'done' if record.applied_count else 'cancel'

    def action_view_lines(self):
        """Open the subscriptions of this indexation.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.subscription_indexation_line_action')
        action['domain'] = [('indexation_id', '=', self.id)]
        return action

    def _check_draft(self):
        """Refuse what can be done before the start only.

        :raise UserError: naming the indexation
        """
        if started := self.filtered(lambda record: record.state != 'draft'):
            raise UserError(self.env._("%(name)s is under way already.", name=started[0].name))

    # === BUSINESS METHODS === #

    def _get_rate(self):
        """Return by which share prices change, within floor and cap; None when an amount is added.

        :rtype: fractions.Fraction|None
        :raise UserError: when a month is missing in the index
        """
        self.ensure_one()
        if self.method == 'amount':
            return None
        if self.method == 'index':
            if not (self.index_id and self.base_month and self.reference_month):
                raise UserError(self.env._("Choose an index, a base month and a reference month."))
            rate = indexation.index_rate(
                self.index_id._get_value(self.base_month), self.index_id._get_value(self.reference_month))
        else:
            rate = indexation.percent_rate(self.percentage)
        return indexation.limit_rate(
            rate, self.floor if self.has_floor else None, self.cap if self.has_cap else None)

    def _get_new_price(self, price, rate, digits):
        """Return what becomes of a unit price.

        :param float price: the price now
        :param fractions.Fraction rate: see `_get_rate`
        :param int digits: of prices
        :rtype: float
        """
        self.ensure_one()
        if rate is None:
            # An amount on top is nothing for a discount.
            return indexation.raised_price(price, self.amount, digits) if price > 0 else price
        return indexation.indexed_price(price, rate, digits)
