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
    def _run_in_batches(self, domain, process, handle_error, commit, lock=None):
        """Process the subscriptions of a domain; any number of workers share them.

        A batch which fails is processed group by group, in transactions of their own when `commit`. What still fails
        is rolled back alone and handed to `handle_error`. Errors of concurrency are never a subscription's error.

        :param Domain domain: the subscriptions; one which was processed must not match it any more, or by its id
        :param process: called with locked subscriptions, returns ids of what it made
        :param handle_error: called with a subscription and its exception, in a sound transaction
        :param bool commit: commit batch by batch and report the progress, for crons
        :param lock: called with a domain and a limit, locks subscriptions and returns the ids of each group which is
            to be processed together; each for itself if not given
        :return: what `process` returned, and whether all was done before the time was over
        :rtype: tuple[list[int], bool]
        """
        lock = lock or self._lock_singles
        if commit:
            self.env['ir.cron']._commit_progress(remaining=self.search_count(domain))
        made, last_id, done = [], 0, set()
        while True:
            rest = domain & Domain('id', '>', last_id) & Domain('id', 'not in', done)
            groups, batch_made, has_time = self._run_next_batch(rest, process, handle_error, commit, lock)
            made += batch_made
            if not groups:
                if commit:
                    self.env['ir.cron']._commit_progress(remaining=0)
                return made, True
            if not has_time:
                return made, False
            last_id = groups[-1][0]
            # Whoever came with an earlier one.
            done = {order_id for order_id in done.union(*groups) if order_id > last_id}

    @api.model
    def _run_next_batch(self, domain, process, handle_error, commit, lock):
        """Lock and process the next subscriptions, again when another transaction got in the way.

        :return: ids of the subscriptions by group, what `process` returned, whether time is left
        :rtype: tuple[list[list[int]], list[int], bool]
        """
        for attempt in range(const.MAX_CONCURRENCY_RETRIES):
            try:
                return self._try_next_batch(domain, process, handle_error, commit, lock)
            except TransactionRollbackError:  # serialization failure or deadlock
                if not commit:
                    raise
                self.env.cr.rollback()
                _logger.info("A batch of subscriptions met another transaction, trying again.")
                time.sleep(random.uniform(0.0, 0.2 * 2 ** attempt))
        return self._try_next_batch(domain, process, handle_error, commit, lock)

    @api.model
    def _try_next_batch(self, domain, process, handle_error, commit, lock):
        """Lock and process the next subscriptions.

        :return: see `_run_next_batch`
        :rtype: tuple[list[list[int]], list[int], bool]
        """
        groups = lock(domain, const.BILLING_BATCH_SIZE)
        if not groups:
            return [], [], True
        orders = self.browse(order_id for group in groups for order_id in group)
        try:
            with self.env.cr.savepoint():
                made = process(orders)
        except DATABASE_ERRORS:
            raise
        except Exception:  # noqa: BLE001  whatever it is, find out whose it is
            _logger.info("A batch of %s subscriptions failed, taking them one by one.", len(orders))
            return groups, self._run_group_by_group(domain, groups, process, handle_error, commit, lock), True
        return groups, made, self._end_batch(len(orders), commit)

    @api.model
    def _run_group_by_group(self, domain, groups, process, handle_error, commit, lock):
        """Process the groups of a batch each for itself, so that only the bad subscriptions fail.

        :param list groups: ids of the subscriptions of each group
        :return: what `process` returned
        :rtype: list[int]
        """
        made = []
        for group in groups:
            # Whoever holds the first of a group has it all; another worker may have it by now.
            for locked in lock(domain & Domain('id', '=', group[0]), 1):
                made += self.browse(locked)._process_group(process, handle_error)
                self._end_batch(len(locked), commit)
        return made

    def _process_group(self, process, handle_error):
        """Process a locked group of subscriptions; those which fail are left behind, the others stay together.

        All of it is one transaction: the locks keep other workers from the rest of the group.

        :return: what `process` returned
        :rtype: list[int]
        """
        try:
            with self.env.cr.savepoint():
                return process(self)
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  a subscription must not stop the others
            if len(self) == 1:
                handle_error(self, error)
                return []
        errors = {order: error for order in self if (error := order._try_alone(process))}
        for order, error in errors.items():
            handle_error(order, error)
        rest = self.filtered(lambda order: order not in errors)
        # None is bad alone and they fail together: nothing is left but to take them apart.
        parts = [rest] if errors else list(rest)
        return [made for part in parts if part for made in part._process_group(process, handle_error)]

    def _try_alone(self, process):
        """Process a subscription and roll it back, to learn whether it fails.

        :return: its exception
        :rtype: Exception|None
        """
        savepoint = self.env.cr.savepoint()
        try:
            process(self)
            self.env.cr.flush()  # what fails when it is written
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is this one's
            return error
        finally:
            savepoint.close(rollback=True)
        return None

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
    def _lock_singles(self, domain, limit):
        """Select and lock subscriptions which are processed each for itself.

        :param Domain domain: which subscriptions
        :param int limit: how many at the most
        :return: their ids, as groups of one
        :rtype: list[list[int]]
        """
        return [order.ids for order in self._lock_batch(domain, limit)]

    @api.model
    def _lock_batch(self, domain, limit):
        """Select and lock records in one statement, skipping those another worker holds.

        :param Domain domain: which records
        :param int limit: how many at the most, None for all
        :return: the locked records, by id
        :rtype: recordset
        """
        query = self._search(domain, order='id', limit=limit)
        rows = self.env.execute_query(SQL(
            "%s FOR NO KEY UPDATE OF %s SKIP LOCKED", query.select(), SQL.identifier(self._table)))
        return self.browse([record_id for [record_id] in rows])
