from odoo import fields, models


class AccountMoveLine(models.Model):
    _inherit = 'account.move.line'

    service_start_date = fields.Date(string="Service From", help="The first day of the billed service period.")
    service_end_date = fields.Date(string="Service To", help="The last day of the billed service period.")
    subscription_period_ids = fields.One2many(
        comodel_name='subscription.period', inverse_name='invoice_line_id', string="Billing Periods", copy=False)

    # === CRUD METHODS === #

    def unlink(self):
        """Override of `account`: the periods of a line deleted from a draft are due again."""
        self._reopen_subscription_periods()
        return super().unlink()

    # === BUSINESS METHODS === #

    def _reopen_subscription_periods(self):
        """Make the periods which these lines bill due again."""
        # Accountants may delete drafts without any right in sales.
        self.sudo().subscription_period_ids._reopen()
