"""Contracts whose customers are written to: what the tests of e-mails have in common."""

from __future__ import annotations

import html
import json
import re
import urllib.error
import urllib.request
from email.message import EmailMessage
from typing import Any

from charge_scene import ChargeScene
from mail_server import MailServer, get_text

from devtools.stripe.server import GOOD_CARD

USE_SERVER = """
env['ir.mail_server'].create({'name': 'Test', 'smtp_host': '127.0.0.1', 'smtp_port': port, 'smtp_encryption': 'none'})
env.company.email = 'billing@seller.example'
env.company.partner_id.email = 'billing@seller.example'
env['ir.config_parameter'].set_param('report.url', address)
env['ir.config_parameter'].set_param('web.base.url', address)
env['res.lang']._activate_lang('fr_FR')
"""

CREATE = """
plan = env['subscription.plan'].create({
    'name': f'Plan of {recipient}', 'billing_period_value': 1, 'billing_period_unit': 'month', 'send_mails': True,
    **plan_values})
partner = env['res.partner'].create({'name': 'Lumber Inc', 'email': recipient, 'lang': lang})
token = card and env['payment.token'].create({
    'provider_id': env.ref('payment.payment_provider_stripe').id,
    'payment_method_id': env.ref('payment.payment_method_card').id, 'payment_details': '4242',
    'partner_id': partner.id, 'provider_ref': card[0], 'stripe_payment_method': card[1]})
order = env['sale.order'].create({
    'partner_id': partner.id, 'plan_id': plan.id, 'user_id': False, 'payment_token_id': token and token.id,
    'invoice_email': invoice_email,
    'order_line': [(0, 0, {'product_id': env['product.product'].search([('default_code', '=', 'HOSTING')]).id})]})
result = order.id
"""

CONFIRM = "env['sale.order'].browse(order_id).action_confirm()"

BILL = """
move = env['sale.order'].browse(order_id)._bill_subscriptions()
result = [move.id, move.name or '']
"""

RUN_CRON = "env.ref(cron).method_direct_trigger()"
SENDING_CRONS = ('account.ir_cron_account_move_send', 'mail.ir_cron_mail_scheduler_action')

# The host leaves payments to the browser for some minutes, which looks after them by a script of its page.
POST_PROCESS = """
for tx in env['payment.transaction'].search([('is_post_processed', '=', False), ('state', '!=', 'draft')]):
    tx._post_process()
"""


class Page:
    """What somebody sees who opens an address without being logged in."""

    def __init__(self, address: str) -> None:
        try:
            with urllib.request.urlopen(address) as answer:
                self.status, self.headers, self.text = answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as answer:
            self.status, self.headers, self.text = answer.code, answer.headers, answer.read().decode()

    @property
    def is_paying(self) -> bool:
        """Whether one can pay here."""
        return "o_payment_form" in self.text

    def find(self, name: str) -> str:
        """Return what the payment form says under a name."""
        return html.unescape(re.search(rf'data-{name}="([^"]*)"', self.text)[1])


class MailScene:
    """Contracts whose customers are written to, and a mail server which gets it."""

    def __init__(self, charges: ChargeScene) -> None:
        self.charges = charges
        self.shell = charges.shell
        self.server = MailServer()
        self.shell.run(USE_SERVER, port=self.server.port, address=charges.address)

    def close(self) -> None:
        """End the mail server."""
        self.server.close()

    # ------------------------------------------------------------------
    # CONTRACTS
    # ------------------------------------------------------------------

    def create_contract(
        self, recipient: str, lang: str = "en_US", number: str = "", *, invoice_email: bool = False,
        **plan_values: Any,
    ) -> int:
        """Let a contract begin for somebody with an address, and return its id.

        :param number: of the card which is saved, if one is
        :param invoice_email: whether its invoices are e-mailed, however they are paid
        :param plan_values: what differs on its plan
        """
        card = self.charges.provider.create_customer(recipient, number) if number else None
        order = self.shell.run(
            CREATE, recipient=recipient, lang=lang, card=card, invoice_email=invoice_email,
            plan_values=plan_values)
        # On its own, as a user does: the host tells of no step in the transaction which creates a record.
        self.shell.run(CONFIRM, order_id=order)
        return order

    def set_plan(self, order: int, **values: Any) -> None:
        """Change the plan of a contract, which has one of its own."""
        self.shell.run("env['sale.order'].browse(order_id).plan_id.write(values)", order_id=order, values=values)

    def bill(self, order: int) -> tuple[int, str]:
        """Bill what is due of a contract, and return the id and the number of its invoice."""
        return tuple(self.shell.run(BILL, order_id=order))

    # ------------------------------------------------------------------
    # E-MAILS
    # ------------------------------------------------------------------

    def read(self, recipient: str, count: int) -> list[EmailMessage]:
        """Let the crons send what waits, and return all that somebody got, oldest first.

        :param count: how many there have to be
        """
        for cron in SENDING_CRONS:
            self.shell.run(RUN_CRON, cron=cron)
        messages = self.server.wait_for(recipient, count)
        assert len(messages) == count, [str(message["Subject"]) for message in messages]
        return messages

    def pay(self, page: Page, number: str = GOOD_CARD) -> None:
        """Pay on a page as the browser of its visitor does, Stripe's form included."""
        address = f"{self.charges.address}{page.find('transaction-route')}"
        begun = call(address, {
            "provider_id": int(page.find("provider-id")), "payment_method_id": int(page.find("payment-option-id")),
            "token_id": None, "amount": float(page.find("amount")), "flow": "direct", "tokenization_requested": False,
            "landing_route": page.find("landing-route"), "is_validation": False,
            "access_token": page.find("access-token")})
        intent = begun["client_secret"].partition("_secret_")[0]
        # Stripe takes the card with the confirmation, localstripe before it.
        provider = self.charges.provider
        provider.call("POST", f"payment_intents/{intent}", {"payment_method": provider.create_card(number)})
        provider.call("POST", f"payment_intents/{intent}/confirm")
        self.charges.come_back(reference=begun["reference"], payment_intent=intent)
        self.shell.run(POST_PROCESS)


def call(address: str, parameters: dict[str, Any]) -> Any:
    """Call a JSON-RPC route without being logged in, and return its result."""
    body = json.dumps({"jsonrpc": "2.0", "method": "call", "params": parameters}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        content = json.load(answer)
    assert "result" in content, content
    return content["result"]


def find_link(message: EmailMessage, part: str) -> str:
    """Return the address in a message which has a part of its own."""
    [link] = {html.unescape(link) for link in re.findall(r'href="([^"]+)"', get_text(message)) if part in link}
    return link


def get_words(message: EmailMessage) -> str:
    """Return what a message says, without markup and with plain spaces."""
    text = re.sub(r"<style.*?</style>|<[^>]+>", " ", get_text(message), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(text))
