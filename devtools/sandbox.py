"""For tests that need commits and several processes: a database of their own, and Odoo processes that work on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import psycopg2

from . import odoo, proc
from .databases import PREFIX
from .paths import CONFIG, DATA, ROOT
from .testing import READY

START_PATIENCE = 300
INSTALL = """
env['ir.module.module'].update_list()
modules = env['ir.module.module'].search([('name', 'in', args)])
assert len(modules) == len(args), f'not all of {args} are there'
modules.button_immediate_install()
"""


def _administer(statement: str) -> None:
    """Run a statement that can't be part of a transaction."""
    connection = psycopg2.connect(dbname="postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _answers(url: str) -> bool:
    """Whether a server is up."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


class OdooDatabase:
    """A database with all our addons installed that belongs to one test."""

    def __init__(self, template: str = "") -> None:
        """:param template: a database to copy, in place of one with our addons and nothing else."""
        template = template or os.environ[READY]
        self.name = f"{PREFIX}process_{os.getpid()}_{uuid.uuid4().hex[:6]}"
        self._processes: list[subprocess.Popen[str]] = []
        _administer(f'CREATE DATABASE "{self.name}" TEMPLATE "{template}"')
        files = DATA / "filestore" / template
        if files.is_dir():
            shutil.copytree(files, DATA / "filestore" / self.name, copy_function=os.link)

    def run_script(
        self, script: str | Path, *arguments: str, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a Python process of its own that runs a script inside Odoo and commits at its end.

        :param script: code, or the path of a file; `env` (superuser) and `args` are among its globals
        :param arguments: what the script finds in `args`
        :param env: environment variables to add
        :param options: for `subprocess.Popen`; output goes to pipes unless said otherwise
        """
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return self._start(["devtools.script_runner", CONFIG, self.name, script, *arguments], env=env, **options)

    def serve(self, log: Path) -> tuple[subprocess.Popen[str], str]:
        """Start an Odoo which serves the database, runs no crons, and answers by now.

        :param log: a file which gets what it says
        :return: the process, and where to reach it
        """
        port = proc.free_port()
        with log.open("a") as stream:
            process = self._start(
                ["odoo", "-c", CONFIG, "-d", self.name, f"--http-port={port}", "--max-cron-threads=0",
                 "--log-level=warn", "--workers=0"],
                stdout=stream, stderr=stream, stdin=subprocess.DEVNULL,
            )
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + START_PATIENCE
        while not _answers(f"{address}/web/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Odoo doesn't start: {log.read_text()}")
            time.sleep(0.2)
        return process, address

    def install(self, *modules: str) -> None:
        """Install modules, ours in tests/addons included."""
        process = self.run_script(INSTALL, *modules)
        _output, errors = process.communicate(timeout=START_PATIENCE)
        if process.returncode:
            raise RuntimeError(errors)

    def _start(
        self, arguments: list[str | Path], *, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start a Python module which sees the addons of the tests too."""
        process = proc.start(
            [sys.executable, "-m", *arguments],
            env={**os.environ, **odoo.test_addons(), **(env or {})},
            cwd=ROOT,
            **options,
        )
        self._processes.append(process)
        return process

    def connect(self, **options: Any) -> psycopg2.extensions.connection:
        """A connection of one's own to the database."""
        return psycopg2.connect(dbname=self.name, **options)

    def drop(self) -> None:
        """End the processes and remove the database with its files."""
        for process in self._processes:
            proc.stop(process, patience=5)
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        _administer(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        shutil.rmtree(DATA / "filestore" / self.name, ignore_errors=True)
