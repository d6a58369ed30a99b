"""`./dev run`: a database with the addons and demo data, and Odoo serving it until Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import addons, locks, logs, odoo, proc
from .databases import PREGENERATE, Databases
from .paths import LOGS, ROOT, RUN, short
from .postgres import identifier, own_server
from .setup import workplace
from .ui import Problem, Step, explain, say

DATABASE = "subscription"
PORT = 8069
# Odoo's provider for trying things out: its payments end as the customer chooses.
PROVIDER = "payment_demo"
START_TIMEOUT = 180
LOGINS = (
    ("admin / admin", "may do everything"),
    ("demo / demo", "an internal user"),
    ("portal / portal", "a customer, sees the portal"),
)
THINGS_TO_TRY = (
    "Open Subscriptions as admin: the contracts of the demo data, with their plans, next invoice dates and MRR.",
    "Subscriptions → Quotations → New: choose a plan and a recurring product, confirm, then press Bill Now.",
    "Open a running subscription and press Preview: the page which its customer sees without an account.",
)


def default_database() -> str:
    """The database that DATABASE_URL or PGDATABASE names, else our own name."""
    named = (own_server() or {}).get("PGDATABASE", "")
    return named if named not in ("", "postgres", "template1") else DATABASE


def run(port: int, database: str) -> int:
    """Serve a database until the user stops it."""
    began = time.monotonic()
    identifier(database)
    _check_port(port)
    with workplace(with_pdf=True) as databases:
        server_lock = locks.try_lock(f"serving-{database}")
        if server_lock is None:
            raise Problem(
                f"The database “{database}” is served already by another ./dev run.",
                "use that one, stop it (./dev stop), or name another: ./dev run --database NAME --port 8070",
            )
        try:
            _prepare(databases, database)
            return _serve(databases, database, port, began)
        finally:
            locks.unlock(server_lock)


def _check_port(port: int) -> None:
    if not 0 < port < 2**16:
        raise Problem(f"{port} is no port.", f"take one between 1024 and 65535: ./dev run --port {PORT}")
    try:
        _try_port(port)
    except PermissionError as error:
        advice = f"take one above 1023: ./dev run --port {PORT}"
        raise Problem(f"Port {port} may not be used by a normal user.", advice) from error
    except OSError as error:
        raise _port_taken(port) from error


def _try_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def _port_taken(port: int) -> Problem:
    for other in range(port + 1, min(port + 50, 2**16)):
        try:
            _try_port(other)
        except OSError:
            continue
        return Problem(f"Port {port} is taken by another program.", f"./dev run --port {other}")
    return Problem(f"Port {port} is taken by another program.", f"./dev run --port {proc.free_port()}")


# ----------------------------------------------------------------------
# THE DATABASE
# ----------------------------------------------------------------------


def _prepare(databases: Databases, database: str) -> None:
    """Have the database with what the addons are now."""
    now = addons.content_hashes()
    if not databases.server.exists(database):
        _make(databases, database, now)
        return
    facts = databases.marks().get(database)
    if facts is None:
        raise _foreign(databases, database)
    known = facts.get("addons", {})
    changed = [name for name in now if name in known and known[name] != now[name]]
    new = [name for name in now if name not in known]
    if changed or new:
        options = [*(("-u", ",".join(changed)) if changed else ()), *(("-i", ",".join(new)) if new else ())]
        databases.make(
            database,
            lambda part: odoo.change_modules(
                databases.server, part, *options, title="Updating the addons", log_name="update"
            ),
            template=database,
            **{**facts, "addons": now},
        )


def _make(databases: Databases, database: str, now: dict[str, str]) -> None:
    """Make the database with demo data."""

    def fill(part: str) -> None:
        odoo.change_modules(
            databases.server,
            part,
            "-i",
            ",".join([*now, PROVIDER]),
            "--with-demo",
            title=f"Making the database “{database}” with demo data",
            log_name="install",
        )
        with Step("Compiling scripts and styles"):
            odoo.script(databases.server, part, PREGENERATE)

    databases.make(database, fill, kind="run", addons=now)


def _foreign(databases: Databases, database: str) -> Problem:
    """Say what is known of a database that isn't ours."""
    server = databases.server
    tables = server.query("SELECT 1 FROM information_schema.tables WHERE table_name = 'ir_module_module'", database)
    rows = (
        server.query("SELECT name, latest_version FROM ir_module_module WHERE state = 'installed'", database)
        if tables
        else []
    )
    modules = {row[0]: row[1] for row in rows}
    ours = addons.names()[0]
    if not modules:
        what = "holds no Odoo"
    elif not modules.get("base", "").startswith("19.0"):
        what = f"is of Odoo {'.'.join(modules.get('base', '').split('.')[:2])}, not of 19.0"
    elif ours not in modules:
        what = f"is an Odoo 19 database without {ours}"
    else:
        what = "is an Odoo database made by something else, and might be a real one"
    return Problem(
        f"The database “{database}” {what}: ./dev did not make it and leaves it alone.",
        "name another one, which will be made: ./dev run --database NAME",
    )


# ----------------------------------------------------------------------
# THE SERVER
# ----------------------------------------------------------------------


def _serve(databases: Databases, database: str, port: int, began: float) -> int:
    log = LOGS / "run.log"
    log.unlink(missing_ok=True)
    arguments = [
        "-d",
        database,
        "--db-filter",
        f"^{re.escape(database)}$",
        "--http-port",
        str(port),
        "--no-database-list",
        "--logfile",
        str(log),
    ]
    with (LOGS / "run.out").open("w", encoding="utf-8") as output:
        process = proc.start(
            odoo.command(*arguments),
            env=odoo.environment(databases.server),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    state = RUN / f"run-{os.getpid()}.json"
    state.write_text(json.dumps({"pid": os.getpid(), "port": port, "database": database}))
    try:
        with Step("Starting Odoo"):
            _wait_until_up(process, port, log)
        _welcome(port, database, log, time.monotonic() - began)
        return _watch(process, log, port)
    except KeyboardInterrupt:
        say("\nStopping Odoo and PostgreSQL …")
        return 0
    finally:
        proc.stop(process)
        state.unlink(missing_ok=True)


def _wait_until_up(process: subprocess.Popen[str], port: int, log: Path) -> None:
    """Wait for the login page, which needs the database, the assets and the fonts."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise _died(log, port)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/web/login", timeout=60):
                return
        except urllib.error.HTTPError as error:
            raise Problem(f"Odoo answers {error.code} to the login page.", f"read {short(log)}") from error
        except OSError:
            time.sleep(0.2)
    raise Problem(f"Odoo did not answer within {START_TIMEOUT} s.", f"read {short(log)}")


def _died(log: Path, port: int) -> Problem:
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    text += (LOGS / "run.out").read_text(encoding="utf-8", errors="replace")
    if "Address already in use" in text:
        return _port_taken(port)
    return explain(text, "Starting Odoo", f"read {short(log)}")


def _welcome(port: int, database: str, log: Path, seconds: float) -> None:
    say(f"\nOdoo 19 is up after {seconds:.0f} s:  http://localhost:{port}   (database “{database}”, log {short(log)})")
    say("\nLog in as")
    for login, meaning in LOGINS:
        say(f"  {login:<16} {meaning}")
    say("\nThree things to try")
    for number, thing in enumerate(THINGS_TO_TRY, 1):
        say(f"  {number}. {thing}")
    say("\nCtrl-C stops Odoo and PostgreSQL; the data stays for the next ./dev run.")


def _watch(process: subprocess.Popen[str], log: Path, port: int) -> int:
    """Show the errors and warnings of the log until Odoo ends."""
    with log.open(encoding="utf-8", errors="replace") as stream:
        while process.poll() is None:
            for record in logs.parse(stream.readlines()):
                if record.level >= 30:
                    say(f"  {record}")
            time.sleep(0.5)
    raise _died(log, port)
