"""The addons of this repository: every folder in its root with a manifest."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from .paths import ROOT
from .ui import Problem

# Tests run against a database without being part of it, and documentation never is.
IGNORED_PARTS = frozenset({"tests", "readme", "__pycache__"})
IGNORED_SUFFIXES = frozenset({".md", ".rst", ".pyc"})


@dataclass(frozen=True)
class Addon:
    """One addon of ours."""

    name: str
    path: Path
    manifest: dict[str, Any]

    @property
    def depends(self) -> list[str]:
        """The modules the manifest names."""
        return list(self.manifest.get("depends", ["base"]))


def _read(manifest: Path) -> dict[str, Any]:
    try:
        content = ast.literal_eval(manifest.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise Problem(f"{manifest.relative_to(ROOT)} can't be read: {error}.", "mend the manifest.") from error
    if not isinstance(content, dict):
        raise Problem(f"{manifest.relative_to(ROOT)} holds no dictionary.", "mend the manifest.")
    return content


_only: set[str] = set()


def select(wanted: list[str]) -> None:
    """Leave out every addon but some, with those of ours they depend on.

    :param wanted: names of addons; none for all
    """
    _only.clear()
    all_addons.cache_clear()
    known = {addon.name: addon for addon in all_addons()}
    if unknown := sorted(set(wanted) - known.keys()):
        raise Problem(f"There is no addon {', '.join(unknown)}.", f"name one of these: {', '.join(known)}.")
    rest = list(wanted)
    while rest:
        name = rest.pop()
        _only.add(name)
        rest += [depends for depends in known[name].depends if depends in known and depends not in _only]
    all_addons.cache_clear()


def is_partial() -> bool:
    """Whether addons are left out."""
    return bool(_only)


@cache
def all_addons() -> tuple[Addon, ...]:
    """Every installable addon of this repository which isn't left out, by name."""
    found = (Addon(path.parent.name, path.parent, _read(path)) for path in sorted(ROOT.glob("*/__manifest__.py")))
    addons = tuple(
        addon
        for addon in found
        if addon.manifest.get("installable", True) and (not _only or addon.name in _only)
    )
    if not addons:
        raise Problem("There is no addon in this repository: no folder with a __manifest__.py.", "add one.")
    return addons


def names() -> list[str]:
    """The names of our addons."""
    return [addon.name for addon in all_addons()]


def external_dependencies() -> list[str]:
    """The host's modules our addons ask for."""
    ours = set(names())
    return sorted({module for addon in all_addons() for module in addon.depends} - ours)


def test_paths() -> list[Path]:
    """Where the tests are."""
    folders = [addon.path / "tests" for addon in all_addons()]
    return [folder for folder in [*folders, ROOT / "tests"] if folder.is_dir()]


def content_hash(addon: Addon) -> str:
    """A hash of what gets into a database when the addon is installed."""
    digest = hashlib.sha256()
    for path in sorted(addon.path.rglob("*")):
        relative = path.relative_to(addon.path)
        if not path.is_file() or IGNORED_PARTS.intersection(relative.parts) or path.suffix in IGNORED_SUFFIXES:
            continue
        digest.update(str(relative).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def content_hashes() -> dict[str, str]:
    """The hash of each of our addons."""
    return {addon.name: content_hash(addon) for addon in all_addons()}


def short_hash(*parts: str) -> str:
    """A key short enough for the name of a database."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
