from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date

from ..const import RUNNING_STATES


class SubscriptionChangeDay(models.TransientModel):
    """Moves the billing day of subscriptions: the days to the new one are billed in proportion."""

    _name = 'subscription.change.day'
    _inherit = ['subscription.dialog.mixin']
    _description = "Change Billing Day"

    day_choice = fields.Selection(
        selection=[('date', "From a date on"), ('month_day', "A day of the month")],
        string="New Billing Day", required=True, default='date')
    billing_date = fields.Date(
        string="Date",
        help="The first day of a period from now on, such as the 1st of next month. The days until then are billed in"
            " proportion.",
    )
    billing_month_day = fields.Integer(
        string="Day of the Month", default=1,
        help="Each subscription moves to the next such day which isn't billed yet. 31 is the last day of each month.")
    first_unbilled_day = fields.Date(compute='_compute_first_unbilled_day')

    # === COMPUTE METHODS === #

    @api.depends('order_ids')
    def _compute_first_unbilled_day(self):
        for wizard in self:
            wizard.first_unbilled_day = max(
                (order._get_first_unbilled_day() for order in wizard._get_orders()), default=False)

    @api.depends('order_ids', 'day_choice', 'billing_date', 'billing_month_day')
    def _compute_preview(self):
        """Override to follow the choices of the dialog."""
        return super()._compute_preview()

    # === HOOKS === #

    def _get_bulk_type(self):
        """Override to name what is done."""
        return 'change_day'

    def _get_action_name(self):
        """Override to name what is done."""
        return self.env._("changed")

    def _get_states(self):
        """Override to change running subscriptions only."""
        return RUNNING_STATES

    def _get_missing_choice(self):
        """Override to ask for a day."""
        if self.day_choice == 'date' and not self.billing_date:
            return self.env._("Choose the first day of a period from now on.")
        if self.day_choice == 'month_day' and not 1 <= self.billing_month_day <= 31:
            return self.env._("Choose a day of the month from 1 to 31; 31 is the last day of each month.")
        return super()._get_missing_choice()

    def _check_order(self, order):
        """Override to leave alone what is billed, and what would change nothing."""
        first_day = order._get_first_unbilled_day()
        day = self._get_day(order)
        if day < first_day:
            raise UserError(self.env._(
                "%(name)s is billed beyond that day. Choose a day from %(day)s on.",
                name=order.name, day=format_date(self.env, first_day)))
        if order.end_date and day > order.end_date:
            raise UserError(self.env._(
                "%(name)s ends on %(day)s, before its billing day would change.",
                name=order.name, day=format_date(self.env, order.end_date)))

    def _apply_to(self, order):
        """Override to count the periods from the new billing day on."""
        order._change_billing_day(self._get_day(order))

    def _get_preview_of(self, order):
        """Override to say what changing the billing day does."""
        day = self._get_day(order)
        start = self.env._("periods are counted from %(day)s on", day=format_date(self.env, day))
        parts = order._get_parts_before(day)
        if not parts:
            return start
        spans = [
            self.env._(
                "%(first)s – %(last)s", first=format_date(self.env, first),
                last=format_date(self.env, fields.Date.subtract(end, days=1)))
            for first, end in parts
        ]
        if len(parts) > 1:
            spans = [
                self.env._("%(days)s of %(products)s", days=days, products=', '.join(
                    line.product_id.display_name for line in lines))
                for days, lines in zip(spans, parts.values(), strict=True)
            ]
        return self.env._("%(days)s: billed in proportion; %(start)s", days=', '.join(spans), start=start)

    # === TOOLING === #

    def _get_day(self, order):
        """Return the first day of a period of a subscription from now on, by the choices of the dialog.

        :param sale.order order: one of the subscriptions
        :rtype: datetime.date
        """
        self.ensure_one()
        if self.day_choice == 'date':
            return self.billing_date
        first_day = order._get_first_unbilled_day()
        month = first_day.replace(day=1)
        # A month which has the day, so that the days of shorter ones follow from it: 31 is the last day of each.
        while (day := fields.Date.add(month, day=self.billing_month_day)) < first_day or (
                day.day != self.billing_month_day):
            month = fields.Date.add(month, months=1)
        return day
