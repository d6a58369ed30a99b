"""A mail server which keeps what it gets, for tests which read the e-mails a customer has."""

from __future__ import annotations

import email.policy
import threading
import time
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from devtools import proc

PATIENCE = 60


class MailServer:
    """An SMTP server on loopback."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._news = threading.Condition()
        self._controller = Controller(self, hostname="127.0.0.1", port=proc.free_port(), ready_timeout=PATIENCE)
        self._controller.start()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Keep a message; aiosmtpd calls this."""
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self._news:
            self.messages.append(message)
            self._news.notify_all()
        return "250 OK"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._controller.port

    def get_messages(self, recipient: str) -> list[EmailMessage]:
        """Return what somebody got, oldest first."""
        return [message for message in list(self.messages) if recipient in str(message["To"])]

    def wait_for(self, recipient: str, count: int = 1) -> list[EmailMessage]:
        """Wait until somebody got so many messages, and return them."""
        deadline = time.monotonic() + PATIENCE
        with self._news:
            while len(self.get_messages(recipient)) < count:
                assert self._news.wait(deadline - time.monotonic()), (
                    f"{recipient} got {[str(message['Subject']) for message in self.get_messages(recipient)]} only")
        return self.get_messages(recipient)

    def close(self) -> None:
        """Stop it."""
        self._controller.stop()


def get_text(message: EmailMessage) -> str:
    """Return what the reader of a message sees, markup included."""
    return message.get_body(("html", "plain")).get_content()


def get_attachments(message: EmailMessage) -> dict[str, bytes]:
    """Return the files which come with a message, by name."""
    return {part.get_filename(): part.get_content() for part in message.iter_attachments()}
