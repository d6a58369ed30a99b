"""Worked cases as tables.

``occurrences``, ``ratios`` and ``metrics`` are copies of the project's shared ones, ``more_*`` and the rest are ours.
Ids D… and K… number the cases of the survey of other billing tools; ``-rule`` marks one whose source counts otherwise
than we do. The others are made up.
"""

import csv
from pathlib import Path


def read_cases(*names):
    """Yield the rows of these tables as dictionaries of strings."""
    for name in names:
        with (Path(__file__).parent / f'{name}.csv').open(newline='', encoding='utf-8') as table:
            yield from csv.DictReader(table)
