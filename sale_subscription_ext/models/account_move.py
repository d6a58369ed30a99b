from odoo import api, fields, models
from odoo.exceptions import UserError


class AccountMove(models.Model):
    _name = 'account.move'
    _inherit = [
        'account.move', 'subscription.move.batch.mixin', 'subscription.move.post.mixin',
        'subscription.reversal.mixin', 'subscription.refund.mixin',
        'subscription.dunning.mixin', 'subscription.unpaid.mixin', 'subscription.unpaid.closing.mixin',
        'subscription.charge.mixin', 'subscription.charge.result.mixin', 'subscription.resolve.mixin',
        'subscription.batch.mixin', 'subscription.kept.payment.mixin',
    ]

    # Whose money is still to come: few of all invoices, looked through by each collection.
    _unpaid_idx = models.Index(
        "(invoice_date_due, company_id) WHERE move_type = 'out_invoice' AND payment_state IN ('not_paid', 'partial')")
    _charge_queue_idx = models.Index(
        "(subscription_charge_date, company_id) WHERE subscription_charge_state = 'waiting'")

    subscription_billing_run_id = fields.Many2one(
        comodel_name='subscription.billing.run', string="Billing Run", copy=False, readonly=True,
        index='btree_not_null', ondelete='set null')
    # Salespeople may read their invoices but no payments: without this, the form fails on the count.
    payment_count = fields.Integer(compute_sudo=True)

    # === COMPUTE METHODS === #

    def _compute_name(self):
        """Override of `account` to number the invoices of a billing run together."""
        together = self._filter_numbered_together()
        result = super(AccountMove, self - together)._compute_name()
        together._number_together()
        return result

    def _compute_tax_country_id(self):
        """Override of `account`, which calls it by itself: its values aren't written one by one then."""
        with self.env.protecting([self._fields['tax_country_id']], self):
            return super()._compute_tax_country_id()

    # === CRUD METHODS === #

    @api.model_create_multi
    def create(self, vals_list):
        """Override of `account` to create the invoices of a billing run with all their journal items.

        The context key `sale_subscription_ext_set_wise` asks for it.
        """
        if not self._is_set_wise() or not self._is_sync_replaceable():
            return super().create(vals_list)
        completed = self._complete_invoices(vals_list)
        is_logged = not (self.env.context.get('tracking_disable') or self.env.context.get('mail_create_nolog'))
        log_together = is_logged and self._is_logged_together()
        moves = super(AccountMove, self.with_context(
            sale_subscription_ext_complete=True,
            skip_invoice_sync=True, skip_invoice_line_sync=True, skip_analytic_sync=True,
            mail_create_nolog=log_together or not is_logged,
        )).create([vals for vals in completed if vals]).with_env(self.env)
        moves.line_ids._keep_given_totals()
        if log_together:
            moves._log_creation()
        others = super().create([
            vals for vals, is_complete in zip(vals_list, completed, strict=True) if not is_complete])
        created, created_by_host = iter(moves), iter(others)
        return self.union(*(next(created if is_complete else created_by_host) for is_complete in completed))

    def write(self, vals):
        """Override of `account`: the invoices of a billing run are new, so that nothing of them is tracked, and
        complete, so that posting changes no amount.
        """
        is_posting = vals.keys() == {'state', 'posted_before'}
        if not is_posting or not self._is_set_wise() or not self._is_sync_replaceable():
            return super().write(vals)
        return super(AccountMove, self.with_context(mail_notrack=True, skip_invoice_sync=True)).write(vals)

    @api.ondelete(at_uninstall=False)
    def _unlink_except_charged(self):
        """Keep drafts for which money may still arrive."""
        self._check_not_being_charged()

    def _add_precomputed_values(self, vals_list):
        """Override of `base`: of a complete sales document, nothing which is computed before it is stored depends on
        its journal items.
        """
        if not self._is_complete():
            return super()._add_precomputed_values(vals_list)
        items = [vals.pop('line_ids', None) for vals in vals_list]
        try:
            return super()._add_precomputed_values(vals_list)
        finally:
            for vals, commands in zip(vals_list, items, strict=True):
                if commands is not None:
                    vals['line_ids'] = commands

    # === ACTION METHODS === #

    def button_cancel(self):
        """Override of `account`: the periods of a cancelled draft are due again.

        :raise UserError: when money may still arrive
        """
        self._check_not_being_charged()
        result = super().button_cancel()
        self.filtered(lambda move: move.state == 'cancel').invoice_line_ids._reopen_subscription_periods()
        self.filtered(
            lambda move: move.subscription_charge_state in ('waiting', 'failed', 'refused'))._leave_charge_queue()
        return result

    def button_draft(self):
        """Override of `account`: a cancelled invoice which is taken up again bills its periods again, and what a posted
        document took back counts again.

        :raise UserError: when they were billed by another invoice or left out in the meantime, or would be paid or
            given back twice
        """
        reversals = self.filtered(lambda move: move.state == 'posted' and move.reversed_entry_id)
        self._check_not_reversed()
        cancelled_lines = self.filtered(lambda move: move.state == 'cancel').invoice_line_ids
        # Accountants have no right on the ledger, which follows their invoices.
        periods = cancelled_lines.sudo().subscription_period_ids.filtered(lambda period: period.state == 'open')
        served_lines = cancelled_lines.filtered(
            lambda line: line.service_start_date and any(line.sudo().sale_line_ids.mapped('is_recurring')))
        if lost := served_lines - periods.invoice_line_id:
            raise UserError(self.env._(
                "%(names)s: its periods were billed by another invoice or left out in the meantime. Bill them from the"
                " subscription instead.", names=', '.join(lost.move_id.mapped('display_name')),
            ))
        result = super().button_draft()
        periods._set_billed()
        reversals._update_reversed_periods()
        return result

    # === BUSINESS METHODS === #

    def _post(self, soft=True):
        """Override of `account` to book in the billing ledger what a reviewed draft really bills.

        :raise UserError: when a credit note gives back what the ledger gave back already, or days would be paid or
            given back twice
        """
        self._check_given_back()
        posted = super()._post(soft=soft)
        posted.invoice_line_ids.sudo().subscription_period_ids._update_from_invoice_lines()
        posted.filtered('reversed_entry_id')._update_reversed_periods()
        if not self._is_set_wise():
            posted.sudo()._reconcile_kept_payments()  # whoever confirms invoices
            posted._mail_approved_invoices()
            posted._queue_approved_charges()
        return posted

    def _check_not_being_charged(self):
        """Refuse to delete, cancel or replace what is being charged: the money would pay for nothing, and the periods
        would be billed and charged again.

        :raise UserError: naming the document
        """
        for move in self:
            if move._get_open_transactions().subscription_invoice_id:
                raise UserError(self.env._(
                    "%(name)s can't be deleted, cancelled or replaced: a payment for it is under way. Wait until it is"
                    " answered.", name=move._get_charge_label()))

    def _has_to_be_paid(self):
        """Override of `account_payment`: what is being charged isn't paid online at the same time."""
        return super()._has_to_be_paid() and not self._get_open_transactions().subscription_invoice_id

    def _invoice_paid_hook(self):
        """Override of `account` to stop collecting what is paid."""
        result = super()._invoice_paid_hook()
        self.sudo()._handle_invoice_paid()  # whoever books a payment
        return result

    def _get_subscription_shares(self, orders, amount_untaxed, amount_total):
        """Share out the amounts of an invoice, saved or not, to its subscriptions by its lines.

        What rounding leaves goes to the first, so that the shares always sum to the invoice.

        :param orders: the subscriptions which the invoice bills
        :param float amount_untaxed: the untaxed amount of the invoice
        :param float amount_total: its amount with taxes
        :return: {subscription: (untaxed, total)}
        :rtype: dict
        """
        self.ensure_one()
        shares = {}
        for order in orders[1:]:
            lines = self.invoice_line_ids.filtered(
                lambda line, order=order: order.id in line.sale_line_ids.order_id._origin.ids)
            shares[order] = (sum(lines.mapped('price_subtotal')), sum(lines.mapped('price_total')))
        rest = (
            amount_untaxed - sum(untaxed for untaxed, _total in shares.values()),
            amount_total - sum(total for _untaxed, total in shares.values()),
        )
        return {**dict.fromkeys(orders[:1], rest), **shares}

    def _reconcile_subscription_credits(self):
        """Let open credit notes of the subscriptions which these documents bill pay their open invoices: first what
        they give days of back, then the oldest. What somebody is paying right now is left alone.
        """
        orders = self.invoice_line_ids.sale_line_ids.order_id
        documents = orders.invoice_ids.filtered(
            lambda move: move.state == 'posted' and move.move_type in ('out_invoice', 'out_refund')
            and not move.currency_id.is_zero(move.amount_residual)
            and not move.transaction_ids.filtered(lambda tx: tx.state in ('draft', 'pending', 'authorized')))
        if len(set(documents.mapped('move_type'))) < 2:
            return
        for credit_note in documents.filtered(lambda move: move.move_type == 'out_refund'):
            (credit_note | documents & credit_note._get_credited_invoices())._reconcile_open_terms()
        for order in orders:
            (documents & order.invoice_ids)._reconcile_open_terms()

    def _reconcile_open_terms(self):
        """Reconcile what is open of these invoices with what is open of these credit notes, the oldest first."""
        lines = self.line_ids.filtered(lambda line: line.display_type == 'payment_term' and not line.reconciled)
        for group in lines.grouped(lambda line: (line.account_id, line.partner_id, line.currency_id)).values():
            if len(set(group.move_id.mapped('move_type'))) == 2:
                group.sorted('date_maturity').reconcile()

    def _get_credited_invoices(self):
        """Return the invoices of which these credit notes give something back: days, by the ledger, or all of it.

        :rtype: account.move
        """
        # Whoever posts a credit note has no right on the ledger.
        periods = self.invoice_line_ids.sudo().subscription_period_ids.credited_period_id
        return periods.invoice_id.sudo(self.env.su) | self.reversed_entry_id

    def _queue_subscription_mails(self):
        """Leave posted invoices of subscriptions which are e-mailed to the host's asynchronous sending, which mails
        them after the commit.

        An invoice which nobody can be sent says so in its chatter.
        """
        mailed = self.filtered(lambda move: move._get_mailing_orders())
        obstacles = {move: obstacle for move in mailed if (obstacle := move._get_mail_obstacle())}
        silent = self.browse([move.id for move in obstacles])
        if to_send := mailed - silent:
            to_send.sending_data = {
                'author_user_id': self.env.user.id,
                'author_partner_id': self.env.user.partner_id.id,
            }
            self.env.ref('account.ir_cron_account_move_send').sudo()._trigger()
        if silent:
            silent._message_log_batch(bodies={move.id: obstacle for move, obstacle in obstacles.items()})

    def _mail_approved_invoices(self):
        """E-mail what somebody confirmed, or a payment, of subscriptions which get their invoices by e-mail."""
        self.filtered(lambda move: (
            move.move_type == 'out_invoice' and not move.is_move_sent and not move.sending_data
            and any(move._get_mailing_orders().mapped('invoice_email'))
        ))._queue_subscription_mails()

    def _get_mailing_orders(self):
        """Return the subscriptions which an invoice bills and which get their invoices by e-mail.

        :rtype: sale.order
        """
        self.ensure_one()
        # Whoever posts or sends an invoice may not read the orders behind it.
        orders = self.sudo().invoice_line_ids.sale_line_ids.order_id
        return orders.filtered(lambda order: order._is_in_ledger() and order._is_mailing_invoices())

    def _get_mail_recipients(self):
        """Return who is e-mailed an invoice: whom its subscriptions chose, the invoice address for those which chose
        nobody.

        :rtype: res.partner
        """
        self.ensure_one()
        orders = self._get_mailing_orders()
        partners = orders.invoice_email_partner_ids
        if not all(order.invoice_email_partner_ids for order in orders):
            partners |= self.partner_id
        return partners.filtered('email')

    def _get_mail_obstacle(self):
        """Return why an invoice which should be e-mailed can't be.

        :return: a sentence, nothing where it can
        :rtype: str
        """
        self.ensure_one()
        if self.state != 'posted' or not self._get_mailing_orders():
            return ''
        if not self.sudo()._get_subscription_mail_template():
            return self.env._("Not sent: the plan has no invoice e-mail.")
        if not self._get_mail_recipients():
            return self.env._("Not sent: the customer has no e-mail address.")
        return ''

    def _get_subscription_mail_template(self):
        """Return the e-mail template of the plan which an invoice bills.

        :rtype: mail.template
        """
        self.ensure_one()
        return self.invoice_line_ids.sale_line_ids.order_id.plan_id.invoice_mail_template_id[:1]
