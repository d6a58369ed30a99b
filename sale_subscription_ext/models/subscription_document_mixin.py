from datetime import timedelta

from odoo import models
from odoo.tools import format_amount, format_date

from .. import const


class SubscriptionDocumentMixin(models.AbstractModel):
    """What the documents and e-mails of a contract say, in the language in which they are read."""

    _name = 'subscription.document.mixin'
    _description = "Subscription Documents"

    # === BUSINESS METHODS - FACTS === #

    def _get_contract_facts(self):
        """Return what was agreed, or would be by confirming the quotation, in words.

        :return: label and text of each fact; the texts of a label without one are left out
        :rtype: list[tuple[str, str]]
        """
        self.ensure_one()
        # Whoever reads the document: a renewal names the contract which it renews.
        order = self.sudo()
        facts = [
            *order._get_renewal_facts(),
            (self.env._("Recurring Plan"), order._get_plan_text()),
            (self.env._("Billing Day"), order._get_billing_day_text()),
            (self.env._("Start"), order._get_start_text()),
            (self.env._("Trial"), order._get_trial_text()),
            *order._get_term_facts(),
            (self.env._("Period"), order._get_period_text()),
            (self.env._("Recurring Amount"), '\n'.join(order._get_recurring_texts())),
            (self.env._("One-Time Amount"), order._get_once_text()),
            (self.env._("Agreed Change"), '\n'.join(order._get_agreed_change_texts())),
            (self.env._("Pause"), order._get_pause_text()),
            (self.env._("First Invoice"), order._get_first_invoices_text()),
            (self.env._("Next Invoice"), order._get_next_invoice_text()),
            (self.env._("Payment"), order._get_payment_text()),
        ]
        return [(label, text) for label, text in facts if text]

    def _get_plan_text(self):
        """Return the plan and when it bills a period.

        :rtype: str
        """
        self.ensure_one()
        if self.plan_id.bill_in == 'arrears':
            return self.env._("%(plan)s, billed at the end of each period", plan=self.plan_id.name)
        return self.env._("%(plan)s, billed at the start of each period", plan=self.plan_id.name)

    def _get_billing_day_text(self):
        """Return on which day a period of a contract begins.

        :rtype: str
        """
        self.ensure_one()
        anchor = self._get_facts_anchor()
        text = self._get_day_text(anchor) if anchor else ''
        if text and self.start_date and anchor > max(self.start_date, self._subscription_today()):
            return self.env._("%(day)s, from %(date)s on", day=text, date=format_date(self.env, anchor))
        return text

    def _get_day_text(self, anchor):
        """Return on which day periods begin which are counted from a date.

        :param datetime.date anchor: the billing day
        :rtype: str
        """
        self.ensure_one()
        unit = self.plan_id.billing_period_unit
        if unit == 'day':
            return ''
        if unit == 'week':
            return format_date(self.env, anchor, date_format='EEEE')
        if unit == 'year':
            return format_date(self.env, anchor, date_format='d MMMM')
        day = self.plan_id.billing_month_day if self.plan_id.billing_alignment == 'month_day' else anchor.day
        if day == 31:
            return self.env._("last day of the month")
        return self.env._("day %(day)s of the month", day=day)

    def _get_facts_anchor(self):
        """Return the billing day of the order's plan; that of a quotation is only known with its start.

        :rtype: datetime.date|bool
        """
        self.ensure_one()
        if self._is_quoted_subscription() and not self.start_date and self.subscription_state != 'renewal':
            return False
        line = self._get_main_line()
        with line._as_if_started_where_quoted():
            return line.anchor_date

    def _get_main_line(self):
        """Return the line whose periods are those of the order's plan.

        :rtype: sale.order.line
        """
        self.ensure_one()
        lines = self.order_line._get_served_lines()
        return (lines.filtered(lambda line: line.plan_id == self.plan_id) or lines)[:1]

    def _get_start_text(self):
        """Return the first day served.

        :rtype: str
        """
        self.ensure_one()
        if self.subscription_state == 'renewal':
            return ''  # it says from when on it takes over
        if self.start_date:
            return format_date(self.env, self.start_date)
        return self.env._("with your acceptance")

    def _get_trial_text(self):
        """Return until when nothing is to be paid.

        :rtype: str
        """
        self.ensure_one()
        start = self._get_expected_start()
        first_day = self._get_first_day_after_trial(start) if self._is_quoted_subscription() else self.trial_end_date
        if not first_day or first_day <= max(start, self._subscription_today()):
            return ''
        return self.env._("free of charge, billed from %(date)s on", date=format_date(self.env, first_day))

    def _get_period_text(self):
        """Return the period which is served now, for a quotation the first one.

        :rtype: str
        """
        self.ensure_one()
        line = self._get_main_line()
        is_quoted = self._is_quoted_subscription()
        with line._as_if_started_where_quoted():
            if not line.anchor_date:
                return ''
            start = line.start_date if is_quoted else self.start_date
            day = start if is_quoted else max(self._subscription_today(), start)
            period = line._get_billed_period(day) or line.plan_id._get_natural_period(line.anchor_date, day)
            text = self.env._(
                "%(start)s – %(end)s", start=format_date(self.env, max(period[0], start)),
                end=format_date(self.env, period[1] - timedelta(days=1)))
        return self._say_if_accepted_today(text)

    def _say_if_accepted_today(self, text):
        """Add to what is counted from the start of a quotation when that would be, unless it is agreed.

        :param str text: dates of a quotation
        :rtype: str
        """
        self.ensure_one()
        if not self._is_quoted_subscription() or self.start_date or self.subscription_state == 'renewal':
            return text
        return self.env._("%(dates)s, if accepted today", dates=text)

    # === BUSINESS METHODS - TERM === #

    def _get_term_facts(self):
        """Return for how long the contract is agreed, and how it may end.

        :rtype: list[tuple[str, str]]
        """
        self.ensure_one()
        plan = self.plan_id
        commitment = self.commitment_end_date and self.env._(
            "until %(date)s", date=format_date(self.env, self.commitment_end_date))
        if not commitment and self._is_quoted_subscription() and plan.commitment_value and not self.subscription_id:
            commitment = self._get_span_text(plan.commitment_value, plan.commitment_unit)
        return [
            (self.env._("Term"), self._get_term_text()),
            (self.env._("At the End of the Term"), self._get_term_end_text()),
            (self.env._("Minimum Commitment"), commitment or ''),
            (self.env._("Period of Notice"), self._get_span_text(plan.notice_days, 'day') if plan.notice_days else ''),
        ]

    def _get_term_text(self):
        """Return for how long the contract is agreed.

        :rtype: str
        """
        self.ensure_one()
        end = self.end_date or self.term_end_date
        if not self.term_value:
            if not self.end_date:
                return self.env._("open-ended")
            return self.env._("until %(date)s", date=format_date(self.env, self.end_date))
        span = self._get_span_text(self.term_value, self.term_unit)
        if not end and self._is_quoted_subscription() and self._get_facts_anchor():
            end = self._get_term_end_from(self._get_first_day_after_trial(self._get_expected_start()))
        if not end:
            return span
        return self.env._("%(span)s, until %(date)s", span=span, date=format_date(self.env, end))

    def _get_term_end_text(self):
        """Return what follows the term.

        :rtype: str
        """
        self.ensure_one()
        if self.end_date:
            return self.env._("the contract ends")
        if not self.term_value:
            return ''
        if self.term_end == 'renew':
            return self.env._(
                "renewed for another %(span)s at the same prices",
                span=self._get_span_text(self.term_value, self.term_unit))
        if self.term_end == 'close':
            return self.env._("the contract ends")
        return self.env._("the contract goes on until it is ended")

    def _get_span_text(self, value, unit):
        """Return a span of time in words.

        :param int value: how many
        :param str unit: of what
        :rtype: str
        """
        if value == 1:
            return {
                'day': self.env._("1 day"), 'week': self.env._("1 week"),
                'month': self.env._("1 month"), 'year': self.env._("1 year"),
            }[unit]
        return {
            'day': self.env._("%(count)s days", count=value), 'week': self.env._("%(count)s weeks", count=value),
            'month': self.env._("%(count)s months", count=value), 'year': self.env._("%(count)s years", count=value),
        }[unit]

    # === BUSINESS METHODS - AMOUNTS === #

    def _get_recurring_texts(self):
        """Return what is billed each period, plan by plan.

        :rtype: list[str]
        """
        return [
            text for order in self for text in order._format_recurring_totals(order._get_recurring_totals())]

    def _get_amended_texts(self):
        """Return what is billed each period from a change on, plan by plan.

        :return: nothing for what isn't a change which can still be made
        :rtype: list[str]
        """
        self.ensure_one()
        return self._format_recurring_totals(
            self._get_amendment_preview().recurring if self._is_open_amendment() else {})

    def _format_recurring_totals(self, totals):
        """Return what is billed each period in words.

        :param dict totals: {plan: untaxed amount}
        :rtype: list[str]
        """
        self.ensure_one()
        return [
            self.env._(
                "%(amount)s every %(period)s, excl. tax",
                amount=format_amount(self.env, amount, self.currency_id), period=plan.billing_period_display)
            for plan, amount in totals.items()
        ]

    def _get_once_text(self):
        """Return what a quotation sells once.

        :rtype: str
        """
        self.ensure_one()
        lines = self._get_priced_lines().filtered(lambda line: not line.is_recurring)
        amount = sum(lines.mapped('price_subtotal'))
        if not self._is_quoted_subscription() or self.currency_id.is_zero(amount):
            return ''
        return self.env._("%(amount)s, excl. tax", amount=format_amount(self.env, amount, self.currency_id))

    def _get_first_invoices_text(self):
        """Return when the first two invoices of a quotation are made.

        :rtype: str
        """
        self.ensure_one()
        if not self._is_quoted_subscription():
            return ''
        invoice = self._get_first_invoice()
        days = [] if self.currency_id.is_zero(invoice.amount_total) else [invoice.date]
        if invoice.following:
            days.append(min(following.date for following in invoice.following))
        dates = [format_date(self.env, day) for day in days]
        if not dates:
            return ''
        return self._say_if_accepted_today(dates[0] if len(dates) == 1 else self.env._(
            "%(first)s, the next one on %(next)s", first=dates[0], next=dates[1]))

    def _get_due_texts(self):
        """Return what the customer is asked for with the confirmation and what follows, taxes included.

        :rtype: list[str]
        """
        self.ensure_one()
        order = self.sudo()  # whoever may see payments and invoices
        if order.first_invoice_date:
            amount = format_amount(self.env, order.first_invoice_total, order.currency_id)
            return [
                self.env._("%(label)s: %(amount)s, incl. tax", label=order.first_invoice_label, amount=amount),
                *order.following_text.splitlines(),
            ]
        if order.subscription_state not in const.CONTRACT_STATES:
            return order._get_recurring_texts()
        invoice = order._get_first_invoice()
        texts = order._get_following_texts(invoice)
        amount = order._get_payable_amount()
        if not order.currency_id.is_zero(amount):
            texts.insert(0, self.env._(
                "First invoice: %(amount)s, incl. tax", amount=format_amount(self.env, amount, order.currency_id)))
        return texts or order._get_recurring_texts()

    def _get_price_texts(self):
        """Return in a few words what is due of a quotation, or what a contract costs.

        :rtype: list[str]
        """
        self.ensure_one()
        if self.sudo().first_invoice_date:
            return self._get_due_texts()[:1]
        is_contract = self.subscription_state in (*const.CONTRACT_STATES, 'renewal')
        return self.sudo()._get_recurring_texts() if is_contract else []

    # === BUSINESS METHODS - RENEWAL === #

    def _get_renewal_facts(self):
        """Return which contract a renewal goes on with and what that costs today.

        :rtype: list[tuple[str, str]]
        """
        self.ensure_one()
        parent = self.subscription_id
        if successor := self._get_waiting_renewals()[:1]:
            return [(self.env._("Renewed By"), self.env._(
                "%(name)s, from %(date)s on", name=successor.name, date=format_date(self.env, successor.start_date)))]
        if self.amendment_type or not parent:
            return []
        if self.subscription_state != 'renewal':
            return [(self.env._("Renewal Of"), parent.name)]
        return [
            (self.env._("Renewal Of"), self.env._(
                "%(name)s, from %(date)s on", name=parent.name,
                date=format_date(self.env, self._get_expected_start()))),
            (self.env._("Until Now"), '\n'.join(parent._get_recurring_texts())),
        ]

    # === HOOKS === #

    def _get_payment_text(self):
        """Return how a contract is paid, as its customer reads it.

        Addons which collect money in other ways override it for these; call super for the rest.

        :rtype: str
        """
        self.ensure_one()
        if self.collection_mode == 'charge' and (method := self._get_payment_method_label()):
            return self.env._("charged to %(method)s", method=method)
        terms = self.payment_term_id
        return self.env._("by invoice, %(terms)s", terms=terms.name) if terms else self.env._("by invoice")

    def _get_contract_report(self):
        """Return the document which a customer gets of an order: the contract as it is served where it runs.

        :return: the XML id of a report
        :rtype: str
        """
        self.ensure_one()
        if self.subscription_state in const.CONTRACT_STATES:
            return 'sale_subscription_ext.action_report_subscription_contract'
        return 'sale.action_report_saleorder'


class SubscriptionLineDocumentMixin(models.AbstractModel):
    """What the documents of a contract say about a line."""

    _name = 'subscription.line.document.mixin'
    _description = "Lines on Subscription Documents"

    # === BUSINESS METHODS === #

    def _as_if_started_where_quoted(self):
        """Let the lines of a quotation look as they will once it is confirmed, see `_as_if_started`.

        :return: a context manager; for lines of a contract it changes nothing
        """
        order = self.order_id
        if not order or not order._is_quoted_subscription():
            return self.browse()._as_if_started(None)
        return self._as_if_started(order._get_first_day_after_trial(order._get_expected_start()))
