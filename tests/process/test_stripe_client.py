"""Odoo's own Stripe client against a provider which works, declines, answers late or not at all."""

from __future__ import annotations

from stripe_scene import StripeScene

from devtools.stripe import faults
from devtools.stripe.server import AUTHENTICATION_CARD, DECLINED_WHEN_CHARGED_CARD


def charge_saved(stripe: StripeScene, name: str, number: str) -> tuple[tuple[str, str], dict[str, int]]:
    """Save a card and charge it 50.00 while the customer is away."""
    saved = stripe.save_card(name, number)
    found = stripe.create_transaction(f"{name} charge", token_id=saved["token"], partner_id=saved["partner"])
    return stripe.charge(found["id"]), {**saved, **found, "customer": stripe.get_customer(saved["token"])}


def test_a_card_is_saved_through_a_setup_intent(stripe: StripeScene) -> None:
    """The customer's browser confirms the intent, Odoo fetches it and keeps the token."""
    saved = stripe.save_card("Saved")
    assert stripe.read("payment.transaction", saved["id"], "state") == "done"
    details, customer, card = stripe.read(
        "payment.token", saved["token"], "payment_details", "provider_ref", "stripe_payment_method")
    assert details == "4242"
    assert customer.startswith("cus_")
    assert card.startswith("pm_")
    assert stripe.provider.get_taken(customer) == 0


def test_a_saved_card_is_charged_while_the_customer_is_away(stripe: StripeScene) -> None:
    """The money is taken once, and the intent carries the reference of the transaction."""
    (state, _message), found = charge_saved(stripe, "Good", "4242424242424242")
    assert state == "done"
    assert stripe.provider.get_taken(found["customer"]) == 5000
    [request] = stripe.proxy.get_charge_requests(found["customer"])
    assert request.data["description"] == "Good charge"


def test_a_declined_card_is_an_error_with_the_banks_words(stripe: StripeScene) -> None:
    """A decline takes no money."""
    (state, message), found = charge_saved(stripe, "Declined", DECLINED_WHEN_CHARGED_CARD)
    assert state == "error"
    assert "Your card was declined." in message
    assert stripe.provider.get_taken(found["customer"]) == 0


def test_a_card_which_wants_its_owner_is_refused_while_they_are_away(stripe: StripeScene) -> None:
    """Authentication required is a decline for now."""
    saved = stripe.create_transaction("Authentication")
    customer, card = stripe.provider.create_customer("Authentication", AUTHENTICATION_CARD)
    token = stripe.create_token(saved["partner"], customer, card)
    found = stripe.create_transaction("Authentication charge", token_id=token, partner_id=saved["partner"])
    state, message = stripe.charge(found["id"])
    assert state == "error"
    assert "requires authentication" in message
    assert stripe.provider.get_taken(customer) == 0


def test_a_webhook_which_comes_twice_changes_nothing_the_second_time(stripe: StripeScene) -> None:
    """The event is accepted, the transaction stays as it is."""
    (_state, _message), found = charge_saved(stripe, "Twice", "4242424242424242")
    event = stripe.proxy.mailbox.wait_for("payment_intent.succeeded", found["customer"])
    assert stripe.proxy.mailbox.deliver(event) == 200
    assert stripe.proxy.mailbox.deliver(event) == 200
    assert stripe.read("payment.transaction", found["id"], "state") == "done"


def test_a_webhook_which_is_signed_wrongly_or_too_old_is_refused(stripe: StripeScene) -> None:
    """Nobody else can say that something was paid."""
    found = stripe.create_transaction("Forged")
    event = {"type": "payment_intent.succeeded", "data": {"object": {
        "id": "pi_forged", "description": "Forged", "amount": 5000, "currency": "usd", "status": "succeeded"}}}
    assert stripe.proxy.mailbox.deliver(event, secret="whsec_wrong") == 403
    assert stripe.proxy.mailbox.deliver(event, age=3600) == 403
    assert stripe.read("payment.transaction", found["id"], "state") == "draft"
    assert stripe.proxy.mailbox.deliver(event) == 200
    assert stripe.read("payment.transaction", found["id"], "state") == "done", "The right signature is accepted"


def test_a_webhook_before_the_answer_pays_once(stripe: StripeScene) -> None:
    """The event overtakes the answer; both say the same of one transaction."""
    saved = stripe.save_card("Overtaken")
    customer = stripe.get_customer(saved["token"])
    found = stripe.create_transaction("Overtaken charge", token_id=saved["token"], partner_id=saved["partner"])
    hold = faults.Hold(after=True)
    stripe.proxy.plan(customer, hold)
    stripe.shell.begin("""
tx = env['payment.transaction'].browse(tx_id)
tx._charge_with_token()
result = tx.state
""", tx_id=found["id"])
    hold.wait()
    event = stripe.proxy.mailbox.wait_for("payment_intent.succeeded", customer)
    assert stripe.proxy.mailbox.deliver(event) == 200
    hold.release()
    assert stripe.shell.end() == "done"
    assert stripe.read("payment.transaction", found["id"], "state") == "done"
    assert stripe.provider.get_taken(customer) == 5000


def test_the_same_key_is_charged_once_however_often_it_comes(stripe: StripeScene) -> None:
    """An answer which never came can be asked for again."""
    saved = stripe.save_card("Key")
    customer = stripe.get_customer(saved["token"])
    found = stripe.create_transaction("Key charge", token_id=saved["token"], partner_id=saved["partner"])
    stripe.proxy.plan(customer, faults.lose_answer)
    stripe.charge(found["id"])
    assert stripe.provider.get_taken(customer) == 5000, "The charge went through"
    assert stripe.charge(found["id"])[0] == "done"
    first, second = stripe.proxy.get_charge_requests(customer)
    assert first.key == second.key != ""
    assert stripe.provider.get_taken(customer) == 5000, "And only once"


def test_a_refund_is_made_at_the_provider(stripe: StripeScene) -> None:
    """Money goes back through the original payment, in part and by an event of the provider's."""
    (_state, _message), found = charge_saved(stripe, "Refund", "4242424242424242")
    state = stripe.shell.run(
        "result = env['payment.transaction'].browse(tx_id)._refund(20.0).state", tx_id=found["id"])
    assert state == "done"
    assert stripe.provider.get_taken(found["customer"]) == 3000
    [charge] = stripe.provider.get_charges(found["customer"])
    stripe.provider.refund(charge["id"], 1000)
    assert stripe.proxy.mailbox.deliver(stripe.proxy.make_refund_event(charge["id"])) == 200
    refunds = stripe.shell.run(
        "result = env['payment.transaction'].browse(tx_id).child_transaction_ids.mapped('amount')", tx_id=found["id"])
    assert sorted(refunds) == [-20.0, -10.0]


def test_the_provider_keeps_what_it_has_when_it_restarts(stripe: StripeScene) -> None:
    """An outage of the provider's loses no money, and a charge meanwhile takes none."""
    (_state, _message), found = charge_saved(stripe, "Outage", "4242424242424242")
    later = stripe.create_transaction("Outage later", token_id=found["token"], partner_id=found["partner"])
    stripe.provider.stop()
    assert stripe.charge(later["id"])[0] != "done"
    stripe.provider.start()
    stripe.provider.send_webhooks_to(f"{stripe.proxy.url}/_events")
    assert stripe.provider.get_taken(found["customer"]) == 5000
