import logging
import math

from dateutil.relativedelta import relativedelta
from psycopg2.errors import UniqueViolation
from psycopg2.extensions import TransactionRollbackError

from odoo import api, models
from odoo.fields import Domain
from odoo.tools import mute_logger

from .. import const

_logger = logging.getLogger(__name__)


class SubscriptionRunGuardMixin(models.AbstractModel):
    """The automatic billing runs: one a company and day, and none which would surprise anybody."""

    _name = 'subscription.run.guard.mixin'
    _description = "Automatic Billing Runs"

    # === BUSINESS METHODS === #

    @api.model
    def _open_automatic_runs(self, domain, date, commit):
        """Find or create the automatic runs of the companies in which something is due.

        A company whose run would be too large gets one which waits in preview; nothing is billed automatically in
        a company as long as one of its runs waits.

        :param Domain domain: the subscriptions which are due
        :param datetime.date date: the as-of date, each company's today if not given
        :param bool commit: whether other workers may be at it, for crons
        :return: one run for each company which may be billed
        :rtype: subscription.billing.run
        """
        for _attempt in range(const.MAX_CONCURRENCY_RETRIES):
            try:
                with self.env.cr.savepoint(), mute_logger('odoo.sql_db'):
                    runs, held = self._try_open_automatic_runs(domain, date)
                break
            except (UniqueViolation, TransactionRollbackError):
                if not commit:
                    raise
                # Another worker created it first: a fresh transaction sees it.
                self.env.cr.rollback()
        else:
            runs, held = self._try_open_automatic_runs(domain, date)
        for run in held:
            run._continue_preview(commit)
        return runs

    @api.model
    def _try_open_automatic_runs(self, domain, date):
        """Find or create the automatic runs of the companies in which something is due.

        :return: the runs which may bill, and new ones which wait
        :rtype: tuple[subscription.billing.run, subscription.billing.run]
        """
        runs, held = self.browse(), self.browse()
        # A started run is at these subscriptions already.
        waiting = self.search(self._get_waiting_domain() | Domain('state', '=', 'running')).company_id
        for company, count in self.env['sale.order']._read_group(domain, ['company_id'], ['__count']):
            if company in waiting:
                continue
            day = date or company._get_subscription_today()
            if reason := self._get_limit_message(company, day, count):
                held |= self._hold_large_run(company, day, reason)
            else:
                runs |= self._get_automatic_run(company, day)
        return runs, held

    @api.model
    def _get_waiting_domain(self):
        """Return the domain of the runs which wait for somebody and keep their companies from automatic billing.

        :rtype: Domain
        """
        return Domain('state', '=', 'stopped') | Domain([
            ('origin', '=', 'limit'), ('state', 'in', ('draft', 'previewed'))])

    @api.model
    def _get_automatic_run(self, company, day):
        """Return the automatic run of a company on a day: hourly billing goes on with it.

        :rtype: subscription.billing.run
        """
        return self.search(
            [('company_id', '=', company.id), ('date', '=', day), ('origin', '=', 'automatic')], limit=1,
        ) or self.with_context(tracking_disable=True).create(
            {'company_id': company.id, 'date': day, 'origin': 'automatic', 'state': 'done'},
        ).with_env(self.env)

    @api.model
    def _hold_large_run(self, company, day, reason):
        """Create a run which waits in preview, and ask who is responsible to look at it.

        :param str reason: why it waits
        :rtype: subscription.billing.run
        """
        run = self.with_context(tracking_disable=True).create({
            'company_id': company.id, 'date': day, 'origin': 'limit', 'wait_reason': reason,
        }).with_env(self.env)
        run._collect_contracts()
        for user in run._get_responsible_users():
            run.activity_schedule(
                'sale_subscription_ext.mail_activity_type_billing_run', note=reason, user_id=user.id)
        _logger.info("Billing run %s of company %s waits: %s", run.id, company.id, reason)
        return run

    def _get_responsible_users(self):
        """Return who is asked to look at a run which waits: the company's responsible, or its sales administrators.

        :rtype: res.users
        """
        self.ensure_one()
        return self.company_id.subscription_billing_user_id or self.env['res.users'].search([
            ('group_ids', 'in', self.env.ref('sales_team.group_sale_manager').all_implied_by_ids.ids),
            ('company_ids', 'in', self.company_id.ids),
            ('share', '=', False),
        ])

    # === BUSINESS METHODS - LIMITS === #

    @api.model
    def _get_limit_message(self, company, day, count):
        """Return why a run has to wait for somebody, if it has to.

        :param int count: how many subscriptions it would bill
        :rtype: str
        """
        limit = company.subscription_max_run
        if limit and count > limit:
            return self.env._(
                "%(count)s subscriptions are due; by the settings, an automatic run bills %(limit)s at the most.",
                count=count, limit=limit,
            )
        usual = self._get_usual_count(company, day, count)
        if usual and self._is_unusual(count, usual):
            return self.env._(
                "%(count)s subscriptions are due, more than twice the usual, which is %(usual)s.",
                count=count, usual=round(usual),
            )
        return ''

    @api.model
    def _is_unusual(self, count, usual):
        """Return whether a count is more than twice the usual, and more than chance makes of small numbers.

        :rtype: bool
        """
        return count > 2 * usual and count > usual + 3 * math.sqrt(usual)

    @api.model
    def _get_usual_count(self, company, day, count):
        """Return how many subscriptions are usually billed on a day: the average of the last billing days.

        A peak of the month, quarter or year is usual too: what was billed around this day back then counts where
        it is more.

        :param int count: how many are due now
        :return: None as long as there were too few billing days
        :rtype: float|None
        """
        last = self._count_billed_by_day(
            company, Domain('date', '<', day) & Domain('date', '>=', day - relativedelta(years=1)), const.USUAL_DAYS)
        if len(last) < const.USUAL_MIN_DAYS:
            return None
        usual = sum(last) / len(last)
        if not self._is_unusual(count, usual):
            return usual
        around = Domain.OR(
            Domain('date', '>=', day - relativedelta(months=months, days=3))
            & Domain('date', '<=', day - relativedelta(months=months) + relativedelta(days=3))
            for months in (1, 3, 12)
        )
        return max([usual, *self._count_billed_by_day(company, around)])

    @api.model
    def _count_billed_by_day(self, company, domain, limit=None):
        """Return how many subscriptions were billed on each billing day, latest first.

        :param Domain domain: which days
        :rtype: list[int]
        """
        domain &= Domain([('company_id', '=', company.id), ('state', '=', 'billed')])
        return [count for _day, count in self.env['subscription.billing.run.line']._read_group(
            domain, ['date:day'], ['__count'], order='date:day desc', limit=limit)]
