from odoo import api, models

from .. import const

# Whose a contract is in the MRR ledger.
OWNER_FIELDS = ('partner_id', 'user_id', 'team_id')

# Of whom the chatter tells when a contract is handed over.
NAMED_OWNERS = ('partner_id', 'partner_invoice_id', 'partner_shipping_id', 'user_id', 'team_id')


class SubscriptionTransferMixin(models.AbstractModel):
    """Contracts handed over to another customer or salesperson."""

    _name = 'subscription.transfer.mixin'
    _description = "Subscription Transfer"

    # === ACTION METHODS === #

    def action_hand_over(self):
        """Ask to whom the subscriptions are handed over.

        :return: a window action
        :rtype: dict
        :raise UserError: when a subscription isn't running
        """
        return self._get_dialog(
            'sale_subscription_ext.subscription_hand_over_action', self.env._("handed over"), const.CONTRACT_STATES)

    # === BUSINESS METHODS === #

    def _hand_over(self, values):
        """Hand contracts over: what is invoiced stays with the old customer, what comes goes to the new one.

        Prices stay as they were agreed. Payment terms and fiscal position follow the new customer.

        :param dict values: new `partner_id`, `partner_invoice_id`, `partner_shipping_id`, `user_id`, `team_id`
        """
        for user_order in self:
            order = user_order.sudo()  # who gives it to a colleague may not see it any more
            is_automatic = order.fiscal_position_id == order.determined_fiscal_position_id
            before = {name: order[name] for name in NAMED_OWNERS}
            user_order.write(values)
            if is_automatic:
                # Determined for the new customer; the lines follow at the next billing.
                order.determined_fiscal_position_id = order.fiscal_position_id
            changed = [name for name in NAMED_OWNERS if order[name] != before[name]]
            if changed:
                order._message_log(body=self.env._(
                    "The contract is handed over from %(old)s to %(new)s. Open invoices stay where they are.",
                    old=order._get_owner_names(before[name] for name in changed),
                    new=order._get_owner_names(order[name] for name in changed)))

    @api.model
    def _get_owner_names(self, records):
        """Return the names of those from whom, or to whom, a contract goes.

        :param records: iterable of customers, addresses, salespeople and teams, some of them empty
        :rtype: str
        """
        names = dict.fromkeys(record.display_name for record in records if record)
        return ' / '.join(names) or self.env._("nobody")

    def _get_owners(self):
        """Return whose the contracts are, to tell later what changed.

        :return: {order: values of an MRR movement}
        :rtype: dict
        """
        return {
            order: {
                'partner_id': order.partner_id.id,
                'commercial_partner_id': order.partner_id.commercial_partner_id.id,
                'user_id': order.user_id.id,
                'team_id': order.team_id.id,
            }
            for order in self.filtered(lambda order: order.subscription_state in const.CONTRACT_STATES)
        }

    def _record_transfers(self, owners):
        """Write what moved from one owner to another: invoices and history stay with the old one.

        :param dict owners: see `_get_owners`, before the change
        """
        orders = self.sudo()  # the right on them was checked; who gives them to a colleague may not see them any more
        now = orders._get_owners()
        changed = orders.browse([order.id for order in owners if now.get(order, owners[order]) != owners[order]])
        counted = changed - changed._get_uncounted()
        booked = counted._get_booked_mrr()
        vals_list = []
        for order in counted:
            vals_list += order._prepare_transfer(booked[order], owners[order])
        self._count_customers(vals_list)
        orders.env['subscription.event'].create(vals_list)
        for order in changed:
            if now[order]['commercial_partner_id'] != owners[order]['commercial_partner_id']:
                order._change_readers(owners[order]['partner_id'])
                order._hand_over_quotations(owners[order]['partner_id'])

    def _prepare_transfer(self, booked, owner):
        """Prepare the pairs of movements of one order.

        :param dict booked: see `_get_booked_mrr`
        :param dict owner: of the old owner, see `_get_owners`
        :rtype: list[dict]
        """
        self.ensure_one()
        day = self._subscription_today()
        is_other_customer = owner['commercial_partner_id'] != self.partner_id.commercial_partner_id.id
        moved = {line: amounts for line, amounts in booked.items() if any(amounts)}
        if not moved and is_other_customer and booked:
            moved = {next(iter(booked)): (0.0, 0.0)}  # a free contract, or a paused one, has a customer too
        vals_list = []
        for line, (in_order, in_company) in moved.items():
            vals_list += [
                {**line._prepare_mrr_movement('transfer', day, -in_order, -in_company), **owner},
                line._prepare_mrr_movement('transfer', day, in_order, in_company),
            ]
        if is_other_customer and vals_list:
            vals_list[0]['contract_change'], vals_list[1]['contract_change'] = -1, 1
        return vals_list

    def _get_offers(self):
        """Return the changes and renewals of this contract which its customer may still accept.

        :rtype: sale.order
        """
        self.ensure_one()
        return (self.amendment_ids | self.renewal_ids).filtered(lambda order: order.state in ('draft', 'sent'))

    def _hand_over_quotations(self, partner_id):
        """Cancel what was offered to the old customer, who has nothing to accept any more; what is agreed and waits for
        its day goes to the new one along with the contract.

        :param int partner_id: of the old customer
        """
        self.ensure_one()
        if offers := self._get_offers():
            offers._action_cancel()
            self._message_log(body=self.env._(
                "What was offered to the old customer is cancelled: %(names)s. Make new quotations where they are"
                " wanted.",
                names=', '.join(offers.mapped('name'))))
        waiting = self._get_waiting_renewals() | self._get_agreed_amendments()
        waiting.write({
            name: self[name].id for name in ('partner_id', 'partner_invoice_id', 'partner_shipping_id')})
        for order in waiting:
            order._change_readers(partner_id)

    def _get_customer_invoices(self):
        """Return the invoices which the customer finds on the page of an order: not those of who had it before.

        :return: the last three which are posted
        :rtype: account.move
        """
        self.ensure_one()
        moves = (self.invoice_ids | self.amendment_invoice_id).filtered(
            lambda move: move.state not in ('draft', 'cancel'))
        if self.is_subscription or self.amendment_type:
            customers = (self.partner_id | self.partner_invoice_id).commercial_partner_id
            moves = moves.filtered(lambda move: move.commercial_partner_id in customers)
        return moves.sorted('date', reverse=True)[:3]

    def _change_readers(self, partner_id):
        """Let the new customer follow the contract, and the old one and its secure link read it no more.

        :param int partner_id: of the old customer
        """
        self.ensure_one()
        family = self.env['res.partner'].browse(partner_id).commercial_partner_id
        followers = self.message_partner_ids.filtered(
            lambda partner: partner.commercial_partner_id == family and not partner.user_ids.filtered(
                lambda user: not user.share))
        self.message_unsubscribe(followers.ids)
        self.message_subscribe(self.partner_id.ids)
        self.sudo().access_token = False  # the host makes a new one when a link is needed
