"""Odoo 19 itself: the user's own where there is one, else Debian's package unpacked into our folder."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from . import debs, pyenv
from .addons import short_hash
from .paths import HOST, ODOO
from .ui import Problem, say

SERIES = (19, 0)
ODOO_SIZE = 2_500_000_000
# What Debian's odoo-19 links to: without these fonts and scripts every page answers 500.
LINKED = (
    "libjs-jquery",
    "libjs-jquery-form",
    "libjs-underscore",
    "fonts-roboto-unhinted",
    "fonts-montserrat",
    "fonts-inconsolata",
    "fonts-ocr-b",
    "fonts-glyphicons-halflings",
    "gsfonts",
    "fonts-font-awesome/bookworm",  # 4.7: later ones have no matching files and icons vanish
)
# Debian leaves this file of the mail addon out (it blurs the background of video calls), and every page of the back end
# then writes an error into the browser's console, which fails any browser test.
LEFT_OUT = "addons/mail/static/lib/selfie_segmentation/selfie_segmentation.js"
NO_PACKAGE = "get an Odoo 19 source tree and name it: ODOO_HOME=/path/to/odoo ./dev run"


@dataclass(frozen=True)
class Host:
    """An Odoo 19 to run on."""

    package: Path  # the folder `odoo` itself
    addons: tuple[Path, ...]
    origin: str

    @property
    def key(self) -> str:
        """Changes when this is another Odoo than before."""
        release = self.package / "release.py"
        return short_hash(
            str(self.package), str(release.stat().st_mtime_ns), str((self.package / "addons").stat().st_mtime_ns)
        )


def _series(package: Path) -> tuple[int, ...] | None:
    """The version of an `odoo` folder, or nothing where it is none."""
    release = package / "release.py"
    if not release.is_file():
        return None
    found = re.search(r"^version_info = \(\D*(\d+)\D+(\d+)", release.read_text(encoding="utf-8"), re.MULTILINE)
    return tuple(int(part) for part in found.groups()) if found else None


def _as_host(package: Path, origin: str) -> Host:
    siblings = (package.parent / "addons",) if origin == "ODOO_HOME" else ()
    folders = [folder for folder in (*siblings, package / "addons") if folder.is_dir()]
    if not any((folder / "sale_management").is_dir() for folder in folders):
        raise Problem(f"The Odoo in {package.parent} has no addons beside it (sale_management is missing).", NO_PACKAGE)
    return Host(package, tuple(folders), origin)


def _named() -> Host | None:
    """The source tree ODOO_HOME names."""
    home = os.environ.get("ODOO_HOME")
    if not home:
        return None
    package = Path(home).expanduser().resolve() / "odoo"
    series = _series(package)
    if series is None:
        raise Problem(
            f"ODOO_HOME={home} holds no Odoo: there is no odoo/release.py in it.",
            "name the root of an Odoo 19 source tree.",
        )
    if series != SERIES:
        raise Problem(
            f"ODOO_HOME={home} is Odoo {series[0]}.{series[1]}, and these addons are for 19.0.",
            "name an Odoo 19.0 source tree, or leave ODOO_HOME out to have it fetched.",
        )
    return _as_host(package, "ODOO_HOME")


def _importable() -> Host | None:
    """An Odoo 19 that the Python running ./dev can import."""
    try:
        spec = importlib.util.find_spec("odoo")
    except (ImportError, ValueError):
        return None
    for location in (spec.submodule_search_locations or ()) if spec else ():
        package = Path(location).resolve()
        if HOST in package.parents or _series(package) is None:
            continue
        if _series(package) == SERIES:
            return _as_host(package, "this Python")
        say(f"  Note: the Odoo in {package} is not 19.0 and is left alone.")
    return None


def _barcodes() -> list[str]:
    """The package that draws barcodes, for a Python that pip has none for; it lands where Python finds it."""
    if sys.version_info < (3, 13):
        return []
    try:
        packages = debs.missing_for("python3-rl-renderpm")
    except Problem:
        return []
    # Built for another release of Debian than this one it would not load.
    return [] if any(package.startswith("libc6=") for package in packages) else packages


def _fetched() -> Host:
    package = ODOO / "usr/lib/python3/dist-packages/odoo"
    if _series(package) != SERIES:
        debs.need_space(ODOO_SIZE, "Odoo 19 and its databases")
        debs.update()
        debs.fetch(["odoo-19/sid", *LINKED, *_barcodes()], ODOO, "Odoo 19", NO_PACKAGE)
    if _series(package) != SERIES:
        raise Problem("Debian's odoo-19 package is not Odoo 19.0 any more.", NO_PACKAGE)
    stand_in = package / LEFT_OUT
    if not stand_in.exists():
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        stand_in.write_text(
            "// left out of Debian's package: blurring the background of video calls does nothing here\n"
        )
    return _as_host(package, "Debian's odoo-19")


def ensure() -> Host:
    """Find Odoo 19, or fetch it, and put it on the path of the virtual environment."""
    host = _named() or _importable() or _fetched()
    pointer = pyenv.site_packages() / "odoo-host.pth"
    if not pointer.exists() or pointer.read_text().strip() != str(host.package.parent):
        pointer.write_text(f"{host.package.parent}\n")
    return host
