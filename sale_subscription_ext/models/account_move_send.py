from odoo import api, models


class AccountMoveSend(models.AbstractModel):
    _inherit = 'account.move.send'

    # === HOOKS === #

    @api.model
    def _get_default_mail_template_id(self, move):
        """Override of `account` to send the invoices of a subscription with the e-mail of its plan."""
        # Whoever sends an invoice may not read the order behind it.
        template = move.move_type == 'out_invoice' and move.sudo()._get_subscription_mail_template()
        return template or super()._get_default_mail_template_id(move)
