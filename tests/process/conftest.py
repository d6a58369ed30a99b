"""Fixtures for tests that need commits and several processes."""

from collections.abc import Iterator

import pytest
from charge_scene import ChargeScene
from mail_scene import MailScene
from stripe_scene import ADDON, StripeScene

from devtools.sandbox import OdooDatabase


@pytest.fixture
def odoo_database() -> Iterator[OdooDatabase]:
    """A database of the test's own, with all our addons, dropped at its end."""
    database = OdooDatabase()
    yield database
    database.drop()


@pytest.fixture(scope="session")
def stripe_template() -> Iterator[str]:
    """A database with Odoo's Stripe client, redirected, to copy."""
    database = OdooDatabase()
    try:
        database.install(ADDON)
        yield database.name
    finally:
        database.drop()


@pytest.fixture(scope="module")
def stripe(stripe_template: str) -> Iterator[StripeScene]:
    """Odoo and a provider, shared by the tests of a file: each has customers of its own."""
    database = OdooDatabase(stripe_template)
    try:
        scene = StripeScene(database)
        yield scene
        scene.close()
    finally:
        database.drop()


@pytest.fixture(scope="module")
def charge_scene(stripe_template: str) -> Iterator[ChargeScene]:
    """Contracts which are charged, shared by the tests of a file."""
    database = OdooDatabase(stripe_template)
    try:
        scene = ChargeScene(database)
        yield scene
        scene.close()
    finally:
        database.drop()


@pytest.fixture(scope="module")
def mails(charge_scene: ChargeScene) -> Iterator[MailScene]:
    """Contracts whose customers are written to, shared by the tests of a file: each has an address of its own."""
    scene = MailScene(charge_scene)
    yield scene
    scene.close()
