"""What the provider says later, or never: banks which take days, late answers, changed minds."""

from __future__ import annotations

from typing import Any

from charge_scene import ASK_AGAIN, DAY, ChargeScene, find_wrong

from devtools.stripe import faults


def charge_one(scene: ChargeScene, name: str, *planned: Any) -> tuple[int, str]:
    """Create a contract, let its charge go wrong, and return it and the provider's customer."""
    [order] = scene.create_contracts([name]).values()
    customer = scene.customers[order]
    scene.proxy.plan(customer, *planned)
    scene.collect()
    return order, customer


def get_money(scene: ChargeScene, order: int) -> dict[str, Any]:
    """Return the money of one contract."""
    return scene.get_money(order)[order]


def test_a_bank_which_takes_days_pays_by_its_event(charge_scene: ChargeScene) -> None:
    """Meanwhile the payment is under way: nothing is sent again, and nobody is told that it failed."""
    order, customer = charge_one(charge_scene, "Days", faults.say_processing)
    assert get_money(charge_scene, order)["state"] == "pending"
    for days in (1, 2, 3):
        charge_scene.collect(minutes=days * DAY)
    assert len(charge_scene.proxy.get_charge_requests(customer)) == 1
    assert get_money(charge_scene, order)["state"] == "pending"
    event = charge_scene.proxy.mailbox.wait_for("payment_intent.succeeded", customer)
    charge_scene.proxy.mailbox.deliver(event)
    charge_scene.collect(minutes=3 * DAY + 1)
    assert not find_wrong(get_money(charge_scene, order), is_paid=True)


def test_a_bank_which_says_no_after_days_makes_it_a_failure(charge_scene: ChargeScene) -> None:
    """A direct debit which bounces is a decline, though it began well."""
    order, customer = charge_one(charge_scene, "Debit", pretend_processing)
    assert get_money(charge_scene, order)["state"] == "pending"
    [request] = charge_scene.proxy.get_charge_requests(customer)
    intent = {
        "id": "pi_bounced", "description": request.data["description"], "amount": 3000, "currency": "usd",
        "status": "requires_payment_method", "last_payment_error": {"message": "The account has no money."}}
    charge_scene.proxy.mailbox.deliver(
        {"id": "evt_bounced", "type": "payment_intent.payment_failed", "data": {"object": intent}})
    charge_scene.collect(minutes=DAY)
    assert not find_wrong(get_money(charge_scene, order), is_paid=False)


def pretend_processing(exchange: Any) -> None:
    """Say that the bank is at it, without taking anything."""
    answer = faults.Answer.of(200, {
        "id": "pi_bounced", "object": "payment_intent", "amount": 3000, "currency": "usd", "status": "processing",
        "description": exchange.request.data["description"]})
    exchange.remember(answer)
    exchange.send(answer)


def test_a_payment_which_the_customer_must_confirm_fails_and_may_succeed_late(charge_scene: ChargeScene) -> None:
    """The intent waits at the provider: when the customer confirms it later, the money is booked once."""
    order, customer = charge_one(charge_scene, "Confirm", faults.wait_for_customer)
    assert get_money(charge_scene, order)["state"] == "failed"
    event = charge_scene.proxy.mailbox.wait_for("payment_intent.succeeded", customer)
    charge_scene.proxy.mailbox.deliver(event)
    charge_scene.proxy.mailbox.deliver(event)
    charge_scene.collect(minutes=ASK_AGAIN)
    assert not find_wrong(get_money(charge_scene, order), is_paid=True)


def test_a_second_answer_which_wants_the_customer_fails_and_may_succeed_late(charge_scene: ChargeScene) -> None:
    """The first request is lost, the same one sent again waits for the customer at the provider."""
    order, customer = charge_one(charge_scene, "Confirm again", faults.lose_request, faults.wait_for_customer)
    assert get_money(charge_scene, order)["state"] == "unknown"
    charge_scene.collect_until_quiet()
    money = get_money(charge_scene, order)
    assert (money["state"], money["tx"]) == ("failed", ["error"])
    event = charge_scene.proxy.mailbox.wait_for("payment_intent.succeeded", customer)
    charge_scene.proxy.mailbox.deliver(event)
    charge_scene.collect(minutes=4 * ASK_AGAIN)
    assert not find_wrong(get_money(charge_scene, order), is_paid=True)


def test_a_customer_who_moves_in_between_isnt_charged_twice(charge_scene: ChargeScene) -> None:
    """The same key with another address is refused by the provider: that says nothing of the first request."""
    order, customer = charge_one(charge_scene, "Moved", faults.lose_answer)
    charge_scene.shell.run(
        "env['sale.order'].browse(order_id).invoice_ids.partner_shipping_id.street = 'Other Street 2'", order_id=order)
    charge_scene.collect_until_quiet()
    money = get_money(charge_scene, order)
    assert money["charges"] == 1
    assert money["state"] in ("unknown", "paid")
    event = charge_scene.proxy.mailbox.wait_for("payment_intent.succeeded", customer)
    charge_scene.proxy.mailbox.deliver(event)
    charge_scene.collect(minutes=4 * ASK_AGAIN)
    assert not find_wrong(get_money(charge_scene, order), is_paid=True)


def test_another_amount_than_asked_for_waits_for_a_person(charge_scene: ChargeScene) -> None:
    """Money was taken, who knows how much: it isn't booked as paid, and nobody tries again."""
    order, customer = charge_one(charge_scene, "Amount", faults.change_answer(amount=100))
    charge_scene.collect_until_quiet()
    money = get_money(charge_scene, order)
    assert (money["charged"], money["open"], money["state"]) == (0, money["owed"], "unknown")
    assert len({request.key for request in charge_scene.proxy.get_charge_requests(customer)}) == 1
    charge_scene.resolve(order)
    assert not find_wrong(get_money(charge_scene, order), is_paid=True)


def test_a_refund_at_the_provider_shows_on_the_contract(charge_scene: ChargeScene) -> None:
    """Money which went back is booked, the invoice is open again, and nobody is charged again by itself."""
    order, customer = charge_one(charge_scene, "Refunded")
    [charge] = charge_scene.provider.get_charges(customer)
    charge_scene.provider.refund(charge["id"])
    charge_scene.proxy.mailbox.deliver(charge_scene.proxy.make_refund_event(charge["id"]))
    charge_scene.shell.run("env.ref('payment.cron_post_process_payment_tx').method_direct_trigger()")
    charge_scene.collect_until_quiet()
    assert len(charge_scene.provider.get_charges(customer)) == 1
    money = get_money(charge_scene, order)
    assert money["taken"] == 0
    refunds = charge_scene.shell.run("""
order = env['sale.order'].browse(order_id)
result = env['account.payment'].search([
    ('partner_id', '=', order.partner_id.id), ('payment_type', '=', 'outbound'), ('state', '!=', 'draft'),
]).mapped('amount')
""", order_id=order)
    assert refunds == [30.0]


CLOSE_WITH_REFUND = """
order = env['sale.order'].browse(order_id)
reason = env['subscription.close.reason'].search([], limit=1)
order._close_subscriptions(reason, date=order.start_date, money='refund')
env['account.move']._refund_wanted()
"""
READ_REFUND = """
invoices = env['sale.order'].browse(order_id).invoice_ids
credit = invoices.filtered(lambda move: move.move_type == 'out_refund')
result = {
    'state': credit.subscription_refund_state, 'tx': credit.transaction_ids.mapped('state'),
    'open': credit.amount_residual, 'refunds': len(invoices.transaction_ids.child_transaction_ids),
    'left': round(100 * (sum((invoices - credit).mapped('amount_total')) - credit.amount_total))}
"""


def test_a_refund_whose_answer_is_lost_is_booked_once_by_its_event(charge_scene: ChargeScene) -> None:
    """The money went back: nobody sends it again, and the event tells of the very refund which got no answer."""
    order, customer = charge_one(charge_scene, "Closed")
    [charge] = charge_scene.provider.get_charges(customer)
    charge_scene.proxy.plan(charge["payment_intent"], faults.lose_answer)
    charge_scene.shell.run(CLOSE_WITH_REFUND, order_id=order)
    refund = charge_scene.shell.run(READ_REFUND, order_id=order)
    assert (refund["state"], refund["tx"]) == ("unknown", ["pending"])
    charge_scene.shell.run("env['account.move']._refund_wanted()")
    charge_scene.collect_until_quiet()
    assert charge_scene.provider.get_taken(customer) == refund["left"], "Sent once"
    for _time in range(2):
        charge_scene.proxy.mailbox.deliver(charge_scene.proxy.make_refund_event(charge["id"]))
        charge_scene.shell.run("env.ref('payment.cron_post_process_payment_tx').method_direct_trigger()")
    refund = charge_scene.shell.run(READ_REFUND, order_id=order)
    assert (refund["state"], refund["tx"], refund["open"], refund["refunds"]) == ("sent", ["done"], 0.0, 1)


def test_a_bank_which_never_decides_is_listed_and_the_provider_asked_what_became_of_it(
    charge_scene: ChargeScene,
) -> None:
    """After two weeks without an event a person presses a button: the intent is looked up, and nothing sent again."""
    order, customer = charge_one(charge_scene, "For ever", faults.say_processing)
    charge_scene.collect(minutes=13 * DAY)
    assert get_money(charge_scene, order)["state"] == "pending"
    charge_scene.collect(minutes=15 * DAY)
    assert get_money(charge_scene, order)["state"] == "unknown"
    charge_scene.shell.run("env['sale.order'].browse(order_id).invoice_ids.action_ask_provider()", order_id=order)
    assert len(charge_scene.proxy.get_charge_requests(customer)) == 1
    assert not find_wrong(get_money(charge_scene, order), is_paid=True)
