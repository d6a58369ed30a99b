"""Workers which race for subscriptions that share invoices: no group is ever split."""

from __future__ import annotations

import os
from typing import Any

from test_billing_process import BILL_DATE, WORKER, Scene

LONG = bool(os.environ.get('SUBSCRIPTION_LONG_TESTS'))
GROUPS = 40 if LONG else 16
MEMBERS = 3

# The members of a group lie far apart: while a worker is at one batch, another meets what it left.
SET_UP = f"""
if not env.company.chart_template:
    env['account.chart.template'].try_loading('generic_coa', company=env.company, install_demo=False)
plan = env.ref('sale_subscription_ext.subscription_plan_monthly')
plan.consolidate = True
product = env['product.product'].create({{
    'name': 'Hosting', 'type': 'service', 'recurring_invoice': True, 'list_price': 30.0, 'taxes_id': False}})
partners = env['res.partner'].create([{{'name': f'Customer {{number}}'}} for number in range({GROUPS})])
for _member in range({MEMBERS}):
    env['sale.order'].create([{{
        'partner_id': partner.id, 'plan_id': plan.id, 'start_date': '2025-12-31', 'state': 'sale',
        'order_line': [(0, 0, {{'product_id': product.id}})],
    }} for partner in partners])
"""

# One order of every other group fails, so that its batch is taken apart.
FAIL_SOME = """
from odoo.exceptions import UserError
Order = type(env['sale.order'])
prepare_invoice = Order._prepare_invoice
bad = set(env['sale.order'].search([], order='id').ids[1::6])
def fail_on_bad(self):
    if self.id in bad:
        raise UserError('Bad')
    return prepare_invoice(self)
Order._prepare_invoice = fail_on_bad
"""


class GroupScene(Scene):
    """A database with groups of contracts of which two periods each are due."""

    set_up = SET_UP

    def count_invoices(self) -> list[tuple]:
        """Return how many customers have which number of invoices and periods billed."""
        return self.select("""
            SELECT invoices, periods, count(*) FROM (
                SELECT count(DISTINCT line.move_id) AS invoices, count(*) AS periods
                  FROM subscription_period period
                  JOIN account_move_line line ON line.id = period.invoice_line_id
                  JOIN account_move move ON move.id = line.move_id
                 WHERE period.state = 'billed' AND move.state = 'posted'
              GROUP BY move.partner_id) groups
            GROUP BY 1, 2 ORDER BY 1, 2
        """)


def test_workers_never_split_a_group(odoo_database: Any) -> None:
    """However many workers race, each group of contracts has one invoice for all that is due."""
    scene = GroupScene(odoo_database)
    workers = scene.start_workers(4 if LONG else 2, pause=0.3)
    counts = [scene.finish(worker) for worker in workers]
    assert sum(counts) == GROUPS, counts
    assert all(counts), f"A worker had nothing to do: {counts}"
    assert scene.count_invoices() == [(1, 2 * MEMBERS, GROUPS)]
    assert scene.select("SELECT DISTINCT invoice_date::text FROM account_move WHERE state = 'posted'") == [
        (BILL_DATE,)]


def test_workers_never_split_a_group_with_a_bad_contract(odoo_database: Any) -> None:
    """Batches which fail are taken apart under the eyes of another worker, and groups stay together."""
    scene = GroupScene(odoo_database)
    workers = scene.start_workers(2, pause=0.2, script=FAIL_SOME + WORKER)
    for worker in workers:
        scene.finish(worker)
    bad = len(range(1, GROUPS * MEMBERS, 6))
    [(failed,)] = scene.select("SELECT count(*) FROM sale_order WHERE billing_error IS NOT NULL")
    assert failed == bad
    [(invoices,)] = {(row[0],) for row in scene.count_invoices()}
    assert invoices == 1, "What is left of a group shares one invoice"
    assert sum(row[1] * row[2] for row in scene.count_invoices()) == 2 * (GROUPS * MEMBERS - bad)
