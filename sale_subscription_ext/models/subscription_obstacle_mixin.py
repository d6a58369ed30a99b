from odoo import models
from odoo.fields import Domain
from odoo.tools import format_date

from .subscription_invoicing_mixin import SubscriptionParked


class SubscriptionObstacleMixin(models.AbstractModel):
    """Data of which no right invoice can be made: somebody has to mend it first."""

    _name = 'subscription.obstacle.mixin'
    _description = "Billing Obstacles"

    # === BUSINESS METHODS === #

    def _check_obstacles(self):
        """Refuse to bill subscriptions whose data can't make a right invoice.

        The host would fail with a sentence about the invoice, or convert without a rate and say nothing.

        :raise SubscriptionParked: saying what to mend
        """
        journals = self._get_billing_journals()
        rated = self._get_rated_currencies()
        accounts = self._get_income_accounts()
        for order in self:
            obstacle = (
                order._get_date_obstacle()
                or order._get_currency_obstacle(rated)
                or order._get_journal_obstacle(journals[order.company_id])
                or order._get_term_obstacle()
                or order._get_account_obstacle(order.journal_id or journals[order.company_id], accounts)
            )
            if obstacle:
                raise SubscriptionParked(obstacle)

    def _get_billing_journals(self):
        """Return the journal in which each company invoices where an order names none, as the host chooses it.

        :return: {company: journal, empty where there is none}
        :rtype: dict
        """
        Journal = self.env['account.journal']
        return {
            company: Journal.search(
                [*Journal._check_company_domain(company), ('type', '=', 'sale')], limit=1)
            for company in self.company_id
        }

    def _get_rated_currencies(self):
        """Return which foreign currencies of these subscriptions can be converted.

        :return: pairs of company and currency
        :rtype: set
        """
        foreign = self.filtered(lambda order: order.currency_id != order.company_id.currency_id)
        rated = set()
        for company, orders in foreign.grouped('company_id').items():
            rated.update((company, currency) for [currency] in self.env['res.currency.rate']._read_group(
                Domain('currency_id', 'in', orders.currency_id.ids)
                & Domain('company_id', 'in', (False, company.root_id.id)),
                ['currency_id'],
            ))
        return rated

    def _get_income_accounts(self):
        """Return the income accounts of what is served, as the host determines them for invoice lines.

        :return: {(company, fiscal position, product): account}
        :rtype: dict
        """
        return {
            (company, fiscal_position, product): product.with_company(company).product_tmpl_id.get_product_accounts(
                fiscal_pos=fiscal_position)['income']
            for (company, fiscal_position), orders in self.grouped(
                lambda order: (order.company_id, order.fiscal_position_id)).items()
            for product in orders.order_line._get_served_lines().product_id
        }

    def _get_date_obstacle(self):
        """Return what is wrong with the dates.

        :rtype: str
        """
        self.ensure_one()
        if self.start_date and self.end_date and self.end_date < self.start_date:
            return self.env._(
                "It ends on %(end)s, before it starts on %(start)s. Correct the end date, then press Retry.",
                end=format_date(self.env, self.end_date), start=format_date(self.env, self.start_date),
            )
        return ''

    def _get_currency_obstacle(self, rated):
        """Return what is wrong with the currency.

        :param set rated: see `_get_rated_currencies`
        :rtype: str
        """
        self.ensure_one()
        if not self.currency_id.active:
            return self.env._(
                "The currency %(currency)s is inactive. Activate it in the settings of Accounting, then press Retry.",
                currency=self.currency_id.name,
            )
        if self.currency_id != self.company_id.currency_id and (self.company_id, self.currency_id) not in rated:
            return self.env._(
                "The currency %(currency)s has no rate. Enter one in the settings of Accounting, then press Retry.",
                currency=self.currency_id.name,
            )
        return ''

    def _get_journal_obstacle(self, default_journal):
        """Return what is wrong with the journal.

        :param default_journal: where the company invoices unless the order names a journal
        :rtype: str
        """
        self.ensure_one()
        if self.journal_id and not self.journal_id.active:
            return self.env._(
                "The invoicing journal “%(journal)s” is archived. Choose another one in the order, or take it back into"
                " use, then press Retry.", journal=self.journal_id.name,
            )
        if not self.journal_id and not default_journal:
            return self.env._(
                "%(company)s has no sales journal. Create one in Accounting, then press Retry.",
                company=self.company_id.name,
            )
        return ''

    def _get_term_obstacle(self):
        """Return what is wrong with the payment terms.

        :rtype: str
        """
        self.ensure_one()
        if self.payment_term_id and not self.payment_term_id.line_ids:
            return self.env._(
                "The payment terms “%(terms)s” don't say when to pay. Add a line to them or choose others in the order,"
                " then press Retry.", terms=self.payment_term_id.name,
            )
        return ''

    def _get_account_obstacle(self, journal, accounts):
        """Return what is wrong with the income accounts.

        :param journal: in which the subscription is invoiced
        :param dict accounts: see `_get_income_accounts`
        :rtype: str
        """
        self.ensure_one()
        for product in self.order_line._get_served_lines().product_id:
            account = accounts[self.company_id, self.fiscal_position_id, product] or journal.default_account_id
            if not account:
                return self.env._(
                    "%(product)s has no income account. Enter one on the product, its category or the journal"
                    " “%(journal)s”, then press Retry.", product=product.display_name, journal=journal.name,
                )
            if not account.active:
                return self.env._(
                    "The income account “%(account)s” of %(product)s is archived. Choose another one, then press"
                    " Retry.",
                    account=account.name, product=product.display_name,
                )
        return ''
