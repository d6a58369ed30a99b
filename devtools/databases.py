"""The databases: templates named after what is in them, and copies that take a second.

`ssx_base_KEY` has the host's modules our addons depend on, `ssx_ready_KEY` our addons as well. A test run works on a
copy of the second. Every database made here carries a mark, and nothing without that mark is ever touched.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import addons, locks, odoo
from .host import Host
from .paths import DATA, ROOT
from .postgres import Server
from .ui import Problem, Step, explain

PREFIX = "ssx_"
LAYOUT = "2"  # changed when databases made by an older ./dev are no good any more
MADE_SIZE = 400_000_000
PREGENERATE = 'env["ir.qweb"]._pregenerate_assets_bundles()'


def _filestore(name: str) -> Path:
    return DATA / "filestore" / name


class Databases:
    """What can be done with databases, on one server and one Odoo."""

    def __init__(self, server: Server, host: Host) -> None:
        self.server = server
        self.host = host

    # ------------------------------------------------------------------
    # TEMPLATES
    # ------------------------------------------------------------------

    def ready(self) -> str:
        """The template with all our addons installed, made where it is missing."""
        dependencies = addons.external_dependencies()
        base_key = addons.short_hash(LAYOUT, str(ROOT), self.host.key, *dependencies)
        ready_key = addons.short_hash(base_key, *addons.content_hashes().values())
        base, ready = f"{PREFIX}base_{base_key}", f"{PREFIX}ready_{ready_key}"
        with locks.held("templates", waiting="Waiting for another ./dev that makes the same database"):
            if not addons.is_partial():  # the next whole run wants its templates again
                self.sweep(keep={base, ready})
            if ready not in self.marks():
                if base not in self.marks():
                    self.make(
                        base,
                        lambda part: self._install(
                            part, dependencies, "Making a database with the host's modules", "base"
                        ),
                        kind="template",
                    )
                self.make(
                    ready,
                    lambda part: self._install(part, addons.names(), "Installing our addons", "ready"),
                    template=base,
                    kind="template",
                )
        return ready

    def _install(self, name: str, modules: Sequence[str], title: str, log_name: str) -> None:
        odoo.change_modules(
            self.server, name, "-i", ",".join(modules), "--skip-auto-install", title=title, log_name=log_name
        )
        with Step("Compiling scripts and styles"):
            result = odoo.script(self.server, name, PREGENERATE)
            if result.code:
                raise explain(result.output, "Compiling scripts and styles", "mend the file named above.")

        # PostgreSQL plans badly for tables it knows nothing of, and copies take this knowledge with them.
        self.server.query("VACUUM ANALYZE", name)

    # ------------------------------------------------------------------
    # ANY DATABASE
    # ------------------------------------------------------------------

    def marks(self) -> dict[str, dict]:
        """The databases this repository's ./dev made."""
        return {name: facts for name, facts in self.server.marks().items() if facts.get("root") == str(ROOT)}

    def mark(self, name: str, **facts: object) -> None:
        """Write down from what a database was made."""
        self.server.mark(name, **{**facts, "root": str(ROOT)})

    def make(self, name: str, fill: Callable[[str], None], *, template: str = "", **facts: object) -> None:
        """Make or remake a database under another name first, so that it is there whole or not at all.

        :param fill: called with the name to work on
        :param template: the database to begin with
        :param facts: what the mark says
        """
        with locks.held(f"make-{name}", waiting=f"Waiting for another ./dev that makes “{name}”"):
            part = f"{PREFIX}part_{name}"[:60]
            self.drop(part)
            try:
                if template:
                    self.copy(template, part, kind="part")
                fill(part)
                self._replace(name, part, facts)
            except BaseException:
                self.drop(part)
                raise

    def _replace(self, name: str, part: str, facts: dict[str, object]) -> None:
        """Let a finished database take another one's place."""
        if self.server.is_used(name):
            raise Problem(
                f"The database “{name}” is used by another program.", "close it and run the same command again."
            )
        self.mark(part, **facts)
        self.drop(name)
        self.server.rename(part, name)
        if _filestore(part).exists():
            _filestore(part).rename(_filestore(name))

    def copy(self, template: str, name: str, **facts: object) -> None:
        """Copy a database with its files."""
        self.server.create(name, template)
        self.mark(name, **facts)
        if _filestore(template).is_dir():
            # Odoo writes a file once, under the hash of its content, and never changes it: links will do.
            shutil.copytree(_filestore(template), _filestore(name), copy_function=os.link, dirs_exist_ok=True)

    def drop(self, name: str) -> None:
        """Remove a database, its files, and the copies which processes that share a test run make of it."""
        for copy in [*self.server.copies_for_workers(name), name]:
            self.server.drop(copy)
        shutil.rmtree(_filestore(name), ignore_errors=True)

    @contextmanager
    def temporary(self, template: str, purpose: str) -> Iterator[str]:
        """A copy for as long as it is needed."""
        name = f"{PREFIX}{purpose}_{os.getpid()}_{uuid.uuid4().hex[:6]}"
        # The lock keeps another command from dropping the template while copies are still made from it.
        with locks.held(template, shared=True):
            self.copy(template, name, kind="temporary", pid=os.getpid())
            try:
                yield name
            finally:
                self.drop(name)

    def sweep(self, keep: set[str]) -> None:
        """Drop templates of older contents, and what commands that were killed have left."""
        for name, facts in self.marks().items():
            if facts["kind"] == "temporary" and not _is_alive(facts["pid"]):
                self.drop(name)
            elif facts["kind"] == "template" and name not in keep:
                handle = locks.try_lock(name)
                if handle is not None:
                    self.drop(name)
                    locks.unlock(handle)
                    locks.lock_file(name).unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
