from datetime import timedelta

from odoo import models
from odoo.tools import format_amount, format_date


class SubscriptionClosePreviewMixin(models.AbstractModel):
    """What closing a contract does, in words, before it is done."""

    _name = 'subscription.close.preview.mixin'
    _description = "Subscription Closing Preview"

    # === BUSINESS METHODS === #

    def _get_close_preview(self, day, money):
        """Return what closing this subscription does, in a sentence.

        :param datetime.date day: the last day served
        :param str money: see `close_money`
        :rtype: str
        """
        self.ensure_one()
        sentences = [self._get_last_day_text(day), self._get_rest_after(day, money)]
        if waiting := self._get_waiting_renewals():
            sentences.append(self.env._("renewal %(name)s is cancelled", name=waiting[0].name))
        return ', '.join(filter(None, sentences))

    def _log_announced_rest(self, day, money):
        """Tell in the chatter what an announced end will do with what is invoiced for later days.

        :param datetime.date day: the last day served
        :param str money: see `close_money`
        """
        for order in self:
            if text := order._get_rest_after(day, money):
                order._message_log(body=self.env._("When the subscription ends: %(text)s.", text=text))

    def _get_rest_after(self, day, money):
        """Return what becomes of what is invoiced for days after an end.

        :param datetime.date day: the last day served
        :param str money: see `close_money`
        :return: nothing where nothing is invoiced for them
        :rtype: str
        """
        self.ensure_one()
        amount = self.sudo()._get_unused_amount(day + timedelta(days=1))  # the ledger is the engine's
        if self.currency_id.is_zero(amount):
            return ''
        return self._get_rest_text(money, format_amount(self.env, amount, self.currency_id))

    def _get_last_day_text(self, day):
        """Return until when this subscription is served if it ends on a day: no longer than until a pause begins.

        :param datetime.date day: the last day of the contract
        :rtype: str
        """
        self.ensure_one()
        is_paused = self.paused_from and self.paused_from <= day
        if not is_paused or (self.paused_until and self.paused_until <= day):
            return self.env._("served until %(day)s", day=format_date(self.env, day))
        return self.env._(
            "ends with %(day)s, not served since the pause from %(start)s on",
            day=format_date(self.env, day), start=format_date(self.env, self.paused_from))

    def _get_rest_text(self, money, amount):
        """Return what becomes of the money for days after the end.

        :param str money: see `close_money`
        :param str amount: how much it is
        :rtype: str
        """
        self.ensure_one()
        if money == 'keep':
            return self.env._("%(amount)s incl. tax, invoiced for later days, are kept", amount=amount)
        if self._is_posting_invoices():
            return {
                'credit': self.env._("%(amount)s incl. tax, invoiced for later days, are credited", amount=amount),
                'refund': self.env._(
                    "%(amount)s incl. tax, invoiced for later days, are credited, and refunded as far as they are paid",
                    amount=amount),
            }[money]
        return {
            'credit': self.env._(
                "%(amount)s incl. tax, invoiced for later days, are credited by a draft to be checked", amount=amount),
            'refund': self.env._(
                "%(amount)s incl. tax, invoiced for later days, are credited by a draft to be checked, and refunded as"
                " far as they are paid once it is confirmed", amount=amount),
        }[money]
