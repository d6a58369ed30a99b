"""Which lines of Odoo's log make a run fail: every error, and every warning that is about one of our addons."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from .paths import ROOT

_line = re.compile(
    r"^\d{4}-\d\d-\d\d [\d:,]+ \d+ (?P<level>[A-Z]+) (?P<database>\S+) (?P<logger>\S+): (?P<message>.*)$"
)


@dataclass(frozen=True)
class Noise:
    """A message of the host that is known and not about our code."""

    logger: str
    message: str
    reason: str

    def matches(self, logger: str, message: str) -> bool:
        """Whether a record is this noise."""
        return bool(re.search(self.logger, logger) and re.search(self.message, message))


KNOWN_NOISE = (
    Noise(
        r"\.browser$",
        r"^Missing widget: res_partner_many2one ",
        "the host's order form asks for it, and it is in partner_autocomplete, which needn't be installed",
    ),
    Noise(r"^odoo\.addons\.", r"selfie_segmentation", "Debian's odoo-19 leaves this file of the mail addon out"),
)


@dataclass
class Record:
    """One message of a log, with what stood on the lines below it."""

    level: int
    logger: str
    message: str
    place: str = ""

    def is_bad(self, ours: Iterable[str]) -> bool:
        """Whether this message makes a run fail.

        :param ours: the names of our addons
        """
        if self.level < logging.WARNING or any(noise.matches(self.logger, self.message) for noise in KNOWN_NOISE):
            return False
        if self.level >= logging.ERROR:
            return True
        # The repository's own folder may bear an addon's name and is in the path of everything.
        texts = [
            text.replace(f"{ROOT}/", "./").replace("./.host/", "") for text in (self.logger, self.message, self.place)
        ]
        return any(name in text for name in ours for text in texts)

    def __str__(self) -> str:
        return f"{logging.getLevelName(self.level)} {self.logger}: {self.message}"


def parse(lines: Iterable[str]) -> list[Record]:
    """The messages of a log as Odoo writes it."""
    records: list[Record] = []
    for line in lines:
        if found := _line.match(line):
            level = logging.getLevelName(found["level"])
            records.append(
                Record(
                    level if isinstance(level, int) else logging.INFO,
                    found["logger"],
                    re.sub(r"( - - -)?\s*$", "", found["message"]),
                )
            )
        elif records:
            records[-1].message += "\n" + line.rstrip("\n")
    return records
