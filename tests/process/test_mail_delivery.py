"""E-mails of contracts, really sent to a mail server and read as the customer reads them."""

from __future__ import annotations

import pytest
from mail_scene import MailScene, get_words
from mail_server import get_attachments, get_text

from devtools.stripe.server import DECLINED_WHEN_CHARGED_CARD, GOOD_CARD


def test_a_customer_gets_the_contract_and_the_invoice_by_mail(mails: MailScene) -> None:
    """The start of the contract is told, the invoice comes with its PDF, and both reach the server once."""
    recipient = 'lumber@customer.example'
    order = mails.create_contract(recipient, collection_mode='send')
    [started] = mails.read(recipient, 1)
    assert mails.charges.read('sale.order', order, 'name') in get_text(started)
    assert 'billing@seller.example' in f"{started['From']} {started['Reply-To']}"
    _move, number = mails.bill(order)
    _started, invoice = mails.read(recipient, 2)
    assert number in str(invoice['Subject'])
    [pdf] = [content for file, content in get_attachments(invoice).items() if file.endswith('.pdf')]
    assert pdf.startswith(b'%PDF')
    assert len(mails.read(recipient, 2)) == 2, "Nothing is sent twice"


def test_a_customer_gets_a_receipt_for_a_charge(mails: MailScene) -> None:
    """Money taken by itself is told of once, when it is there."""
    recipient = 'receipt@customer.example'
    order = mails.create_contract(recipient, number=GOOD_CARD, collection_mode='charge')
    _move, number = mails.bill(order)
    mails.charges.collect()
    mails.charges.collect_until_quiet()
    _started, receipt = mails.read(recipient, 2)
    for text in ('30.00', '4242', number):
        assert text in get_words(receipt)


GIVE_OTHER_CARD = """
order = env['sale.order'].browse(order_id)
order.payment_token_id = order.payment_token_id.copy({'provider_ref': card[0], 'stripe_payment_method': card[1]})
order.invoice_ids.action_charge_again()
"""

RECEIVE = """
thread = env['mail.thread'].message_process(False, message)
answer = env['mail.message'].search([('model', '=', 'sale.order'), ('res_id', '=', thread)], limit=1)
result = [thread, answer.body, answer.is_internal or answer.subtype_id.internal]
"""

ANSWER = """\
From: {recipient}
To: billing@seller.example
Subject: Re: {subject}
Message-Id: <answer-{sent_id}>
In-Reply-To: <{sent_id}>
Content-Type: text/plain; charset=utf-8

I have got a new card.
"""


@pytest.mark.parametrize('tells_of_start', [True, False])
def test_all_e_mails_of_a_contract_are_one_thread(mails: MailScene, tells_of_start: bool) -> None:
    """Each refers to one which the customer has, whatever was logged in between."""
    recipient = f'thread-{int(tells_of_start)}@customer.example'
    order = mails.create_contract(
        recipient, number=DECLINED_WHEN_CHARGED_CARD, collection_mode='charge', send_mails=tells_of_start)
    mails.set_plan(order, send_mails=True)
    mails.bill(order)
    mails.charges.collect()
    mails.charges.collect()
    mails.shell.run(GIVE_OTHER_CARD, order_id=order, card=mails.charges.provider.create_customer(recipient))
    mails.charges.collect()
    mails.set_plan(order, charge_reminder_days=40)
    mails.charges.collect()
    messages = mails.read(recipient, 3 + tells_of_start)
    known = set()
    for message in messages:
        references = set(str(message['References']).split())
        assert not known or references & known, f"{message['Subject']} begins a thread of its own"
        known.add(str(message['Message-Id']).strip())
        assert 'Internal communication' not in get_text(message), "The list of the mailbox shows it"


def test_an_answer_to_an_e_mail_comes_to_the_contract(mails: MailScene) -> None:
    """E-mails ask to be answered: an answer is no note, so that who follows the contract is told of it."""
    recipient = 'answers@customer.example'
    order = mails.create_contract(
        recipient, number=GOOD_CARD, collection_mode='charge', charge_reminder_days=40)
    mails.bill(order)
    mails.charges.collect()
    for message in mails.read(recipient, 3):
        thread, text, is_internal = mails.shell.run(RECEIVE, message=ANSWER.format(
            recipient=recipient, subject=message['Subject'], sent_id=str(message['Message-Id']).strip(' <>')))
        assert thread == order
        assert 'new card' in text
        assert not is_internal, f"The answer to {message['Subject']}"
