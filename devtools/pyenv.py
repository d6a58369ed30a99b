"""The virtual environment that Odoo, the tests and the linters run in."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path

from . import proc
from .debs import need_space
from .paths import HOST, LOGS, REQUIREMENTS, VENV, VENV_PYTHON
from .ui import Problem, Step, explain

STAMP = VENV / "requirements.stamp"
OLDEST, NEWEST = (3, 10), (3, 13)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
VENV_SIZE = 600_000_000


def _stamp() -> str:
    parts = (REQUIREMENTS.read_bytes(), sys.version.encode(), str(VENV).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _in_our_environment() -> bool:
    return Path(sys.prefix).resolve() == VENV.resolve()


def ensure() -> None:
    """Make the virtual environment, or bring it up to date with requirements.txt."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise Problem(
            f"Odoo 19 runs on Python 3.10 to 3.13, this one is {VERSION}.",
            "start it with another one: python3.12 dev run",
        )
    if STAMP.exists() and STAMP.read_text() == _stamp():
        return
    if _in_our_environment():
        raise Problem(
            "The virtual environment is out of date and can't rebuild itself.",
            "start ./dev with the system's own Python.",
        )
    need_space(VENV_SIZE, "the Python packages")
    shutil.rmtree(VENV, ignore_errors=True)
    try:
        _create()
        _install()
        STAMP.write_text(_stamp())
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)
        raise


def _create() -> None:
    with Step("Making a Python environment"):
        result = proc.run([sys.executable, "-m", "venv", VENV])
        if result.code:
            raise explain(
                result.output,
                "Making a Python environment",
                f"install venv and pip: sudo apt-get install python{VERSION}-venv",
            )


def _install() -> None:
    wanted = sum(1 for line in REQUIREMENTS.read_text().splitlines() if re.match(r"[A-Za-z]", line))
    seen: set[str] = set()

    with Step("Installing the Python packages") as step:

        def progress(line: str) -> None:
            if found := re.match(r"Collecting (\S+)", line):
                seen.add(found.group(1))
                step.update(f"{len(seen)} found, {wanted} asked for")
            elif line.startswith("Installing collected packages"):
                step.update(f"{len(seen)} packages, copying")

        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / "pip.log"
        result = proc.run(
            [
                VENV_PYTHON,
                "-m",
                "pip",
                "install",
                "--disable-pip-version-check",
                "--no-input",
                "--prefer-binary",
                "--retries=2",
                "-r",
                REQUIREMENTS,
            ],
            log=log,
            on_line=progress,
            cwd=HOST,
        )
        if result.code:
            raise explain(
                result.output, "Installing the Python packages", f"read {log} and run the same command again."
            )
        step.update(f"{len(seen)} packages")


def site_packages() -> Path:
    """The folder Python packages are installed in."""
    return next(VENV.glob("lib/python3*/site-packages"))
