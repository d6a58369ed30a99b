"""What the user sees: a line with its seconds for each step, live progress on long ones, one sentence for a problem."""

from __future__ import annotations

import errno
import re
import sys
import threading
import time
from types import TracebackType

TICK_TERMINAL = 0.25
TICK_FILE = 10.0
QUIET_START = 2.0
LINE_WIDTH = 110

_network = re.compile(
    r"Temporary failure (?:resolving|in name resolution)|Could not (?:resolve|connect)|Unable to connect"
    r"|Network is unreachable|NewConnectionError|Failed to establish a new connection"
    r"|Connection (?:failed|refused|timed out)|Failed to fetch",
    re.IGNORECASE,
)


class Problem(Exception):
    """Something the user can do something about: one sentence, and what to do next."""

    def __init__(self, sentence: str, next_step: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.sentence}\n  Next: {self.next_step}" if self.next_step else self.sentence


def disk_full() -> Problem:
    """The sentence for a full disk, wherever it was met."""
    return Problem(
        "The disk is full: there is no space left for what this step writes.",
        "free some space (about 4 GB are needed in all) and run the same command again.",
    )


def explain(output: str, doing: str, next_step: str) -> Problem:
    """Turn the output of a failed program into one sentence.

    :param output: what the program printed
    :param doing: what failed, as the start of a sentence
    :param next_step: what to do where the cause is none of the usual ones
    """
    if "No space left on device" in output or "not enough free space" in output:
        return disk_full()
    if re.search(r"Release file .* (?:is expired|is not valid yet)", output):
        return Problem(
            f"{doing} failed: the mirror's lists are not valid at this machine's date.",
            'set the clock; for a frozen mirror put Acquire::Check-Valid-Until "false"; into /etc/apt/apt.conf.d/.',
        )
    if _network.search(output):
        return Problem(
            f"{doing} failed: the package registry can't be reached from this machine.",
            "check the network (and proxy settings), then run the same command again.",
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"E: |ERROR|error:|fatal", line, re.IGNORECASE)]
    detail = (errors or lines or ["no message"])[-1][:300]
    return Problem(f"{doing} failed: {detail}", next_step)


def from_os_error(error: OSError) -> Problem:
    """The sentence for an error of the operating system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full()
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Problem(
            f"{error.filename or 'A file'} can't be written or read: {error.strerror}.",
            "make the folder of this repository yours (chown), then run the same command again.",
        )
    return Problem(f"The system refused an operation: {error}.", "run the same command again; if it stays, ./dev clean")


class Step:
    """One line on the screen with its elapsed seconds; `update` shows live progress behind it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self._done = threading.Event()
        self._live = sys.stdout.isatty()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def update(self, detail: str) -> None:
        """Show how far the step is."""
        self.detail = detail

    def __enter__(self) -> Step:  # noqa: PYI034 (Self is new in Python 3.11)
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        end = "done" if kind is None else "stopped" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        detail = f" ({self.detail})" if self.detail else ""
        self._write(f"  {self.title}: {end} in {self._elapsed:.1f} s{detail}", last=True)

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._start

    def _tick(self) -> None:
        wait = TICK_TERMINAL if self._live else QUIET_START
        while not self._done.wait(wait):
            wait = TICK_TERMINAL if self._live else TICK_FILE
            detail = f" {self.detail}," if self.detail else ""
            self._write(f"  {self.title} …{detail} {self._elapsed:.0f} s", last=False)

    def _write(self, text: str, *, last: bool) -> None:
        if self._live:
            sys.stdout.write("\r\x1b[K" + (text if last else text[:LINE_WIDTH]) + ("\n" if last else ""))
        else:
            sys.stdout.write(text + "\n")
        sys.stdout.flush()


def say(text: str = "") -> None:
    """Print a line at once, even into a pipe."""
    print(text, flush=True)


def complain(problem: Problem) -> None:
    """Print a problem."""
    sys.stdout.flush()
    print(f"./dev: {problem}", file=sys.stderr, flush=True)
