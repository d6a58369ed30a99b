from odoo import models


class AccountMove(models.Model):
    _inherit = 'account.move'

    # === ACTION METHODS === #

    def button_cancel(self):
        """Override of `account`: the periods of a cancelled draft are due again."""
        result = super().button_cancel()
        self.filtered(lambda move: move.state == 'cancel').invoice_line_ids._reopen_subscription_periods()
        return result

    def button_draft(self):
        """Override of `account`: a cancelled invoice which is taken up again bills its periods again, unless
        another one does by now.
        """
        cancelled = self.filtered(lambda move: move.state == 'cancel')
        result = super().button_draft()
        periods = cancelled.invoice_line_ids.sudo().subscription_period_ids
        periods.filtered(lambda period: period.state == 'open')._set_billed()
        return result

    # === BUSINESS METHODS === #

    def _post(self, soft=True):
        """Override of `account` to book in the billing ledger what a reviewed draft really bills."""
        posted = super()._post(soft=soft)
        for period in posted.invoice_line_ids.sudo().subscription_period_ids:
            if period.currency_id.compare_amounts(period.amount, period.invoice_line_id.price_subtotal):
                period.amount = period.invoice_line_id.price_subtotal
        return posted

    def _queue_subscription_mails(self):
        """Leave posted invoices of subscriptions to the host's asynchronous sending, which mails them after the
        commit.

        An invoice which nobody can be sent says so in its chatter.
        """
        to_send, silent = self.browse(), self.browse()
        for move in self:
            if not move._get_subscription_mail_template():
                continue
            if move.partner_id.email:
                to_send |= move
            else:
                silent |= move
        if to_send:
            to_send.sending_data = {
                'author_user_id': self.env.user.id,
                'author_partner_id': self.env.user.partner_id.id,
            }
            self.env.ref('account.ir_cron_account_move_send').sudo()._trigger()
        if silent:
            silent._message_log_batch(bodies=dict.fromkeys(
                silent.ids, self.env._("Not sent: the customer has no e-mail address.")))

    def _get_subscription_mail_template(self):
        """Return the e-mail template of the plan which an invoice bills.

        :rtype: mail.template
        """
        self.ensure_one()
        return self.invoice_line_ids.sale_line_ids.order_id.plan_id.invoice_mail_template_id[:1]
