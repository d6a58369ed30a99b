"""`./dev bench charging`: how fast invoices are charged at a provider which takes 100 ms to answer."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .databases import Databases
from .stripe.proxy import Proxy
from .stripe.server import SECRET_KEY, LocalStripe
from .ui import Problem, Step, say

LATENCY = 0.1
SLOW = 2.0
PORTION = 100
WORKERS = (1, 2, 4)
ROUNDS = 2

Call = Callable[..., dict[str, Any]]


def measure(databases: Databases, call: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Measure the charge run with several workers, and billing beside it.

    :param call: runs a task of `benchmarks.charging` in a process of its own: database, module, task, arguments
    """
    provider = LocalStripe(keeps=False)
    proxy = Proxy(provider, LATENCY)
    try:
        with databases.temporary(databases.ready(), "bench") as name:
            bench = Charging(lambda task, *arguments: call(databases, name, "charging", task, *arguments), proxy)
            with Step("Installing Odoo's Stripe client"):
                bench.call("install", proxy.url, SECRET_KEY)
            return {"workers": bench.measure_workers(), "billing": bench.measure_billing()}
    finally:
        proxy.close()
        provider.close()


class Charging:
    """A database and a provider to charge at."""

    def __init__(self, call: Call, proxy: Proxy) -> None:
        self.call = call
        self.proxy = proxy

    def create(self, count: int) -> None:
        """Create contracts of customers whom the provider knows."""
        accounts = [self.proxy.provider.create_customer(f"Customer {number}") for number in range(count)]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(json.dumps(accounts))
            file.flush()
            self.call("create", Path(file.name))

    def charge(self, workers: int) -> float:
        """Charge what is billed by so many workers and return the seconds from the first start to the last end."""
        with ThreadPoolExecutor(workers) as pool:
            parts = list(pool.map(lambda _number: self.call("charge"), range(workers)))
        counts = self.call("count")
        if counts["open"]:
            raise Problem(f"{counts['open']} invoices weren't charged.", "look for the error in the log.")
        return max(part["until"] for part in parts) - min(part["from"] for part in parts)

    def measure_workers(self) -> dict[str, Any]:
        """Charge the same number of invoices by one worker, two and four, in turns."""
        seconds: dict[int, list[float]] = {workers: [] for workers in WORKERS}
        for _round in range(ROUNDS):
            for workers in WORKERS:
                with Step(f"Charging {PORTION} invoices, workers: {workers}"):
                    self.create(PORTION)
                    self.call("bill")
                    seconds[workers].append(self.charge(workers))
        medians = {workers: statistics.median(found) for workers, found in seconds.items()}
        for workers, median in medians.items():
            say(
                f"  workers: {workers}: {PORTION / median:.1f} invoices a second,"
                f" {medians[1] / median:.2f} times as fast as one"
            )
        return {"seconds": seconds, "ratios": {workers: medians[1] / median for workers, median in medians.items()}}

    def measure_billing(self) -> dict[str, Any]:
        """Bill alone, and then while two workers wait for a provider which takes two seconds for each answer."""
        with Step(f"Billing {PORTION} contracts"):
            self.create(PORTION)
            alone = self._get_rate(self.call("bill"))
        with Step(f"Billing {PORTION} contracts while two workers wait for the provider"):
            self.create(PORTION)
            self.proxy.latency = SLOW
            with ThreadPoolExecutor(2) as pool:
                waiting = [pool.submit(self.call, "charge") for _worker in range(2)]
                beside = self._get_rate(self.call("bill"))
                is_fair = not any(worker.done() for worker in waiting)
                self.proxy.latency = 0.0
        if not is_fair:
            raise Problem("The workers had nothing to wait for.", "look for the error in the log.")
        say(f"  billing: {alone:.1f} invoices a second alone, {beside:.1f} beside a provider which takes {SLOW:.0f} s")
        return {"alone": alone, "beside": beside}

    def _get_rate(self, found: dict[str, Any]) -> float:
        return found["count"] / (found["until"] - found["from"])
