"""The billing run in processes of its own: killed, shared by workers, disturbed by other transactions."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

LONG = bool(os.environ.get('SUBSCRIPTION_LONG_TESTS'))
# Enough for a hundred kills, of which most leave a few batches behind.
CONTRACTS = 400 if LONG else 60
BATCH = 5
BILL_DATE = '2026-01-31'
PATIENCE = 900 if LONG else 120

SET_UP = f"""
if not env.company.chart_template:
    env['account.chart.template'].try_loading('generic_coa', company=env.company, install_demo=False)
plan = env.ref('sale_subscription_ext.subscription_plan_monthly')
product = env['product.product'].create({{
    'name': 'Hosting', 'type': 'service', 'recurring_invoice': True, 'list_price': 30.0, 'taxes_id': False}})
for number in range({CONTRACTS}):
    env['sale.order'].create({{
        'partner_id': env['res.partner'].create({{'name': f'Customer {{number}}'}}).id,
        'plan_id': plan.id, 'start_date': '2025-11-30', 'state': 'sale',
        'order_line': [(0, 0, {{'product_id': product.id, 'price_unit': 30.0 + number}})],
    }})
"""

# Each batch is committed, as in a cron. A pause after each makes sure that workers meet.
WORKER = f"""
import os, time
from datetime import date
from odoo.addons.sale_subscription_ext import const
const.BILLING_BATCH_SIZE = {BATCH}
Cron = type(env['ir.cron'])
commit_progress = Cron._commit_progress
def slow_commit_progress(self, *args, **kwargs):
    time_left = commit_progress(self, *args, **kwargs)
    time.sleep(float(os.environ.get('PAUSE', '0')))
    return time_left
Cron._commit_progress = slow_commit_progress
print('ready', flush=True)
# Workers which race begin together, however long each took to start.
os.open(os.path.join(os.environ['MEETING'], str(os.getpid())), os.O_CREAT)
while len(os.listdir(os.environ['MEETING'])) < int(os.environ['WORKERS']):
    time.sleep(0.01)
moves = env['sale.order']._bill_subscriptions(date.fromisoformat('{BILL_DATE}'), commit=True)
print(len(moves), flush=True)
"""


class Scene:
    """A database with contracts of which three periods each are due."""

    set_up = SET_UP

    def __init__(self, database: Any) -> None:
        self.database = database
        self.run(self.set_up)

    def run(self, script: str) -> str:
        """Run a script to its end and return what it printed."""
        process = self.database.run_script(script)
        output, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        return output

    def start_worker(self, pause: float = 0.0) -> subprocess.Popen[str]:
        """Start a billing worker and wait until it begins."""
        return self.start_workers(1, pause)[0]

    def start_workers(self, count: int, pause: float, script: str = WORKER) -> list[subprocess.Popen[str]]:
        """Start billing workers which begin at the same moment."""
        env = {'PAUSE': str(pause), 'MEETING': tempfile.mkdtemp(), 'WORKERS': str(count)}
        workers = [self.database.run_script(script, env=env) for _worker in range(count)]
        for worker in workers:
            assert worker.stdout.readline() == 'ready\n', worker.stderr.read()
        return workers

    def finish(self, worker: subprocess.Popen[str]) -> int:
        """Wait for a worker and return how many invoices it made."""
        alarm = threading.Timer(PATIENCE, worker.kill)
        alarm.start()
        try:
            # Not `communicate()`, which would miss what came together with the first line.
            output, errors = worker.stdout.read(), worker.stderr.read()
            assert worker.wait() == 0, errors
        finally:
            alarm.cancel()
        return int(output.split()[-1])

    def select(self, query: str) -> list[tuple]:
        """Read what is committed."""
        connection = self.database.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        finally:
            connection.close()

    def count_billed(self) -> int:
        """Return how many periods are billed."""
        return self.select("SELECT count(*) FROM subscription_period WHERE state = 'billed'")[0][0]

    def wait_for_billed(self, count: int) -> None:
        """Wait until so many periods are billed."""
        deadline = time.monotonic() + PATIENCE
        while self.count_billed() < count:
            assert time.monotonic() < deadline, "The worker doesn't get on"
            time.sleep(0.02)

    def assert_each_period_is_billed_once(self) -> None:
        """Check everything which must hold once the run is done."""
        assert self.count_billed() == 3 * CONTRACTS
        assert self.select("SELECT count(DISTINCT (order_line_id, date_start)) FROM subscription_period") == [
            (3 * CONTRACTS,)]
        assert self.select("""
            SELECT count(*), count(DISTINCT name), min(sequence_number), max(sequence_number), min(state), max(state)
              FROM account_move WHERE move_type = 'out_invoice'
        """) == [(3 * CONTRACTS, 3 * CONTRACTS, 1, 3 * CONTRACTS, 'posted', 'posted')], "Numbers without a gap"
        assert self.select("""
            SELECT count(*) FROM subscription_period period
              JOIN account_move_line line ON line.id = period.invoice_line_id
             WHERE period.amount = line.price_subtotal AND period.date_start = line.service_start_date
        """) == [(3 * CONTRACTS,)]
        assert self.select("SELECT DISTINCT next_invoice_date::text FROM sale_order") == [('2026-02-28',)]
        assert self.select("SELECT count(*) FROM sale_order WHERE billing_error IS NOT NULL") == [(0,)]
        [(booked, mrr)] = self.select(
            "SELECT (SELECT sum(mrr_change) FROM subscription_event), (SELECT sum(mrr) FROM sale_order)")
        assert booked == mrr


@pytest.fixture
def scene(odoo_database: Any) -> Scene:
    """Contracts to bill in a database of the test's own."""
    return Scene(odoo_database)


def test_a_run_killed_between_and_inside_batches_is_finished_by_the_next(scene: Scene) -> None:
    """Killed at random moments, a run leaves whole batches behind and the next one goes on from there."""
    seed = int(os.environ.get('SUBSCRIPTION_TEST_SEED', '7'))
    chance = random.Random(seed)
    for _kill in range(100 if LONG else 5):
        before = scene.count_billed()
        assert before < 3 * CONTRACTS, f"Nothing is left to kill (seed {seed})"
        worker = scene.start_worker(pause=0.05)
        if chance.random() < 0.5:
            scene.wait_for_billed(before + 1)  # at least one batch is committed
        time.sleep(chance.uniform(0.0, 0.2))
        worker.kill()
        worker.wait()
        time.sleep(0.2)  # the server notices that its client is gone
        billed = scene.count_billed()
        assert billed % (3 * BATCH) == 0, f"A batch was committed by half (seed {seed})"
    scene.finish(scene.start_worker())
    scene.assert_each_period_is_billed_once()
    assert scene.finish(scene.start_worker()) == 0, "Nothing is billed twice"


def test_workers_share_the_work(scene: Scene) -> None:
    """Workers started together bill everything once, and each of them a part of it."""
    workers = scene.start_workers(4 if LONG else 2, pause=0.3)
    counts = [scene.finish(worker) for worker in workers]
    assert sum(counts) == 3 * CONTRACTS, counts
    assert all(counts), f"A worker had nothing to do: {counts}"
    scene.assert_each_period_is_billed_once()


def test_a_worker_which_hangs_holds_up_its_own_batch_only(scene: Scene) -> None:
    """While one transaction holds contracts, a worker bills the others and leaves these for later."""
    connection = scene.database.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM sale_order ORDER BY id LIMIT 7 FOR UPDATE")
        assert scene.finish(scene.start_worker()) == 3 * (CONTRACTS - 7)
    connection.rollback()
    connection.close()
    assert scene.finish(scene.start_worker()) == 3 * 7
    scene.assert_each_period_is_billed_once()


def test_a_serialization_failure_is_nobodys_billing_error(scene: Scene) -> None:
    """A contract changed by another transaction during its batch is billed in a second try."""
    scene.run("""
env.cr.execute('''
    CREATE SEQUENCE failures;
    CREATE FUNCTION fail_sometimes() RETURNS trigger AS $$
    BEGIN
        -- a sequence counts on when its transaction is rolled back
        IF nextval('failures') IN (3, 40) THEN
            RAISE EXCEPTION 'could not serialize access due to concurrent update' USING ERRCODE = '40001';
        END IF;
        RETURN NEW;
    END $$ LANGUAGE plpgsql;
    CREATE TRIGGER fail_sometimes BEFORE INSERT ON subscription_period FOR EACH ROW EXECUTE FUNCTION fail_sometimes();
''')
""")
    scene.finish(scene.start_worker())
    scene.assert_each_period_is_billed_once()


def test_a_lost_connection_stops_the_run_and_nothing_else(scene: Scene) -> None:
    """When the server drops the connection, what was committed stays and the next run does the rest."""
    worker = scene.start_worker(pause=0.3)
    scene.wait_for_billed(1)
    scene.select(f"""
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{scene.database.name}' AND pid != pg_backend_pid()
    """)
    worker.communicate(timeout=PATIENCE)
    assert worker.returncode != 0
    scene.finish(scene.start_worker())
    scene.assert_each_period_is_billed_once()


def test_the_database_itself_refuses_a_period_twice(scene: Scene) -> None:
    """Not even SQL can bring the same days of a line into the ledger a second time."""
    scene.finish(scene.start_worker())
    with pytest.raises(Exception, match='subscription_period_no_overlap'):
        connection = scene.database.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("""
                INSERT INTO subscription_period (order_line_id, date_start, date_end, kind, state)
                SELECT order_line_id, date_start + 1, date_end + 1, 'regular', 'open'
                  FROM subscription_period LIMIT 1
            """)


def test_the_addon_can_be_uninstalled(odoo_database: Any) -> None:
    """An administrator can remove the addon, and plain orders are left as they were."""
    process = odoo_database.run_script(Path(__file__).parent / 'uninstall.py')
    _output, errors = process.communicate(timeout=PATIENCE * 2)
    assert process.returncode == 0, errors
