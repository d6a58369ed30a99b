"""For tests that need commits and several processes: a database of their own, and Odoo processes that work on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import psycopg2

from . import proc
from .databases import PREFIX
from .paths import CONFIG, DATA, ROOT
from .testing import READY


def _administer(statement: str) -> None:
    """Run a statement that can't be part of a transaction."""
    connection = psycopg2.connect(dbname="postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


class OdooDatabase:
    """A database with all our addons installed that belongs to one test."""

    def __init__(self) -> None:
        template = os.environ[READY]
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
        process = proc.start(
            [sys.executable, "-m", "devtools.script_runner", CONFIG, self.name, script, *arguments],
            env={**os.environ, **(env or {})},
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
