"""E-mails of contracts, really sent to a mail server and read as the customer reads them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from charge_scene import ChargeScene
from mail_server import MailServer, get_attachments, get_text
from shell import OdooShell

USE_SERVER = """
env['ir.mail_server'].create({'name': 'Test', 'smtp_host': '127.0.0.1', 'smtp_port': port, 'smtp_encryption': 'none'})
env.company.email = 'billing@seller.example'
env.company.partner_id.email = 'billing@seller.example'
env['ir.config_parameter'].set_param('report.url', address)
env['ir.config_parameter'].set_param('web.base.url', address)
"""

SET_UP = """
if not env.company.chart_template:
    env['account.chart.template'].try_loading('generic_coa', company=env.company, install_demo=False)
env['product.product'].create({
    'name': 'Hosting', 'default_code': 'HOSTING', 'type': 'service', 'recurring_invoice': True, 'list_price': 30.0,
    'taxes_id': False})
"""

CREATE = """
plan = env.ref('sale_subscription_ext.subscription_plan_monthly')
plan.write({'collection_mode': 'send', 'send_mails': True})
partner = env['res.partner'].create({'name': 'Lumber Inc', 'email': recipient})
order = env['sale.order'].create({
    'partner_id': partner.id, 'plan_id': plan.id, 'user_id': False,
    'order_line': [(0, 0, {'product_id': env['product.product'].search([('default_code', '=', 'HOSTING')]).id})]})
result = order.name
"""

CONFIRM = "env['sale.order'].search([('name', '=', name)]).action_confirm()"

BILL = """
order = env['sale.order'].search([('partner_id.email', '=', recipient)])
moves = env['sale.order']._bill_subscriptions(commit=True)
assert moves.partner_id == order.partner_id
result = moves.name
"""

RUN_CRONS = """
for cron in crons:
    env.ref(cron).method_direct_trigger()
"""
SENDING_CRONS = ['account.ir_cron_account_move_send', 'mail.ir_cron_mail_scheduler_action']


class MailScene:
    """An Odoo which sends its e-mails to a server of the test's."""

    def __init__(self, database: Any) -> None:
        self.server = MailServer()
        self._log = Path(tempfile.mkstemp(prefix="odoo-server")[1])
        _process, address = database.serve(self._log)
        self.shell = OdooShell(database)
        self.shell.run(USE_SERVER + SET_UP, port=self.server.port, address=address)

    def send(self) -> None:
        """Let the crons send what waits."""
        for cron in SENDING_CRONS:
            self.shell.run(RUN_CRONS, crons=[cron])

    def close(self) -> None:
        """End everything but the database."""
        self.shell.close()
        self.server.close()
        self._log.unlink()


@pytest.fixture
def mail(odoo_database: Any) -> Iterator[MailScene]:
    """Odoo and a mail server."""
    scene = MailScene(odoo_database)
    yield scene
    scene.close()


def test_a_customer_gets_the_contract_and_the_invoice_by_mail(mail: MailScene) -> None:
    """The start of the contract is told, the invoice comes with its PDF, and both reach the server once."""
    recipient = 'lumber@customer.example'
    name = mail.shell.run(CREATE, recipient=recipient)
    mail.shell.run(CONFIRM, name=name)
    mail.send()
    [started] = mail.server.wait_for(recipient)
    assert name in get_text(started)
    assert 'billing@seller.example' in f"{started['From']} {started['Reply-To']}"
    number = mail.shell.run(BILL, recipient=recipient)
    mail.send()
    _started, invoice = mail.server.wait_for(recipient, 2)
    assert number in str(invoice['Subject'])
    [pdf] = [content for file, content in get_attachments(invoice).items() if file.endswith('.pdf')]
    assert pdf.startswith(b'%PDF')
    mail.send()
    assert len(mail.server.get_messages(recipient)) == 2, "Nothing is sent twice"


def test_a_customer_gets_a_receipt_for_a_charge(charge_scene: ChargeScene) -> None:
    """Money taken by itself is told of once, when it is there."""
    server = MailServer()
    try:
        charge_scene.shell.run(USE_SERVER, port=server.port, address=charge_scene.address)
        charge_scene.create_contracts(["Receipt"])
        charge_scene.shell.run("env.ref('sale_subscription_ext.subscription_plan_monthly').send_mails = True")
        charge_scene.collect()
        charge_scene.collect_until_quiet()
        for cron in SENDING_CRONS:
            charge_scene.shell.run(RUN_CRONS, crons=[cron])
        [receipt] = server.wait_for('customer@example.com')
        assert '30.00' in get_text(receipt)
        assert '4242' in get_text(receipt)
    finally:
        server.close()
