"""Odoo's own checkers (its addon `test_lint`), over our addons only: `python -m devtools.lint_host CONFIG DATABASE`.

Left out: `test_checkers` (tests of the checkers themselves), `test_l10n` (for localisations only). `test_eslint` runs
where `eslint` is on the PATH, as in Odoo itself.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import unittest
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace, TracebackType
from typing import Any
from unittest import mock

import odoo.modules
import odoo.tests
import odoo.tests.case
import odoo.tools
from odoo.modules.registry import Registry

import odoo.addons

from . import addons

CHECKS = (
    ("test_dunderinit", "TestDunderinit", "test_dunderinit"),
    ("test_docstring", "TestDocstring", "test_docstring"),
    ("test_eslint", "TestESLint", "test_eslint"),
    ("test_i18n", "TestI18n", "test_user_content_as_prop_is_translatable"),
    ("test_index", "TestIndex", "test_enforce_index_on_one2many_inverse"),
    ("test_jstranslate", "TestJsTranslations", "test_js_translations"),
    ("test_manifests", "ManifestLinter", "test_manifests"),
    ("test_markers", "TestConflictMarkers", "test_conflict_markers"),
    ("test_naming", "TestNaming", "test_parameter_rpc_compatible"),
    ("test_onchange_domains", "TestOnchangeDomains", "test_forbid_domains_in_onchanges"),
    ("test_orm_import", "TestDunderinit", "test_addons_orm_import"),
    ("test_override_signatures", "TestLintOverrideSignatures", "test_lint_override_signature"),
    ("test_pofile", "PotLinter", "test_pot_duplicate_entries"),
    ("test_pylint", "TestPyLint", "test_pylint"),
    ("test_routes", "RoutesLinter", "test_routes_definition"),
    ("test_test_holes", "TestTestHoles", "test_check_tests"),
)
MAY_BE_SKIPPED = frozenset({"test_eslint"})
PACKAGE = "odoo.addons.test_lint.tests"
OURS = addons.names()

Failure = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


def _is_ours(model: type, method: str | None = None) -> bool:
    """Whether a class of ours is part of a model, and has that method itself."""
    return any(
        base.__module__.startswith(tuple(f"odoo.addons.{name}." for name in OURS))
        and (method is None or method in vars(base))
        for base in model.__mro__
    )


class Findings(unittest.TestResult):
    """Keeps what is about our addons."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.registry = registry
        self.check = ""
        self.found: list[str] = []
        self.ran: list[str] = []

    def add(self, text: str) -> None:
        """Keep one finding."""
        self.found.append(f"{self.check}: {text.strip()}")

    def addError(self, test: unittest.TestCase, err: Failure) -> None:
        """An unexpected end of a checker."""
        self.add(self._text(err))

    def addFailure(self, test: unittest.TestCase, err: Failure) -> None:
        """What a checker complains about."""
        text = self._text(err)
        if self.check == "test_index":
            lines = [line for line in text.splitlines() if " (inverse of " in line and self._has_our_field(line)]
            if not lines:
                return
            text = "a One2many's inverse needs an index: " + "; ".join(lines)
        self.add(text)

    def addSubTest(self, test: unittest.TestCase, subtest: Any, err: Failure | None) -> None:
        """One of the many cases of a checker; cases of the host's own methods are not ours to mend."""
        if err is None:
            return
        params = dict(subtest.params)
        if params.get("module") in OURS or (
            "module" not in params and _is_ours(self.registry[params["model"]], params["method"])
        ):
            self.add(self._text(err))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        """A checker that did not run."""
        if self.check in MAY_BE_SKIPPED:
            self.ran.remove(self.check)
        else:
            self.add(f"did not run: {reason}")

    def _has_our_field(self, line: str) -> bool:
        """Whether a field that the index checker names is one of our addons'."""
        for name in line.strip().rstrip(")").replace(" (inverse of ", " ").split():
            model, _dot, field = name.rpartition(".")
            if set(self.registry[model]._fields[field]._modules) & set(OURS):
                return True
        return False

    @staticmethod
    def _text(err: Failure) -> str:
        return str(err[1]) or repr(err[1])


class Listener(logging.Handler):
    """Some checkers complain in the log only."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(logging.WARNING)
        self.findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what names one of our addons."""
        message = record.getMessage()
        if any(name in message for name in OURS):
            self.findings.add(message)


class Settings:
    """The settings the pylint checker reads: its root is our first addon instead of the whole of Odoo."""

    root_path = str(addons.all_addons()[0].path)

    def __getitem__(self, key: str) -> Any:
        return odoo.tools.config[key]


def _only_our_models(registry: Registry) -> dict[str, type]:
    return {name: model for name, model in registry.items() if _is_ours(model)}


@contextlib.contextmanager
def _restricted(module: ModuleType, registry: Registry) -> Iterator[None]:
    """Let a checker see our addons and nothing else."""
    manifests = [odoo.modules.Manifest.for_addon(name) for name in OURS]
    with contextlib.ExitStack() as patches:

        def replace(target: Any, name: str, value: Any) -> None:
            if hasattr(target, name):
                patches.enter_context(mock.patch.object(target, name, value))

        replace(odoo.modules.Manifest, "all_addon_manifests", staticmethod(lambda: manifests))
        replace(module, "get_modules", lambda: OURS)
        name = module.__name__.rpartition(".")[2]
        if name == "test_markers":
            replace(odoo.addons, "__path__", [str(addon.path) for addon in addons.all_addons()])
            replace(odoo, "__path__", [])
        elif name == "test_eslint":
            # Point of sale's addons have rules of their own, and eslint wants at least one file.
            check = module.TestESLint._test_eslint
            replace(
                module.TestESLint,
                "_test_eslint",
                lambda self, names, rules: check(self, names, rules) if names else None,
            )
        elif name == "test_pylint":
            replace(
                module,
                "tools",
                SimpleNamespace(
                    config=Settings(), parse_version=odoo.tools.parse_version, constants=odoo.tools.constants
                ),
            )
        elif name in ("test_docstring", "test_naming", "test_override_signatures"):
            replace(module, "Registry", lambda database: _only_our_models(registry))
        yield


def _use_plain_unittest() -> None:
    """Odoo's own runner wants its own kind of result; the standard one is enough here."""
    odoo.tests.case.TestCase.subTest = unittest.TestCase.subTest
    odoo.tests.case.TestCase.run = unittest.TestCase.run
    if "run" in vars(odoo.tests.BaseCase):
        del odoo.tests.BaseCase.run


def main(config: str, database: str) -> int:
    """Run the checkers and print what they find."""
    odoo.tools.config.parse_config(["-c", config, "-d", database, "--no-http", "--log-level=warn"], setup_logging=True)
    registry = Registry(database)
    _use_plain_unittest()
    findings = Findings(registry)
    logger = logging.getLogger("odoo.addons.test_lint")
    logger.addHandler(Listener(findings))
    logger.propagate = False
    for name, case, method in CHECKS:
        module = importlib.import_module(f"{PACKAGE}.{name}")
        test = getattr(module, case)(method)
        findings.check = name
        findings.ran.append(name)
        with _restricted(module, registry):
            odoo.modules.module.current_test = test
            unittest.TestSuite([test]).run(findings)
            odoo.modules.module.current_test = None
    for found in findings.found:
        print(found)
    print(f"{len(findings.ran)} of Odoo's checkers ran, {len(findings.found)} findings")
    return 1 if findings.found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
