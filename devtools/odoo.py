"""Starting Odoo: its settings, its environment, and installing modules with progress."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

from . import addons, browser, debs, logs, proc
from .host import Host
from .paths import CONFIG, DATA, LOGS, ODOO, ROOT, SCREENSHOTS, TEST_ADDONS, VENV_PYTHON, short
from .postgres import Server, without_settings
from .ui import Problem, Step, explain

FROM_OUTSIDE = ("ODOO_RC", "OPENERP_SERVER", "PYTHONHOME", "PYTHONSTARTUP")


def write_config(host: Host) -> None:
    """Write Odoo's settings; who the database belongs to is in the environment."""
    DATA.mkdir(parents=True, exist_ok=True)
    folders = [*host.addons, ROOT]
    CONFIG.write_text(
        "\n".join(
            [
                "[options]",
                "; written by ./dev at every start",
                f"addons_path = {','.join(map(str, folders))}",
                f"data_dir = {DATA}",
                f"screenshots = {SCREENSHOTS}",
                "http_interface = 127.0.0.1",
                "workers = 0",
                "max_cron_threads = 1",
                "",
            ]
        )
    )


def environment(server: Server) -> dict[str, str]:
    """The environment Odoo and the tests are started with."""
    env = {key: value for key, value in without_settings().items() if key not in FROM_OUTSIDE}
    env.update({key: value for key, value in server.env.items() if key != "PGDATABASE"})
    libraries = [str(folder) for folder in debs.libraries(ODOO)]
    if libraries:
        env["LD_LIBRARY_PATH"] = ":".join([*libraries, *filter(None, [env.get("LD_LIBRARY_PATH")])])
    env["PATH"] = browser.path_with_ours()
    env["PYTHONPATH"] = str(ROOT)
    env["PYTHONUNBUFFERED"] = "1"
    return env


def test_addons() -> dict[str, str]:
    """What to add to the environment of an Odoo which needs the addons of the tests; no other ever sees them."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(CONFIG, encoding="utf-8")
    return {"ODOO_ADDONS_PATH": f"{settings['options']['addons_path']},{TEST_ADDONS}"}


def command(*arguments: str) -> list[str | Path]:
    """The command line of an Odoo of ours; the first arguments may name one of its subcommands."""
    return [VENV_PYTHON, "-m", "odoo", *arguments, "-c", CONFIG]


def script(
    server: Server,
    database: str,
    code: str,
    *arguments: str,
    log: Path | None = None,
    more: Mapping[str, str] | None = None,
) -> proc.Result:
    """Run code of ours inside Odoo, with `env` at hand, and commit what it did.

    :param code: Python code, or the path of a file that holds it
    :param more: environment variables to add
    """
    return proc.run(
        [VENV_PYTHON, "-m", "devtools.script_runner", CONFIG, database, code, *arguments],
        env={**environment(server), **(more or {})},
        cwd=ROOT,
        log=log,
    )


def change_modules(server: Server, database: str, *options: str, title: str, log_name: str) -> None:
    """Install or update modules, and fail when the log shows an error, or a warning of ours.

    :param options: Odoo's own, such as ``-i sale``
    :param log_name: the name of the file in the log folder
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{log_name}.log"
    log.unlink(missing_ok=True)
    with Step(title) as step:

        def progress(line: str) -> None:
            if found := re.search(r"Loading module (\S+) \((\d+)/(\d+)\)", line):
                step.update(f"module {found[2]} of {found[3]}: {found[1]}")

        result = proc.run(
            command("-d", database, *options, "--stop-after-init", "--no-http", "--max-cron-threads=0"),
            env=environment(server),
            cwd=ROOT,
            log=log,
            on_line=progress,
        )
        _judge(result, log, title)
        step.update(re.sub(r"^module \d+ of (\d+): .*", r"\1 modules", step.detail))


def _judge(result: proc.Result, log: Path, title: str) -> None:
    """Raise where Odoo failed or complained."""
    records = logs.parse(log.read_text(encoding="utf-8", errors="replace").splitlines())
    bad = [record for record in records if record.is_bad(addons.names())]
    if "No space left on device" in result.output:
        raise explain(result.output, title, "")
    if bad:
        shown = "\n".join(f"    {_in_short(record)}" for record in bad[:8])
        raise Problem(f"{title}: Odoo logged {len(bad)} error(s) or warning(s) of ours:\n{shown}", f"read {short(log)}")
    if result.code:
        raise explain(result.output, title, f"read {short(log)}")


def _in_short(record: logs.Record) -> str:
    """A message with the lines of its traceback that name the first error and what became of it."""
    first, *rest = [line for line in str(record).splitlines() if line.strip()]
    named = [
        line for line in rest if re.match(r"(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Violation)\b", line)
    ]
    return " … ".join([first, *dict.fromkeys([named[0], named[-1]] if named else rest[-1:])])
