"""The proxy in front of localstripe: it makes it answer as Stripe does, and makes the faults a test asks for."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .faults import Fault
from .messages import Answer, Request, ask_for_authentication, make_decline
from .server import LocalStripe
from .webhooks import Mailbox

EVENTS_PATH = "/_events"
INTENTS = ("/v1/payment_intents", "/v1/setup_intents")
PATIENCE = 60


class Exchange:
    """One request, and what can be done with it."""

    def __init__(self, proxy: Proxy, handler: BaseHTTPRequestHandler, request: Request) -> None:
        self.proxy = proxy
        self.request = request
        self._handler = handler

    def forward(self) -> Answer:
        """Let the provider do its work, once for each idempotency key, and return its answer."""
        return self.proxy.ask(self.request)

    def remember(self, answer: Answer) -> None:
        """Make this the answer to the request's key from now on."""
        self.proxy.answers[self.request.key] = (self.request.data, answer)

    def cut(self) -> None:
        """End the connection without an answer."""
        self._handler.close_connection = True
        with contextlib.suppress(OSError):
            self._handler.connection.shutdown(socket.SHUT_RDWR)

    def send(self, answer: Answer, length: int | None = None) -> None:
        """Answer.

        :param length: how much of the answer gets through
        """
        with contextlib.suppress(OSError):  # the client may have gone
            self._handler.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self._handler.send_header(name, value)
            self._handler.send_header("Content-Length", str(len(answer.body)))
            self._handler.end_headers()
            self._handler.wfile.write(answer.body[:length])
            self._handler.wfile.flush()
        if length is not None:
            self.cut()


class Proxy:
    """What Odoo takes for Stripe."""

    def __init__(self, provider: LocalStripe, latency: float = 0.0) -> None:
        """:param latency: how many seconds an answer takes at least"""
        self.provider = provider
        self.latency = latency
        self.mailbox = Mailbox(self._complete)
        self.requests: list[Request] = []
        self.answers: dict[str, tuple[dict[str, str], Answer]] = {}
        self._faults: dict[str, list[Fault]] = defaultdict(list)
        self._kept: dict[str, dict[str, Any]] = {}
        self._working: set[str] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._make_handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        provider.send_webhooks_to(self.url + EVENTS_PATH)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def plan(self, subject: str, *faults: Fault) -> None:
        """Make the next charges of a customer, or refunds of an intent, go wrong, one after the other; later ones go
        well.
        """
        self._faults[subject].extend(faults)

    def forget_keys(self) -> None:
        """Forget every idempotency key, as Stripe may after a day."""
        self.answers.clear()

    def get_charge_requests(self, customer: str) -> list[Request]:
        """Return the requests to charge a customer, oldest first."""
        return [request for request in self.requests if request.is_charge and request.customer == customer]

    # ------------------------------------------------------------------
    # HANDLING
    # ------------------------------------------------------------------

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, or let a fault decide."""
        request = exchange.request
        began = time.monotonic()
        with self._lock:
            self.requests.append(request)
            waiting = self._faults.get(request.subject)
            fault = waiting.pop(0) if waiting else None
        if fault:
            fault(exchange)
            return
        answer = exchange.forward()
        time.sleep(max(0.0, self.latency - (time.monotonic() - began)))
        exchange.send(answer)

    def ask(self, request: Request) -> Answer:
        """Ask the provider, or give the answer which this key had before."""
        if not request.key:
            return self._ask_provider(request)
        with self._lock:
            known = self.answers.get(request.key)
            if known and known[0] != request.data:
                return _complain(400, "Keys for idempotent requests can only be used with the same parameters.")
            if known:
                return Answer(known[1].status, known[1].body, {"Idempotent-Replayed": "true"})
            if request.key in self._working:
                return _complain(409, "There is currently another in-progress request using this key.")
            self._working.add(request.key)
        try:
            answer = self._ask_provider(request)
            # What never began (a wrong parameter, a wrong key of the account) isn't remembered.
            if answer.status < 400 or answer.status == 402 or answer.status >= 500:
                self.answers[request.key] = (request.data, answer)
            return answer
        finally:
            self._working.discard(request.key)

    def _ask_provider(self, request: Request) -> Answer:
        """Send a request on and make the answer what Stripe's would be."""
        path, body = request.get_upstream()
        headers = {
            name: value for name, value in request.headers.items() if name in ("authorization", "content-type")
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.provider.port, timeout=PATIENCE)
        try:
            connection.request(request.method, path, body, headers)
            found = connection.getresponse()
            answer = Answer(found.status, found.read())
        except OSError:
            return _complain(503, "The provider is out of service")
        finally:
            connection.close()
        answer = self._complete_answer(request, answer)
        return ask_for_authentication(request, answer)

    def _complete_answer(self, request: Request, answer: Answer) -> Answer:
        """Put on what the provider answers what localstripe couldn't keep."""
        content = answer.content
        if not isinstance(content, dict):
            return answer
        error = content.get("error", {})
        if request.is_charge and answer.status == 402 and "charge" in error:
            intent = self._get_intent(error["charge"])
            self._kept[intent["id"]] = request.get_kept()
            return make_decline("generic_decline", error["message"], self._complete(intent))
        if "id" not in content:
            return answer
        if request.method == "POST" and request.path in INTENTS:
            self._kept[content["id"]] = request.get_kept()
        return Answer.of(answer.status, self._complete(content))

    def _complete(self, about: dict[str, Any]) -> dict[str, Any]:
        """Add what localstripe couldn't keep of an intent, which its charges have too."""
        return {**about, **self._kept.get(about.get("payment_intent") or about["id"], {})}

    def _get_intent(self, charge: str) -> dict[str, Any]:
        found = self.provider.call("GET", f"charges/{charge}")
        return self.provider.call("GET", f"payment_intents/{found['payment_intent']}")

    def make_refund_event(self, charge: str) -> dict[str, Any]:
        """Make the event of a refund, which localstripe doesn't send."""
        content = self._complete(self.provider.call("GET", f"charges/{charge}"))
        return {"id": f"evt_{charge}", "type": "charge.refunded", "data": {"object": content}}

    # ------------------------------------------------------------------
    # HTTP
    # ------------------------------------------------------------------

    def _make_handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            """Reads a request and hands it to the proxy."""

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                path, _mark, query = self.path.partition("?")
                if path == EVENTS_PATH:
                    Exchange(proxy, self, Request("POST", path, {}, {})).send(Answer(200, b""))
                    proxy.mailbox.put(json.loads(body))
                    return
                data = dict(urllib.parse.parse_qsl("&".join(filter(None, [query, body]))))
                headers = {name.lower(): value for name, value in self.headers.items()}
                proxy.handle(Exchange(proxy, self, Request(self.command, path, data, headers)))

            do_GET = do_POST = do_DELETE = _handle

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing; `requests` has it all."""

        return Handler


def _complain(status: int, message: str) -> Answer:
    kind = "idempotency_error" if status in (400, 409) else "api_error"
    return Answer.of(status, {"error": {"type": kind, "message": message}})
