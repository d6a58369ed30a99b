"""Requests and answers, and where localstripe's differ from Stripe's."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

# localstripe refuses these; Stripe keeps them and shows them on the intent.
KEPT = ("description", "shipping", "setup_future_usage", "mandate", "payment_method_options")
DECLINE_MESSAGE = "Your card was declined."


@dataclass
class Answer:
    """What a server answers; None in place of one means that it never comes."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, content: dict) -> Answer:
        """Make an answer of what is to be JSON."""
        return cls(status, json.dumps(content).encode())

    @property
    def content(self) -> Any:
        """The body, read."""
        return json.loads(self.body or b"{}")


@dataclass
class Request:
    """What Odoo asks."""

    method: str
    path: str
    data: dict[str, str]
    headers: dict[str, str]

    @property
    def key(self) -> str:
        """The idempotency key, empty where there is none."""
        return self.headers.get("idempotency-key", "")

    @property
    def customer(self) -> str:
        """Whom it is about."""
        return self.data.get("customer", "")

    @property
    def is_charge(self) -> bool:
        """Whether this is to take money."""
        return self.method == "POST" and self.path == "/v1/payment_intents" and "confirm" in self.data

    @property
    def subject(self) -> str:
        """Whose faults it meets: the customer of a charge, the intent of a refund, nobody's otherwise."""
        if self.method == "POST" and self.path == "/v1/refunds":
            return self.data.get("payment_intent", "")
        return self.customer if self.is_charge else ""

    def get_kept(self) -> dict[str, Any]:
        """Return what localstripe can't keep: the parameters by their first name."""
        kept: dict[str, Any] = {}
        for name, value in self.data.items():
            first, *rest = name.replace("]", "").split("[")
            if first not in KEPT:
                continue
            if rest:
                kept.setdefault(first, {})["_".join(rest)] = value
            else:
                kept[first] = value
        return kept

    def get_upstream(self) -> tuple[str, str]:
        """Return path and body as localstripe takes them."""
        data = {name: value for name, value in self.data.items() if name.split("[")[0] not in KEPT}
        encoded = urllib.parse.urlencode(data)
        if self.method == "GET":  # Odoo sends parameters of these in the body, which localstripe doesn't read
            return (f"{self.path}?{encoded}" if encoded else self.path), ""
        return self.path, encoded


def make_decline(code: str, message: str = DECLINE_MESSAGE, intent: dict | None = None) -> Answer:
    """Make the answer of a bank which says no.

    :param code: Stripe's decline code, such as `insufficient_funds` (try again later) or `stolen_card` (never again)
    :param intent: the payment intent which failed
    """
    return Answer.of(402, {
        "error": {
            "type": "card_error",
            "code": "authentication_required" if code == "authentication_required" else "card_declined",
            "decline_code": code,
            "message": message,
            **({"payment_intent": intent} if intent else {}),
        }
    })


def ask_for_authentication(request: Request, answer: Answer) -> Answer:
    """Refuse what needs the customer while they are away: Stripe does, localstripe waits for them."""
    if not request.is_charge or "off_session" not in request.data or answer.status != 200:
        return answer
    intent = answer.content
    if intent["status"] != "requires_action":
        return answer
    message = "Your card was declined. This transaction requires authentication."
    error = {"code": "authentication_required", "message": message}
    failed = {**intent, "status": "requires_payment_method", "next_action": None, "last_payment_error": error}
    return make_decline("authentication_required", message, failed)

