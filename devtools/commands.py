"""The smaller commands of `./dev`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from . import addons, odoo, postgres, proc, pyenv
from .paths import HOST, LOGS, ROOT, RUN, short
from .setup import workplace
from .ui import Problem, Step, explain, say

TELCO_FILE = ROOT.parent / "shared/data/telco_customer_churn.csv"
TELCO_SCRIPT = ROOT / "devtools/telco_import.py"
TELCO_CALL = "from devtools.telco_import import main\nmain(env, args[0])\n"
TELCO_DATABASE = "telco"
STOP_PATIENCE = 30


def shell(database: str) -> int:
    """A Python shell with `env`, on a database of ours."""
    with workplace() as databases:
        if not databases.server.exists(database):
            raise Problem(f"There is no database “{database}” yet.", "make one: ./dev run")
        arguments = odoo.command("shell", "-d", database, "--no-http", "--log-level=warn")
        return proc.interactive(arguments, env=odoo.environment(databases.server), cwd=ROOT)


def i18n() -> int:
    """Write the translation template of each addon, the same bytes for the same sources."""
    with workplace() as databases, databases.temporary(databases.ready(), "i18n") as name:
        with Step("Collecting the texts"):
            result = proc.run(
                odoo.command("i18n", "export", "-d", name, *addons.names()),
                env=odoo.environment(databases.server),
                cwd=ROOT,
            )
            if result.code:
                raise explain(result.output, "Collecting the texts", "mend the file named above.")
        for addon in addons.all_addons():
            target = addon.path / "i18n" / f"{addon.name}.pot"
            if target.exists():
                text = re.sub(
                    r'^"(POT-Creation-Date|PO-Revision-Date): .*\\n"\n',
                    "",
                    target.read_text(encoding="utf-8"),
                    flags=re.MULTILINE,
                )
                target.write_text(text, encoding="utf-8")
                say(f"  {short(target)}: {text.count('msgid ') - 1} texts")
    return 0


def telco(file: Path) -> int:
    """Make the database `telco` and import a customer base into it."""
    if not file.is_file():
        raise Problem(f"There is no file {file}.", "name the CSV file: ./dev telco FILE")
    if not TELCO_SCRIPT.is_file():
        raise Problem(f"{short(TELCO_SCRIPT)} is missing, which does the import.", "get it from the repository.")
    with workplace() as databases:
        exists = databases.server.exists(TELCO_DATABASE)
        if exists and TELCO_DATABASE not in databases.marks():
            raise Problem(f"The database “{TELCO_DATABASE}” exists and ./dev did not make it.", "rename or drop it.")

        def fill(part: str) -> None:
            with Step(f"Importing {file.name}"):
                result = odoo.script(databases.server, part, TELCO_CALL, str(file.resolve()), log=LOGS / "telco.log")
            if result.code:
                raise explain(result.output, f"Importing {file.name}", f"read {short(LOGS / 'telco.log')}")
            say(result.output.rstrip())

        databases.make(TELCO_DATABASE, fill, template=databases.ready(), kind="run", addons=addons.content_hashes())
        say(f"Look at it: ./dev run --database {TELCO_DATABASE}")
    return 0


def _stop_commands() -> int:
    """Ask every running ./dev run to end, and wait for it."""
    count = 0
    for state in RUN.glob("run-*.json"):
        pid = json.loads(state.read_text())["pid"]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            count += 1
            _wait_for_end(pid)
        state.unlink(missing_ok=True)
    return count


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + STOP_PATIENCE
    while time.monotonic() < deadline:
        os.kill(pid, 0)
        time.sleep(0.2)
    raise Problem(f"The ./dev run with process id {pid} does not end.", f"kill -9 {pid}")


def stop() -> int:
    """Stop what runs."""
    count = _stop_commands()
    stopped = postgres.stop_if_unused()
    state = "the PostgreSQL started here is stopped" if stopped else "PostgreSQL is still used by another ./dev"
    say(f"{count} Odoo stopped; {state}.")
    return 0 if stopped else 1


def clean() -> int:
    """Remove everything ./dev made."""
    if not HOST.exists():
        say("There is nothing to remove.")
        return 0
    if stop():
        raise Problem("Another ./dev is at work.", "wait for it or stop it, and run the same command again.")
    if postgres.own_server() is not None and pyenv.STAMP.exists():
        with postgres.running() as server:
            for name, facts in server.marks().items():
                if facts.get("root") == str(ROOT):
                    server.drop(name)
    with Step("Removing .host"):
        shutil.rmtree(HOST)
    return 0
