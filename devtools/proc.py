"""Starting other programs so that none outlives the command that started it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEEP_LINES = 400
# Linux then ends the program when the command that started it is killed. setpriv is part of every Debian.
WITH_PARENT = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


@dataclass
class Result:
    """How a program ended, and the last lines it printed."""

    code: int
    output: str


def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
    """Start a program in a session of its own: a Ctrl-C reaches it through us, once, and not twice."""
    return subprocess.Popen(
        [*WITH_PARENT, *map(str, command)],
        start_new_session=True,
        text=True,
        errors="replace",
        **options,
    )


def stop(process: subprocess.Popen[str], *, patience: float = 15) -> None:
    """End a program and all it started: asked first, then forced."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError):
            process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Result:
    """Run a program to its end, reading what it prints line by line.

    :param log: a file that gets every line as well
    :param on_line: called with each line, for live progress
    """
    lines: list[str] = []
    process = start(
        command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    stream = log.open("a", encoding="utf-8") if log else None
    try:
        for line in process.stdout or ():
            lines.append(line)
            del lines[:-KEEP_LINES]
            if stream:
                stream.write(line)
            if on_line:
                on_line(line.rstrip("\n"))
        return Result(process.wait(), "".join(lines))
    finally:
        stop(process, patience=5)
        if stream:
            stream.close()


def attached(command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path) -> int:
    """Run a program on the user's own terminal and return its exit code."""
    process = start(command, env=env, cwd=cwd)
    try:
        return process.wait()
    finally:
        stop(process)


def interactive(command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path) -> int:
    """Run a program that reads the keyboard: it stays in our session, so Ctrl-C is its own affair."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.call(
            [str(part) for part in command],
            env=dict(env),
            cwd=cwd,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    finally:
        signal.signal(signal.SIGINT, before)


def free_port() -> int:
    """A TCP port nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
