"""`./dev bench`: how fast the addon works, in ratios to a named reference measured in the same run."""

from __future__ import annotations

import json
import os
import platform
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import addons, bench_charging, odoo
from .databases import Databases
from .paths import LOGS, short
from .setup import workplace
from .ui import Problem, Step, explain, say

# The addon alone, on a database without the bridges.
ADDON = "sale_subscription_ext"
CALL = "from benchmarks.{module} import main\nmain(env, *args)\n"

PORTIONS, SIZE = 6, 100
WORKERS = 2
WORKERS_CONTRACTS = 1000
SCALE = (1000, 5000, 20000)


def bench(name: str, *, scale: bool = False) -> int:
    """Run a benchmark, print its figures and keep them in the log folder.

    :param name: what is measured: `billing` or `charging`
    :param scale: bill 1,000, 5,000 and 20,000 contracts instead, which takes most of an hour; for `billing`
    """
    addons.select([ADDON])
    with workplace() as databases:
        result = {"machine": _machine(databases), **BENCHMARKS[name](databases, scale)}
    target = LOGS / f"bench_{name}{'_scale' if scale else ''}.json"
    target.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    say(f"All figures: {short(target)}")
    return 0


def _machine(databases: Databases) -> dict[str, Any]:
    """What the figures depend on."""
    ((version,),) = databases.server.query("SHOW server_version")
    return {"cores": os.cpu_count(), "python": platform.python_version(), "postgresql": version}


def _call(databases: Databases, database: str, module: str, *arguments: object) -> dict[str, Any]:
    """Run one task of a benchmark in a process of its own and return what it measured."""
    result = odoo.script(
        databases.server, database, CALL.format(module=module), *map(str, arguments), more=odoo.test_addons()
    )
    if result.code:
        raise explain(result.output, f"The benchmark {module} {' '.join(map(str, arguments))}", "read the error above.")
    lines = [line for line in result.output.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


def _billing(databases: Databases, scale: bool) -> dict[str, Any]:
    """Measure the billing engine: against Odoo's own ways and with two workers, or by the number of contracts."""
    ready = databases.ready()
    if scale:
        return {f"{count} contracts": _measure_scale(databases, ready, count) for count in SCALE}
    result: dict[str, Any] = {}
    for task, title in (("compare", "with chatter"), ("compare-silent", "without chatter")):
        with Step(f"Billing against Odoo's own ways, {title}"), databases.temporary(ready, "bench") as name:
            result[task] = _call(databases, name, "billing", task, PORTIONS, SIZE)
        _say_comparison(result[task])
    with databases.temporary(ready, "bench") as name:
        result["workers"] = _measure_workers(databases, name)
    return result


def _measure_scale(databases: Databases, ready: str, count: int) -> dict[str, Any]:
    """Bill a number of contracts in one run and note time and memory at each 1,000."""
    with databases.temporary(ready, "bench") as name:
        with Step(f"Creating {count} contracts"):
            _call(databases, name, "billing", "create", count)
        with Step(f"Billing {count} contracts"):
            found = _call(databases, name, "billing", "bill")
    first, last = found["marks"][0], found["marks"][-1]
    say(
        f"  {count} contracts: {1000 * found['seconds'] / count:.1f} s per 1,000,"
        f" {first['MB']:.0f} MB after 1,000, {last['MB']:.0f} MB at the end"
    )
    return found


def _say_comparison(found: dict[str, Any]) -> None:
    for side, rate in found["rates"].items():
        ratio = found["ratios"].get(side)
        against = f", engine {ratio:.2f} times as fast" if ratio else ""
        say(f"  {side}: {rate:.1f} invoices a second, {found['queries'][side]:.1f} queries an invoice{against}")


def _measure_workers(databases: Databases, name: str) -> dict[str, Any]:
    """Bill the same number of contracts with one worker, with two, and with one again."""
    seconds: dict[int, list[float]] = {1: [], WORKERS: []}
    for workers in (1, WORKERS, 1, WORKERS):
        with Step(f"Billing {WORKERS_CONTRACTS} contracts, workers: {workers}"):
            _call(databases, name, "billing", "create", WORKERS_CONTRACTS)
            with ThreadPoolExecutor(workers) as pool:
                parts = list(pool.map(lambda _number: _call(databases, name, "billing", "bill"), range(workers)))
        if sum(part["invoices"] for part in parts) != WORKERS_CONTRACTS:
            raise Problem(f"{parts} isn't {WORKERS_CONTRACTS} invoices.", "look for the error in the log.")
        seconds[workers].append(max(part["until"] for part in parts) - min(part["from"] for part in parts))
    ratio = statistics.median(seconds[1]) / statistics.median(seconds[WORKERS])
    say(f"  {WORKERS} workers: {ratio:.2f} times as fast as one")
    return {"seconds": seconds, "ratio": ratio}


def _charging(databases: Databases, _scale: bool) -> dict[str, Any]:
    """Measure the charge run at a provider which takes 100 ms to answer."""
    return bench_charging.measure(databases, _call)


BENCHMARKS = {"billing": _billing, "charging": _charging}
