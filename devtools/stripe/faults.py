"""What can go wrong between Odoo and the provider: each takes an exchange and decides what becomes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .messages import Answer, make_decline

if TYPE_CHECKING:
    from .proxy import Exchange

Fault = Callable[["Exchange"], None]
LONG = 60


def lose_request(exchange: Exchange) -> None:
    """Cut the connection before the provider sees anything."""
    exchange.cut()


def lose_answer(exchange: Exchange) -> None:
    """Let the provider do its work and cut the connection then."""
    exchange.forward()
    exchange.cut()


def cut_answer_short(exchange: Exchange) -> None:
    """Break the connection in the middle of the answer."""
    answer = exchange.forward()
    exchange.send(answer, length=len(answer.body) // 2)


def garble_answer(exchange: Exchange) -> None:
    """Let something in between answer with a page of its own, although the provider did its work."""
    exchange.forward()
    exchange.send(Answer(200, b"<html>Please log in to the network</html>"))


def delay_request(seconds: float) -> Fault:
    """Hold a request up: the provider does its work when the client has long given up."""

    def fault(exchange: Exchange) -> None:
        time.sleep(seconds)
        exchange.send(exchange.forward())

    return fault


def delay_answer(seconds: float) -> Fault:
    """Hold an answer up."""

    def fault(exchange: Exchange) -> None:
        answer = exchange.forward()
        time.sleep(seconds)
        exchange.send(answer)

    return fault


def answer_instead(status: int, message: str = "Something went wrong") -> Fault:
    """Answer in the provider's place; it never sees the request."""

    def fault(exchange: Exchange) -> None:
        exchange.send(Answer.of(status, {"error": {"type": "api_error", "message": message}}))

    return fault


def answer_after(status: int, *, remember: bool = False) -> Fault:
    """Let the provider do its work and say that it failed.

    :param remember: say so again whenever the same key comes, as Stripe does with its own errors
    """

    def fault(exchange: Exchange) -> None:
        exchange.forward()
        answer = Answer.of(status, {"error": {"type": "api_error", "message": "Something went wrong"}})
        if remember:
            exchange.remember(answer)
        exchange.send(answer)

    return fault


def decline(code: str = "insufficient_funds") -> Fault:
    """Let the bank say no, once, to a card which is good otherwise."""

    def fault(exchange: Exchange) -> None:
        answer = make_decline(code)
        exchange.remember(answer)
        exchange.send(answer)

    return fault


def change_answer(**values: object) -> Fault:
    """Let the provider do its work and answer with something else of the intent, such as another status."""

    def fault(exchange: Exchange) -> None:
        answer = Answer.of(200, {**exchange.forward().content, **values})
        exchange.remember(answer)
        exchange.send(answer)

    return fault


# The bank takes its time: an event says days later what became of it.
say_processing = change_answer(status="processing")
# The bank wants the customer, and the provider waits for them.
wait_for_customer = change_answer(status="requires_action")


class Hold:
    """Stop a request until the test says so, before or after the provider did its work."""

    def __init__(self, *, after: bool = False) -> None:
        self.after = after
        self.reached = threading.Event()
        self._released = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        """Wait."""
        answer = exchange.forward() if self.after else None
        self.reached.set()
        self._released.wait(LONG)
        exchange.send(answer or exchange.forward())

    def wait(self) -> None:
        """Wait until a request is held."""
        assert self.reached.wait(LONG), "No request came"

    def release(self) -> None:
        """Let it go on."""
        self._released.set()
