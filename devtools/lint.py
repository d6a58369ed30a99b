"""`./dev lint`: ruff, pylint-odoo, and Odoo's own checkers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from . import addons, odoo, proc
from .paths import CONFIG, NPM, ROOT, TEST_ADDONS, VENV, VENV_PYTHON
from .setup import workplace
from .ui import Step, explain, say

ESLINT = "eslint@8.57.1"  # the last that reads the settings Odoo has


def lint() -> int:
    """Run every linter, and list what each finds."""
    with workplace() as databases:
        env = odoo.environment(databases.server)
        folders = [VENV / "bin", *filter(None, [_eslint_folder()])]
        env["PATH"] = os.pathsep.join([*map(str, folders), env["PATH"]])
        paths = [*(addon.path for addon in addons.all_addons()), *TEST_ADDONS.glob("*/")]
        failed = [
            _check("ruff", [VENV / "bin/ruff", "check", "--quiet", "--output-format=concise", ROOT], env),
            _check("pylint-odoo", [VENV_PYTHON, "-m", "pylint", f"--rcfile={ROOT / '.pylintrc'}", *paths], env),
        ]
        with databases.temporary(databases.ready(), "lint") as name:
            failed.append(_check("Odoo's checkers", [VENV_PYTHON, "-m", "devtools.lint_host", CONFIG, name], env))
    say(
        "./dev lint: all is well."
        if not any(failed)
        else f"./dev lint: {sum(failed)} of {len(failed)} linters found something."
    )
    return int(any(failed))


def _check(title: str, command: list[str | Path], env: Mapping[str, str]) -> bool:
    """Run one linter.

    :return: whether it found something
    """
    with Step(title) as step:
        result = proc.run(command, env=env, cwd=ROOT)
        step.update("clean" if result.code == 0 else "findings below")
    if result.code:
        say(result.output.rstrip())
    return result.code != 0


def _eslint_folder() -> Path | None:
    """Where the `eslint` that Odoo's checker calls is, fetched with npm where the machine has that."""
    if shutil.which("eslint"):
        return None
    binaries = NPM / "node_modules/.bin"
    if not (binaries / "eslint").exists():
        if not shutil.which("npm"):
            say("  Note: JavaScript is not checked, for lack of eslint and of npm to get it with.")
            return None
        with Step("Fetching eslint"):
            NPM.mkdir(parents=True, exist_ok=True)
            result = proc.run(["npm", "install", "--prefix", NPM, "--no-audit", "--no-fund", ESLINT], cwd=NPM)
            if result.code:
                raise explain(result.output, "Fetching eslint", "run the same command again.")
    return binaries
