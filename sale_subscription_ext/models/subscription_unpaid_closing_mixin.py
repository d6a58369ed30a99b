from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain

from .. import const


class SubscriptionUnpaidClosingMixin(models.AbstractModel):
    """Contracts which end because an invoice stays unpaid: when, with which warning, and with which e-mails."""

    _name = 'subscription.unpaid.closing.mixin'
    _description = "Closing of Unpaid Subscriptions"

    subscription_close_warning_date = fields.Date(
        string="Warned of Closing On", copy=False, readonly=True,
        help="For which day the customer was told that contracts will be closed.")

    # === BUSINESS METHODS - DATES === #

    def _get_closing_dates(self):
        """Return on which day each contract of this invoice is closed as unpaid, if nothing changes.

        :return: {contract: date}, without those which aren't closed by themselves
        :rtype: dict
        """
        self.ensure_one()
        step = self._get_steps_left().filtered('close')[:1]
        by_step = step and self._get_step_date(step)
        dates = {}
        for order in self._get_running_contracts():
            days = [day for day in (by_step, self._get_auto_close_date(order)) if day]
            if days:
                dates[order] = min(days)
        return dates

    def _get_auto_close_date(self, order):
        """Return on which day the plan of a contract closes it because of this invoice.

        :param sale.order order: one of its contracts
        :rtype: datetime.date|bool
        """
        self.ensure_one()
        days, since = order.plan_id.auto_close_days, self._get_unpaid_since()
        return days > 0 and since and since + timedelta(days=days)

    # === BUSINESS METHODS - CRON === #

    @api.model
    def _get_auto_close_domain(self):
        """Return the domain of the invoices which may close contracts by the days of their plan.

        :rtype: Domain
        """
        plans = self.env['subscription.plan'].with_context(active_test=False).search([('auto_close_days', '>', 0)])
        return self._get_unpaid_domain() & Domain.OR(
            self._get_contract_domain(Domain('plan_id', 'in', same.ids)) & self._get_overdue_domain(days)
            for days, same in plans.grouped('auto_close_days').items()
        )

    def _close_overdue(self):
        """Close the contracts of locked invoices which were unpaid for as long as their plan allows."""
        for move in self:
            today = move.company_id._get_subscription_today()
            for order in move._get_running_contracts():
                day = move._get_auto_close_date(order)
                if day and day <= today:
                    order._close_as_unpaid(move)
        return []

    @api.model
    def _get_close_warning_domain(self):
        """Return the domain of the invoices of which customers may have to be warned, before contracts are closed.

        :rtype: Domain
        """
        plans = self.env['subscription.plan'].with_context(active_test=False).search([('close_warning_days', '>', 0)])
        warned_before = max(plans.mapped('close_warning_days'), default=0)
        by_plan = [
            self._get_contract_domain(Domain('plan_id', 'in', same.ids)) & self._get_overdue_domain(max(days, 0))
            for days, same in plans.filtered(lambda plan: plan.auto_close_days > 0).grouped(
                lambda plan: plan.auto_close_days - plan.close_warning_days).items()
        ]
        by_step = [
            Domain('subscription_dunning_policy_id', '=', step.policy_id.id)
            & self.env['sale.order']._get_dated_domain(lambda today, step=step: Domain(
                'subscription_dunning_date', '<=', today - timedelta(days=step.day_offset - warned_before)))
            for step in self.env['subscription.dunning.step'].search([('close', '=', True)])
        ]
        return (
            Domain('subscription_close_warning_date', '=', False) & Domain.OR(by_plan + by_step)
            & self._get_unpaid_domain()
        )

    def _warn_of_closing(self):
        """Warn the customers of locked invoices whose contracts are about to be closed, once."""
        for move in self:
            today = move.company_id._get_subscription_today()
            days = [
                day for order, day in move._get_closing_dates().items()
                if order.plan_id.close_warning_days and today < day <= today + timedelta(
                    days=order.plan_id.close_warning_days)
            ]
            if days:
                move.subscription_close_warning_date = min(days)
                move._send_unpaid_mail(self.env.ref(
                    'sale_subscription_ext.mail_template_closing_warning', raise_if_not_found=False))
        return []

    @api.model
    def _get_contract_domain(self, domain):
        """Return the domain of the invoices about contracts which run, or which a running one has followed.

        :param Domain domain: of the contracts
        :rtype: Domain
        """
        running = Domain('subscription_state', 'in', const.CONTRACT_STATES) & domain
        followed = Domain('subscription_state', '=', 'renewed') & Domain('renewal_ids', 'any', running)
        return Domain('invoice_line_ids.sale_line_ids.order_id', 'any', running | followed)

    # === BUSINESS METHODS - E-MAILS === #

    def _get_unpaid_template(self):
        """Return the e-mail which fits an unpaid invoice best.

        :rtype: mail.template
        """
        self.ensure_one()
        name = 'payment_failed' if self.subscription_charge_state in ('failed', 'refused') else 'unpaid_reminder'
        return self.env.ref(f'sale_subscription_ext.mail_template_{name}', raise_if_not_found=False)

    def _send_unpaid_mail(self, template, order=None):
        """Send an e-mail about this unpaid invoice, with a link to pay it, on the thread of a contract.

        An invoice of several contracts is about one debt: it is told once, on the first contract whose plan sends
        e-mails.

        :param mail.template template: of sales orders
        :param sale.order order: on whose thread, if it has to be that
        :return: whether it was sent
        :rtype: bool
        """
        self.ensure_one()
        orders = order or self._get_running_contracts() | self._get_subscriptions()
        order = orders.filtered(lambda order: order._is_unpaid_mail_sent())[:1]
        if not order or not template or self.env.context.get('tracking_disable'):
            return False
        if self._is_payable_by_link():
            self.env['subscription.recovery.link']._ensure_for(self)
        order.with_context(sale_subscription_ext_unpaid_invoice_id=self.id).message_post_with_source(
            template, **order._get_subscription_mail_options())
        return True

    def _get_recovery_url(self):
        """Return the address at which this invoice can be paid without a login.

        :return: that of its page in the portal where there is no valid link
        :rtype: str
        """
        self.ensure_one()
        links = self.env['subscription.recovery.link'].sudo().search([('move_id', '=', self.id)])
        link = links.filtered(lambda link: link.state == 'valid')[:1]
        return link._get_url() if link else f'{self.get_base_url()}{self.get_portal_url()}'
