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

    @api.model
    def _get_default_sending_methods(self, move):
        """Override of `account` to e-mail the invoices of subscriptions for which that was chosen."""
        methods = super()._get_default_sending_methods(move)
        if any(move._get_mailing_orders().mapped('invoice_email')):
            return {*(methods or ()), 'email'}
        return methods

    @api.model
    def _get_default_mail_partner_ids(self, move, mail_template, mail_lang):
        """Override of `account` to send the invoices of subscriptions to whom these chose."""
        partners = super()._get_default_mail_partner_ids(move, mail_template, mail_lang)
        orders = move._get_mailing_orders()
        chosen = partners.browse(orders.invoice_email_partner_ids.filtered('email').ids)
        if not chosen:
            return partners
        is_chosen_for_all = all(order.invoice_email_partner_ids for order in orders)
        return chosen if is_chosen_for_all else chosen | partners
