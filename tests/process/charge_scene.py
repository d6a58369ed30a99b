"""Contracts which are charged through Odoo's Stripe client: what the tests of faults and kills have in common."""

from __future__ import annotations

from typing import Any

from stripe_scene import StripeScene

from devtools.stripe.server import GOOD_CARD

# Later than the engine waits before it asks about a payment again.
ASK_AGAIN = 11
DAY = 24 * 60

CREATE = """
plan = env.ref('sale_subscription_ext.subscription_plan_monthly')
plan.write({'collection_mode': 'charge', 'invoice_mail_template_id': False, 'send_mails': False})
provider = env.ref('payment.payment_provider_stripe')
card_method = env.ref('payment.payment_method_card')
product = env['product.product'].search([('default_code', '=', 'HOSTING')])
result = {}
for name, (customer, card) in contracts.items():
    partner = env['res.partner'].create({'name': name, 'email': 'customer@example.com'})
    token = env['payment.token'].create({
        'provider_id': provider.id, 'payment_method_id': card_method.id, 'payment_details': '4242',
        'partner_id': partner.id, 'provider_ref': customer, 'stripe_payment_method': card})
    order = env['sale.order'].create({
        'partner_id': partner.id, 'plan_id': plan.id, 'payment_token_id': token.id, 'collection_mode': mode,
        'order_line': [(0, 0, {'product_id': product.id})]})
    order.action_confirm()
    result[name] = order.id
env['sale.order'].browse(result.values())._bill_subscriptions()
"""

COLLECT = """
from datetime import datetime, timedelta, timezone
from freezegun import freeze_time
now = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(minutes=minutes)
if minutes:
    with freeze_time(now, tick=True):
        env['sale.order']._cron_collect_payments()
else:
    env['sale.order']._cron_collect_payments()
"""

PAY_BY_TRANSFER = """
for order in env['sale.order'].browse(order_ids):
    # A payment is registered on an invoice only.
    order.invoice_ids.filtered(lambda move: move.state == 'draft').action_post()
    env['account.payment.register'].with_context(
        active_model='account.move', active_ids=order.invoice_ids.ids,
    ).create({})._create_payments()
"""

# What a person does with the list of payments to resolve: look each up at the provider, and try with another card.
RESOLVE = """
from odoo.tools.safe_eval import safe_eval
action = env['ir.actions.act_window']._for_xml_id('sale_subscription_ext.account_move_action_resolve')
listed = env['account.move'].search(safe_eval(action['domain']))
for order_id, (is_taken, customer, card) in contracts.items():
    order = env['sale.order'].browse(int(order_id))
    move = order.invoice_ids
    assert move in listed, f'{order.partner_id.name} is on no list: {move.subscription_charge_state}'
    assert move.subscription_charge_message, f'Nobody is told what happened to {order.partner_id.name}'
    if move.subscription_charge_state == 'unknown':
        move.action_confirm_charged() if is_taken else move.action_confirm_not_charged()
    if not is_taken:
        order.payment_token_id = order.payment_token_id.copy({
            'provider_ref': customer, 'stripe_payment_method': card})
        move.action_charge_again()
"""

# What Odoo knows of the money of a contract, in cents.
READ_MONEY = """
result = {}
for order in env['sale.order'].browse(order_ids):
    moves = order.invoice_ids
    kept = moves.filtered(lambda move: move.state != 'cancel')
    txs = env['payment.transaction'].search([('subscription_invoice_id', 'in', moves.ids)])
    payments = env['account.payment'].search([('partner_id', '=', order.partner_id.id), ('state', '!=', 'draft')])
    result[order.id] = {
        'owed': round(100 * sum(kept.mapped('amount_total'))),
        'open': round(100 * sum(
            move.amount_residual if move.state == 'posted' else move.amount_total for move in kept)),
        'charged': round(100 * sum(payments.filtered('payment_transaction_id').mapped('amount'))),
        'transferred': round(100 * sum(payments.filtered(lambda p: not p.payment_transaction_id).mapped('amount'))),
        'state': order.charge_state,
        'charge': ','.join(move.subscription_charge_state or '' for move in moves),
        'tx': [tx.state for tx in txs],
        'contract': order.subscription_state,
        'mode': order.collection_mode,
        'documents': moves.mapped('state'),
    }
"""


class ChargeScene(StripeScene):
    """Contracts, each with a customer of its own at the provider."""

    def __init__(self, database: Any) -> None:
        super().__init__(database)
        self.customers: dict[int, str] = {}

    def create_contracts(
        self, names: list[str], number: str = GOOD_CARD, mode: str = "charge"
    ) -> dict[str, int]:
        """Create contracts with a card saved, bill one month of each, and return their ids by name.

        :param mode: how they are collected; `prepaid` drafts are charged as soon as invoices are
        """
        accounts = {name: self.provider.create_customer(name, number) for name in names}
        orders = self.shell.run(CREATE, contracts=accounts, mode=mode)
        self.customers.update({order: accounts[name][0] for name, order in orders.items()})
        return orders

    def collect(self, minutes: int = 0) -> None:
        """Let the cron collect, some minutes from now."""
        self.shell.run(COLLECT, minutes=minutes)

    def collect_until_quiet(self) -> None:
        """Let the cron ask about everything which is open, as often as it would in an hour."""
        for turn in range(1, 4):
            self.collect(minutes=turn * ASK_AGAIN)

    def pay_by_transfer(self, *orders: int) -> None:
        """Book a bank transfer for what is open."""
        self.shell.run(PAY_BY_TRANSFER, order_ids=orders)

    def resolve(self, *orders: int) -> None:
        """Let a person resolve what is listed for these contracts, with what the provider's own pages say."""
        found = {}
        for order in orders:
            taken = bool(self.provider.get_taken(self.customers[order]))
            found[order] = [taken, *(["", ""] if taken else self.provider.create_customer("Another card"))]
        self.shell.run(RESOLVE, contracts=found)
        for order, (taken, customer, _card) in found.items():
            if not taken:
                self.customers[order] = customer
        self.collect()

    def get_money(self, *orders: int) -> dict[int, dict[str, Any]]:
        """Return what Odoo and the provider know of the money of contracts, in cents."""
        found = {int(order): money for order, money in self.shell.run(READ_MONEY, order_ids=orders).items()}
        for order, money in found.items():
            charges = self.provider.get_charges(self.customers[order])
            money.update(taken=self.provider.get_taken(self.customers[order]), charges=len(charges))
        return found

    def deliver_events(self, orders: dict[str, int], times: int = 1) -> None:
        """Deliver what the provider has to say about these contracts, as often as asked for."""
        for order in orders.values():
            for kind in ("payment_intent.succeeded", "payment_intent.payment_failed"):
                for event in self.proxy.mailbox.find(kind, self.customers[order]):
                    for _time in range(times):
                        assert self.proxy.mailbox.deliver(event) == 200


def find_wrong(money: dict[str, Any], *, is_paid: bool, by_transfer: bool = False) -> list[str]:
    """Return what is wrong with the money of a contract at the end of it all.

    :param is_paid: whether it should be paid; what isn't must be something a person can resolve
    :param by_transfer: whether the customer paid by another way as well
    """
    wrong = []
    if money["charges"] > 1:
        wrong.append("charged more than once")
    if money["taken"] != money["charged"]:
        wrong.append("the provider took what Odoo doesn't know of")
    if is_paid and money["open"]:
        wrong.append("is still open")
    if is_paid and money["state"] != "paid":
        wrong.append(f"is shown as {money['state']}")
    if not is_paid and (money["open"] != money["owed"] or money["state"] not in ("failed", "unknown")):
        wrong.append(f"nobody is told of it: {money['state']}")
    if not by_transfer and money["owed"] != money["open"] + money["taken"]:
        wrong.append("what is paid isn't what was taken")
    # What is paid in advance is an invoice once the money is there, not before, and isn't lost meanwhile.
    if money["documents"] != ["posted" if is_paid or money["mode"] == "charge" else "draft"]:
        wrong.append(f"its documents are {money['documents']}")
    if money["contract"] != "progress":
        wrong.append(f"the contract is {money['contract']}")
    return wrong
