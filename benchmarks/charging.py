"""How many invoices are charged a second at a provider which takes its time, by one worker, two and four."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

ADDON = "test_sale_subscription_ext_stripe"
PRODUCT = "Charged service"


def install(env: Any, url: str, secret_key: str) -> None:
    """Install Odoo's Stripe client, and have it ask a provider of ours."""
    modules = env["ir.module.module"]
    modules.update_list()
    modules.search([("name", "=", ADDON)]).button_immediate_install()
    env = env(context=dict(env.context))
    if not env.company.chart_template:
        env["account.chart.template"].try_loading("generic_coa", company=env.company, install_demo=False)
    env["ir.config_parameter"].set_param(f"{ADDON}.url", url)
    provider = env.ref("payment.payment_provider_stripe")
    provider.write({"stripe_secret_key": secret_key, "stripe_publishable_key": "pk_test_subscription", "state": "test"})
    account = env["account.account"].create(
        {"name": "Outstanding", "code": "101499", "account_type": "asset_current", "reconcile": True}
    )
    provider.journal_id.inbound_payment_method_line_ids.filtered(
        lambda line: line.payment_provider_id == provider
    ).payment_account_id = account
    env.ref("sale_subscription_ext.subscription_plan_monthly").write(
        {"collection_mode": "charge", "invoice_mail_template_id": False, "send_mails": False}
    )
    env.company.subscription_max_run = 0
    env["product.product"].create(
        {"name": PRODUCT, "type": "service", "recurring_invoice": True, "list_price": 30.0, "taxes_id": False}
    )


def create(env: Any, file: str) -> None:
    """Create a contract of which a month is due for each customer of the provider, with a saved card.

    :param file: JSON, pairs of a customer and a card
    """
    provider = env.ref("payment.payment_provider_stripe")
    method = env.ref("payment.payment_method_card")
    product = env["product.product"].search([("name", "=", PRODUCT)])
    accounts = json.loads(Path(file).read_text())
    partners = env["res.partner"].create([{"name": customer} for customer, _card in accounts])
    tokens = env["payment.token"].create(
        [
            {
                "provider_id": provider.id,
                "payment_method_id": method.id,
                "payment_details": "4242",
                "partner_id": partner.id,
                "provider_ref": customer,
                "stripe_payment_method": card,
            }
            for partner, (customer, card) in zip(partners, accounts, strict=True)
        ]
    )
    env["sale.order"].create(
        [
            {
                "partner_id": token.partner_id.id,
                "plan_id": env.ref("sale_subscription_ext.subscription_plan_monthly").id,
                "payment_token_id": token.id,
                "order_line": [(0, 0, {"product_id": product.id})],
            }
            for token in tokens
        ]
    ).action_confirm()


def bill(env: Any) -> dict[str, float]:
    """Bill what is due and return how long it took."""
    began = time.time()
    moves = env["sale.order"]._bill_subscriptions(commit=True)
    return {"from": began, "until": time.time(), "count": len(moves)}


def charge(env: Any) -> dict[str, float]:
    """Charge what is billed, together with whoever else is at it, and return how long it took."""
    began = time.time()
    env["sale.order"]._cron_collect_payments()
    return {"from": began, "until": time.time()}


def count(env: Any) -> dict[str, int]:
    """Return how many invoices are paid, and how many are not."""
    counts = dict(
        env["account.move"]._read_group([("subscription_charge_state", "!=", False)], ["payment_state"], ["__count"])
    )
    return {"paid": counts.pop("paid", 0), "open": sum(counts.values())}


def main(env: Any, task: str, *arguments: str) -> None:
    """Do one of the tasks in a process of its own and print what was measured, as JSON in one line."""
    found = {"install": install, "create": create, "bill": bill, "charge": charge, "count": count}[task](
        env, *arguments
    )
    print(json.dumps(found or {}))
