"""`./dev lint`: ruff, pylint-odoo, and Odoo's own checkers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from . import addons, odoo, proc
from .paths import CONFIG, ROOT, VENV, VENV_PYTHON
from .setup import workplace
from .ui import Step, say


def lint() -> int:
    """Run every linter, and list what each finds."""
    with workplace() as databases:
        env = odoo.environment(databases.server)
        env["PATH"] = os.pathsep.join([str(VENV / "bin"), env["PATH"]])
        folders = [addon.path for addon in addons.all_addons()]
        failed = [
            _check("ruff", [VENV / "bin/ruff", "check", "--quiet", "--output-format=concise", ROOT], env),
            _check("pylint-odoo", [VENV_PYTHON, "-m", "pylint", f"--rcfile={ROOT / '.pylintrc'}", *folders], env),
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
