"""The charge run in processes of its own: killed at chosen and random moments, shared, slowed by the provider."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from charge_scene import ASK_AGAIN, COLLECT, ChargeScene, find_wrong

from devtools.sandbox import OdooDatabase
from devtools.stripe import faults

LONG = bool(os.environ.get('SUBSCRIPTION_LONG_TESTS'))
KILLS = 50 if LONG else 4
CONTRACTS = 120 if LONG else 24
LATENCY = 0.05

# Kill the process when it comes to a method, or has gone through it.
KILL_AT = """
import os, signal
from functools import partial
model = type(env[model_name])
method = getattr(model, method_name)

def die(self, *args, **kwargs):
    if after:
        method(self, *args, **kwargs)
        self.env.flush_all()
    os.kill(os.getpid(), signal.SIGKILL)

setattr(model, method_name, die)
"""

POINTS = [
    ('account.move', '_prepare_charge', True),  # before the row of the payment is committed
    ('payment.transaction', '_send_charge', False),  # between the row and the call
    ('payment.transaction', '_send_payment_request', False),  # the same, locked
    ('payment.transaction', '_send_payment_request', True),  # after the call, before the commit
    ('payment.transaction', '_settle_committed', False),  # after the answer's commit, before it is booked
    ('payment.transaction', '_post_process', True),  # booked, not committed
]


@pytest.fixture
def own_scene(stripe_template: str) -> Iterator[ChargeScene]:
    """Contracts in a database of the test's own."""
    database = OdooDatabase(stripe_template)
    try:
        scene = ChargeScene(database)
        yield scene
        scene.close()
    finally:
        database.drop()


def assert_paid_once(scene: ChargeScene, orders: dict[str, int]) -> None:
    """Check the money of contracts which should all be paid."""
    money = scene.get_money(*orders.values())
    wrong = {order: (found, money[order]) for order in money if (found := find_wrong(money[order], is_paid=True))}
    assert not wrong, wrong


@pytest.mark.parametrize(('model', 'method', 'after'), POINTS)
def test_a_run_killed_at_any_point_takes_the_money_once(
    charge_scene: ChargeScene, model: str, method: str, after: bool
) -> None:
    """Whoever comes later finds out what became of the payment, and charges the others."""
    names = [f"{method} {'after' if after else 'before'} {number}" for number in range(2)]
    orders = charge_scene.create_contracts(names)
    victim = charge_scene.open_shell()
    victim.run(KILL_AT, model_name=model, method_name=method, after=after)
    victim.begin(COLLECT, minutes=0)
    victim.wait_for_death()
    charge_scene.collect()
    charge_scene.collect_until_quiet()
    assert_paid_once(charge_scene, orders)


@pytest.mark.parametrize('after', [False, True])
def test_a_run_killed_while_the_provider_works_takes_the_money_once(charge_scene: ChargeScene, after: bool) -> None:
    """Killed with the request on its way, or the answer: the same request comes again later."""
    orders = charge_scene.create_contracts([f"Held {after}"])
    hold = faults.Hold(after=after)
    charge_scene.proxy.plan(charge_scene.customers[orders[f"Held {after}"]], hold)
    victim = charge_scene.open_shell()
    victim.begin(COLLECT, minutes=0)
    hold.wait()
    victim.kill()
    hold.release()
    charge_scene.collect_until_quiet()
    assert_paid_once(charge_scene, orders)


def test_a_run_killed_at_random_moments_takes_the_money_once(own_scene: ChargeScene) -> None:
    """Killed again and again, the run charges everybody once in the end."""
    seed = int(os.environ.get('SUBSCRIPTION_TEST_SEED', '7'))
    chance = random.Random(seed)
    orders = own_scene.create_contracts([f"Customer {number}" for number in range(CONTRACTS)])
    own_scene.proxy.latency = LATENCY
    for kill in range(KILLS):
        victim = own_scene.open_shell()
        # Each finds what the one before has left, and has something of its own to charge.
        victim.begin(COLLECT, minutes=kill * ASK_AGAIN)
        time.sleep(chance.uniform(0.0, 1.0))
        victim.kill()
    own_scene.proxy.latency = 0.0
    for turn in range(3):
        own_scene.collect(minutes=(KILLS + turn) * ASK_AGAIN)
    assert_paid_once(own_scene, orders)
    requests = [own_scene.proxy.get_charge_requests(own_scene.customers[order]) for order in orders.values()]
    assert all(len({request.key for request in sent}) == 1 for sent in requests), f"Another key was used (seed {seed})"


def test_workers_share_the_charges(own_scene: ChargeScene) -> None:
    """Workers started together charge everybody once, and each of them a part."""
    orders = own_scene.create_contracts([f"Shared {number}" for number in range(CONTRACTS)])
    own_scene.proxy.latency = LATENCY
    workers = [own_scene.shell, own_scene.open_shell()]
    for worker in workers:
        worker.begin(COUNT_CHARGES + COLLECT + "result = len(sent)", minutes=0)
    counts = [worker.end() for worker in workers]
    assert sum(counts) == CONTRACTS
    assert all(counts), f"A worker had nothing to do: {counts}"
    assert_paid_once(own_scene, orders)


COUNT_CHARGES = """
Transaction = type(env['payment.transaction'])
charge_with_token = Transaction._charge_with_token
sent = []
def count(self):
    sent.append(self.id)
    return charge_with_token(self)
Transaction._charge_with_token = count
"""

LOCK = """
for table, ids in tables.items():
    env.cr.execute(f'SELECT id FROM {table} WHERE id = ANY(%s) FOR UPDATE NOWAIT', [ids])
"""


def test_a_slow_provider_locks_nothing_but_the_payment(charge_scene: ChargeScene) -> None:
    """While an answer is awaited, the invoice, the contract and the customer are free, and billing goes on."""
    [order] = charge_scene.create_contracts(["Slow"]).values()
    customer = charge_scene.customers[order]
    hold = faults.Hold()
    charge_scene.proxy.plan(customer, hold)
    worker = charge_scene.open_shell()
    worker.begin(COLLECT, minutes=0)
    hold.wait()
    began = time.monotonic()
    ids = charge_scene.shell.run("""
order = env['sale.order'].browse(order_id)
result = {'sale_order': order.ids, 'account_move': order.invoice_ids.ids, 'res_partner': order.partner_id.ids,
          'sale_order_line': order.order_line.ids, 'payment_token': order.payment_token_id.ids}
""", order_id=order)
    charge_scene.shell.run(LOCK, tables=ids)
    # Two months of the same contract and one of another are billed meanwhile.
    charge_scene.shell.run("""
from dateutil.relativedelta import relativedelta
order = env['sale.order'].browse(order_id)
moves = env['sale.order']._bill_subscriptions(order.next_invoice_date + relativedelta(months=1), commit=True)
assert len(moves.filtered(lambda move: move.partner_id == order.partner_id)) == 2
""", order_id=order)
    billed_in = time.monotonic() - began
    hold.release()
    worker.end()
    worker.close()
    assert billed_in < PATIENT_PROVIDER, "Billing waited for the provider"
    charge_scene.collect_until_quiet()


# The longest that Odoo waits for an answer.
PATIENT_PROVIDER = 10


def test_a_transfer_booked_while_the_provider_works_is_a_surplus(charge_scene: ChargeScene) -> None:
    """Both payments are there, the invoice is paid once, and what is too much can be given back."""
    orders = charge_scene.create_contracts(["Both"])
    hold = faults.Hold()
    charge_scene.proxy.plan(charge_scene.customers[orders["Both"]], hold)
    worker = charge_scene.open_shell()
    worker.begin(COLLECT, minutes=0)
    hold.wait()
    charge_scene.pay_by_transfer(orders["Both"])
    hold.release()
    worker.end()
    worker.close()
    charge_scene.collect_until_quiet()
    [money] = charge_scene.get_money(*orders.values()).values()
    assert not find_wrong(money, is_paid=True, by_transfer=True), money
    assert (money["owed"], money["transferred"], money["charged"]) == (3000, 3000, 3000)


def test_webhooks_and_workers_at_the_same_time_take_the_money_once(own_scene: ChargeScene) -> None:
    """Every event comes while a worker is at the same payment still."""
    orders = own_scene.create_contracts([f"Busy {number}" for number in range(CONTRACTS // 2)])
    own_scene.proxy.latency = LATENCY
    done = threading.Event()

    def deliver() -> None:
        told: set[Any] = set()
        while not done.is_set() or len(told) < len(orders):
            for order in orders.values():
                for event in own_scene.proxy.mailbox.find("payment_intent.succeeded", own_scene.customers[order]):
                    if event["id"] not in told:
                        own_scene.proxy.mailbox.deliver(event)
                        told.add(event["id"])
            time.sleep(0.01)

    postman = threading.Thread(target=deliver, daemon=True)
    postman.start()
    own_scene.collect()
    done.set()
    postman.join(60)
    own_scene.collect_until_quiet()
    assert_paid_once(own_scene, orders)
