"""`./dev test`: every test of every addon in one pytest run, on fresh copies of a ready database."""

from __future__ import annotations

import os
from pathlib import Path

from . import addons, odoo, postgres, proc
from .databases import Databases
from .paths import CONFIG, HOST, ROOT, VENV_PYTHON
from .setup import workplace
from .ui import say

LONG = "SUBSCRIPTION_LONG_TESTS"
READY = "SUBSCRIPTION_READY_DATABASE"
NO_TESTS = 5


def _absolute(argument: str, origin: Path) -> str:
    """A path as typed, seen from the folder it was typed in."""
    path, separator, rest = argument.partition("::")
    if path.startswith("-") or not (origin / path).exists():
        return argument
    return f"{origin / path}{separator}{rest}"


def _names_a_path(argument: str) -> bool:
    return Path(argument.partition("::")[0]).is_absolute()


def test(arguments: list[str], *, long: bool = False, only: list[str] | None = None) -> int:
    """Run the tests: on as many cores as there are, named files in one process unless pytest's `-n` says else.

    :param arguments: what goes to pytest; all tests where no path is among it
    :param long: run the long tests as well
    :param only: addons to test on a database without the others, and without what those depend on
    """
    addons.select(only or [])
    arguments = [_absolute(argument, Path.cwd()) for argument in arguments]
    if not any(_names_a_path(argument) for argument in arguments):
        # Files stay whole: their tests share what was made for the file. In their order: those with few tests, which
        # would come last, are the longest.
        shared = ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
        arguments = [*shared, *arguments, *map(str, addons.test_paths())]
    with workplace(with_browser=True, with_pdf=True) as databases:
        ready = databases.ready()
        with databases.temporary(ready, "test") as name:
            code = _pytest(databases, name, ready, arguments, long)
    if code == NO_TESTS:
        say("./dev: no test was found, which counts as a failure.")
    return code


def _pytest(databases: Databases, name: str, ready: str, arguments: list[str], long: bool) -> int:
    env = odoo.environment(databases.server)
    env[READY] = ready
    env["HYPOTHESIS_STORAGE_DIRECTORY"] = str(HOST / "hypothesis")
    # Each of several processes gets a copy of the database, which pytest-odoo makes with PostgreSQL's own programs.
    env["PATH"] = os.pathsep.join([env["PATH"], str(postgres.binaries())])
    env.pop(LONG, None)
    if long:
        env[LONG] = "1"
    command = [
        VENV_PYTHON,
        "-m",
        "pytest",
        "-c",
        str(ROOT / "setup.cfg"),
        "--rootdir",
        str(ROOT),
        "--odoo-http",
        "--odoo-log-level=warn",
        f"--odoo-config={CONFIG}",
        f"--odoo-database={name}",
        "--odoo-extra=max-cron-threads=0",
        *arguments,
    ]
    return proc.attached(command, env=env, cwd=ROOT)
