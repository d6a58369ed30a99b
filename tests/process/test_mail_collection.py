"""E-mails about money, read as the customer reads them: their links are opened and paid by, without a login."""

from __future__ import annotations

import datetime

import pytest
from mail_scene import MailScene, Page, find_link, get_words

from devtools.stripe.server import DECLINED_WHEN_CHARGED_CARD, GOOD_CARD

RECOVERY = '/subscription/pay/'
PREPAID = '/payment/pay'

# How each customer reads 30 dollars, and a day. On which side the symbol stands is the currency's.
FORMATS = {'en_US': ('$ 30.00', '%m/%d/%Y'), 'fr_FR': ('$ 30,00', '%d/%m/%Y')}
LANGUAGES = pytest.mark.parametrize('lang', list(FORMATS))

READ_PAYMENTS = "result = env['account.payment'].search([('partner_id.email', '=', recipient)]).mapped('amount')"


def get_state(mails: MailScene, move: int) -> tuple[str, str]:
    """Return whether an invoice is posted, and whether it is paid."""
    return mails.charges.read('account.move', move, 'state', 'payment_state')


def write_day(lang: str, day: str) -> str:
    """Return how a day is written in a language."""
    return datetime.date.fromisoformat(day).strftime(FORMATS[lang][1])


def test_who_could_not_be_charged_pays_by_the_link_of_the_e_mail(mails: MailScene) -> None:
    """The link which was delivered opens the page of this invoice, takes its money, and is over then."""
    recipient = 'declined@customer.example'
    order = mails.create_contract(recipient, number=DECLINED_WHEN_CHARGED_CARD, collection_mode='charge')
    move, number = mails.bill(order)
    mails.charges.collect()
    mails.charges.collect()
    _started, failed = mails.read(recipient, 2)
    for text in (number, '$ 30.00', '4242'):
        assert text in get_words(failed)
    link = find_link(failed, RECOVERY)
    page = Page(link)
    assert (page.status, page.is_paying) == (200, True)
    for text in (number, '30.00', mails.charges.read('sale.order', order, 'name')):
        assert text in page.text
    assert 'no-store' in page.headers['Cache-Control']
    mails.pay(page)
    assert get_state(mails, move) == ('posted', 'paid')
    page = Page(link)
    assert (page.status, page.is_paying) == (200, False)
    assert 'there is nothing left to do' in page.text
    mails.charges.collect_until_quiet()
    assert len(mails.read(recipient, 2)) == 2, "Nobody is reminded of what is paid"


def test_a_link_which_was_changed_opens_nothing(mails: MailScene) -> None:
    """What was delivered opens one invoice, and that of nobody else."""
    links = []
    for name in ('one', 'other'):
        recipient = f'{name}@customer.example'
        order = mails.create_contract(recipient, number=DECLINED_WHEN_CHARGED_CARD, collection_mode='charge')
        mails.bill(order)
        mails.charges.collect()
        mails.charges.collect()
        links.append(find_link(mails.read(recipient, 2)[-1], RECOVERY))
    (start, signature), (other_start, _signature) = (link.rsplit('-', 1) for link in links)
    assert start != other_start
    page = Page(f'{other_start}-{signature}')
    assert (page.status, page.is_paying) == (404, False)


def test_who_has_not_paid_a_sent_invoice_is_reminded_with_a_link(mails: MailScene) -> None:
    """Some days after the due date, the customer gets a link for what is left of it."""
    recipient = 'reminded@customer.example'
    order = mails.create_contract(recipient, collection_mode='send')
    move, number = mails.bill(order)
    mails.read(recipient, 2)
    mails.charges.collect(minutes=4 * 24 * 60)
    reminder = mails.read(recipient, 3)[-1]
    assert number in str(reminder['Subject'])
    assert '$ 30.00' in get_words(reminder)
    page = Page(find_link(reminder, RECOVERY))
    assert (page.status, page.is_paying, number in page.text) == (200, True, True)
    mails.pay(page)
    assert get_state(mails, move) == ('posted', 'paid')


def test_a_prepaid_customer_pays_by_the_link_of_the_e_mail(mails: MailScene) -> None:
    """The draft is paid by the link, which makes it an invoice; that is sent where the customer gets invoices."""
    recipient = 'prepaid@customer.example'
    order = mails.create_contract(recipient, collection_mode='prepaid', invoice_email=True)
    move, number = mails.bill(order)
    assert not number, "A draft has no number yet"
    wanted = mails.read(recipient, 2)[-1]
    assert 'You receive the invoice' in get_words(wanted)
    page = Page(find_link(wanted, PREPAID))
    assert (page.status, page.is_paying) == (200, True)
    assert f'/invoice/transaction/{move}' in page.text
    assert get_state(mails, move) == ('draft', 'not_paid'), "Looking at it makes it no invoice"
    mails.pay(page)
    assert get_state(mails, move) == ('posted', 'paid')
    assert not Page(find_link(wanted, PREPAID)).is_paying, "The link of the e-mail asks for the money once"
    with pytest.raises(AssertionError, match="Nothing is left to be paid"):
        mails.pay(page)  # as from a page which was open already
    assert mails.shell.run(READ_PAYMENTS, recipient=recipient) == [30.0]
    invoice = mails.read(recipient, 3)[-1]
    assert mails.charges.read('account.move', move, 'name') in str(invoice['Subject'])


def test_a_prepaid_customer_who_gets_no_invoices_is_promised_none(mails: MailScene) -> None:
    """Where invoices aren't e-mailed, the e-mail says where to find them."""
    recipient = 'prepaid-portal@customer.example'
    order = mails.create_contract(recipient, collection_mode='prepaid')
    mails.bill(order)
    wanted = mails.read(recipient, 2)[-1]
    assert 'You receive the invoice' not in get_words(wanted)
    assert 'you find the invoice with the button above' in get_words(wanted)
    mails.pay(Page(find_link(wanted, PREPAID)))
    assert len(mails.read(recipient, 2)) == 2


def test_a_prepaid_customer_who_has_not_paid_is_reminded_with_a_link(mails: MailScene) -> None:
    """The reminder speaks of a draft without the number which it doesn't have."""
    recipient = 'prepaid-late@customer.example'
    order = mails.create_contract(recipient, collection_mode='prepaid')
    move, _number = mails.bill(order)
    mails.read(recipient, 2)
    mails.charges.collect(minutes=4 * 24 * 60)
    reminder = mails.read(recipient, 3)[-1]
    name = mails.charges.read('sale.order', order, 'name')
    assert str(reminder['Subject']).endswith(f'your invoice for {name} is not paid yet')
    assert f'the payment for your subscription {name} was due on' in get_words(reminder)
    mails.pay(Page(find_link(reminder, RECOVERY)))
    assert get_state(mails, move) == ('posted', 'paid')


@LANGUAGES
def test_a_charge_is_announced_in_the_formats_of_the_customer(mails: MailScene, lang: str) -> None:
    """Day and amount of the next charge, as each customer writes them."""
    recipient = f'announced-{lang}@customer.example'.lower()
    order = mails.create_contract(
        recipient, lang, GOOD_CARD, collection_mode='charge', charge_reminder_days=40)
    mails.bill(order)
    mails.charges.collect()
    _started, receipt, announced = mails.read(recipient, 3)
    day = write_day(lang, mails.charges.read('sale.order', order, 'next_invoice_date'))
    assert f'on {day} we will charge {FORMATS[lang][0]} to Card' in get_words(announced)
    assert f'We charged {FORMATS[lang][0]} to' in get_words(receipt)
    mails.charges.collect()
    assert len(mails.read(recipient, 3)) == 3, "It is announced once"


@LANGUAGES
def test_what_is_to_be_paid_is_told_in_the_formats_of_the_customer(mails: MailScene, lang: str) -> None:
    """The start of a contract, what is paid in advance, and what couldn't be charged."""
    amount = FORMATS[lang][0]
    paid = mails.create_contract(f'wanted-{lang}@customer.example'.lower(), lang, collection_mode='prepaid')
    mails.bill(paid)
    started, wanted = mails.read(f'wanted-{lang}@customer.example'.lower(), 2)
    day = write_day(lang, mails.charges.read('sale.order', paid, 'start_date'))
    assert f'service from {day} on' in get_words(started)
    assert f'{amount} every month' in get_words(started)
    assert f'{amount} are to be paid' in get_words(wanted)
    assert f'by {day} .' in get_words(wanted)
    charged = mails.create_contract(
        f'failed-{lang}@customer.example'.lower(), lang, DECLINED_WHEN_CHARGED_CARD, collection_mode='charge')
    mails.bill(charged)
    mails.charges.collect()
    mails.charges.collect()
    failed = mails.read(f'failed-{lang}@customer.example'.lower(), 2)[-1]
    assert f'could not collect {amount} for invoice' in get_words(failed)
    assert f'Pay {amount}' in get_words(failed)
    [shown] = {text for text in ('30.00', '30,00') if text in Page(find_link(failed, RECOVERY)).text}
    assert shown in amount, "The page writes it as the e-mail does"


TRANSLATE = """
template = env.ref(f'sale_subscription_ext.mail_template_subscription_{name}')
template.with_context(lang='fr_FR').subject = subject
"""


def test_a_translated_subject_is_read_by_who_speaks_the_language(mails: MailScene) -> None:
    """The French one reads the translation, the English one the original, of the same run."""
    mails.shell.run(TRANSLATE, name='started', subject="Votre abonnement {{ object.name }} commence")
    mails.shell.run(TRANSLATE, name='prepaid', subject="À payer : {{ object.name }}")
    orders = {
        lang: mails.create_contract(f'subject-{lang}@customer.example'.lower(), lang, collection_mode='prepaid')
        for lang in FORMATS}
    mails.shell.run("env['sale.order'].browse(order_ids)._bill_subscriptions()", order_ids=list(orders.values()))
    names = {lang: mails.charges.read('sale.order', order, 'name') for lang, order in orders.items()}
    subjects = {
        lang: [str(message['Subject']) for message in mails.read(f'subject-{lang}@customer.example'.lower(), 2)]
        for lang in FORMATS}
    assert subjects == {
        'en_US': [f"Your subscription {names['en_US']}", f"Please pay for your subscription {names['en_US']}"],
        'fr_FR': [f"Votre abonnement {names['fr_FR']} commence", f"À payer : {names['fr_FR']}"],
    }
