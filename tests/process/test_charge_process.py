"""Charging in processes of its own: killed at any moment, shared by workers, with a provider that remembers."""

from __future__ import annotations

import os
import random
import time
from contextlib import closing
from typing import Any

import pytest
from test_billing_process import PATIENCE, Scene

LONG = bool(os.environ.get('SUBSCRIPTION_LONG_TESTS'))
CONTRACTS = 120 if LONG else 24
KILLS = 50 if LONG else 6

# A kind of payment which the host doesn't know without the addon of a provider.
KNOWN = """
Method = type(env['account.payment.method'])
get_information = Method._get_payment_method_information
Method._get_payment_method_information = lambda self: {
    **get_information(self), 'none': {'mode': 'electronic', 'type': ('bank',)}}
"""

# Invoices which wait to be charged, and the provider's own memory, which no rollback of Odoo touches.
SET_UP = KNOWN + f"""
from odoo.fields import Command
if not env.company.chart_template:
    env['account.chart.template'].try_loading('generic_coa', company=env.company, install_demo=False)
method = env.ref('payment.payment_method_unknown')
provider = env['payment.provider'].create({{
    'name': 'Bank', 'code': 'none', 'state': 'test', 'allow_tokenization': True,
    'payment_method_ids': [Command.set(method.ids)],
}})
method.write({{'active': True, 'support_tokenization': True}})
journal = env['account.journal'].search([('type', '=', 'bank'), ('company_id', '=', env.company.id)], limit=1)
payment_method = env['account.payment.method'].sudo().create({{
    'name': 'Bank', 'code': 'none', 'payment_type': 'inbound'}})
provider.journal_id = journal
line = journal.inbound_payment_method_line_ids.filtered(lambda line: line.payment_provider_id == provider)
assert line, journal.inbound_payment_method_line_ids
line.payment_account_id = journal.default_account_id
plan = env['subscription.plan'].create({{
    'name': 'Charged', 'billing_period_value': 1, 'billing_period_unit': 'month', 'collection_mode': 'charge',
    'send_mails': False, 'invoice_mail_template_id': False}})
product = env['product.product'].create({{
    'name': 'Hosting', 'type': 'service', 'recurring_invoice': True, 'list_price': 30.0, 'taxes_id': False}})
for number in range({CONTRACTS}):
    partner = env['res.partner'].create({{'name': f'Customer {{number}}'}})
    token = env['payment.token'].create({{
        'provider_id': provider.id, 'payment_method_id': method.id, 'payment_details': str(number),
        'partner_id': partner.id, 'provider_ref': str(number)}})
    env['sale.order'].create({{
        'partner_id': partner.id, 'plan_id': plan.id, 'state': 'sale', 'payment_token_id': token.id,
        'order_line': [(0, 0, {{'product_id': product.id, 'price_unit': 30.0 + number}})],
    }})
env['sale.order']._bill_subscriptions()
env.cr.execute('''CREATE TABLE provider_memory (
    key text PRIMARY KEY, amount numeric, is_taken boolean, asked integer DEFAULT 1, pid integer,
    was_locked boolean)''')
"""

# The provider charges a reference once, whatever happens to who asked. Now and then its answer gets lost, or is “no”.
WORKER = KNOWN + """
import os, time, zlib
import psycopg2
from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.models.payment_provider import PaymentUnanswered
from odoo.exceptions import ValidationError
const.REPEATABLE_HOURS['none'] = 23
const.ASK_AGAIN_MINUTES = 0
const.MAX_CHARGES = 1000
memory = psycopg2.connect(dbname=env.cr.dbname)
memory.autocommit = True

def is_locked(cursor, move_id):
    try:
        cursor.execute('SELECT 1 FROM account_move WHERE id = %s FOR NO KEY UPDATE NOWAIT', [move_id])
        return False
    except psycopg2.errors.LockNotAvailable:
        return True

def provide(self):
    fate = zlib.crc32(self.reference.encode()) % 5
    with memory.cursor() as cursor:
        cursor.execute('''
            INSERT INTO provider_memory (key, amount, is_taken, pid, was_locked) VALUES (%s, %s, %s, %s, %s)
            ON CONFLICT (key) DO UPDATE SET asked = provider_memory.asked + 1 RETURNING asked
        ''', [self.reference, self.amount, fate != 0, os.getpid(), is_locked(cursor, self.subscription_invoice_id.id)])
        [asked] = cursor.fetchone()
    time.sleep(float(os.environ.get('PAUSE', '0')))
    if fate == 1 and asked == 1:
        error = PaymentUnanswered('Time-out')
        self._note_answer(error)
        raise error
    self._note_answer()
    if fate == 0:
        raise ValidationError('Declined')
    self._set_done()

type(env['payment.transaction'])._send_payment_request = provide
print('ready', flush=True)
os.open(os.path.join(os.environ['MEETING'], str(os.getpid())), os.O_CREAT)
while len(os.listdir(os.environ['MEETING'])) < int(os.environ['WORKERS']):
    time.sleep(0.01)
env['sale.order']._cron_collect_payments()
env.cr.commit()
print(0, flush=True)
"""

# A customer who pays on the page of an invoice, with the saved method, until the test lets go.
CUSTOMER = WORKER.replace("time.sleep(float(os.environ.get('PAUSE', '0')))", """
    with memory.cursor() as cursor:
        cursor.execute('SELECT pg_advisory_lock(1)')
""").replace("env['sale.order']._cron_collect_payments()", """
move = env['account.move'].search([('subscription_charge_state', '=', 'waiting')], order='id', limit=1)
token = move.invoice_line_ids.sale_line_ids.order_id.payment_token_id
env['payment.transaction'].create({
    'provider_id': token.provider_id.id, 'payment_method_id': token.payment_method_id.id, 'token_id': token.id,
    'amount': move.amount_residual, 'currency_id': move.currency_id.id, 'partner_id': move.partner_id.id,
    'operation': 'online_token', 'invoice_ids': [(6, 0, move.ids)]})._charge_with_token()""")

# What a person or dunning does about a decline.
TRY_AGAIN = """
moves = env['account.move'].search([('subscription_charge_state', '=', 'failed')])
moves._request_charge()
print(len(moves))
"""


class ChargeScene(Scene):
    """A database with invoices to charge, and a provider which remembers what it took."""

    set_up = SET_UP

    def start(self, count: int = 1, pause: float = 0.0) -> list[Any]:
        """Start workers which charge, at the same moment."""
        return self.start_workers(count, pause, WORKER)

    def await_asked(self) -> None:
        """Wait until the provider was asked for the first time."""
        deadline = time.monotonic() + PATIENCE
        while not self.select("SELECT count(*) FROM provider_memory")[0][0]:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def finish_all(self) -> None:
        """Charge until everything is paid: what was left behind is asked about, what was declined tried again."""
        for _round in range(20):
            for worker in self.start():
                self.finish(worker)
            if not int(self.run(TRY_AGAIN)) and not self.count_open():
                return
        raise AssertionError("Charging comes to no end")

    def count_open(self) -> int:
        """Return how many charges or invoices are still open."""
        return self.select("""
            SELECT count(*) FROM account_move
             WHERE move_type = 'out_invoice' AND (payment_state != 'paid' OR subscription_charge_state != 'done')
        """)[0][0]

    def assert_money_is_right(self) -> None:
        """Money taken at the provider equals payments in Odoo equals what is owed, once for each invoice."""
        owed = sum(30 + number for number in range(CONTRACTS))
        assert self.select("SELECT count(*), sum(amount) FROM provider_memory WHERE is_taken") == [(CONTRACTS, owed)]
        assert self.select("SELECT count(*), sum(amount) FROM account_payment") == [(CONTRACTS, owed)]
        assert self.select("""
            SELECT count(*), count(DISTINCT subscription_invoice_id), sum(amount) FROM payment_transaction
             WHERE state = 'done'
        """) == [(CONTRACTS, CONTRACTS, owed)]
        assert self.select("SELECT sum(amount_residual) FROM account_move WHERE move_type = 'out_invoice'") == [(0,)]
        assert self.select("SELECT DISTINCT charge_state FROM sale_order") == [('paid',)]
        assert self.select("SELECT count(*) FROM provider_memory WHERE was_locked") == [(0,)], (
            "No lock on an invoice while its provider is asked")


@pytest.fixture
def scene(odoo_database: Any) -> ChargeScene:
    """Invoices to charge in a database of the test's own."""
    return ChargeScene(odoo_database)


def test_charging_killed_at_any_moment_takes_the_money_once(scene: ChargeScene) -> None:
    """Killed before, while and after the provider is asked: the next run makes it good, never a second charge."""
    seed = int(os.environ.get('SUBSCRIPTION_TEST_SEED', '11'))
    chance = random.Random(seed)
    for _kill in range(KILLS):
        worker = scene.start(pause=0.03)[0]
        time.sleep(chance.uniform(0.0, 0.6))
        worker.kill()
        worker.wait()
        time.sleep(0.2)  # the server notices that its client is gone
    scene.finish_all()
    scene.assert_money_is_right()


def test_workers_share_the_charging(scene: ChargeScene) -> None:
    """Workers started together charge each invoice once, and each of them a part."""
    workers = scene.start(4 if LONG else 2, pause=0.1)
    for worker in workers:
        scene.finish(worker)
    pids = scene.select("SELECT pid, count(*) FROM provider_memory GROUP BY pid")
    assert len(pids) == len(workers), f"A worker had nothing to do: {pids}"
    scene.finish_all()
    scene.assert_money_is_right()


def test_a_provider_which_hangs_holds_up_its_own_payment_only(scene: ChargeScene) -> None:
    """While one charge waits for its answer, invoices can be written and other workers charge the rest."""
    hanging = scene.start(pause=PATIENCE)[0]
    scene.await_asked()
    scene.finish(scene.start()[0])
    [(asked,)] = scene.select("SELECT count(*) FROM provider_memory")
    assert asked == CONTRACTS, "Everything but the one which hangs is charged, which is asked once"
    scene.run("env['account.move'].search([('move_type', '=', 'out_invoice')]).ref = 'written'")
    hanging.kill()
    hanging.wait()
    time.sleep(0.2)
    scene.finish_all()
    scene.assert_money_is_right()


def test_a_customer_who_pays_at_a_provider_which_hangs_holds_up_nobody(scene: ChargeScene) -> None:
    """The invoice can be written meanwhile, and no worker charges it too."""
    with closing(scene.database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
        customer = scene.start_workers(1, 0.0, CUSTOMER)[0]
        scene.await_asked()
        scene.run("env['account.move'].search([('move_type', '=', 'out_invoice')]).ref = 'written'")
        scene.finish(scene.start()[0])
        assert customer.poll() is None, "Nobody waits for what the customer waits for"
        assert scene.select("SELECT max(asked), count(*) FROM provider_memory") == [(1, CONTRACTS)]
    scene.finish(customer)
    scene.finish_all()
    scene.assert_money_is_right()
