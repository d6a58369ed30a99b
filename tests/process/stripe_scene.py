"""Odoo's own Stripe client, and a provider which isn't Stripe: what the tests of payments have in common."""

from __future__ import annotations

import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from shell import OdooShell

from devtools.stripe.proxy import Proxy
from devtools.stripe.server import GOOD_CARD, PUBLISHABLE_KEY, SECRET_KEY, LocalStripe
from devtools.stripe.webhooks import WEBHOOK_SECRET

ADDON = "test_sale_subscription_ext_stripe"
# Long enough for an answer of a busy machine, and shorter than Odoo's ten seconds.
TIMEOUT = 3.0

SET_UP = """
if not env.company.chart_template:
    env['account.chart.template'].try_loading('generic_coa', company=env.company, install_demo=False)
env['ir.config_parameter'].set_param('test_sale_subscription_ext_stripe.url', url)
provider = env.ref('payment.payment_provider_stripe')
provider.write({
    'stripe_secret_key': secret_key, 'stripe_publishable_key': publishable_key, 'stripe_webhook_secret': webhook_secret,
    'state': 'test', 'is_published': True, 'allow_tokenization': True,
})
card = env.ref('payment.payment_method_card')
card.active = True
# Payments are booked on an account of their own, and invoices are paid at once.
provider.journal_id.inbound_payment_method_line_ids.filtered(
    lambda line: line.payment_provider_id == provider
).payment_account_id = env['account.account'].create({
    'name': 'Outstanding', 'code': '101499', 'account_type': 'asset_current', 'reconcile': True})
env['product.product'].create({
    'name': 'Hosting', 'default_code': 'HOSTING', 'type': 'service', 'recurring_invoice': True, 'list_price': 30.0,
    'taxes_id': False})
"""

CREATE_TRANSACTION = """
partner = env['res.partner'].browse(partner_id) if partner_id else env['res.partner'].create({
    'name': name, 'email': 'customer@example.com', 'street': 'Main Street 1', 'city': 'Springfield', 'zip': '12345',
    'country_id': env.ref('base.us').id})
provider = env.ref('payment.payment_provider_stripe')
tx = env['payment.transaction'].create({
    'provider_id': provider.id, 'payment_method_id': env.ref('payment.payment_method_card').id,
    'amount': amount, 'currency_id': env.company.currency_id.id, 'partner_id': partner.id, 'token_id': token_id,
    'operation': operation, 'reference': name, 'tokenize': tokenize,
})
result = {'id': tx.id, 'partner': partner.id}
"""

READ = "result = env[model].browse(ids).read(fields, load=False)"


class StripeScene:
    """A database with Stripe set up, an Odoo which serves it, one which does what it is told, and the provider."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.provider = LocalStripe()
        self.proxy = Proxy(self.provider)
        self.shell = OdooShell(database, TIMEOUT)
        self.shell.run(
            SET_UP, url=self.proxy.url, secret_key=SECRET_KEY, publishable_key=PUBLISHABLE_KEY,
            webhook_secret=WEBHOOK_SECRET)
        self._log = Path(tempfile.mkstemp(prefix="odoo-server")[1])
        self._server, self.address = database.serve(self._log)
        self.proxy.mailbox.target = self.address

    def close(self) -> None:
        """End everything but the database."""
        self.shell.close()
        self.proxy.close()
        self.provider.close()
        self._log.unlink()

    def open_shell(self) -> OdooShell:
        """Start another Odoo, which may be killed."""
        return OdooShell(self.database, TIMEOUT)

    # ------------------------------------------------------------------
    # ODOO
    # ------------------------------------------------------------------

    def read(self, model: str, identifier: int, *fields: str) -> Any:
        """Return fields of a record: the value of one, a tuple of several."""
        [row] = self.shell.run(READ, model=model, ids=[identifier], fields=fields)
        values = tuple(row[field] for field in fields)
        return values if len(fields) > 1 else values[0]

    def create_transaction(self, name: str, **values: Any) -> dict[str, int]:
        """Create a payment, or the saving of a method, and return the ids of it and its partner."""
        values = {"amount": 50.0, "operation": "offline", "token_id": False, "partner_id": False, "tokenize": False,
                  **values}
        return self.shell.run(CREATE_TRANSACTION, name=name, **values)

    def save_card(self, name: str, number: str = GOOD_CARD) -> dict[str, int]:
        """Save a card as a customer does on the page of payment methods, Stripe's form in the browser included.

        :return: the ids of transaction, partner and token
        """
        found = self.create_transaction(name, operation="validation", amount=0.0, tokenize=True)
        secret = self.shell.run(
            "result = env['payment.transaction'].browse(tx_id)._get_processing_values()['client_secret']",
            tx_id=found["id"])
        intent = secret.partition("_secret_")[0]
        card = self.provider.create_card(number)
        self.provider.call(
            "POST", f"setup_intents/{intent}/confirm",
            {"key": PUBLISHABLE_KEY, "client_secret": secret, "payment_method": card})
        self.come_back(reference=name, setup_intent=intent)
        return {**found, "token": self.read("payment.transaction", found["id"], "token_id")}

    def come_back(self, **parameters: str) -> None:
        """Do what the customer's browser does when Stripe's form is done."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.address}/payment/stripe/return?{query}") as page:
            page.read()

    def charge(self, transaction: int) -> tuple[str, str]:
        """Charge a transaction to its saved method as the host does, and return its state and message."""
        return tuple(self.shell.run("""
tx = env['payment.transaction'].browse(tx_id)
tx._charge_with_token()
result = [tx.state, tx.state_message or '']
""", tx_id=transaction))

    def create_token(self, partner: int, customer: str, card: str) -> int:
        """Save a method which the provider has already."""
        return self.shell.run("""
provider = env.ref('payment.payment_provider_stripe')
result = env['payment.token'].create({
    'provider_id': provider.id, 'payment_method_id': env.ref('payment.payment_method_card').id,
    'payment_details': '4242', 'partner_id': partner, 'provider_ref': customer, 'stripe_payment_method': card}).id
""", partner=partner, customer=customer, card=card)

    def get_customer(self, token: int) -> str:
        """Return whom the provider knows by a token."""
        return self.read("payment.token", token, "provider_ref")
