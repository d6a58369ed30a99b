import time
from collections import defaultdict

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date

from .. import const

# What decides which subscriptions a run bills: another value needs another preview.
SCOPE_FIELDS = frozenset({'company_id', 'date', 'plan_ids', 'partner_ids', 'collection_mode'})

# What follows from the buttons.
ENGINE_FIELDS = frozenset({'state', 'origin', 'wait_reason', 'start_time', 'end_time'})


class SubscriptionBillingRun(models.Model):
    """A billing run: previewed, started, followed while the billing crons work on it, and its report."""

    _name = 'subscription.billing.run'
    _description = "Billing Run"
    _inherit = [
        'mail.thread', 'mail.activity.mixin', 'subscription.process.mixin', 'subscription.run.guard.mixin',
        'subscription.run.work.mixin',
    ]
    _order = 'date desc, id desc'
    _check_company_auto = True

    _automatic_once_a_day = models.UniqueIndex(
        "(company_id, date) WHERE origin = 'automatic'", "A company has one automatic billing run a day.")
    _one_waits = models.UniqueIndex(
        "(company_id) WHERE origin = 'limit' AND state IN ('draft', 'previewed')",
        "An automatic billing run of this company waits already.")

    # Scope
    company_id = fields.Many2one(
        comodel_name='res.company', required=True, index=True, default=lambda self: self.env.company)
    date = fields.Date(
        string="As of",
        required=True,
        default=lambda self: self.env.company._get_subscription_today(),
        tracking=True,
        help="Bills what is due on this day; also the date of the invoices.",
    )
    plan_ids = fields.Many2many(
        comodel_name='subscription.plan', string="Plans", check_company=True, help="Empty for all plans.")
    partner_ids = fields.Many2many(
        comodel_name='res.partner', string="Customers", check_company=True,
        help="With their contacts. Empty for all customers.")
    collection_mode = fields.Selection(
        selection=lambda self: self.env['subscription.plan']._get_collection_modes(), help="Empty for all.")

    # Life
    state = fields.Selection(
        selection=[
            ('draft', "New"),
            ('previewed', "Previewed"),
            ('running', "Running"),
            ('stopped', "Stopped"),
            ('done', "Done"),
            ('cancel', "Cancelled"),
        ],
        string="Status",
        required=True,
        readonly=True,
        copy=False,
        default='draft',
        tracking=True,
    )
    origin = fields.Selection(
        selection=[
            ('manual', "By hand"),
            ('automatic', "Automatic"),
            ('limit', "Automatic, over the limit"),
        ],
        required=True,
        readonly=True,
        copy=False,
        default='manual',
    )
    wait_reason = fields.Text(copy=False, readonly=True)
    start_time = fields.Datetime(string="Started", copy=False, readonly=True)
    end_time = fields.Datetime(string="Finished", copy=False, readonly=True)

    # Report
    line_ids = fields.One2many(
        comodel_name='subscription.billing.run.line', inverse_name='run_id', string="Subscriptions", readonly=True)
    invoice_ids = fields.One2many(
        comodel_name='account.move', inverse_name='subscription_billing_run_id', string="Invoices", readonly=True)
    pending_count = fields.Integer(compute='_compute_counts')
    todo_count = fields.Integer(string="To Bill", compute='_compute_counts')
    billed_count = fields.Integer(string="Billed", compute='_compute_counts')
    skipped_count = fields.Integer(string="Skipped", compute='_compute_counts')
    error_count = fields.Integer(string="Errors", compute='_compute_counts')
    line_count = fields.Integer(string="Subscriptions Count", compute='_compute_counts')
    progress = fields.Float(compute='_compute_counts')
    review_count = fields.Integer(string="To Review", compute='_compute_review_count')
    totals = fields.Html(compute='_compute_totals', sanitize=False)
    is_waiting = fields.Boolean(compute='_compute_is_waiting')
    is_billing_held = fields.Boolean(compute='_compute_is_billing_held')

    # === COMPUTE METHODS === #

    @api.depends('line_ids.state')
    def _compute_counts(self):
        counts = defaultdict(lambda: defaultdict(int))
        for run, state, count in self.env['subscription.billing.run.line']._read_group(
            [('run_id', 'in', self.ids)], ['run_id', 'state'], ['__count'],
        ):
            counts[run.id][state] = count
        for run in self:
            by_state = counts[run.id]
            for state in ('pending', 'todo', 'billed', 'skipped', 'error'):
                run[f'{state}_count'] = by_state[state]
            run.line_count = total = sum(by_state.values())
            waiting = by_state['pending'] if run.state == 'draft' else by_state['todo']
            run.progress = 100.0 * (total - waiting) / total if total else 0.0

    @api.depends('invoice_ids.state')
    def _compute_review_count(self):
        for run in self:
            run.review_count = len(run._get_invoices_to_review())

    @api.depends('line_ids.state', 'line_ids.amount_total')
    @api.depends_context('lang')
    def _compute_totals(self):
        for run in self:
            rows = self.env['subscription.billing.run.line']._read_group(
                [('run_id', 'in', run.ids), ('invoice_count', '>', 0)],
                ['state', 'currency_id', 'plan_id'],
                ['__count', 'own_invoice_count:sum', 'amount_untaxed:sum', 'amount_tax:sum', 'amount_total:sum'],
            )
            run.totals = self.env['ir.qweb']._render(
                'sale_subscription_ext.subscription_billing_run_totals', run._prepare_totals(rows)) if rows else False

    @api.depends('state', 'origin')
    def _compute_is_waiting(self):
        waiting = self.filtered_domain(self._get_waiting_domain())
        for run in self:
            run.is_waiting = run in waiting

    def _compute_is_billing_held(self):
        self.is_billing_held = self.env['sale.order']._is_billing_held()

    @api.depends('date', 'origin')
    @api.depends_context('lang')
    def _compute_display_name(self):
        for run in self:
            run.display_name = self.env._(
                "Billing Run %(number)s of %(date)s", number=run.id, date=format_date(self.env, run.date),
            ) if run.id else self.env._("New Billing Run")

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override to leave state and origin to the buttons."""
        for vals in vals_list:
            self._check_engine_fields(vals)
        return super().create(vals_list)

    def write(self, vals):
        """Override to ask for a new preview when the scope changes, and to leave the state to the buttons."""
        self._check_engine_fields(vals)
        if SCOPE_FIELDS & vals.keys():
            self._check_state(('draft', 'previewed'), self.env._("changed"))
            self.sudo()._withdraw_preview()
        return super().write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_billed(self):
        if kept := self.filtered(lambda run: run.state in ('running', 'stopped') or run.billed_count):
            raise UserError(self.env._(
                "%(names)s: a run which billed something is kept as its report.",
                names=', '.join(kept.mapped('display_name')),
            ))

    @api.model
    def _check_engine_fields(self, vals):
        """Refuse to set by hand what follows from the buttons.

        :param dict vals: the wished values
        :raise UserError: saying what to do instead
        """
        if not self.env.su and ENGINE_FIELDS & vals.keys():
            raise UserError(self.env._(
                "The status of a billing run follows from its buttons Preview, Start, Stop and Cancel."))

    # === ACTION METHODS === #

    def action_preview(self):
        """Compute which subscriptions the runs would bill, the amounts, and what they would skip and why.

        Where that takes long, the billing crons compute the rest.

        :raise UserError: when a run was started already
        """
        self.check_access('write')
        self._check_state(('draft', 'previewed'), self.env._("previewed"))
        deadline = time.monotonic() + const.PREVIEW_SECONDS
        for run in self.sudo():
            run._withdraw_preview()
            run._collect_contracts()
            if not run._continue_preview(commit=False, deadline=deadline):
                self._trigger_workers()

    def action_start(self):
        """Record the wish to bill what was previewed and wake up the billing crons.

        :raise UserError: when a run wasn't previewed or has nothing to bill, when all billing is on hold, or when
            no billing worker is on
        """
        self.check_access('write')
        self._check_state(('previewed', 'stopped'), self.env._("started"))
        for run in self.sudo():
            run._collect_retried()
            run._start()

    def action_stop(self):
        """Stop runs after the batch which the workers are at.

        :raise UserError: when a run isn't running
        """
        self.check_access('write')
        self._check_state(('running',), self.env._("stopped"))
        reason = self.env._("Stopped by %(user)s.", user=self.env.user.name)
        self.sudo().write({'state': 'stopped', 'wait_reason': reason})

    def action_cancel(self):
        """Give up what runs haven't billed yet; automatic billing takes care of it.

        :raise UserError: when a run is at work or done
        """
        self.check_access('write')
        self._check_state(('draft', 'previewed', 'stopped'), self.env._("cancelled"))
        runs = self.sudo()
        runs.state = 'cancel'
        runs._close_activities()
        runs.line_ids.filtered(lambda line: line.state in ('pending', 'todo'))._set_skipped(
            self.env._("The run was cancelled."))

    def action_retry_errors(self):
        """Bill again what failed in finished runs, once the cause is mended.

        :raise UserError: see `action_start`
        """
        self.check_access('write')
        self._check_state(('done', 'stopped'), self.env._("retried"))
        for run in self.sudo():
            failed = run.line_ids.filtered(lambda line: line.state == 'error')
            failed.order_id.filtered('billing_error')._clear_billing_error()
            failed.write({'state': 'todo', 'reason': False})
            run._start()

    def action_refresh(self):
        """Show the form again as it is now.

        :return: a client action
        :rtype: dict
        """
        return {'type': 'ir.actions.client', 'tag': 'soft_reload'}

    def action_view_review(self):
        """Open the invoices which wait for somebody: drafts, and those of draft contracts which aren't sent yet.

        :return: a window action
        :rtype: dict
        """
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.account_move_action_billing_run_review')
        action['domain'] = [('id', 'in', self._get_invoices_to_review().ids)]
        return action

    def action_view_invoices(self):
        """Open all invoices which the runs made.

        :return: a window action
        :rtype: dict
        """
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.account_move_action_billing_run_review')
        action.update(name=self.env._("Invoices"), domain=[('subscription_billing_run_id', 'in', self.ids)])
        return action

    # === TOOLING === #

    def _get_invoices_to_review(self):
        """Return the drafts of runs, and what was confirmed of them and is neither sent nor paid yet.

        :rtype: account.move
        """
        return self.env['account.move'].search([
            ('subscription_billing_run_id', 'in', self.ids), ('subscription_is_prepaid', '=', False),
            '|', ('state', '=', 'draft'),
            '&', '&', '&', ('state', '=', 'posted'), ('is_move_sent', '=', False),
            ('payment_state', 'not in', ('paid', 'in_payment', 'reversed')),
            ('invoice_line_ids.sale_line_ids.order_id.collection_mode', '=', 'draft'),
        ]).filtered(lambda move: not move.is_being_sent)

    def _prepare_totals(self, rows):
        """Prepare the table of totals by status, currency and plan.

        :param list rows: groups of lines: (status, currency, plan, count, invoices, untaxed, taxes, total)
        :return: values for the template
        :rtype: dict
        """
        labels = dict(self.env['subscription.billing.run.line']._fields['state']._description_selection(self.env))
        sums = defaultdict(lambda: [0, 0, 0.0, 0.0, 0.0])
        for state, currency, _plan, *figures in rows:
            sums[state, currency] = [old + new for old, new in zip(sums[state, currency], figures, strict=True)]
        return {
            'groups': [{
                'label': labels[state],
                'currency': currency,
                'rows': [(plan.display_name, *figures) for row_state, row_currency, plan, *figures in rows
                         if (row_state, row_currency) == (state, currency)],
                'sum': figures_sum,
            } for (state, currency), figures_sum in sums.items()],
        }
