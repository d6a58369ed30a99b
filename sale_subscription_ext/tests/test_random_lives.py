from hypothesis.stateful import run_state_machine_as_test

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon
from odoo.addons.sale_subscription_ext.tests.life import Life
from odoo.addons.sale_subscription_ext.tests.strategies import lives


class TestRandomLives(SaleSubscriptionCommon):
    """Hundreds of random lives of contracts; after each step the ledgers, the invoices and the MRR must agree."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.setup = cls._create_service("Setting up", 80.0)
        cls.service.write({'setup_product_id': cls.setup.id, 'setup_amount': 50.0})
        cls.successor = cls.env['res.partner'].create({'name': "Lumber & Sons", 'email': 'sons@example.com'})

    def __getitem__(self, name):
        return getattr(self, name)

    def test_ledgers_invoices_and_mrr_agree_whatever_happens_to_a_contract(self):
        """Trials, terms, changes, switches, options, pauses, renewals, hand-overs, indexations, credit notes."""
        machine = type('PlayedLife', (Life,), {'case': self})
        run_state_machine_as_test(machine, settings=lives)
