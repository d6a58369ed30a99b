"""How fast contracts are billed, against Odoo's own ways, in one process and one run: `./dev bench billing`.

Three sides take turns, portion by portion, so that whatever else the machine does meets all of them:

* engine: `_bill_subscriptions(commit=True)`, which bills a contract, posts the invoice and moves the contract on;
* create + post: `account.move.create` in batches of 100 and `_post`, of invoices of the same size which nothing is
  linked to;
* orders: `sale.order._create_invoices` and `_post`, of plain orders of the same size.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.scene import BILL_DATE, Scene

BATCH = 100
NO_CHATTER = dict.fromkeys(("tracking_disable", "mail_create_nolog", "mail_notrack", "mail_create_nosubscribe"), True)


class Side:
    """One way to make invoices, and what its portions took."""

    def __init__(self, name: str, ids: list[int], work: Callable[[list[int]], int]) -> None:
        self.name = name
        self.ids = ids
        self.work = work
        self.seconds: list[float] = []
        self.queries = 0

    def take(self, env: Any, count: int) -> None:
        """Make the next invoices and note how long it took."""
        portion, self.ids = self.ids[:count], self.ids[count:]
        env.invalidate_all()
        gc.collect()
        queries, started = env.cr.sql_log_count, time.perf_counter()
        made = self.work(portion)
        self.seconds.append(time.perf_counter() - started)
        self.queries += env.cr.sql_log_count - queries
        if made != count:
            raise SystemExit(f"{self.name}: {made} invoices instead of {count}.")


class Billing:
    """The three sides in a database of their own."""

    def __init__(self, env: Any, *, chatter: bool) -> None:
        self.env = env if chatter else env(context={**env.context, **NO_CHATTER})
        self.scene = Scene(env)

    def compare(self, portions: int, size: int) -> dict[str, Any]:
        """Let the sides take turns.

        :param portions: how often
        :param size: invoices in a portion
        :return: invoices a second and queries an invoice of each side, by the median portion, and the ratios
        """
        count = portions * size
        contracts = self.scene.create_contracts(count)
        orders = self.scene.create_plain_orders(2 * count)
        self.scene.analyse()
        sides = [
            Side("engine", contracts, self._bill),
            Side("create + post", orders[:count], self._create_and_post),
            Side("orders", orders[count:], self._invoice_orders),
        ]
        for side in sides:  # caches of the registry, templates, plans of the database
            side.take(self.env, BATCH)
            side.seconds.clear()
            side.queries = 0
        for _portion in range((count - BATCH) // size):
            for side in sides:
                side.take(self.env, size)
        rates = {side.name: size / statistics.median(side.seconds) for side in sides}
        return {
            "rates": rates,
            "queries": {side.name: side.queries / (size * len(side.seconds)) for side in sides},
            "ratios": {
                side.name: statistics.median(
                    theirs / ours for ours, theirs in zip(sides[0].seconds, side.seconds, strict=True)
                )
                for side in sides[1:]
            },
        }

    def bill_all(self) -> dict[str, Any]:
        """Bill all that is due, as the cron does, and note time and memory at each 1,000.

        :return: invoices, seconds, the seconds of each 1,000, and MB of the process at each
        """
        Order = self.env["sale.order"]
        marks: list[tuple[int, float, float]] = []
        made = 0
        prepare = type(Order)._create_account_invoices

        def count(orders: Any, vals_list: list[dict], final: bool) -> Any:
            nonlocal made
            moves = prepare(orders, vals_list, final)
            made += len(moves)
            if made >= 1000 * (len(marks) + 1):
                marks.append((made, time.perf_counter(), _resident_mb()))
            return moves

        type(Order)._create_account_invoices = count
        started, started_at = time.perf_counter(), time.time()
        invoices = len(Order._bill_subscriptions(BILL_DATE, commit=True))
        seconds = time.perf_counter() - started
        return {
            "invoices": invoices,
            "seconds": seconds,
            "from": started_at,
            "until": started_at + seconds,
            "marks": [
                {"invoices": number, "seconds": at - started, "MB": megabytes} for number, at, megabytes in marks
            ],
        }

    def _bill(self, ids: list[int]) -> int:
        return len(self.env["sale.order"].browse(ids)._bill_subscriptions(BILL_DATE, commit=True))

    def _create_and_post(self, ids: list[int]) -> int:
        made = 0
        for batch in _batches(ids):
            # Only the invoices are compared: what they are made from is prepared before the clock would notice.
            moves = self.env["account.move"].create([self._get_values(order) for order in batch])
            moves._post(soft=False)
            made += self._commit(moves)
        return made

    def _get_values(self, order_id: int) -> dict[str, Any]:
        return {
            "move_type": "out_invoice",
            "partner_id": self.env["sale.order"].browse(order_id).partner_id.id,
            "invoice_date": BILL_DATE,
            "invoice_line_ids": [
                (
                    0,
                    0,
                    {
                        "product_id": product.id,
                        "name": product.display_name,
                        "quantity": 1.0,
                        "price_unit": 10.37 * (position + 1),
                        "tax_ids": [(6, 0, self.scene.tax.ids)],
                    },
                )
                for position, product in enumerate(self.scene.products.with_env(self.env))
            ],
        }

    def _invoice_orders(self, ids: list[int]) -> int:
        made = 0
        for batch in _batches(ids):
            moves = self.env["sale.order"].browse(batch)._create_invoices(grouped=True)
            moves.invoice_date = BILL_DATE
            moves._post(soft=False)
            made += self._commit(moves)
        return made

    def _commit(self, moves: Any) -> int:
        made = len(moves)
        self.env.cr.commit()
        self.env.invalidate_all()
        return made


def _batches(ids: list[int]) -> Iterator[list[int]]:
    for offset in range(0, len(ids), BATCH):
        yield ids[offset : offset + BATCH]


def _resident_mb() -> float:
    """Return what the process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main(env: Any, task: str, *arguments: str) -> None:
    """Do one of the tasks in a process of its own and print what was measured, as JSON in one line.

    :param task: `compare PORTIONS SIZE`, `compare-silent PORTIONS SIZE`, `create CONTRACTS` or `bill`
    """
    billing = Billing(env, chatter=task != "compare-silent")
    if task == "create":
        billing.scene.create_contracts(int(arguments[0]))
        billing.scene.analyse()
    elif task == "bill":
        print(json.dumps(billing.bill_all()))
    else:
        print(json.dumps(billing.compare(*map(int, arguments))))
