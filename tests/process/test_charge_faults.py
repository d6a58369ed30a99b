"""The fault matrix: each fault between Odoo and the provider, at each point of the flow, for invoices and for drafts
which are paid in advance.

Whatever happens, the money which the provider took (asked at the provider), payments in Odoo and what is owed agree;
nothing is taken more than once, and what isn't paid is in a state which a person can resolve.
"""

from __future__ import annotations

from typing import Any

import pytest
from charge_scene import ASK_AGAIN, DAY, ChargeScene, find_wrong
from stripe_scene import TIMEOUT

from devtools.stripe import faults
from devtools.stripe.server import AUTHENTICATION_CARD, DECLINED_WHEN_CHARGED_CARD

LATE = TIMEOUT + 1

# The money is taken in the end, at first or when the provider is asked again.
PASSING = {
    "none": None,
    "request lost": faults.lose_request,
    "answer lost": faults.lose_answer,
    "answer cut short": faults.cut_answer_short,
    "answer garbled": faults.garble_answer,
    "request late": faults.delay_request(LATE),
    "answer late": faults.delay_answer(LATE),
    "500 before": faults.answer_instead(500),
    "503 before": faults.answer_instead(503),
    "502 after": faults.answer_after(502),
    "429 before": faults.answer_instead(429),
    "409 before": faults.answer_instead(409),
}
QUICK = {name: fault for name, fault in PASSING.items() if "late" not in name}
# The provider did its work, says that it failed, and says so again when asked again: only an event can tell.
REMEMBERED = {"500 remembered": faults.answer_after(500, remember=True)}
# The provider says no, and nothing is taken.
REFUSED = {
    "decline": faults.decline("insufficient_funds"),
    "hard decline": faults.decline("stolen_card"),
    "bad request": faults.answer_instead(400),
    "wrong key of the account": faults.answer_instead(401),
}
BAD_CARDS = {"declined card": DECLINED_WHEN_CHARGED_CARD, "authentication": AUTHENTICATION_CARD}
TOOK_AT_ONCE = {
    "none", "answer lost", "answer cut short", "answer garbled", "request late", "answer late", "502 after",
    "500 remembered",
}

# What becomes of the accounts of drafts, and of contracts, while the provider is silent.
ARCHIVE_ACCOUNTS = """
moves = env['sale.order'].browse(order_ids).invoice_ids
moves.invoice_line_ids.account_id.active = is_active
result = [move.subscription_booking_error or '' for move in moves]
"""
CLOSE = """
env['sale.order'].browse(order_ids)._close_subscriptions(
    env['subscription.close.reason'].search([('kind', '=', 'voluntary')], limit=1))
"""
CONFIRM_NOT_CHARGED = "env['sale.order'].browse(order_id).invoice_ids.action_confirm_not_charged()"


class Matrix:
    """One contract for each fault; all are charged in one run."""

    def __init__(self, scene: ChargeScene, mode: str, faults_by_name: dict[str, Any]) -> None:
        self.scene = scene
        good = [name for name in faults_by_name if name not in BAD_CARDS]
        self.orders = scene.create_contracts(good, mode=mode)
        for name in BAD_CARDS.keys() & faults_by_name.keys():
            self.orders.update(scene.create_contracts([name], BAD_CARDS[name], mode))
        for name, order in self.orders.items():
            if fault := faults_by_name.get(name):
                scene.proxy.plan(scene.customers[order], fault)

    def check(self, is_paid: Any, **options: Any) -> None:
        """Check the money of every contract.

        :param is_paid: called with the name of a fault, whether its contract should be paid
        """
        money = self.scene.get_money(*self.orders.values())
        wrong = {
            name: (found, money[order])
            for name, order in self.orders.items()
            if (found := find_wrong(money[order], is_paid=is_paid(name), **options))
        }
        assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())


@pytest.fixture(scope="module")
def scene(charge_scene: ChargeScene) -> ChargeScene:
    """The scene which the tests of this file share; each has contracts of its own."""
    return charge_scene


@pytest.fixture(params=["charge", "prepaid"])
def mode(request: pytest.FixtureRequest) -> str:
    """How contracts are collected: by invoices, or by drafts which the money makes invoices."""
    return request.param


ALL = {**PASSING, **REMEMBERED, **REFUSED, **dict.fromkeys(BAD_CARDS)}


def test_with_lost_webhooks_asking_again_finds_out(scene: ChargeScene, mode: str) -> None:
    """No event ever comes: what got no answer is asked about again with the same payment."""
    matrix = Matrix(scene, mode, PASSING | REFUSED | dict.fromkeys(BAD_CARDS))
    scene.collect()
    scene.collect_until_quiet()
    matrix.check(lambda name: name in PASSING)
    scene.resolve(*(order for name, order in matrix.orders.items() if name not in PASSING))
    matrix.check(lambda _name: True)


@pytest.mark.parametrize(("mode", "times"), [("charge", 1), ("charge", 2), ("prepaid", 2)])
def test_a_webhook_tells_what_no_answer_did(scene: ChargeScene, mode: str, times: int) -> None:
    """Events come before anybody asks again, once or twice each; what the provider never saw is asked about."""
    matrix = Matrix(scene, mode, ALL)
    scene.collect()
    for order in (order for name, order in matrix.orders.items() if name in TOOK_AT_ONCE):
        scene.proxy.mailbox.wait_for("payment_intent.succeeded", scene.customers[order])
    scene.deliver_events(matrix.orders, times)
    scene.collect_until_quiet()
    scene.deliver_events(matrix.orders, times)
    scene.collect_until_quiet()
    matrix.check(lambda name: name in PASSING | REMEMBERED)


def test_a_fault_which_stays_for_a_while_takes_nothing_twice(scene: ChargeScene, mode: str) -> None:
    """The same thing goes wrong three times, then well."""
    matrix = Matrix(scene, mode, QUICK)
    for name, order in matrix.orders.items():
        if fault := QUICK[name]:
            scene.proxy.plan(scene.customers[order], fault, fault)
    scene.collect()
    for turn in range(1, 6):
        scene.collect(minutes=turn * ASK_AGAIN)
    matrix.check(lambda _name: True)


def test_a_customer_who_pays_by_transfer_meanwhile_isnt_charged_after(scene: ChargeScene, mode: str) -> None:
    """While no answer is there, a transfer pays the invoice: nothing is asked for any more which wasn't taken."""
    matrix = Matrix(scene, mode, PASSING | REMEMBERED)
    scene.collect()
    before = scene.get_money(*matrix.orders.values())
    scene.pay_by_transfer(*(order for name, order in matrix.orders.items() if before[order]["open"]))
    scene.collect_until_quiet()
    money = scene.get_money(*matrix.orders.values())
    taken = {name for name, order in matrix.orders.items() if money[order]["taken"]}
    assert taken == TOOK_AT_ONCE, "Asking again must not take what was paid meanwhile"
    for order in matrix.orders.values():
        assert money[order]["charges"] <= 1
        assert money[order]["open"] == 0
        assert money[order]["state"] in ("paid", "unknown"), "What got no answer stays visible"
    # The provider tells in the end, and Odoo has a surplus which can be given back.
    scene.deliver_events(matrix.orders)
    scene.collect_until_quiet()
    money = scene.get_money(*matrix.orders.values())
    for name, order in matrix.orders.items():
        assert money[order]["taken"] == money[order]["charged"], name
        assert money[order]["charges"] <= 1, name


def test_after_a_day_nothing_is_sent_again(scene: ChargeScene, mode: str) -> None:
    """When the provider may have forgotten the key, the same request would charge again: a person is asked."""
    matrix = Matrix(scene, mode, PASSING | REMEMBERED)
    scene.collect()
    scene.proxy.forget_keys()
    asked = len(scene.proxy.requests)
    scene.collect(minutes=DAY)
    scene.collect(minutes=2 * DAY)
    assert len(scene.proxy.requests) == asked
    money = scene.get_money(*matrix.orders.values())
    for name, order in matrix.orders.items():
        assert money[order]["charges"] == (name in TOOK_AT_ONCE), name
        assert money[order]["state"] == ("paid" if name == "none" else "unknown"), name
    # A person looks some of them up; a late event tells of the others, and of these once more.
    unknown = [order for name, order in matrix.orders.items() if name != "none"]
    by_person = [order for name, order in matrix.orders.items() if name not in TOOK_AT_ONCE] + unknown[:3]
    scene.resolve(*dict.fromkeys(by_person))
    scene.deliver_events(matrix.orders)
    scene.collect(minutes=2 * DAY + 1)
    matrix.check(lambda _name: True)


def test_money_for_a_draft_which_cannot_be_posted_is_booked_later(scene: ChargeScene) -> None:
    """The money is taken once, a person is told why it isn't booked, and it is once the reason is gone."""
    matrix = Matrix(scene, "prepaid", QUICK)
    orders = list(matrix.orders.values())
    scene.shell.run(ARCHIVE_ACCOUNTS, order_ids=orders, is_active=False)
    scene.collect()
    scene.collect_until_quiet()
    for name, order in matrix.orders.items():
        [money] = scene.get_money(order).values()
        assert (money["charges"], money["taken"], money["charged"]) == (1, 3000, 0), name
        assert money["documents"] == ["draft"], name
    errors = scene.shell.run(ARCHIVE_ACCOUNTS, order_ids=orders, is_active=True)
    assert all("could not be booked" in error for error in errors), errors
    scene.collect()
    matrix.check(lambda _name: True)


def test_closing_keeps_the_draft_whose_money_may_be_taken(scene: ChargeScene) -> None:
    """A closed contract isn't asked for money any more, what was taken makes an invoice, and the rest is cancelled."""
    matrix = Matrix(scene, "prepaid", {
        name: fault for name, fault in ALL.items()
        if name in ("none", "request lost", "answer lost", "500 remembered", "decline", "hard decline")})
    scene.collect()
    scene.shell.run(CLOSE, order_ids=list(matrix.orders.values()))
    scene.collect_until_quiet()
    kept = {"request lost", "answer lost", "500 remembered"}
    for name, order in matrix.orders.items():
        [money] = scene.get_money(order).values()
        expected = "draft" if name in kept else "posted" if name == "none" else "cancel"
        assert money["documents"] == [expected], name
        assert money["state"] == {"draft": "unknown", "posted": "paid", "cancel": "none"}[expected], name
    scene.deliver_events(matrix.orders)
    # The provider has nothing to tell of a request which it never saw; a person finds nothing there.
    scene.shell.run(CONFIRM_NOT_CHARGED, order_id=matrix.orders["request lost"])
    scene.collect_until_quiet()
    scene.collect(minutes=4 * DAY)
    for name, order in matrix.orders.items():
        [money] = scene.get_money(order).values()
        is_taken = name in TOOK_AT_ONCE
        assert money["documents"] == ["posted" if is_taken else "cancel"], name
        assert (money["charges"], money["taken"]) == ((1, 3000) if is_taken else (0, 0)), name
        assert money["taken"] == money["charged"] == money["owed"], name
        assert money["open"] == 0, name
        assert money["state"] == ("paid" if is_taken else "none"), name
