import logging
import time
from collections import defaultdict

from odoo import api, fields, models
from odoo.exceptions import UserError
from odoo.fields import Domain
from odoo.tools import float_compare, format_amount, format_date

from .. import const
from .subscription_price_change import PENDING_STATES

_logger = logging.getLogger(__name__)

PREVIEW_BATCH_SIZE = 500


class SubscriptionIndexationWorkMixin(models.AbstractModel):
    """What an indexation does, batch by batch: preview, announcement, application."""

    _name = 'subscription.indexation.work.mixin'
    _description = "Work on Indexations"

    # === CRON === #

    @api.model
    def _cron_run_indexations(self):
        """Go on with previews, announce what is to be announced by now, apply prices whose day has come. Goes by each
        company's own date, batch by batch; any number of workers share the work.
        """
        Order = self.env['sale.order']
        # Workers who finish an indexation together each see what the other one hasn't committed as undone.
        self.search([('state', 'in', ('announced', 'partial'))])._update_state()
        if not self.env['subscription.indexation.line']._run_withdrawals():
            return
        for record in self.search([('preview_state', '=', 'running')], order='id'):
            if not record._continue_preview(commit=True):
                return
        for domain, process in (
            (Order._get_announcement_due_domain(), self._announce_orders),
            (Order._get_price_change_due_domain(), self._apply_orders),
        ):
            _made, is_done = Order._run_in_batches(domain, process, self._fail_order, commit=True)
            if not is_done:
                return

    @api.model
    def _announce_orders(self, orders):
        """Announce the indexations of locked subscriptions whose day has come.

        :rtype: list
        """
        lines = orders.indexation_line_ids.filtered(
            lambda line: line.state == 'to_announce' and line.announce_date <= line.order_id._subscription_today())
        lines._announce()
        return []

    @api.model
    def _apply_orders(self, orders):
        """Apply the prices of locked subscriptions whose day has come.

        :rtype: list
        """
        orders._apply_due_prices()
        return []

    @api.model
    def _fail_order(self, order, error):
        """Leave a subscription out which can't be indexed, and say why in its chatter; the others go on.

        :param order: the subscription
        :param Exception error: what happened
        """
        _logger.warning("The prices of subscription %s could not be changed", order.name, exc_info=error)
        message = self.env._("The new prices could not be applied: %(error)s", error=error)
        order._message_log(body=message)
        order.indexation_line_ids.filtered(lambda line: line.state in PENDING_STATES)._skip(message)
        order.price_change_ids.filtered(lambda change: change.state in PENDING_STATES).state = 'cancel'
        order.indexation_line_ids._update_states()

    # === BUSINESS METHODS - PREVIEW === #

    def _get_orders_domain(self):
        """Return the domain of the subscriptions in the scope, those which will be left out too.

        :rtype: Domain
        """
        self.ensure_one()
        if self.selection == 'list':
            return Domain('id', 'in', self.order_ids.ids)
        domain = Domain([
            ('company_id', '=', self.company_id.id), ('subscription_state', 'in', const.RUNNING_STATES)])
        if self.plan_ids:
            domain &= Domain('plan_id', 'in', self.plan_ids.ids)
        if self.partner_category_ids:
            domain &= Domain('partner_id.category_id', 'child_of', self.partner_category_ids.ids)
        if self.product_category_ids:
            domain &= Domain('order_line', 'any', [
                ('is_recurring', '=', True), ('product_id.categ_id', 'child_of', self.product_category_ids.ids)])
        return domain

    def _withdraw_preview(self):
        """Forget the previews of indexations."""
        previewed = self.filtered(lambda record: record.preview_state != 'none')
        previewed.line_ids.unlink()
        previewed.write({'preview_state': 'none', 'preview_last_id': 0})

    def _start_preview(self):
        """Compute the preview; what takes long is left to the cron."""
        self.ensure_one()
        self._withdraw_preview()
        self.preview_state = 'running'
        if not self._continue_preview(deadline=time.monotonic() + const.PREVIEW_SECONDS):
            self.env.ref('sale_subscription_ext.ir_cron_run_indexations')._trigger()

    def _continue_preview(self, commit=False, deadline=None):
        """Compute what becomes of the next subscriptions, batch by batch.

        :param bool commit: commit batch by batch and leave an indexation alone which another worker is at, for crons
        :param float deadline: when to leave the rest to the cron
        :return: whether it is complete
        :rtype: bool
        """
        self.ensure_one()
        domain = self._get_orders_domain()
        while not commit or self.try_lock_for_update(allow_referencing=True):
            orders = self.env['sale.order'].search(
                domain & Domain('id', '>', self.preview_last_id), order='id', limit=PREVIEW_BATCH_SIZE)
            if not orders:
                self.preview_state = 'done'
                return not commit or bool(self.env['ir.cron']._commit_progress(1))
            self._preview_orders(orders)
            self.preview_last_id = orders[-1].id
            if commit:
                has_time = self.env['ir.cron']._commit_progress(len(orders))
                self.env.invalidate_all()  # memory stays flat
                if not has_time:
                    return False
            if deadline and time.monotonic() > deadline:
                return False
        return True

    def _preview_orders(self, orders):
        """Write what would become of subscriptions.

        :param orders: subscriptions in the scope
        """
        self.ensure_one()
        orders.order_line.mapped('tax_ids')  # the host reads these line by line
        orders.sudo().mapped('amendment_ids')  # each line looks for what is agreed for it
        reasons = self._get_order_reasons(orders)
        changes = self._prepare_changes(orders.filtered(lambda order: order not in reasons), self._get_rate())
        reasons |= self._get_repeated_reasons(changes)
        for order in reasons:
            changes.pop(order, None)
        line_vals = []
        for order in orders:
            vals = {'indexation_id': self.id, 'order_id': order.id, 'old_amount': order.recurring_total,
                    'new_amount': order.recurring_total}
            if order_changes := changes.get(order):
                vals.update(self._prepare_preview(order, order_changes))
                vals['reason'] = self._get_ending_reason(self._get_ending_lines(order))
            else:
                vals.update(state='skipped', reason=reasons.get(order) or self._get_line_reason(order))
            line_vals.append(vals)
        lines = self.env['subscription.indexation.line'].create(line_vals)
        self.env['subscription.price.change'].create([
            {**vals, 'order_line_id': order_line.id, 'indexation_line_id': line.id}
            for line in lines for order_line, vals in changes.get(line.order_id, {}).items()
        ])

    def _get_order_reasons(self, orders):
        """Return why subscriptions are left out as a whole.

        :param orders: subscriptions in the scope
        :return: {order: translated sentence}
        :rtype: dict
        """
        self.ensure_one()
        waiting = self._get_waiting(orders)
        reasons = {}
        for order in orders:
            if order.subscription_state not in const.RUNNING_STATES:
                reasons[order] = self.env._("It isn't running.")
            elif order in waiting:
                reasons[order] = self.env._("Its prices are about to change already.")
            elif self.method == 'amount' and order.currency_id != self.currency_id:
                reasons[order] = self.env._("Its currency is %(currency)s.", currency=order.currency_id.name)
            elif self.is_announced and not order.partner_id.email:
                reasons[order] = self.env._("The customer has no e-mail address to announce it to.")
        return reasons

    def _get_repeated_reasons(self, changes):
        """Return why subscriptions are left out whose prices were indexed shortly before.

        :param dict changes: see `_prepare_changes`
        :return: {order: translated sentence}
        :rtype: dict
        """
        self.ensure_one()
        reasons = {}
        for order, last_date in self.env['subscription.indexation.line']._read_group(
            [('order_id', 'in', [order.id for order in changes]), ('state', '=', 'applied')],
            ['order_id'], ['effective_date:max'],
        ):
            again = fields.Date.add(last_date, months=self.months_between)
            if min(vals['effective_date'] for vals in changes[order].values()) < again:
                reasons[order] = self.env._(
                    "Its prices were indexed on %(date)s, less than %(months)s months before.",
                    date=format_date(self.env, last_date), months=self.months_between,
                )
        return reasons

    def _get_waiting(self, orders):
        """Return the subscriptions whose prices are about to change already.

        :param orders: subscriptions
        :rtype: sale.order
        """
        rows = self.env['subscription.price.change']._read_group(
            [('order_id', 'in', orders.ids), ('state', 'in', PENDING_STATES)], ['order_id'])
        return orders.browse().union(*(order for [order] in rows))

    def _get_first_day(self, order):
        """Return the first day on which a new price can take effect for a subscription.

        :rtype: datetime.date
        """
        self.ensure_one()
        if not self.is_announced:
            return self.date
        return max(self.date, fields.Date.add(order._subscription_today(), days=self.announce_days))

    def _get_indexed_lines(self, order):
        """Return the lines of a subscription which are in the scope.

        :rtype: sale.order.line
        """
        self.ensure_one()
        lines = order.order_line._get_served_lines().filtered('next_period_start')
        if self.product_category_ids:
            paths = tuple(self.product_category_ids.mapped('parent_path'))
            lines = lines.filtered(lambda line: (line.product_id.categ_id.parent_path or '').startswith(paths))
        return lines

    def _get_ending_lines(self, order):
        """Return the lines in the scope which will have ended, or pause, when another price could take effect.

        :rtype: sale.order.line
        """
        self.ensure_one()
        first_day = self._get_first_day(order)
        return self._get_indexed_lines(order).filtered(lambda line: not line._get_price_change_day(first_day))

    def _get_ending_reason(self, lines):
        """Return that lines of a subscription are left out, while others of it change.

        :param sale.order.line lines: lines which will have ended
        :rtype: str|bool
        """
        return bool(lines) and self.env._(
            "Without what ends before: %(products)s.", products=', '.join(lines.product_id.mapped('display_name')))

    def _prepare_changes(self, orders, rate):
        """Prepare the price changes of subscriptions.

        :param orders: subscriptions which can be indexed
        :param fractions.Fraction rate: see `_get_rate`
        :return: {order: {order line: values}}
        :rtype: dict
        """
        digits = self.env['decimal.precision'].precision_get('Product Price')
        result = defaultdict(dict)
        for order in orders:
            first_day = self._get_first_day(order)
            for line in self._get_indexed_lines(order):
                new_price = self._get_new_price(line.price_unit, rate, digits)
                day = line._get_price_change_day(first_day)
                if not day or line.is_price_fixed or not float_compare(
                        new_price, line.price_unit, precision_digits=digits):
                    continue
                result[order][line] = {
                    'old_price_unit': line.price_unit, 'new_price_unit': new_price,
                    'old_discount': line.discount, 'new_discount': line.discount,
                    'effective_date': day, 'apply_date': line._get_price_apply_day(day),
                }
        return result

    def _prepare_preview(self, order, changes):
        """Prepare what is shown of a subscription.

        :param order: the subscription
        :param dict changes: {order line: values}
        :rtype: dict
        """
        self.ensure_one()
        lines = order.order_line.browse().union(*changes)
        subtotals = lines._get_subtotals_at(
            {line: (vals['new_price_unit'], vals['new_discount']) for line, vals in changes.items()})
        effective_date = min(vals['effective_date'] for vals in changes.values())
        return {
            'new_amount': order.recurring_total + sum(
                subtotals[line] - line.price_subtotal for line in lines if line.plan_id == order.plan_id),
            'mrr_change': sum(line._get_month_value(subtotals[line]) - line.mrr for line in lines),
            'effective_date': effective_date,
            'announce_date': self.is_announced and min(
                fields.Date.subtract(effective_date, days=self.announce_days),
                *(vals['apply_date'] for vals in changes.values()),
            ),
        }

    def _get_line_reason(self, order):
        """Return why no price of a subscription changes.

        :rtype: str
        """
        self.ensure_one()
        lines = self._get_indexed_lines(order)
        if not lines:
            return self.env._("It has no recurring line in the scope.")
        if all(lines.mapped('is_price_fixed')):
            return self.env._("Its prices are fixed.")
        if lines == self._get_ending_lines(order):
            if order.paused_from:
                return self.env._("It pauses or ends before another price could take effect.")
            return self.env._("It ends before another price could take effect.")
        return self.env._("Its prices stay the same.")

    # === BUSINESS METHODS - SCHEDULE === #

    def _schedule(self):
        """Let the previewed prices be announced, or be applied where nothing is announced.

        :raise UserError: when there is nothing to change
        """
        self.ensure_one()
        lines = self.line_ids.filtered(lambda line: line.state == 'preview')
        busy = self._get_waiting(lines.order_id)
        lines.filtered(lambda line: line.order_id in busy).write(
            {'state': 'skipped', 'reason': self.env._("Its prices are about to change already.")})
        lines = lines.filtered(lambda line: line.state == 'preview')
        for line in lines:
            line._leave_out_ended(line.change_ids.filtered(
                lambda change: change.order_line_id._is_price_change_void(change.effective_date)))
        lines = lines.filtered(lambda line: line.state == 'preview')
        if not lines:
            raise UserError(self.env._("No price would change. Look at the reasons in the preview."))
        state = 'to_announce' if self.is_announced else 'to_apply'
        lines.state = state
        lines.change_ids.filtered(lambda change: change.state == 'preview').state = state
        self.state = 'announced'
        self.env.ref('sale_subscription_ext.ir_cron_run_indexations')._trigger()

    def _update_state(self):
        """Let indexations follow what became of their subscriptions."""
        for record in self.filtered(lambda record: record.state in ('announced', 'partial')):
            counts = record._get_counts()
            if not counts['to_announce'] + counts['to_apply']:
                record.state = 'done' if counts['applied'] or counts['skipped'] else 'cancel'
            elif counts['applied'] and record.state != 'partial':
                record.state = 'partial'

    # === TOOLING === #

    def _get_counts(self):
        """Return how many subscriptions of an indexation are in each state.

        :rtype: defaultdict
        """
        self.ensure_one()
        return defaultdict(int, self.env['subscription.indexation.line']._read_group(
            [('indexation_id', 'in', self.ids)], ['state'], ['__count']))

    def _get_totals_text(self):
        """Return by how much MRR changes, in each currency.

        :rtype: str
        """
        self.ensure_one()
        rows = self.env['subscription.indexation.line']._read_group(
            [('indexation_id', 'in', self.ids), ('state', 'in', ('preview', *PENDING_STATES, 'applied'))],
            ['currency_id'], ['mrr_change:sum'])
        return ', '.join(format_amount(self.env, amount, currency) for currency, amount in rows)

    def _get_rate_text(self):
        """Return in words what becomes of prices.

        :rtype: str
        :raise UserError: when a month is missing in the index
        """
        self.ensure_one()
        rate = self._get_rate()
        if rate is None:
            return self.env._(
                "%(amount)s on each unit price", amount=format_amount(self.env, self.amount, self.currency_id))
        return self.env._("%(percentage)s%%", percentage=f'{float(rate * 100):+.4g}')
