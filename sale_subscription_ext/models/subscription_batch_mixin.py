import logging
import random
import time

import psycopg2
from psycopg2.extensions import TransactionRollbackError

from odoo import api, models
from odoo.fields import Domain
from odoo.tools import SQL

from .. import const

_logger = logging.getLogger(__name__)

# Connection, lock or serialization: no subscription's fault, and the transaction is over.
DATABASE_ERRORS = (psycopg2.OperationalError, psycopg2.InterfaceError)


class SubscriptionBatchMixin(models.AbstractModel):
    """Work on many subscriptions: locked batch by batch, one which fails is left behind alone."""

    _name = 'subscription.batch.mixin'
    _description = "Subscription Batches"

    @api.model
    def _run_in_batches(self, domain, process, handle_error, commit):
        """Process the subscriptions of a domain; any number of workers share them.

        A batch which fails is processed one by one, in transactions of their own when `commit`. What still fails is
        rolled back alone and handed to `handle_error`. Errors of concurrency are never a subscription's error.

        :param Domain domain: the subscriptions; one which was processed must not match it any more, or by its id
        :param process: called with locked subscriptions, returns ids of what it made
        :param handle_error: called with a subscription and its exception, in a sound transaction
        :param bool commit: commit batch by batch and report the progress, for crons
        :return: what `process` returned, and whether all was done before the time was over
        :rtype: tuple[list[int], bool]
        """
        if commit:
            self.env['ir.cron']._commit_progress(remaining=self.search_count(domain))
        made, last_id = [], 0
        while True:
            rest = domain & Domain('id', '>', last_id)
            order_ids, batch_made, has_time = self._run_next_batch(rest, process, handle_error, commit)
            made += batch_made
            if not order_ids:
                if commit:
                    self.env['ir.cron']._commit_progress(remaining=0)
                return made, True
            if not has_time:
                return made, False
            last_id = order_ids[-1]

    @api.model
    def _run_next_batch(self, domain, process, handle_error, commit):
        """Lock and process the next subscriptions, again when another transaction got in the way.

        :return: ids of the subscriptions, what `process` returned, whether time is left
        :rtype: tuple[list[int], list[int], bool]
        """
        for attempt in range(const.MAX_CONCURRENCY_RETRIES):
            try:
                return self._try_next_batch(domain, process, handle_error, commit)
            except TransactionRollbackError:  # serialization failure or deadlock
                if not commit:
                    raise
                self.env.cr.rollback()
                _logger.info("A batch of subscriptions met another transaction, trying again.")
                time.sleep(random.uniform(0.0, 0.2 * 2 ** attempt))
        return self._try_next_batch(domain, process, handle_error, commit)

    @api.model
    def _try_next_batch(self, domain, process, handle_error, commit):
        """Lock and process the next subscriptions.

        :return: see `_run_next_batch`
        :rtype: tuple[list[int], list[int], bool]
        """
        orders = self._lock_batch(domain, const.BILLING_BATCH_SIZE)
        if not orders:
            return [], [], True
        try:
            with self.env.cr.savepoint():
                made = process(orders)
        except DATABASE_ERRORS:
            raise
        except Exception:  # noqa: BLE001  whatever it is, find out whose it is
            _logger.info("A batch of %s subscriptions failed, taking them one by one.", len(orders))
            return orders.ids, self._run_one_by_one(domain, orders.ids, process, handle_error, commit), True
        return orders.ids, made, self._end_batch(len(orders), commit)

    @api.model
    def _run_one_by_one(self, domain, order_ids, process, handle_error, commit):
        """Process subscriptions each for itself, so that only the bad ones fail.

        :return: what `process` returned
        :rtype: list[int]
        """
        made = []
        for order_id in order_ids:
            order = self._lock_batch(domain & Domain('id', '=', order_id), 1)
            if not order:
                continue  # another worker has it by now
            try:
                with self.env.cr.savepoint():
                    made += process(order)
            except DATABASE_ERRORS:
                raise
            except Exception as error:  # noqa: BLE001  a subscription must not stop the others
                handle_error(order, error)
            self._end_batch(1, commit)
        return made

    @api.model
    def _end_batch(self, count, commit):
        """Commit what was done, where the caller wants that.

        :param int count: how many subscriptions were processed
        :return: whether time is left
        :rtype: bool
        """
        if not commit:
            return True
        has_time = bool(self.env['ir.cron']._commit_progress(count))
        self.env.invalidate_all()  # others may have changed what is cached, and memory stays flat
        return has_time

    @api.model
    def _lock_batch(self, domain, limit):
        """Select and lock subscriptions in one statement, skipping those another worker holds.

        :param Domain domain: which subscriptions
        :param int limit: how many at the most
        :return: the locked subscriptions, by id
        :rtype: sale.order
        """
        query = self._search(domain, order='id', limit=limit)
        rows = self.env.execute_query(SQL("%s FOR NO KEY UPDATE OF sale_order SKIP LOCKED", query.select()))
        return self.browse([order_id for [order_id] in rows])
