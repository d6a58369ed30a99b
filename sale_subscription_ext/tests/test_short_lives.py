from odoo.addons.sale_subscription_ext.tests.life_steps import CHANGES, CREDITS, LIFECYCLE, StepByStep
from odoo.addons.sale_subscription_ext.tests.strategies import LONG

POLICIES = (
    {},
    {'pause_policy': 'skip', 'bill_in': 'arrears', 'downgrade_policy': 'no_credit'},
    {'pause_policy': 'credit', 'bill_in': 'arrears', 'downgrade_policy': 'period_end'},
    {'pause_policy': 'skip', 'billing_alignment': 'calendar', 'first_period': 'free', 'invoice_lead_days': 5},
)


class TestShortLives(StepByStep):
    """All which can follow on what else, which random lives come across seldom; longer ones, for hours, with `--long`."""

    def test_each_step_and_a_way_out(self):
        steps = {**LIFECYCLE, **CHANGES, **CREDITS} if LONG else {**CHANGES, **CREDITS}
        for policies in POLICIES:
            with self.subTest(**policies):
                self._play_all(steps, depth=2 if LONG else 1, **policies)

    def test_each_step_of_the_lifecycle_after_each_other(self):
        for policies in POLICIES if LONG else POLICIES[:2]:
            with self.subTest(**policies):
                self._play_all(LIFECYCLE, depth=3 if LONG else 2, **policies)
