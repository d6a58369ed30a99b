from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date

from .. import const
from .subscription_guard_mixin import SIGNED_FIELDS
from .subscription_transfer_mixin import OWNER_FIELDS


class SaleOrder(models.Model):
    _name = 'sale.order'
    _inherit = [
        'sale.order',
        'subscription.quotation.mixin',
        'subscription.guard.mixin',
        'subscription.amendment.mixin',
        'subscription.amendment.apply.mixin',
        'subscription.amendment.preview.mixin',
        'subscription.amendment.story.mixin',
        'subscription.batch.mixin',
        'subscription.consolidation.mixin',
        'subscription.order.dunning.mixin',
        'subscription.lifecycle.mixin',
        'subscription.dates.mixin',
        'subscription.start.mixin',
        'subscription.trial.mixin',
        'subscription.term.mixin',
        'subscription.pause.mixin',
        'subscription.renewal.mixin',
        'subscription.renewal.quotation.mixin',
        'subscription.close.mixin',
        'subscription.close.preview.mixin',
        'subscription.transfer.mixin',
        'subscription.option.mixin',
        'subscription.mail.mixin',
        'subscription.document.mixin',
        'subscription.notice.mixin',
        'subscription.billing.mixin',
        'subscription.collection.mixin',
        'subscription.collection.mail.mixin',
        'subscription.prepaid.mixin',
        'subscription.saving.mixin',
        'subscription.invoicing.mixin',
        'subscription.obstacle.mixin',
        'subscription.proration.mixin',
        'subscription.tax.mixin',
        'subscription.agreed.change.mixin',
        'subscription.forecast.mixin',
        'subscription.first.invoice.mixin',
        'subscription.payment.mixin',
        'subscription.preview.mixin',
        'subscription.metrics.mixin',
        'subscription.price.mixin',
        'subscription.selection.mixin',
    ]

    _next_invoice_date_idx = models.Index(
        "(next_invoice_date, company_id) WHERE next_invoice_date IS NOT NULL")

    # Plan and state
    plan_id = fields.Many2one(
        comodel_name='subscription.plan',
        string="Recurring Plan",
        index='btree_not_null',
        ondelete='restrict',
        check_company=True,
        tracking=True,
        help="How often the recurring lines of this order are billed.",
    )
    is_subscription = fields.Boolean(
        string="Is a Subscription", compute='_compute_is_subscription', store=True)
    subscription_state = fields.Selection(
        selection=const.STATES,
        string="Subscription Status",
        compute='_compute_subscription_state',
        store=True, index='btree_not_null', copy=False,
    )
    stage_id = fields.Many2one(
        comodel_name='subscription.stage',
        compute='_compute_stage_id',
        store=True, readonly=False, copy=False, index='btree_not_null',
        group_expand='_read_group_stage_ids',
        ondelete='restrict',
        tracking=True,
    )

    # Dates
    start_date = fields.Date(
        copy=False, tracking=True,
        help="The first day served. The day of the confirmation where it is left empty.")
    end_date = fields.Date(copy=False, tracking=True, help="The last day served, empty if open-ended.")
    next_invoice_date = fields.Date(
        string="Next Invoice",
        compute='_compute_next_invoice_date',
        store=True, readonly=False, copy=False,
        help="Before the start: the first day to bill, where earlier days were billed elsewhere.",
    )

    # Amounts, in the currency of the order
    recurring_total = fields.Monetary(
        compute='_compute_recurring_total', store=True,
        help="What is billed each period of the order's plan, without taxes.")
    mrr = fields.Monetary(string="MRR", compute='_compute_mrr', store=True, help="Monthly recurring revenue.")
    arr = fields.Monetary(string="ARR", compute='_compute_mrr', store=True, help="Yearly recurring revenue.")

    # What a quotation asks for when it is confirmed; confirmed orders have invoices
    first_invoice_date = fields.Date(compute='_compute_first_invoice')
    first_invoice_untaxed = fields.Monetary(compute='_compute_first_invoice')
    first_invoice_tax = fields.Monetary(compute='_compute_first_invoice')
    first_invoice_total = fields.Monetary(string="Due Today", compute='_compute_first_invoice')
    first_invoice_label = fields.Char(compute='_compute_first_invoice')
    following_text = fields.Text(string="Then", compute='_compute_first_invoice')

    # Billing
    subscription_period_ids = fields.One2many(
        comodel_name='subscription.period', inverse_name='order_id', string="Billing Periods")
    determined_fiscal_position_id = fields.Many2one(
        comodel_name='account.fiscal.position', copy=False,
        help="What was last determined: while the fiscal position equals it, it is determined again at each billing.")

    # === COMPUTE METHODS === #

    @api.depends('plan_id', 'order_line.is_recurring', 'amendment_type')
    def _compute_is_subscription(self):
        for order in self:
            order.is_subscription = bool(order.plan_id) and not order.amendment_type and any(
                order.order_line.mapped('is_recurring'))

    @api.depends('state', 'is_subscription', 'amendment_type', 'subscription_id')
    def _compute_subscription_state(self):
        """Quotations with a plan are drafts or renewals; once confirmed, `_update_subscription_state` decides."""
        for order in self:
            if order.amendment_type:
                order.subscription_state = order.state != 'cancel' and 'amendment'
            elif order.state in ('draft', 'sent'):
                order.subscription_state = order._get_quotation_state() if order.is_subscription else False
            else:
                # An order in a form which isn't saved is in the state of the stored one.
                order.subscription_state = (order._origin or order).subscription_state

    @api.depends('subscription_state')
    def _compute_stage_id(self):
        stages = self.env['subscription.stage'].search([]).grouped('subscription_state')
        for order in self:
            stage = order.stage_id
            if stage.subscription_state != order.subscription_state:
                stage = stages.get(order.subscription_state, stage.browse())[:1]
            order.stage_id = stage

    @api.depends(
        'subscription_state', 'end_date', 'paused_from', 'renewal_date', 'order_line.next_period_start',
        'order_line.end_date', 'order_line.anchor_date', 'order_line.product_uom_qty', 'subscription_period_ids.state',
    )
    def _compute_next_invoice_date(self):
        running = self.filtered(lambda order: order.subscription_state in ('trial', *const.BILLED_STATES))
        open_rows = running.order_line._get_open_rows()
        for order in self - running:
            order.next_invoice_date = order.next_invoice_date
        for order in running:
            dates = [line._get_next_bill_date() for line in order.order_line]
            dates += [
                line._get_row_bill_date(row)
                for line in order.order_line for row in open_rows.get(line, ())
            ]
            order.next_invoice_date = min((day for day in dates if day), default=False)

    @api.depends('order_line.price_subtotal', 'order_line.is_recurring', 'order_line.plan_id',
                 'order_line.end_date', 'plan_id')
    def _compute_recurring_total(self):
        for order in self:
            order.recurring_total = order._get_recurring_totals().get(order.plan_id, 0.0)

    @api.depends('order_line.mrr', 'subscription_state')
    def _compute_mrr(self):
        for order in self:
            order.mrr = sum(order.order_line.mapped('mrr'))
            order.arr = 12 * order.mrr

    # === ONCHANGE METHODS === #

    @api.onchange('sale_order_template_id')
    def _onchange_sale_order_template_id(self):
        """Override of `sale_management` to take the plan and term of a chosen template."""
        if plan := self.sale_order_template_id.plan_id:
            self.plan_id = plan
        return super()._onchange_sale_order_template_id()

    @api.onchange('order_line')
    def _onchange_order_line_plan(self):
        """Take the default plan of a recurring product which is added to an order without a plan."""
        if not self.plan_id and self.state in ('draft', 'sent'):
            self.plan_id = self.order_line.filtered('is_recurring').product_id.default_plan_id[:1]

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `sale` to start subscriptions which are created confirmed, as an import does it: without
        mail, and without billing what lies before their next invoice date.
        """
        for vals in vals_list:
            self._check_result_fields(vals)
            if 'plan_id' not in vals:
                # Beforehand: a plan chosen later would price the lines again.
                vals['plan_id'] = self._get_default_plan(vals).id
        env = self.env
        if any(vals.get('state') == 'sale' for vals in vals_list):
            # The lines of a new order aren't extra lines of a confirmed one.
            self = self.with_context(sale_no_log_for_new_lines=True, sale_subscription_ext_starting=True)
        orders = super().create(vals_list).with_env(env)
        orders.filtered(lambda order: order.state == 'sale')._start_imported()
        return orders

    def write(self, vals):
        """Override of `sale` to keep what a running contract was signed for, and what the engine alone knows."""
        if vals.get('stage_id'):
            self._check_stage(self.env['subscription.stage'].browse(vals['stage_id']))
        self._check_result_fields(vals)
        if not self.env.su:
            self._check_engine_fields(vals)
        if vals.keys() & SIGNED_FIELDS:
            self._check_signed(vals)
        owners = self._get_owners() if vals.keys() & OWNER_FIELDS else {}
        result = super().write(vals)
        self._change_collection(vals)
        if owners:
            self._record_transfers(owners)
        return result

    # === ACTION METHODS === #

    def _confirmation_error_message(self):
        """Override of `sale` to refuse recurring products without a plan, and changes which can't be made."""
        message = super()._confirmation_error_message() or self._get_missing_plan_message()
        if not message and self.amendment_type:
            message = '\n'.join(self._get_amendment_conflicts()) or self._get_missing_change_message()
        return message

    def action_quotation_send(self):
        """Override of `sale` to refuse to send changes which change nothing."""
        self._check_missing_changes()
        return super().action_quotation_send()

    def _action_confirm(self):
        """Override of `sale` to turn orders with recurring lines into running contracts, and to apply amendments.

        What the host and other addons do with confirmed lines, they do with the lines of the contract.
        """
        amendments = self.filtered('amendment_type')
        orders = self - amendments
        result = super(SaleOrder, orders)._action_confirm()
        orders._complete_plans()
        orders.filtered('is_subscription')._start_subscriptions()
        amendments._confirm_amendments()
        return result

    def _action_cancel(self):
        """Override of `sale`: a contract which was billed is closed, not cancelled; so is a change which was made."""
        amendments = self.filtered('amendment_type')
        amendments._cancel_amendments()
        (self - amendments).filtered(lambda order: order.subscription_state not in (False, 'draft'))._withdraw_start()
        return super()._action_cancel()

    # === BUSINESS METHODS === #

    def _create_invoices(self, grouped=False, final=False, date=None):
        """Override of `sale` to bill contracts through the billing ledger, whoever asks for invoices."""
        contracts = self.filtered(lambda order: order.subscription_state not in (False, 'draft', 'amendment'))
        if not contracts:
            return super()._create_invoices(grouped=grouped, final=final, date=date)
        moves = contracts.with_context(
            sale_subscription_ext_one_invoice_per_order=grouped)._create_due_invoices()
        if plain := self - contracts:
            plain = plain.with_context(raise_if_nothing_to_invoice=False)
            moves |= super(SaleOrder, plain)._create_invoices(grouped=grouped, final=final, date=date)
        if not moves and self.env.context.get('raise_if_nothing_to_invoice', True):
            raise UserError(self._nothing_to_invoice_error_message())
        return moves

    def _prepare_invoice(self):
        """Override of `sale` to remember the billing run which makes an invoice.

        The context key `sale_subscription_ext_billing_run_ids` holds the runs at work, one for each company.
        """
        values = super()._prepare_invoice()
        if run_ids := self.env.context.get('sale_subscription_ext_billing_run_ids'):
            runs = self.env['subscription.billing.run'].sudo().browse(run_ids)
            values['subscription_billing_run_id'] = runs.filtered(lambda run: run.company_id == self.company_id).id
        return values

    def _nothing_to_invoice_error_message(self):
        """Override of `sale` to say when the next invoice of a contract is due."""
        if len(self) == 1 and self.next_invoice_date and self.subscription_state in const.RUNNING_STATES:
            return self.env._(
                "Nothing is due on %(name)s yet. Its next invoice is made on %(date)s.",
                name=self.name, date=format_date(self.env, self.next_invoice_date),
            )
        return super()._nothing_to_invoice_error_message()

    def _get_prepayment_required_amount(self):
        """Override of `sale`: a subscription is confirmed by a payment of its first invoice, or of a part of it."""
        amount = super()._get_prepayment_required_amount()
        return self._get_first_prepayment(amount) if self._has_first_invoice() else amount

    def _has_to_be_signed(self):
        """Override of `sale`: a customer who is restricted until an invoice is paid changes nothing."""
        return super()._has_to_be_signed() and not self._is_portal_restricted()

    def _has_to_be_paid(self):
        """Override of `sale`: a method to save pays the first invoice; see `_has_to_be_signed` too."""
        return (super()._has_to_be_paid() or self._has_to_pay_and_save()) and not self._is_portal_restricted()

    def _validate_order(self):
        """Override of `sale`: accepting waits for the payment method to charge, restricted customers can't accept."""
        ready = self.filtered(lambda order: not (order._needs_payment_method() or order._is_portal_restricted()))
        return super(SaleOrder, ready)._validate_order() if ready else None

    def _is_paid(self):
        """Override of `sale`: a subscription is paid when its first invoice is."""
        return self._is_first_invoice_paid() if self._is_in_ledger() else super()._is_paid()

    def _get_default_payment_link_values(self):
        """Override of `sale` to ask for the first invoice of a subscription, or for what is open of it."""
        values = super()._get_default_payment_link_values()
        return self._prepare_payment_link_values(values) if self._is_in_ledger() else values

    def _send_payment_succeeded_for_order_mail(self):
        """Override of `sale` to tell customers of a subscription what was paid, and not what is left of its total."""
        subscriptions = self.filtered(lambda order: order._is_in_ledger())
        subscriptions._send_subscription_payment_mail()
        return super(SaleOrder, self - subscriptions)._send_payment_succeeded_for_order_mail()

    def _get_priced_lines(self):
        """Override of `sale` to leave ended lines out of the totals."""
        return super()._get_priced_lines().filtered(lambda line: not line.end_date)

    def _get_order_lines_to_report(self):
        """Override of `sale` to leave what isn't served any more out of the customer's page and the PDF, and the
        options which a running contract only offers.
        """
        today = self._subscription_today()
        lines = super()._get_order_lines_to_report() - self._get_offers_beside_contract()
        return lines.filtered(lambda line: not line.end_date or line.end_date >= today)

    def _get_copiable_order_lines(self):
        """Override of `sale` to leave ended lines out of a copy, and what was sold once out of a renewal.

        The context key `sale_subscription_ext_renewing` says that the copy is a renewal.
        """
        lines = super()._get_copiable_order_lines().filtered(lambda line: not line.end_date)
        if self.env.context.get('sale_subscription_ext_renewing'):
            return lines.filtered(self._is_renewable_line)
        return lines

    def _get_update_prices_lines(self):
        """Override of `sale` to keep the prices of running contracts, on their amendments too."""
        lines = super()._get_update_prices_lines()._filter_repriceable()
        return lines.filtered(lambda line: not line._keeps_terms_of_contract())

    # === MAIL === #

    def _track_template(self, changes):
        """Override of `mail` to send the e-mail of a stage which a subscription enters."""
        result = super()._track_template(changes)
        order = self[0]
        template = order.stage_id.mail_template_id
        is_told = order.id in self._get_told_order_ids()
        if 'stage_id' in changes and template and not is_told and order._is_stage_mail_sent():
            result['stage_id'] = (template, {'auto_delete_keep_log': False, **self._get_subscription_mail_options()})
        return result

    def _notify_by_email_prepare_rendering_context(
        self, message, msg_vals=False, model_description=False, force_email_company=False, force_email_lang=False,
        force_record_name=False,
    ):
        """Override of `sale` to write over the e-mails of a subscription what it costs, in place of its total."""
        values = super()._notify_by_email_prepare_rendering_context(
            message, msg_vals=msg_vals, model_description=model_description, force_email_company=force_email_company,
            force_email_lang=force_email_lang, force_record_name=force_record_name)
        return {**values, **self._prepare_mail_layout_values(message, values)}

    def _find_mail_template(self):
        """Override of `sale` to offer what has a plan in words of its own."""
        return self._get_offer_template(super()._find_mail_template())

    def _get_confirmation_template(self):
        """Override of `sale` to confirm what has a plan in words of its own: its total isn't what is paid."""
        return self._get_agreed_template(super()._get_confirmation_template())

    def _send_order_confirmation_mail(self):
        """Override of `sale`: who is sent the confirmation isn't told of the start once more."""
        self._skip_start_mails()
        return super()._send_order_confirmation_mail()

    # === TOOLING === #

    @api.model
    def _read_group_stage_ids(self, stages, domain):
        """Show every column of the kanban, empty ones too, but amendments only where there are some."""
        return stages.search([('subscription_state', '!=', 'amendment')]) | stages
