"""The command line of `./dev`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from . import bench, commands, hosttests, lint, run, testing
from .ui import Problem, complain, from_os_error, say

EPILOG = """\
environment:
  ODOO_HOME                      the root of an Odoo 19 source tree, used instead of the one that is fetched
  PGHOST, PGUSER, … or DATABASE_URL   a PostgreSQL server of yours, used instead of the embedded one
Everything that is fetched or made is in the folder .host, which git ignores.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./dev",
        description="Run, test and look after the addons of this repository.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return sub.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")

    command = add("run", "start Odoo with the addons and demo data, and print where it is")
    command.add_argument("--port", type=int, default=run.PORT, help="the port Odoo listens on (default: %(default)s)")
    command.add_argument(
        "--database", default=None, help=f"the database to serve, made where it is missing (default: {run.DATABASE})"
    )
    command = add(
        "test", "run every test; a skip without a reason, an error or a warning of ours in the log fails the run too"
    )
    command.add_argument("--long", action="store_true", help="run the long tests as well")
    command.add_argument(
        "--only",
        action="append",
        metavar="ADDON",
        help="test this addon on a database without the others; may be given several times",
    )
    command.epilog = "Everything else goes to pytest: paths, -k EXPRESSION, -x, --lf, -q …"
    add("lint", "run ruff, pylint-odoo and Odoo's own checkers over the addons")
    command = add("shell", "open a Python shell with `env` on a database")
    command.add_argument("--database", default=None, help=f"default: {run.DATABASE}")
    add("i18n", "write each addon's i18n/<addon>.pot")
    command = add("telco", "make a database with the telco customer base imported")
    command.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=commands.TELCO_FILE,
        metavar="FILE",
        help=f"the CSV file (default: {os.path.relpath(commands.TELCO_FILE)})",
    )
    command = add("bench", "measure how fast the addon works, in ratios to a named reference of the same run")
    command.add_argument("name", choices=sorted(bench.BENCHMARKS), help="what is measured")
    command.add_argument("--scale", action="store_true", help="bill up to 20,000 contracts instead: an hour")
    add("tests-of-host", "run Odoo's own tests of the modules we extend, and list the failures that are not known")
    add("stop", "stop every Odoo and PostgreSQL that ./dev started here")
    add("clean", "stop everything, and remove the databases and the folder .host")
    return parser


def _dispatch(options: argparse.Namespace, rest: list[str]) -> int:
    """Call what the command stands for."""
    if options.command == "run":
        return run.run(options.port, options.database or run.default_database())
    if options.command == "test":
        return testing.test(rest, long=options.long, only=options.only)
    if options.command == "shell":
        return commands.shell(options.database or run.default_database())
    if options.command == "telco":
        return commands.telco(options.file)
    if options.command == "bench":
        return bench.bench(options.name, scale=options.scale)
    simple = {
        "lint": lint.lint,
        "i18n": commands.i18n,
        "stop": commands.stop,
        "clean": commands.clean,
        "tests-of-host": hosttests.tests_of_host,
    }
    return simple[options.command]()


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """End the command once; a second signal does not disturb the tidying up."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run a command and return its exit code."""
    parser = _parser()
    options, rest = parser.parse_known_args()
    if rest and options.command != "test":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        return _dispatch(options, rest)
    except Problem as problem:
        complain(problem)
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        complain(from_os_error(error))
    except KeyboardInterrupt:
        say("\nStopped.")
        return 130
    return 1
