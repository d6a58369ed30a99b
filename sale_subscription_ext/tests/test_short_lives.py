from odoo.addons.sale_subscription_ext.tests.life_steps import (
    ACCEPT,
    CHANGES,
    CREDITS,
    LIFECYCLE,
    OFFER,
    StepByStep,
)
from odoo.addons.sale_subscription_ext.tests.strategies import LONG

PLANS = (
    {},
    {'pause_policy': 'skip', 'bill_in': 'arrears', 'downgrade_policy': 'no_credit'},
    {'pause_policy': 'credit', 'bill_in': 'arrears', 'downgrade_policy': 'period_end'},
    {'pause_policy': 'skip', 'billing_alignment': 'calendar', 'first_period': 'free', 'invoice_lead_days': 5},
)


class TestShortLives(StepByStep):
    """What can follow on what else, which random lives come across seldom; more, for hours, with `--long`."""

    def test_each_step_and_a_way_out(self):
        steps = {**LIFECYCLE, **CHANGES, **CREDITS} if LONG else CHANGES
        for policies in PLANS:
            with self.subTest(**policies):
                self.assertEqual(self._play_all(steps, depth=2 if LONG else 1, **policies), set(steps))

    def test_each_step_of_the_lifecycle_after_each_other(self):
        for policies in PLANS if LONG else PLANS[:2]:
            with self.subTest(**policies):
                self.assertEqual(self._play_all(LIFECYCLE, depth=3 if LONG else 2, **policies), set(LIFECYCLE))

    def test_each_change_while_a_renewal_is_offered_or_waits(self):
        for policies in PLANS if LONG else PLANS[:2]:
            with self.subTest(**policies):
                self._play_all(
                    CHANGES, depth=2, waits=(0, 20) if LONG else (20,), before=OFFER, then={'accept': ACCEPT},
                    **policies)
                self.assertIn('accept', self.taken)
                self._play_all(
                    CHANGES, depth=1, waits=(0, 33) if LONG else (33,), before=LIFECYCLE['renew'], **policies)
                self.assertIn('swap', self.taken)

    def test_each_credit_and_reversal_after_each_other(self):
        for policies in PLANS if LONG else PLANS[:1]:
            with self.subTest(**policies):
                steps = {**CREDITS, 'close and credit': LIFECYCLE['close and credit']}
                self.assertEqual(
                    self._play_all(steps, depth=3 if LONG else 2, waits=(0, 20) if LONG else (0,), **policies),
                    set(steps))
