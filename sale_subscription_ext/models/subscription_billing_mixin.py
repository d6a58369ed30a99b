import logging
from functools import partial

import psycopg2

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import SQL, str2bool

from .. import const
from .subscription_invoicing_mixin import SubscriptionParked

_logger = logging.getLogger(__name__)

# The switch which holds all billing.
HOLD_PARAMETER = 'sale_subscription_ext.billing_hold'


class SubscriptionBillingMixin(models.AbstractModel):
    """The billing run: which subscriptions are due, and what happens when one fails."""

    _name = 'subscription.billing.mixin'
    _description = "Subscription Billing"

    billing_error = fields.Text(copy=False, readonly=True)
    billing_error_date = fields.Date(copy=False, readonly=True)
    billing_failure_count = fields.Integer(copy=False, readonly=True)
    billing_parked = fields.Boolean(
        copy=False, readonly=True, help="Billing leaves this subscription alone until somebody presses Retry.")

    # === ACTION METHODS === #

    def action_bill_now(self):
        """Bill what is due of these subscriptions in their own mode, without waiting for the next run.

        :return: an action which shows the invoices, or says that nothing was due
        :rtype: dict
        """
        self.check_access('write')
        self._check_states(self.env._("billed"), const.BILLED_STATES)
        moves = self._bill_subscriptions()
        if moves:
            return self.action_view_invoice(invoices=moves)
        failed = self.filtered('billing_error')
        return {
            'type': 'ir.actions.client',
            'tag': 'display_notification',
            'params': {
                'type': 'danger' if failed else 'info',
                'message': '\n'.join(failed.mapped('billing_error')) or self.env._("Nothing is due yet."),
                'next': {'type': 'ir.actions.client', 'tag': 'soft_reload'},
            },
        }

    def action_retry_billing(self):
        """Bill subscriptions again which failed or are parked.

        :return: see `action_bill_now`
        :rtype: dict
        """
        self.check_access('write')
        self.sudo()._clear_billing_error()
        return self.action_bill_now()

    # === CRON === #

    @api.model
    def _cron_bill_subscriptions(self):
        """Bill what billing runs were started for, then all that is due, batch by batch; any number of crons and
        machines share the work.
        """
        if self._is_billing_held():
            _logger.info("All billing is on hold, nothing was billed.")
            return
        if self.env['subscription.billing.run']._work_on_runs() and not self._is_billing_held():
            self.env['sale.order']._bill_subscriptions(commit=True)

    # === BUSINESS METHODS - RUN === #

    def _bill_subscriptions(self, date=None, commit=False):
        """Bill everything which is due; on a recordset, of those subscriptions only.

        Everything which is due is reported in the automatic billing run of each company and day. Where that would
        be more than a run may bill, a run waits in preview instead and nothing of the company is billed.

        A subscription which fails is rolled back alone, gets its `billing_error` and an activity, and is left out
        until the next day. Errors of concurrency are never a subscription's error.

        :param datetime.date date: the as-of date and date of the invoices, each company's today if not given
        :param bool commit: commit batch by batch, for crons
        :return: the new invoices, posted or draft by the mode of each subscription
        :rtype: account.move
        :raise UserError: when all billing is on hold
        """
        self.check_access('write')
        self._check_billing_hold()
        # Salespeople bill without any right in accounting: theirs on the order was checked.
        engine = self.env['sale.order'].sudo()
        runs = engine.env['subscription.billing.run']
        domain = engine._get_due_domain(date) & engine._get_not_held_domain()
        if self:
            domain &= Domain('id', 'in', self.ids)
        else:
            domain &= engine._get_not_failed_domain(date)
            runs = runs._open_automatic_runs(domain, date, commit)
            domain &= Domain('company_id', 'in', runs.company_id.ids)
        move_ids, _is_done = engine._run_in_batches(
            domain,
            lambda orders: runs._bill_orders(orders, date),
            lambda order, error: runs._fail_order(order, error, date),
            commit,
            lock=partial(engine._lock_groups, domain),
        )
        return self.env['account.move'].browse(move_ids)

    @api.model
    def _get_due_domain(self, date=None):
        """Return the domain of the subscriptions which are due.

        :param datetime.date date: the as-of date, each company's today if not given
        :rtype: Domain
        """
        return self._get_dated_domain(lambda day: Domain('next_invoice_date', '<=', day), date) & Domain([
            ('subscription_state', 'in', const.BILLED_STATES), ('billing_parked', '=', False)])

    @api.model
    def _get_not_failed_domain(self, date=None):
        """Return the domain of the subscriptions which didn't fail on that day already.

        :param datetime.date date: the as-of date, each company's today if not given
        :rtype: Domain
        """
        return Domain('billing_error_date', '=', False) | self._get_dated_domain(
            lambda day: Domain('billing_error_date', '<', day), date)

    @api.model
    def _get_dated_domain(self, get_domain, date=None):
        """Return a domain which compares with today where each subscription's company is.

        :param get_domain: returns the domain for a date
        :param datetime.date date: the same date for all companies instead
        :rtype: Domain
        """
        if date:
            return get_domain(date)
        return Domain.OR(
            Domain('company_id', 'in', companies.ids) & get_domain(today)
            for today, companies in self.env['res.company']._get_companies_by_subscription_today().items()
        )

    # === BUSINESS METHODS - HOLD === #

    @api.model
    def _is_billing_held(self):
        """Return whether the switch is on which holds all billing.

        :rtype: bool
        """
        return str2bool(self.env['ir.config_parameter'].sudo().get_param(HOLD_PARAMETER) or '', False)

    @api.model
    def _check_billing_hold(self):
        """Refuse to bill while all billing is on hold.

        :raise UserError: saying who can release it
        """
        if self._is_billing_held():
            raise UserError(self.env._(
                "All billing is on hold. An administrator can release it in the settings of Subscriptions, with the"
                " switch Hold All Billing."
            ))

    @api.model
    def _get_not_held_domain(self):
        """Return a domain which matches nothing while all billing is on hold.

        It is part of the statement which locks a batch: the switch stops a run which is under way after its
        present batch, on every machine, whatever they have cached.

        :rtype: Domain
        """
        return Domain.custom(to_sql=lambda _model, _alias, _query: SQL(
            "NOT EXISTS (SELECT 1 FROM ir_config_parameter WHERE key = %s AND lower(value) IN %s)",
            HOLD_PARAMETER, ('true', '1', 't', 'yes', 'y', 'on'),
        ))

    # === BUSINESS METHODS - ERRORS === #

    def _set_billing_error(self, error, date=None):
        """Record why a subscription couldn't be billed and ask somebody to mend it.

        :param Exception error: what happened
        :param datetime.date date: the as-of date of the run
        """
        self.ensure_one()
        is_new = not self.billing_error
        message = self._get_billing_error_message(error)
        failures = self.billing_failure_count + 1
        self.write({
            'billing_error': message,
            'billing_error_date': date or self._subscription_today(),
            'billing_failure_count': failures,
            'billing_parked': isinstance(error, SubscriptionParked) or failures >= const.MAX_BILLING_FAILURES,
        })
        self._refresh_due_quantities()
        if is_new:
            self.activity_schedule(
                'sale_subscription_ext.mail_activity_type_billing_error',
                note=message,
                user_id=(self.user_id or self.team_id.user_id or self.create_uid).id,
            )

    def _get_billing_error_message(self, error):
        """Return the sentence for who has to mend an error.

        :param Exception error: what happened
        :rtype: str
        """
        self.ensure_one()
        if isinstance(error, UserError):
            return str(error)
        _logger.warning("Billing of subscription %s failed", self.name, exc_info=error)
        if isinstance(error, psycopg2.IntegrityError):
            return self.env._(
                "The database refused the invoice: %(detail)s", detail=error.diag.message_detail or error)
        return self.env._("Unexpected error: %(error)s", error=error)

    def _clear_billing_error(self):
        """Forget an error which is mended, and the activity which asked for it."""
        self.write({
            'billing_error': False, 'billing_error_date': False, 'billing_failure_count': 0, 'billing_parked': False})
        self.activity_unlink(['sale_subscription_ext.mail_activity_type_billing_error'])
