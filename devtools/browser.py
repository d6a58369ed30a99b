"""The browser that tests drive and the program that makes PDFs: those on the PATH, else Debian's, unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import debs
from .paths import BIN, BROWSER, FONTS_CONF, HOST, ODOO, PDF
from .ui import Problem, Step

BROWSERS = ("google-chrome", "chromium", "chromium-browser", "google-chrome-stable")
PDF_PROGRAM = "wkhtmltopdf"
PDF_ENVIRONMENT = """\
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-$root/../run}"
export QT_QPA_PLATFORM="${QT_QPA_PLATFORM:-offscreen}"
export QT_QPA_PLATFORM_PLUGIN_PATH="$(echo "$root"/usr/lib/*/qt5/plugins/platforms)"
"""


def path_with_ours() -> str:
    """A PATH where the user's own programs come first and those we fetched last."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), str(BIN)])


def _on_path(*programs: str) -> bool:
    """Whether the machine has one of these programs itself."""
    return any(shutil.which(program) for program in programs)


def _write_fonts() -> None:
    """Tell programs unpacked into our folder where fonts are."""
    folders = ["/usr/share/fonts", *(str(root / "usr/share/fonts") for root in (ODOO, BROWSER, PDF))]
    FONTS_CONF.write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
        + "".join(f"  <dir>{folder}</dir>\n" for folder in folders)
        + f"  <cachedir>{HOST / 'cache/fontconfig'}</cachedir>\n"
        "  <alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>\n"
        "  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>\n"
        "</fontconfig>\n"
    )


def _write_wrapper(name: str, root: Path, program: str, environment: str = "") -> Path:
    """Write a script that starts an unpacked program with the libraries unpacked beside it."""
    BIN.mkdir(parents=True, exist_ok=True)
    _write_fonts()
    folders = ":".join(f"$root/{folder.relative_to(root)}" for folder in debs.libraries(root))
    wrapper = BIN / name
    wrapper.write_text(
        f'#!/bin/sh\nroot="$(dirname "$(readlink -f "$0")")/../{root.name}"\n'
        f'export LD_LIBRARY_PATH="{folders}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n'
        f'[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_FILE="{FONTS_CONF}"\n'
        f'{environment}exec "$root/{program}" "$@"\n'
    )
    wrapper.chmod(0o755)
    return wrapper


def _works(command: list[str | Path]) -> str:
    """Try a program out.

    :return: nothing where it works, else what it said
    """
    try:
        tried = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (
        ""
        if tried.returncode == 0
        else tried.stdout.decode(errors="replace").strip()[-300:] or f"exit code {tried.returncode}"
    )


def _fetch(package: str, root: Path, program: str, trial: list[str], environment: str = "") -> None:
    """Fetch a program with the libraries this machine lacks, and see that it starts."""
    by_hand = f"install it yourself: sudo apt-get install {package}"
    wrapper = BIN / package
    if not (wrapper.exists() and (root / program).exists()):
        debs.update()
        debs.fetch(debs.missing_for(package), root, package, by_hand)
        wrapper = _write_wrapper(package, root, program, environment)
        with Step(f"Trying {package}"):
            if said := _works([wrapper, *trial]):
                wrapper.unlink()
                raise Problem(f"{package} was unpacked and does not start here: {said}", by_hand)


def ensure_pdf() -> None:
    """Have wkhtmltopdf, which prints Odoo's documents."""
    if not _on_path(PDF_PROGRAM):
        _fetch("wkhtmltopdf", PDF, "usr/bin/wkhtmltopdf", ["--quiet", "-", "/dev/null"], PDF_ENVIRONMENT)


def ensure_browser() -> None:
    """Have a browser, which tests click through pages with."""
    if not _on_path(*BROWSERS):
        trial = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--dump-dom",
            "about:blank",
        ]
        _fetch("chromium", BROWSER, "usr/lib/chromium/chromium", trial)
