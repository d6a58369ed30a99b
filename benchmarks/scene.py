"""What the benchmarks bill: a company, products with one tax, contracts and plain orders of three lines each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

# Billed on the day itself, as it is in production: on a contract, everything until today counts as due.
BILL_DATE = date.today()
LINES = 3
CHUNK = 500
TAX = "15 % of the benchmark"


class Scene:
    """A fresh database with the addon, filled in portions which are committed."""

    def __init__(self, env: Any) -> None:
        self.env = env
        if not env.company.chart_template:
            env["account.chart.template"].try_loading("generic_coa", company=env.company, install_demo=False)
        # The benchmark bills more at once than a run may by itself.
        env.company.subscription_max_run = 0
        self.plan = env.ref("sale_subscription_ext.subscription_plan_monthly")
        # Without a template invoices are posted and nothing is mailed.
        self.plan.invoice_mail_template_id = False
        self.tax = env["account.tax"].search([("name", "=", TAX), ("company_id", "=", env.company.id)]) or env[
            "account.tax"
        ].create({"name": TAX, "amount": 15.0, "type_tax_use": "sale"})
        self.products = self._get_products("Service", recurring_invoice=True)
        self.plain_products = self._get_products("Delivery")
        env.cr.commit()

    def _get_products(self, name: str, **values: Any) -> Any:
        names = [f"{name} {number}" for number in range(1, LINES + 1)]
        return self.env["product.product"].search([("name", "in", names)], order="id") or self.env[
            "product.product"
        ].create(
            [
                {
                    "name": name,
                    "type": "service",
                    "invoice_policy": "order",
                    "taxes_id": [(6, 0, self.tax.ids)],
                    **values,
                }
                for name in names
            ]
        )

    def create_contracts(self, count: int) -> list[int]:
        """Create running contracts of which one month is due on `BILL_DATE`, each of a customer of its own."""
        return self._create_orders(
            count, self.products, plan_id=self.plan.id, start_date=BILL_DATE.isoformat(), state="sale"
        )

    def create_plain_orders(self, count: int) -> list[int]:
        """Create confirmed orders of the same size which the host invoices."""
        return self._create_orders(count, self.plain_products, state="sale")

    def _create_orders(self, count: int, products: Any, **values: Any) -> list[int]:
        ids = []
        for size in _split(count, CHUNK):
            partners = self.env["res.partner"].create(
                [{"name": f"Customer {number}", "customer_rank": 1} for number in range(size)]
            )
            orders = self.env["sale.order"].create(
                [
                    {
                        "partner_id": partner.id,
                        "order_line": [
                            (0, 0, {"product_id": product.id, "price_unit": 10.37 * (position + 1)})
                            for position, product in enumerate(products)
                        ],
                        **values,
                    }
                    for partner in partners
                ]
            )
            ids += orders.ids
            self.env.cr.commit()
            self.env.invalidate_all()
        return ids

    def analyse(self) -> None:
        """Let PostgreSQL learn what is in the tables, as it does by itself on a server which has been up for a day."""
        self.env.cr.commit()
        self.env.cr.execute("ANALYZE")
        self.env.cr.commit()


def _split(count: int, size: int) -> Iterator[int]:
    while count > 0:
        yield min(count, size)
        count -= size
