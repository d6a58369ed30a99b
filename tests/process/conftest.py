"""Fixtures for tests that need commits and several processes."""

from collections.abc import Iterator

import pytest

from devtools.sandbox import OdooDatabase


@pytest.fixture
def odoo_database() -> Iterator[OdooDatabase]:
    """A database of the test's own, with all our addons, dropped at its end."""
    database = OdooDatabase()
    yield database
    database.drop()
