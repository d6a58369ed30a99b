"""Import a telephone company's customer base as running contracts and bill it: `./dev telco`.

Everything goes through `load()`, as from Odoo's import dialog; docs/import.md describes the same columns.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

from odoo.addons.sale_subscription_ext.tools import recurrence

BILL_DATE = date(2026, 1, 1)
CHUNK = 1000

# Contract in the file: the plan, its months
PLANS = {
    "Month-to-month": ("Monthly", 1),
    "One year": ("Yearly", 12),
    "Two year": ("Every 24 Months", 24),
}
PARTNER_FIELDS = ["id", "name", "ref"]
ORDER_FIELDS = [
    "id",
    "partner_id/id",
    "plan_id",
    "order_line/product_id/id",
    "order_line/product_uom_qty",
    "order_line/price_unit",
    "start_date",
    "next_invoice_date",
    "state",
    "close_date",
    "close_reason_id",
]


def main(env: Any, path: str) -> None:
    """Import the file, bill as of 2026-01-01 twice, check the ledgers and print a summary.

    :param env: environment of the superuser on a fresh database with the addon
    :param path: the CSV file
    :raises SystemExit: when an import or an invariant fails
    """
    with open(path, encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    _set_up(env)
    started = time.monotonic()
    _load(env, "res.partner", PARTNER_FIELDS, [_partner(row) for row in rows])
    _load(env, "sale.order", ORDER_FIELDS, [_order(row) for row in rows])
    imported = time.monotonic()
    orders = env["sale.order"].search([("is_subscription", "=", True)])
    _say_imported(orders, imported - started)

    moves = _bill(env)
    billed = time.monotonic()
    again = _bill(env)
    seconds = billed - imported
    untaxed = sum(moves.mapped("amount_untaxed"))
    print(f"Billing     {len(moves):,} invoices posted, {untaxed:,.2f} untaxed")
    print(f"            {seconds:.1f} s, {len(moves) / seconds:.1f} invoices a second")
    print(f"Second run  {len(again)} invoices")
    _check_ledgers(env, orders, moves)
    print("Ledgers     billing and MRR ledgers agree with orders and invoices")


def _set_up(env: Any) -> None:
    """Give the company accounts, and the file's two products and third plan their records."""
    if not env.company.chart_template:
        env["account.chart.template"].try_loading("generic_coa", company=env.company, install_demo=False)
    env["subscription.plan"].create(
        {"name": "Every 24 Months", "billing_period_value": 24, "billing_period_unit": "month"}
    )
    _load(
        env,
        "product.product",
        ["id", "name", "type", "recurring_invoice", "list_price", "taxes_id"],
        [["telco.telephone", "Telephone and internet", "Service", "1", "70", ""]],
    )
    env.ref("telco.telephone").taxes_id = False
    env["subscription.close.reason"].create({"name": "Left the company"})
    env.cr.commit()


def _partner(row: dict[str, str]) -> list[str]:
    identifier = row["customerID"]
    return [f"telco.customer_{identifier}", identifier, identifier]


def _order(row: dict[str, str]) -> list[str]:
    plan, months = PLANS[row["Contract"]]
    start = recurrence.occurrence(BILL_DATE, 1, "month", -int(row["tenure"]))
    # The first day which nobody has billed yet: the first billing day from the import on.
    next_invoice = recurrence.period_at(start, months, "month", BILL_DATE)
    first_unbilled = next_invoice.start if next_invoice.start >= BILL_DATE else next_invoice.end
    has_left = row["Churn"] == "Yes"
    return [
        f"telco.contract_{row['customerID']}",
        f"telco.customer_{row['customerID']}",
        plan,
        "telco.telephone",
        "1",
        f"{float(row['MonthlyCharges']) * months:.2f}",
        start.isoformat(),
        first_unbilled.isoformat(),
        "sale",
        BILL_DATE.isoformat() if has_left else "",
        "Left the company" if has_left else "",
    ]


def _chunks(rows: list[list[str]]) -> Iterator[list[list[str]]]:
    for offset in range(0, len(rows), CHUNK):
        yield rows[offset : offset + CHUNK]


def _load(env: Any, model: str, fields: list[str], rows: list[list[str]]) -> None:
    """Import rows in the portions in which the import dialog does it, each a transaction of its own."""
    done = 0
    for chunk in _chunks(rows):
        result = env[model].load(fields, chunk)
        if not result["ids"]:
            messages = "\n".join(str(message["message"]) for message in result["messages"][:5])
            raise SystemExit(f"Import of {model} failed:\n{messages}")
        env.cr.commit()
        env.invalidate_all()
        done += len(chunk)
        if len(rows) > CHUNK:
            print(f"  {model}: {done:,} of {len(rows):,}", flush=True)


def _bill(env: Any) -> Any:
    """Bill everything which is due, as the cron does it: batch by batch, each committed."""
    return env["sale.order"]._bill_subscriptions(BILL_DATE, commit=True)


def _say_imported(orders: Any, seconds: float) -> None:
    running = orders.filtered(lambda order: order.subscription_state == "progress")
    closed = orders.filtered(lambda order: order.subscription_state == "closed")
    mrr = sum(running.mapped("mrr"))
    print(f"Import      {len(running):,} running, MRR {mrr:,.2f}, {len(closed):,} closed")
    print(f"            {seconds:.1f} s, {len(orders) / seconds:.1f} customers a second", flush=True)


def _check_ledgers(env: Any, orders: Any, moves: Any) -> None:
    """Check that the ledgers say the same as orders and invoices.

    :raises SystemExit: naming the first thing which doesn't agree
    """
    env.invalidate_all()
    [(booked, contracts)] = env["subscription.event"]._read_group(
        [], [], ["mrr_change_order:sum", "contract_change:sum"]
    )
    running = orders.filtered(lambda order: order.subscription_state == "progress")
    [(billed,)] = env["subscription.period"]._read_group([("state", "=", "billed")], [], ["amount:sum"])
    overdue = running.filtered(lambda order: order.next_invoice_date <= BILL_DATE)
    findings = {
        "the movements don't sum to the MRR": abs(booked - sum(running.mapped("mrr"))) >= 0.005,
        "the movements don't count the running contracts": contracts != len(running),
        "the billing ledger doesn't sum to the invoices": abs(billed - sum(moves.mapped("amount_untaxed"))) >= 0.005,
        "an invoice isn't posted": any(move.state != "posted" for move in moves),
        "a contract is still due": bool(overdue),
        "a contract couldn't be billed": bool(orders.filtered("billing_error")),
    }
    for finding, is_wrong in findings.items():
        if is_wrong:
            raise SystemExit(f"The ledgers are wrong: {finding}.")
