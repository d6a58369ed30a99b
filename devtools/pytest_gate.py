"""A pytest plugin that fails a run for what Odoo logged, and for tests skipped without a reason.

Messages a test expects never get here: `assertLogs` and `mute_logger` keep them to themselves.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from odoo.tests.common import ChromeBrowser

from . import addons
from .logs import KNOWN_NOISE, Record

MESSAGE_WIDTH = 1500
# Odoo skips a browser test when the browser does not start: that is a broken machine and no reason.
BROKEN_BROWSER = re.compile(
    r"chrome executable not found|chrome devtools port|websocket-client module is not installed", re.IGNORECASE
)
LOGGED = "subscription_logged"
NO_REASON = frozenset({"", "unconditional skip"})


class Gate(logging.Handler):
    """Collects what makes the run fail."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.ours = addons.names()
        self.where = "before the first test"
        self.logged: dict[str, list[str]] = {}
        self.skipped: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message that counts, with the test it came in."""
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        found = Record(record.levelno, record.name, message, record.pathname)
        if found.is_bad(self.ours):
            self.logged.setdefault(str(found)[:MESSAGE_WIDTH], []).append(self.where)

    # ------------------------------------------------------------------
    # PYTEST HOOKS
    # ------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Iterator[None]:
        """Listen for as long as tests run."""
        logging.getLogger().addHandler(self)
        try:
            return (yield)
        finally:
            logging.getLogger().removeHandler(self)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Remember which test is running."""
        self.where = nodeid

    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage, nodeid: str) -> None:
        """Keep Python's own warnings about our code: pytest takes them before they reach the log."""
        text = f"{warning_message.category.__name__}: {warning_message.message}"
        found = Record(logging.WARNING, "py.warnings", text, warning_message.filename)
        if found.is_bad(self.ours):
            self.logged.setdefault(f"{found} ({found.place}:{warning_message.lineno})", []).append(nodeid or self.where)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at the reason of a skip."""
        if report.skipped:
            reason = _reason(report)
            if reason in NO_REASON or BROKEN_BROWSER.search(reason):
                self.skipped.append(f"{report.nodeid}: {reason or 'no reason given'}")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at the reason of a whole file's skip."""
        if report.skipped and _reason(report) in NO_REASON:
            self.skipped.append(f"{report.nodeid}: no reason given")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take over what one of several processes has collected."""
        for message, places in getattr(node, "workeroutput", {}).get(LOGGED, {}).items():
            self.logged.setdefault(message, []).extend(places)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that would have passed; one of several processes tells the first one what it collected."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[LOGGED] = self.logged
            return
        if (self.logged or self.skipped) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List what was found."""
        if self.skipped:
            terminalreporter.section("skipped without a stated reason", red=True)
            terminalreporter.write_line("\n".join(self.skipped))
        if self.logged:
            terminalreporter.section("errors and warnings of ours in Odoo's log", red=True)
            for message, places in self.logged.items():
                more = f" and {len(places) - 1} more" if len(places) > 1 else ""
                terminalreporter.write_line(f"{places[0]}{more}\n    " + message.replace("\n", "\n    "))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a test was skipped, or expected to fail."""
    if hasattr(report, "wasxfail"):
        return report.wasxfail.removeprefix("reason: ").strip()
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr or "")
    return re.sub(r"^Skipped:?\s*", "", text).strip()


def _forgive_known_noise() -> None:
    """An error in the browser's console fails its test: not so for what is known of the host."""
    handle = ChromeBrowser._handle_console

    def handle_console(self: ChromeBrowser, type: str, args: list | None = None, **details: Any) -> None:
        known = any(re.search(noise.message, str(args)) for noise in KNOWN_NOISE)
        handle(self, "info" if known and type == "error" else type, args, **details)

    ChromeBrowser._handle_console = handle_console


def pytest_configure(config: pytest.Config) -> None:
    """Set the gate up."""
    _forgive_known_noise()
    config.pluginmanager.register(Gate(), "subscription-gate")
