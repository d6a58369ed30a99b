from markupsafe import Markup

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Command
from odoo.tools import format_amount


class SubscriptionPaymentResolve(models.TransientModel):
    """Settles invoices of contracts without the payment provider."""

    _name = 'subscription.payment.resolve'
    _description = "Resolve Payment"

    move_ids = fields.Many2many(comodel_name='account.move', string="Invoices", required=True)
    company_id = fields.Many2one(comodel_name='res.company', compute='_compute_company_id')
    resolution = fields.Selection(
        selection=[('paid', "It was paid another way"), ('write_off', "The money will not come")],
        required=True, default='paid',
    )
    date = fields.Date(required=True, default=fields.Date.context_today)
    journal_id = fields.Many2one(
        comodel_name='account.journal', string="Paid Into", check_company=True,
        compute='_compute_journal_id', store=True, readonly=False,
        domain="[('type', 'in', ('bank', 'cash', 'credit')), ('company_id', 'parent_of', company_id)]")
    account_id = fields.Many2one(
        comodel_name='account.account', string="Loss Account", check_company=True,
        domain="[('account_type', 'in', ('expense', 'expense_other'))]",
        help="The account which bears the loss.")
    preview = fields.Html(compute='_compute_preview', sanitize=False)

    # === COMPUTE METHODS === #

    @api.depends('move_ids')
    def _compute_company_id(self):
        for wizard in self:
            wizard.company_id = wizard.move_ids.company_id[:1]

    @api.depends('company_id')
    def _compute_journal_id(self):
        for wizard in self:
            # Who sells may have no right on journals.
            wizard.journal_id = self.env['account.journal'].sudo().search([
                *self.env['account.journal']._check_company_domain(wizard.company_id), ('type', '=', 'bank')], limit=1)

    @api.depends('move_ids', 'resolution')
    def _compute_preview(self):
        for wizard in self:
            wizard.preview = Markup('<ul class="mb-0 ps-3">{}</ul>').format(Markup('').join(
                Markup('<li><strong>{}</strong> {}: {}</li>').format(
                    move._get_charge_label(), move.partner_id.display_name,
                    format_amount(self.env, move._get_charge_amount(), move.currency_id))
                for move in wizard.move_ids._origin
            ))

    # === ACTION METHODS === #

    def action_resolve(self):
        """Settle the invoices as chosen.

        :return: an action which closes the dialog
        :rtype: dict
        :raise UserError: when something is missing, or nothing is open any more
        """
        self.ensure_one()
        self.move_ids._check_may_resolve()
        if paid := self.move_ids.sudo().filtered(lambda move: not move._is_charge_open()):
            raise UserError(self.env._(
                "%(names)s: nothing is open any more.", names=', '.join(move._get_charge_label() for move in paid)))
        moves = self.move_ids.sudo()  # the right to resolve was checked
        moves.filtered(lambda move: move.state == 'draft').action_post()
        if self.resolution == 'paid':
            self._register_payments(moves)
        else:
            self._write_off(moves)
        moves.filtered(lambda move: not move._is_charge_open())._handle_invoice_paid()
        return {'type': 'ir.actions.act_window_close'}

    # === BUSINESS METHODS === #

    def _register_payments(self, moves):
        """Book that the invoices were paid.

        :param account.move moves: posted invoices, in sudo
        :raise UserError: when no journal is chosen
        """
        if not self.journal_id:
            raise UserError(self.env._("Choose where the money was paid into."))
        for move in moves:
            self.env['account.payment.register'].sudo().with_context(
                active_model='account.move', active_ids=move.ids,
            ).create(self._prepare_payment(move))._create_payments()
            move._log_on_subscriptions(self.env._(
                "%(invoice)s was marked as paid by %(user)s.", invoice=move.name, user=self.env.user.name))

    def _prepare_payment(self, move):
        """Prepare the payment of all that is open, whatever of it is due or could be discounted.

        :param account.move move: a posted invoice
        :rtype: dict
        """
        return {
            'journal_id': self.journal_id.id, 'payment_date': self.date, 'installments_mode': 'full',
            'currency_id': move.currency_id.id, 'amount': move.amount_residual,
        }

    def _write_off(self, moves):
        """Book what is open of the invoices as a loss.

        :param account.move moves: posted invoices, in sudo
        :raise UserError: when no account is chosen
        """
        if not self.account_id:
            raise UserError(self.env._("Choose the account which bears the loss."))
        for move in moves:
            lines = move.line_ids.filtered(
                lambda line: line.account_id.account_type == 'asset_receivable' and not line.reconciled)
            amount = format_amount(self.env, move.amount_residual, move.currency_id)
            entry = self.env['account.move'].sudo().create(self._prepare_loss(move, lines))
            entry.action_post()
            for line in lines:
                (line | entry.line_ids.filtered(
                    lambda other, line=line: other.account_id == line.account_id)).reconcile()
            move._log_on_subscriptions(self.env._(
                "%(amount)s of %(invoice)s were written off by %(user)s.",
                amount=amount, invoice=move.name, user=self.env.user.name))

    def _prepare_loss(self, move, lines):
        """Prepare the journal entry which books what is open as a loss.

        :param account.move move: the invoice
        :param account.move.line lines: its open receivable items
        :return: values of an entry
        :rtype: dict
        """
        label = self.env._("Loss on %(invoice)s", invoice=move.name)
        currency = {'currency_id': move.currency_id.id, 'partner_id': move.commercial_partner_id.id, 'name': label}
        return {
            'move_type': 'entry',
            'company_id': move.company_id.id,
            'date': self.date,
            'ref': label,
            'line_ids': [
                *(Command.create({
                    **currency, 'account_id': line.account_id.id, 'amount_currency': -line.amount_residual_currency,
                    'balance': -line.amount_residual,
                }) for line in lines),
                Command.create({
                    **currency, 'account_id': self.account_id.id,
                    'amount_currency': sum(lines.mapped('amount_residual_currency')),
                    'balance': sum(lines.mapped('amount_residual')),
                }),
            ],
        }
