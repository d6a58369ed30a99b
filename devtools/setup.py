"""Everything a command needs before it can begin, made where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from . import browser, debs, host, locks, odoo, postgres, pyenv
from .databases import Databases
from .paths import HOST

ALL_SIZE = 4_000_000_000


@contextmanager
def workplace(*, with_browser: bool = False, with_pdf: bool = False) -> Iterator[Databases]:
    """Odoo, its Python packages and a running PostgreSQL server.

    :param with_browser: have the browser that tests click through pages with
    :param with_pdf: have the program that prints documents
    """
    HOST.mkdir(exist_ok=True)
    with locks.held("setup", waiting="Waiting for another ./dev that sets things up"):
        if not pyenv.STAMP.exists():
            debs.need_space(ALL_SIZE, "Odoo 19, what it needs and its databases")
        pyenv.ensure()
        found = host.ensure()
        if with_pdf:
            browser.ensure_pdf()
        if with_browser:
            browser.ensure_browser()
        odoo.write_config(found)
    with postgres.running() as server:
        yield Databases(server, found)
