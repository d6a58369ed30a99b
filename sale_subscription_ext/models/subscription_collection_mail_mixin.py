from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import format_amount, format_date

from .. import const


class SubscriptionCollectionMailMixin(models.AbstractModel):
    """The e-mails which tell customers of their payments; all of a contract stand in its chatter."""

    _name = 'subscription.collection.mail.mixin'
    _description = "Subscription Collection E-mails"

    charge_reminder_date = fields.Date(
        copy=False, readonly=True, help="The day of the charge which the customer was told of last.")
    method_warning_date = fields.Date(
        copy=False, readonly=True, help="When the customer was told that the payment method can't be used much longer.")

    # === BUSINESS METHODS - WHAT THE E-MAILS SAY === #

    def _get_mailed_invoice(self):
        """Return the invoice which the e-mail that is being written is about.

        :rtype: account.move
        """
        # Whoever the e-mail is written for reads it with the contract.
        return self.env['account.move'].sudo().browse(self.env.context.get('sale_subscription_ext_mailed_invoice_id'))

    def _get_mailed_payment(self):
        """Return the payment which the e-mail that is being written is about.

        :rtype: payment.transaction
        """
        return self.env['payment.transaction'].sudo().browse(
            self.env.context.get('sale_subscription_ext_mailed_payment_id'))

    def _get_next_charge(self):
        """Return what is charged next, and when.

        :return: day and amount, None where nothing is to come
        :rtype: tuple[datetime.date, float]|None
        """
        self.ensure_one()
        waiting = self.sudo().order_line.invoice_lines.move_id.filtered(
            lambda move: move.subscription_charge_state == 'waiting').sorted('subscription_charge_date')
        if waiting:
            return waiting[0].subscription_charge_date, waiting[0]._get_charge_amount()
        # A change which is agreed may give something back before.
        charged = (invoice for invoice in self.get_subscription_forecast(2) if invoice['amount_total'] > 0)
        for invoice in charged:
            starts = [line['date_start'] for line in invoice['lines']]
            return max(invoice['date'], min(starts, default=invoice['date'])), invoice['amount_total']
        return None

    def _get_payment_method_label(self):
        """Return how the customer's saved payment method is called.

        :rtype: str
        """
        self.ensure_one()
        token = self.sudo().payment_token_id
        return ' '.join(part for part in (token.payment_method_id.name, token.display_name) if part)

    def _get_payment_method_problem(self):
        """Return why the saved payment method can't be used, or not much longer.

        :return: a sentence, or nothing
        :rtype: str|None
        """
        self.ensure_one()
        token = self.sudo().payment_token_id
        if problem := token and token._get_subscription_problem():
            return problem
        if token.subscription_expiry_date:
            return self.env._(
                "Payment method %(method)s expires on %(day)s.", method=self._get_payment_method_label(),
                day=format_date(self.env, token.subscription_expiry_date))
        return None

    # === BUSINESS METHODS - STEPS === #

    @api.model
    def _remind_of_charges(self):
        """Tell customers some days before their payment method is charged, where the plan says so.

        :return: whether time is left
        :rtype: bool
        """
        return self._mail_in_batches(self._get_charge_reminder_domain(), '_remind_of_charge')

    @api.model
    def _warn_of_payment_methods(self):
        """Tell customers once that their payment method can't be used any more, or not much longer.

        :return: whether time is left
        :rtype: bool
        """
        return self._mail_in_batches(self._get_method_warning_domain(), '_warn_of_payment_method')

    @api.model
    def _mail_in_batches(self, domain, name):
        """Call a method of the contracts of a domain, batch by batch.

        :param Domain domain: which contracts; one which was dealt with must not match any more
        :param str name: of the method
        :return: whether time is left
        :rtype: bool
        """
        def process(orders):
            for order in orders:
                getattr(order, name)()
            return []

        _made, is_done = self.env['sale.order']._run_in_batches(
            domain, process, lambda order, error: order._log_lifecycle_error(error), commit=True)
        return is_done

    @api.model
    def _get_charge_reminder_domain(self):
        """Return the domain of contracts which are charged soon and whose customers don't know yet.

        :rtype: Domain
        """
        plans = self.env['subscription.plan'].with_context(active_test=False).search(
            [('charge_reminder_days', '>', 0)])
        charged = Domain([('collection_mode', '=', 'charge'), ('subscription_state', 'in', const.RUNNING_STATES)])
        return charged & Domain.OR(
            Domain('plan_id', 'in', same.ids) & self._get_dated_domain(
                lambda today, days=days: self._get_charged_until_domain(today, today + timedelta(days=days)))
            for days, same in plans.grouped('charge_reminder_days').items()
        )

    @api.model
    def _get_charged_until_domain(self, today, day):
        """Return the domain of contracts which are charged until a day, of which the customer wasn't told.

        :param datetime.date today: where the contracts are
        :param datetime.date day: the last day to look at
        :rtype: Domain
        """
        untold = Domain('charge_reminder_date', '=', False) | Domain('charge_reminder_date', '<=', today)
        return untold & (
            Domain([('next_invoice_date', '>', today), ('next_invoice_date', '<=', day)])
            | Domain('order_line.invoice_lines.move_id', 'any', [
                ('subscription_charge_state', '=', 'waiting'), ('subscription_charge_date', '>', today),
                ('subscription_charge_date', '<=', day)])
        )

    def _remind_of_charge(self):
        """Tell the customer of the next charge."""
        self.ensure_one()
        charge = self._get_next_charge()
        # Nobody has the right to set it by hand.
        self.sudo().charge_reminder_date = charge[0] if charge else self.next_invoice_date
        if charge and charge[0] <= self._subscription_today() + timedelta(days=self.plan_id.charge_reminder_days):
            self._message_log(body=self.env._(
                "The customer is told: %(amount)s are charged on %(day)s.",
                amount=format_amount(self.env, charge[1], self.currency_id), day=format_date(self.env, charge[0])))
            self._send_subscription_mail('sale_subscription_ext.mail_template_subscription_charge_reminder')

    @api.model
    def _get_method_warning_domain(self):
        """Return the domain of contracts whose payment method can't be used much longer and whose customers don't know.

        :rtype: Domain
        """
        return Domain([
            ('collection_mode', '=', 'charge'), ('subscription_state', 'in', const.CONTRACT_STATES),
            ('method_warning_date', '=', False), ('payment_token_id', '!=', False),
        ]) & Domain('payment_token_id', 'any', Domain('active', 'in', (True, False)) & (
            Domain('active', '=', False)
            | Domain('provider_id.state', '=', 'disabled')
            | Domain('payment_method_id.active', '=', False)
            | Domain('subscription_expiry_date', '<=', fields.Date.today() + timedelta(days=const.EXPIRY_WARNING_DAYS))
        ))

    def _warn_of_payment_method(self):
        """Tell the customer that the payment method can't be used much longer."""
        self.ensure_one()
        self.sudo().method_warning_date = self._subscription_today()  # nobody has the right to set it by hand
        if problem := self._get_payment_method_problem():
            self._message_log(body=self.env._("The customer is asked for another payment method: %(problem)s",
                                              problem=problem))
            self._send_subscription_mail('sale_subscription_ext.mail_template_subscription_method_warning')
