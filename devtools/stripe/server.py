"""localstripe as a process, and what a test asks it without going through the proxy."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

from devtools import proc
from devtools.paths import ROOT, VENV_PYTHON

SECRET_KEY = "sk_test_subscription"
PUBLISHABLE_KEY = "pk_test_subscription"
PATIENCE = 30

# What Stripe and localstripe do with these cards.
GOOD_CARD = "4242424242424242"
DECLINED_WHEN_CHARGED_CARD = "4000000000000341"
AUTHENTICATION_CARD = "4000002760003184"


class LocalStripe:
    """A localstripe of one's own; its data outlives a restart."""

    def __init__(self, *, keeps: bool = True) -> None:
        """:param keeps: write a data file, which costs time with every request."""
        self.port = proc.free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="localstripe"))
        self._file = self._folder / "data.pickle" if keeps else ""
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "log.txt").open("a") as log:
            self._process = proc.start(
                [VENV_PYTHON, "-m", "devtools.stripe.launcher", str(self.port), self._file],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.call("GET", "balance_transactions")
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    log = (self._folder / "log.txt").read_text()
                    raise RuntimeError(f"localstripe doesn't start: {log}") from None
                time.sleep(0.1)

    def stop(self) -> None:
        """End it; what it has in its file stays."""
        proc.stop(self._process, patience=5)

    def close(self) -> None:
        """End it and forget everything."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    # ------------------------------------------------------------------
    # REQUESTS
    # ------------------------------------------------------------------

    def call(self, method: str, path: str, data: dict[str, Any] | None = None, key: str = SECRET_KEY) -> dict:
        """Send a request, past the proxy, and return what came back.

        :param path: below `/v1/`, or an absolute one
        """
        url = path if path.startswith("/") else f"/v1/{path}"
        body = urllib.parse.urlencode(data or {})
        if method == "GET" and body:
            url, body = f"{url}?{body}", ""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/x-www-form-urlencoded"}
            connection.request(method, url, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"localstripe answers {answer.status}: {text.decode()}")
        return json.loads(text) if text else {}

    def create_card(self, number: str = GOOD_CARD) -> str:
        """Do what Stripe's form does in the customer's browser: make a payment method of a card."""
        card = {"card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2035", "card[cvc]": "123"}
        return self.call("POST", "payment_methods", {"type": "card", **card})["id"]

    def create_customer(self, name: str, number: str = GOOD_CARD) -> tuple[str, str]:
        """Create a customer with a card saved, and return the identifiers of both."""
        customer = self.call("POST", "customers", {"name": name})["id"]
        card = self.create_card(number)
        self.call("POST", f"payment_methods/{card}/attach", {"customer": customer})
        return customer, card

    def get_charges(self, customer: str) -> list[dict]:
        """Return the charges of a customer which took money."""
        charges = self.call("GET", "charges", {"customer": customer, "limit": 100})["data"]
        return [charge for charge in charges if charge["status"] == "succeeded" and charge["captured"]]

    def get_taken(self, customer: str) -> int:
        """Return the money which was taken from a customer and not given back, in cents."""
        return sum(charge["amount"] - charge["amount_refunded"] for charge in self.get_charges(customer))

    def refund(self, charge: str, amount: int | None = None) -> dict:
        """Give money of a charge back, as somebody does in Stripe's dashboard."""
        return self.call("POST", "refunds", {"charge": charge, **({"amount": amount} if amount else {})})

    def send_webhooks_to(self, url: str) -> None:
        """Have events sent to an address."""
        self.call("POST", "/_config/webhooks/proxy", {"url": url, "secret": "whsec_unused"})
