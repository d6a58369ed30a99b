import logging
import random
import time

import psycopg2
from psycopg2.extensions import TransactionRollbackError

from odoo import api, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import SQL

from .. import const
from .subscription_invoicing_mixin import SubscriptionParked

_logger = logging.getLogger(__name__)

# Connection, lock or serialization: no subscription's fault, and the transaction is over.
DATABASE_ERRORS = (psycopg2.OperationalError, psycopg2.InterfaceError)


class SubscriptionBillingMixin(models.AbstractModel):
    """The billing run: which subscriptions are due, who bills them, what happens when one fails."""

    _name = 'subscription.billing.mixin'
    _description = "Subscription Billing"

    # === ACTION METHODS === #

    def action_bill_now(self):
        """Bill what is due of these subscriptions in their own mode, without waiting for the next run.

        :return: an action which shows the invoices, or says that nothing was due
        :rtype: dict
        """
        self.check_access('write')
        self._check_running(self.env._("bill"))
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
        self._clear_billing_error()
        return self.action_bill_now()

    # === CRON === #

    @api.model
    def _cron_bill_subscriptions(self):
        """Bill all due subscriptions, batch by batch; any number of crons and machines share the work."""
        self.env['sale.order']._bill_subscriptions(commit=True)

    # === BUSINESS METHODS - RUN === #

    def _bill_subscriptions(self, date=None, commit=False):
        """Bill everything which is due; on a recordset, of those subscriptions only.

        A subscription which fails is rolled back alone, gets its `billing_error` and an activity, and is left out
        until the next day. Errors of concurrency are never a subscription's error.

        :param datetime.date date: the as-of date and date of the invoices, each company's today if not given
        :param bool commit: commit batch by batch, for crons
        :return: the new invoices, posted or draft by the mode of each subscription
        :rtype: account.move
        """
        self.check_access('write')
        # Salespeople bill without any right in accounting: theirs on the order was checked.
        engine = self.env['sale.order'].sudo()
        domain = engine._get_due_domain(date)
        if self:
            domain &= Domain('id', 'in', self.ids)
        else:
            domain &= engine._get_not_failed_domain(date)
        if commit:
            self.env['ir.cron']._commit_progress(remaining=engine.search_count(domain))
        move_ids, last_id, has_time = [], 0, True
        while has_time:
            orders, moves, has_time = engine._bill_next_batch(domain & Domain('id', '>', last_id), date, commit)
            if not orders:
                if commit:
                    self.env['ir.cron']._commit_progress(remaining=0)
                break
            last_id = orders[-1]
            move_ids += moves
        return self.env['account.move'].browse(move_ids)

    @api.model
    def _bill_next_batch(self, domain, date, commit):
        """Lock and bill the next subscriptions of a run, again when another transaction got in the way.

        :param Domain domain: what is left of the run
        :param datetime.date date: see `_bill_subscriptions`
        :param bool commit: see `_bill_subscriptions`
        :return: ids of the subscriptions, ids of their invoices, whether time is left
        :rtype: tuple[list[int], list[int], bool]
        """
        for attempt in range(const.MAX_CONCURRENCY_RETRIES + 1):
            try:
                orders = self._lock_due(domain, const.BILLING_BATCH_SIZE)
                moves = orders._bill_isolated(date) if orders else self.env['account.move']
                has_time = True
                if commit and orders:
                    has_time = bool(self.env['ir.cron']._commit_progress(len(orders)))
                    self.env.invalidate_all()  # others may have changed what is cached, and memory stays flat
                return orders.ids, moves.ids, has_time
            except TransactionRollbackError:  # serialization failure or deadlock
                if not commit or attempt == const.MAX_CONCURRENCY_RETRIES:
                    raise
                self.env.cr.rollback()
                _logger.info("A batch of subscriptions met another transaction, trying again.")
                time.sleep(random.uniform(0.0, 0.2 * 2 ** attempt))
        return [], [], False

    @api.model
    def _lock_due(self, domain, limit):
        """Select and lock due subscriptions in one statement, skipping those another worker holds.

        :param Domain domain: what is due
        :param int limit: how many at the most
        :return: the locked subscriptions, by id
        :rtype: sale.order
        """
        query = self._search(domain, order='id', limit=limit)
        rows = self.env.execute_query(SQL("%s FOR NO KEY UPDATE OF sale_order SKIP LOCKED", query.select()))
        return self.browse([order_id for [order_id] in rows])

    def _bill_isolated(self, date):
        """Bill locked subscriptions together; if that fails, one by one, so that a bad one fails alone.

        :param datetime.date date: see `_bill_subscriptions`
        :return: the new invoices
        :rtype: account.move
        """
        try:
            with self.env.cr.savepoint():
                return self._bill_locked(date)
        except DATABASE_ERRORS:
            raise
        except Exception:  # noqa: BLE001  whatever it is, find out whose it is
            _logger.info("A batch of %s subscriptions failed, billing them one by one.", len(self))
        moves = self.env['account.move']
        for order in self:
            try:
                with self.env.cr.savepoint():
                    moves |= order._bill_locked(date)
            except DATABASE_ERRORS:
                raise
            except UserError as error:
                order._set_billing_error(str(error), date, parked=isinstance(error, SubscriptionParked))
            except Exception as error:  # a subscription must not stop the others
                _logger.warning("Billing of subscription %s failed", order.name, exc_info=True)
                order._set_billing_error(
                    self.env._("Unexpected error: %(error)s", error=error), date)
        return moves

    @api.model
    def _get_due_domain(self, date=None):
        """Return the domain of the subscriptions which are due.

        :param datetime.date date: the as-of date, each company's today if not given
        :rtype: Domain
        """
        if date:
            days = Domain('next_invoice_date', '<=', date)
        else:
            days = Domain.OR(
                Domain('company_id', 'in', companies.ids) & Domain('next_invoice_date', '<=', today)
                for today, companies in self.env['res.company']._get_companies_by_subscription_today().items()
            )
        return days & Domain([
            ('subscription_state', 'in', const.RUNNING_STATES), ('billing_parked', '=', False)])

    @api.model
    def _get_not_failed_domain(self, date=None):
        """Return the domain of the subscriptions which didn't fail on that day already.

        :rtype: Domain
        """
        day = date or self._subscription_today()
        return Domain('billing_error_date', '=', False) | Domain('billing_error_date', '<', day)

    # === BUSINESS METHODS - ERRORS === #

    def _set_billing_error(self, message, date=None, parked=False):
        """Record why a subscription couldn't be billed and ask somebody to mend it.

        :param str message: what to mend
        :param datetime.date date: the as-of date of the run
        :param bool parked: whether it is left alone until somebody presses Retry
        """
        self.ensure_one()
        is_new = not self.billing_error
        self.write({
            'billing_error': message,
            'billing_error_date': date or self._subscription_today(),
            'billing_parked': parked,
        })
        self._refresh_due_quantities()
        if is_new:
            self.activity_schedule(
                'sale_subscription_ext.mail_activity_type_billing_error',
                note=message,
                user_id=self.user_id.id or self.env.uid,
            )

    def _clear_billing_error(self):
        """Forget an error which is mended, and the activity which asked for it."""
        self.write({'billing_error': False, 'billing_error_date': False, 'billing_parked': False})
        self.activity_unlink(['sale_subscription_ext.mail_activity_type_billing_error'])
