"""Debian packages without installing them: a private apt state, downloads, and unpacking into our own folder.

The machine's own settings say which mirror to use, and its dpkg status which libraries are there already.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from . import proc
from .paths import APT, HOST
from .ui import Problem, Step, explain

NO_DEBIAN = "name an Odoo 19 you already have: ODOO_HOME=/path/to/odoo ./dev run"
KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
OLDER_SUITE = "bookworm"  # has Font Awesome 4.7 and wkhtmltopdf, which later releases lack
EXTRA_SUITES = {"sid": 50, OLDER_SUITE: 60}
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Source:
    """One suite of a mirror."""

    uri: str
    suite: str


def _codename() -> str:
    release = Path("/etc/os-release")
    found = re.search(r"^VERSION_CODENAME=(\S+)", release.read_text() if release.exists() else "", re.MULTILINE)
    return found.group(1).strip('"') if found else "sid"


def _machine_sources() -> list[Source]:
    """The Debian mirrors this machine is set up with."""
    if not shutil.which("apt-get"):
        raise Problem("Odoo 19 is fetched as a Debian package, and this machine has no apt-get.", NO_DEBIAN)
    listed = proc.run(
        [
            "apt-get",
            "indextargets",
            "--no-release-info",
            "--format",
            "$(CREATED_BY) $(RELEASE) $(REPO_URI)",
            "Created-By: Packages",
        ]
    ).output
    found = {
        Source(uri, suite) for _by, suite, uri in (line.split() for line in listed.splitlines() if line.count(" ") == 2)
    }
    return sorted(
        (source for source in found if re.search(r"/debian(-security)?/?$", source.uri)),
        key=lambda source: (source.suite, source.uri),
    )


def _write_settings() -> None:
    """Write the private apt settings: the machine's own suites, and the two that hold the host."""
    own = [source for source in _machine_sources() if source.suite.startswith(_codename())]
    mirror = next((source.uri for source in own if source.uri.rstrip("/").endswith("/debian")), None)
    if mirror is None:
        raise Problem(
            "Odoo 19 is fetched from Debian's archive, and this machine's apt settings name no mirror of it.", NO_DEBIAN
        )
    for folder in ("state/lists/partial", "cache/archives/partial", "etc"):
        (APT / folder).mkdir(parents=True, exist_ok=True)
    keyring = next((path for name in KEYRINGS if (path := Path("/usr/share/keyrings", name)).exists()), None)
    option = f"[signed-by={keyring}] " if keyring else ""
    extra = [Source(mirror, suite) for suite in EXTRA_SUITES if suite != _codename()]
    lines = [f"deb {option}{source.uri} {source.suite} main" for source in [*own, *extra]]
    (APT / "etc/sources.list").write_text("\n".join(lines) + "\n")
    pins = [
        f"Package: *\nPin: release n={source.suite}\nPin-Priority: {EXTRA_SUITES[source.suite]}\n" for source in extra
    ]
    (APT / "etc/preferences").write_text("\n".join(pins))
    (APT / "apt.conf").write_text(f"""\
Dir::State "{APT}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{APT}/cache";
Dir::Etc::sourcelist "{APT}/etc/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "{APT}/etc/preferences";
Dir::Etc::preferencesparts "-";
Acquire::Languages "none";
APT::Update::Error-Mode "any";
APT::Sandbox::User "{"root" if os.geteuid() == 0 else ""}";
Debug::NoLocking "true";
""")


def _apt(*arguments: str, cwd: Path | None = None) -> proc.Result:
    return proc.run(
        ["apt-get", *arguments], env={**os.environ, "APT_CONFIG": str(APT / "apt.conf"), "LC_ALL": "C"}, cwd=cwd
    )


@cache
def update() -> None:
    """Fetch the lists of packages into the private state, once a command."""
    with Step("Reading Debian's package lists"):
        _write_settings()
        result = _apt("update", "-q")
        if result.code:
            raise explain(result.output, "Reading Debian's package lists", "run the same command again.")


@contextmanager
def _watched(step: Step, folder: Path, total: int) -> Iterable[None]:
    """Show how much of a download has arrived."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            arrived = 0
            for path in folder.glob("**/*"):
                try:
                    arrived += path.stat().st_size
                except FileNotFoundError:
                    continue
            step.update(f"{arrived // MEGABYTE} of {total // MEGABYTE} MB")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        step.update(f"{total // MEGABYTE} MB")


def download(packages: Sequence[str], folder: Path, what: str, next_step: str) -> list[Path]:
    """Download packages into a folder.

    :param packages: names, each with ``/suite`` or ``=version`` where it matters
    :param next_step: what the user can do where a package isn't to be had
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Step(f"Downloading {what}") as step:
        listed = _apt("download", "--print-uris", *packages, cwd=folder)
        if listed.code:
            raise explain(listed.output, f"Finding {what}", next_step)
        total = sum(int(size) for size in re.findall(r"^'\S+' \S+ (\d+) ", listed.output, re.MULTILINE))
        need_space(total * 8, what)
        with _watched(step, folder, total):
            result = _apt("download", "-q", *packages, cwd=folder)
        if result.code:
            raise explain(result.output, f"Downloading {what}", "run the same command again.")
    return sorted(folder.glob("*.deb"))


def need_space(size: int, what: str) -> None:
    """Refuse to begin what the disk can't hold."""
    free = shutil.disk_usage(HOST).free
    if free < size:
        raise Problem(
            f"The disk is too full for {what}: {size / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free.",
            "free some space and run the same command again.",
        )


def unpack(archives: Sequence[Path], target: Path, what: str) -> None:
    """Unpack packages into a folder, and delete the archives."""
    target.mkdir(parents=True, exist_ok=True)
    with Step(f"Unpacking {what}") as step:
        for number, archive in enumerate(archives, 1):
            step.update(f"{number} of {len(archives)}: {archive.name.split('_')[0]}")
            result = proc.run(["dpkg-deb", "-x", archive, target])
            if result.code:
                raise explain(result.output, f"Unpacking {archive.name}", "run the same command again.")
            archive.unlink()
        step.update(f"{len(archives)} packages")


def _simulated(package: str, *options: str) -> tuple[list[tuple[str, str]], str]:
    """What apt would install for a package: names with versions, and what apt said."""
    result = _apt("install", "-s", "-q", "--no-install-recommends", *options, package)
    found = re.findall(r"^Inst (\S+) (?:\[[^\]]*\] )?\((\S+) ", result.output, re.MULTILINE)
    return ([] if result.code else found), result.output


def missing_for(package: str) -> list[str]:
    """The package and what it needs that this machine doesn't have, each as ``name=version``.

    Where it does not fit the machine's own release, everything is taken from an older one as if the machine were empty,
    but for the packages it has, of which a newer version does as well.
    """
    found, output = _simulated(package)
    if not found:
        empty, only_older = APT / "etc/empty-status", APT / "etc/only-older"
        empty.touch()
        only_older.write_text(f"Package: *\nPin: release n={OLDER_SUITE}\nPin-Priority: 1001\n")
        options = (f"Dir::State::status={empty}", f"Dir::Etc::preferences={only_older}")
        everything, _output = _simulated(package, *(part for option in options for part in ("-o", option)))
        present = set(proc.run(["dpkg-query", "-W", "-f", "${Package}\\n"]).output.split())
        found = [(name, version) for name, version in everything if name not in present]
    if not found:
        raise explain(output, f"Finding what {package} needs", f"install it yourself: sudo apt-get install {package}")
    return [f"{name}={version}" for name, version in found]


def fetch(packages: Sequence[str], target: Path, what: str, next_step: str) -> None:
    """Download and unpack packages so that the folder is there whole, or not at all."""
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        archives = download(packages, part / "debs", what, next_step)
        unpack(archives, part / "root", what)
        shutil.rmtree(target, ignore_errors=True)
        (part / "root").rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def libraries(root: Path) -> list[Path]:
    """The folders below an unpacked root that hold shared libraries."""
    folders = {path.parent for depth in ("", "*/", "*/*/") for path in root.glob(f"usr/lib/{depth}*.so*")}
    folders |= {path.parent for path in root.glob("lib/*/*.so*")}
    return sorted(
        (folder for folder in folders if "python3" not in folder.parts),
        key=lambda folder: (len(folder.parts), folder),
    )
