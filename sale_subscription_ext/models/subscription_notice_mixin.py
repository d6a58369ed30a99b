from odoo import api, fields, models
from odoo.tools import format_date

from .. import const


class SubscriptionNoticeMixin(models.AbstractModel):
    """What is about to happen to a contract, in words for the top of its form."""

    _name = 'subscription.notice.mixin'
    _description = "Subscription Notice"

    subscription_notice = fields.Text(compute='_compute_subscription_notice')

    # === COMPUTE METHODS === #

    @api.depends('subscription_state', 'state', 'renewal_date', 'paused_from', 'paused_until', 'close_date',
                 'start_date', 'end_date', 'subscription_id', 'amendment_ids.state', 'amendment_ids.applied_date',
                 'effective_date', 'collection_mode', 'payment_token_id.active')
    @api.depends_context('lang')
    def _compute_subscription_notice(self):
        for order in self:
            order.subscription_notice = ' '.join(order._get_notices())

    def _get_notices(self):
        """Return sentences about what is about to happen.

        :rtype: list[str]
        """
        self.ensure_one()
        notices = []
        if self.subscription_state == 'renewal':
            notices.append(self._get_renewal_notice())
        if self.subscription_state in const.RUNNING_STATES and self.renewal_date:
            waiting = self._get_waiting_renewals()[:1]
            notices.append(self.env._(
                "%(name)s renews this contract from %(day)s on.",
                name=waiting.name or '', day=format_date(self.env, self.renewal_date)))
        if self.subscription_state == 'closing':
            notices.append(self.env._("Ends with %(day)s.", day=format_date(self.env, self.end_date)))
        notices += [
            self.env._(
                "%(name)s changes this subscription on %(day)s.",
                name=amendment.name, day=format_date(self.env, amendment.effective_date))
            for amendment in self.sudo().amendment_ids  # whoever may see them
            if amendment.state == 'sale' and not amendment.applied_date
        ]
        if self.amendment_type and self.state == 'sale' and not self.applied_date:
            notices.append(self.env._("Takes effect on %(day)s.", day=format_date(self.env, self.effective_date)))
        if problem := self._get_collection_problem():
            notices.append(problem)
        is_paused_after_end = self.end_date and self.paused_from and self.paused_from > self.end_date
        if self.paused_from and self.subscription_state != 'closed' and not is_paused_after_end:
            notices.append(self._get_pause_message())
        return notices

    def _get_renewal_notice(self):
        """Return what becomes of this renewal.

        :rtype: str
        """
        self.ensure_one()
        parent = self.subscription_id.sudo()  # who makes the renewal may not see it
        if self.state == 'sale':
            return self.env._(
                "Takes over from %(name)s on %(day)s.", name=parent.name, day=format_date(self.env, self.start_date))
        if parent.subscription_state not in const.RUNNING_STATES:
            return self.env._("Renews %(name)s, which doesn't run any more.", name=parent.name)
        return self.env._(
            "Renews %(name)s. Confirmed today, it takes over on %(day)s.",
            name=parent.name, day=format_date(self.env, self._get_expected_start()))
