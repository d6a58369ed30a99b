"""Locks between several `./dev` commands at work at the same time; the system frees them when a command dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .paths import RUN
from .ui import Step


def _open(name: str) -> int:
    RUN.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(RUN / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)


def try_lock(name: str, *, shared: bool = False) -> int | None:
    """Take a lock if it is free.

    :return: the file descriptor that holds it, or nothing where another command has it
    """
    handle = _open(name)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def unlock(handle: int) -> None:
    """Give a lock back."""
    os.close(handle)


@contextmanager
def held(name: str, *, shared: bool = False, waiting: str = "") -> Iterator[None]:
    """Hold a lock for a while, waiting for it where another command has it.

    :param waiting: what to show while waiting
    """
    handle = try_lock(name, shared=shared)
    if handle is None:
        handle = _open(name)
        with Step(waiting or "Waiting for another ./dev"):
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(handle)


def lock_file(name: str) -> Path:
    """The file behind a lock."""
    return RUN / f"{name}.lock"
