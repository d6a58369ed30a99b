from collections import defaultdict

from odoo import fields, models


class SubscriptionMetricsMixin(models.AbstractModel):
    """Monthly recurring revenue of a sales order and its movements in the MRR ledger."""

    _name = 'subscription.metrics.mixin'
    _description = "Subscription Metrics"

    # === ACTION METHODS === #

    def action_view_mrr(self):
        """Open the MRR movements of these subscriptions.

        :return: a window action
        :rtype: dict
        """
        action = self.env['ir.actions.act_window']._for_xml_id(
            'sale_subscription_ext.subscription_event_action')
        action['domain'] = [('order_id', 'in', self.ids)]
        action['context'] = {'create': False}
        return action

    # === BUSINESS METHODS === #

    def _record_mrr_movements(self, event_type=None, event_date=None):
        """Write the movements which bring the MRR ledger to what the lines are worth now.

        The difference between a line's MRR and its rows so far is the movement, so that the rows of an order
        always sum to its MRR, whatever happened in between.

        :param str event_type: the kind of movement; without one, a rise is an expansion and a fall a contraction
        :param dict event_date: {order line: effective date}; without one, today where the company is
        :return: the new movements
        :rtype: subscription.event
        """
        booked = self._get_booked_mrr()
        vals_list = []
        for order in self:
            vals_list += order._prepare_mrr_movements(booked[order], event_type, event_date or {})
        self._count_customers(vals_list)
        # Movements are written by the engine only: nobody has the right to create them.
        return self.env['subscription.event'].sudo().create(vals_list)

    def _get_booked_mrr(self):
        """Return what the MRR ledger holds of each recurring line.

        :return: {order: {order line: (amount in order currency, amount in company currency)}}
        :rtype: dict
        """
        booked = {
            order: dict.fromkeys(order.order_line.filtered('is_recurring'), (0.0, 0.0)) for order in self
        }
        # The ledger is read whole, whatever the user may see of it: a part of it would book wrong amounts.
        for order, line, in_order, in_company in self.env['subscription.event'].sudo()._read_group(
            [('order_id', 'in', self.ids)],
            ['order_id', 'order_line_id'], ['mrr_change_order:sum', 'mrr_change:sum'],
        ):
            booked[order][line.sudo(self.env.su)] = (in_order, in_company)
        return booked

    def _prepare_mrr_movements(self, booked, event_type, event_date):
        """Prepare the rows of one order.

        :param dict booked: of this order, see `_get_booked_mrr`
        :param str event_type: see `_record_mrr_movements`
        :param dict event_date: see `_record_mrr_movements`
        :rtype: list[dict]
        """
        self.ensure_one()
        today = self._subscription_today()
        changes = {
            line: change for line, (in_order, _in_company) in booked.items()
            if not self.currency_id.is_zero(change := self.currency_id.round(line.mrr - in_order))
        }
        vals_list = [
            line._prepare_mrr_movement(event_type, event_date.get(line, today), change, company_change)
            for line, (change, company_change) in self._value_mrr_changes(
                changes, booked, event_type, event_date).items()
        ]
        if not vals_list and event_type in ('new', 'churn', 'correction') and booked:
            # A free contract counts too.
            line = next(iter(booked))
            vals_list.append(line._prepare_mrr_movement(event_type, event_date.get(line, today), 0.0, 0.0))
        if vals_list:
            vals_list[0]['contract_change'] = self._get_contract_change(event_type)
        return vals_list

    def _value_mrr_changes(self, changes, booked, event_type, event_date):
        """Value changes in the currency of the company.

        A rise is converted on its day, a fall valued at the average rate at which the contract was booked. When
        nothing is left, what was booked is taken back, so that a contract which ended sums to zero.

        :param dict changes: {order line: change in order currency}
        :param dict booked: see `_prepare_mrr_movements`
        :param str event_type: see `_record_mrr_movements`
        :param dict event_date: see `_record_mrr_movements`
        :return: {order line: (change in order currency, change in company currency)}
        :rtype: dict
        """
        self.ensure_one()
        company_currency = self.company_id.currency_id
        today = self._subscription_today()
        order_total = sum(in_order for in_order, _in_company in booked.values())
        company_total = sum(in_company for _in_order, in_company in booked.values())
        is_ending = event_type != 'new' and all(self.currency_id.is_zero(line.mrr) for line in booked)
        valued = {}
        for line, change in changes.items():
            if is_ending:
                company_change = -company_total if len(valued) == len(changes) - 1 else -booked[line][1]
            elif change > 0 or event_type == 'new' or self.currency_id.compare_amounts(order_total, 0.0) <= 0:
                company_change = self.currency_id._convert(
                    change, company_currency, self.company_id, event_date.get(line, today))
            else:
                company_change = company_currency.round(change * company_total / order_total)
            order_total += change
            company_total += company_change
            valued[line] = (change, company_change)
        return valued

    def _get_contract_change(self, event_type):
        """Return by how many contracts a movement of this kind changes the number of contracts.

        :rtype: int
        """
        self.ensure_one()
        if event_type in ('new', 'reactivation'):
            return 1
        if event_type in ('churn', 'correction'):
            return -1
        return 0

    def _count_customers(self, vals_list):
        """Set the change in customers on movements which change the number of contracts.

        A customer is a commercial partner of a company, won with its first and lost with its last running
        contract.

        :param list vals_list: values of new movements, changed in place
        """
        counting = [vals for vals in vals_list if vals.get('contract_change')]
        if not counting:
            return
        rows = self.env['subscription.event'].sudo()._read_group(
            [('commercial_partner_id', 'in', list({vals['commercial_partner_id'] for vals in counting}))],
            ['company_id', 'commercial_partner_id'], ['contract_change:sum'],
        )
        contracts = defaultdict(int, {(company.id, partner.id): count for company, partner, count in rows})
        for vals in counting:
            key = (vals['company_id'], vals['commercial_partner_id'])
            before = contracts[key]
            contracts[key] += vals['contract_change']
            vals['customer_change'] = (contracts[key] > 0) - (before > 0)

    def _is_mrr_counted(self):
        """Return whether the lines of this order have a monthly value: an expected one on a quotation.

        :rtype: bool
        """
        self.ensure_one()
        if self.subscription_state == 'renewal':
            return self.state in ('draft', 'sent')  # confirmed, it counts when it takes over
        state = self.state_before_closing if self.subscription_state == 'closing' else self.subscription_state
        return state in ('draft', 'progress')


class SubscriptionLineMetricsMixin(models.AbstractModel):
    """Monthly recurring revenue of a sales order line."""

    _name = 'subscription.line.metrics.mixin'
    _description = "Subscription Line Metrics"

    def _prepare_mrr_movement(self, event_type, event_date, change, company_change):
        """Prepare one row of the MRR ledger, with the order's dimensions as they are now.

        :param str event_type: the kind of movement, None: by sign
        :param datetime.date event_date: the day from which it counts
        :param float change: in the order's currency
        :param float company_change: in the company's currency
        :rtype: dict
        """
        self.ensure_one()
        order = self.order_id
        return {
            'order_id': order.id,
            'order_line_id': self.id,
            'event_type': event_type or ('expansion' if change > 0 else 'contraction'),
            'event_date': fields.Date.to_date(event_date),
            'mrr_change_order': change,
            'mrr_change': company_change,
            'currency_id': order.currency_id.id,
            'company_id': order.company_id.id,
            'partner_id': order.partner_id.id,
            'commercial_partner_id': order.partner_id.commercial_partner_id.id,
            'user_id': order.user_id.id,
            'team_id': order.team_id.id,
            'plan_id': (self.plan_id or order.plan_id).id,
            'product_id': self.product_id.id,
            'close_reason_id': order.close_reason_id.id,
        }
