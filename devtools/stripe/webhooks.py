"""Events of the provider: collected, completed, signed and delivered when a test wants, as often as it wants."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

WEBHOOK_SECRET = "whsec_subscription"
WEBHOOK_PATH = "/payment/stripe/webhook"
PATIENCE = 30


def sign(payload: bytes, secret: str, moment: int) -> str:
    """Return the header Stripe sends with an event."""
    signature = hmac.new(secret.encode(), b"%d.%s" % (moment, payload), hashlib.sha256).hexdigest()
    return f"t={moment},v1={signature}"


class Mailbox:
    """The events which localstripe sent, and the way to Odoo."""

    def __init__(self, complete: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """:param complete: adds to an intent or a charge what localstripe couldn't keep"""
        self.target = ""
        self._events: list[dict[str, Any]] = []
        self._complete = complete
        self._news = threading.Condition()

    def put(self, event: dict[str, Any]) -> None:
        """Keep an event."""
        with self._news:
            self._events.append(event)
            self._news.notify_all()

    def find(self, kind: str, customer: str) -> list[dict[str, Any]]:
        """Return the events of a kind about a customer, oldest first."""
        return [
            {**event, "data": {"object": self._complete(event["data"]["object"])}}
            for event in list(self._events)
            if event["type"] == kind and event["data"]["object"].get("customer") == customer
        ]

    def wait_for(self, kind: str, customer: str) -> dict[str, Any]:
        """Return the last event of a kind about a customer, which may be on its way still."""
        with self._news:
            assert self._news.wait_for(lambda: self.find(kind, customer), PATIENCE), f"No event {kind} came"
        return self.find(kind, customer)[-1]

    def deliver(self, event: dict[str, Any], *, secret: str = WEBHOOK_SECRET, age: int = 0) -> int:
        """Send an event to Odoo and return the status it answers with.

        :param secret: what to sign it with
        :param age: how many seconds ago it claims to be signed
        """
        payload = json.dumps(event).encode()
        request = urllib.request.Request(
            self.target + WEBHOOK_PATH,
            payload,
            {"Content-Type": "application/json", "Stripe-Signature": sign(payload, secret, int(time.time()) - age)},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
