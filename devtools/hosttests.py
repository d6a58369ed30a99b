"""`./dev tests-of-host`: Odoo's own tests of the modules we extend, with our addons and website_sale installed."""

from __future__ import annotations

import re

from . import odoo, proc
from .paths import LOGS, ROOT, short
from .setup import workplace
from .ui import Problem, Step, say

MODULES = ("sale", "sale_management", "account_payment", "payment", "portal")
# They fail on this host without any code of ours.
KNOWN = frozenset(
    {
        "test_attribute_values_deletion_or_archiving",
        "test_invoicing_terms",
        "test_mail_attachment_removal_tour",
        "test_add_section_from_product_catalog_on_sale_order_tour",
        "test_sale_order_product_catalog_branch_company_tour",
        "test_sale_order_keep_uom_on_variant_wizard_quantity_change",
        "test_01_sale_tour",
        "test_04_portal_sale_signature_without_name_tour",
    }
)
KNOWN_CLASSES = frozenset({"TestSaleComboConfigurator"})
_failure = re.compile(
    r" (?:ERROR|FAIL): (?:Subtest )?(?P<case>\w+)\.(?P<method>\w+)|: ERROR: setUpClass \(\S+\.(?P<whole>\w+)\)"
)
_total = re.compile(r"(\d+) failed, (\d+) error\(s\) of (\d+) tests")


def tests_of_host() -> int:
    """Run them and list the failures that are not known."""
    log = LOGS / "tests-of-host.log"
    with (
        workplace(with_browser=True, with_pdf=True) as databases,
        databases.temporary(databases.ready(), "hosttests") as name,
    ):
        odoo.change_modules(
            databases.server,
            name,
            "-i",
            "website_sale",  # and, as for any user, the bridges Odoo installs by itself
            title="Installing website_sale",
            log_name="tests-of-host-install",
        )
        log.unlink(missing_ok=True)
        failures: set[tuple[str, str]] = set()
        with Step("Running Odoo's own tests") as step:
            count = 0

            def progress(line: str) -> None:
                nonlocal count
                if found := _failure.search(line):
                    failures.add((found["case"] or found["whole"], found["method"] or "setUpClass"))
                count += ": Starting " in line
                step.update(f"{count} tests, {len(failures)} failures")

            # Tests for the moment of installation fail on a database where later modules are installed already.
            tags = ",".join([*(f"/{module}" for module in MODULES), "-at_install"])
            result = proc.run(
                odoo.command(
                    "-d", name, "--test-tags", tags, "--stop-after-init", "--http-port", str(proc.free_port())
                ),
                env=odoo.environment(databases.server),
                cwd=ROOT,
                log=log,
                on_line=progress,
            )
    return _judge(result, failures)


def _judge(result: proc.Result, failures: set[tuple[str, str]]) -> int:
    """Tell known failures from new ones."""
    total = _total.search(result.output)
    if total is None or total[3] == "0":
        raise Problem("Odoo's own tests did not run.", f"read {short(LOGS / 'tests-of-host.log')}")
    new = sorted(failure for failure in failures if failure[1] not in KNOWN and failure[0] not in KNOWN_CLASSES)
    for case, method in new:
        say(f"  not known: {case}.{method}")
    say(
        f"{total[3]} of Odoo's own tests ran: {len(failures) - len(new)} known failures, {len(new)} that are not known."
    )
    return int(bool(new))
