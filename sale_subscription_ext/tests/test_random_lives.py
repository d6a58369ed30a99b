from contextlib import contextmanager
from unittest.mock import patch

from hypothesis.stateful import run_state_machine_as_test

from odoo.addons.sale_subscription_ext.tests.life_steps import LINE, POLICIES, LifeCommon
from odoo.addons.sale_subscription_ext.tests.strategies import lives


class TestRandomLives(LifeCommon):
    """Hundreds of random lives of contracts; after each step the ledgers, the invoices and the MRR must agree."""

    def _play(self, *steps, **policies):
        """Play a life whose steps are given: names of rules with their arguments."""
        life = self._get_life_class()()
        with life.stack:
            life.confirm(lines=[LINE, LINE], plan='monthly', policies={**POLICIES, **policies}, option=None)
            for name, arguments in steps:
                getattr(life, name)(**arguments)
                life.ledgers_hold()
            life.find_a_way_out()

    @contextmanager
    def _let_everything_be_credited(self):
        with (
            patch.object(type(self.env['account.move']), '_check_given_back', lambda moves: None),
            patch.object(type(self.Period), '_check_amounts_given_back', lambda periods: None),
            patch.object(type(self.env['sale.order.line']), '_check_days_paid_once', lambda lines: None),
        ):
            yield

    def test_ledgers_invoices_and_mrr_agree_whatever_happens_to_a_contract(self):
        """Trials, terms, changes, switches, options, pauses, renewals, hand-overs, indexations, credit notes."""
        run_state_machine_as_test(self._get_life_class(), settings=lives)

    def test_what_was_given_away_while_closed_is_charged_after_reopening(self):
        self._play(
            ('time_passes', {'days': 10}), ('close', {'wait': 0, 'money': 'credit', 'bill': True}),
            ('time_passes', {'days': 2}), ('reverse_credit_note', {'again': False, 'which': 0}),
            ('undo_reversal', {'which': 0}), ('reopen', {}), ('time_passes', {'days': 3}))

    def test_a_policy_which_is_not_kept_is_noticed(self):
        """The expectations are worth something only if they don't hold where the product is broken."""
        order = type(self.Order)
        later = ('time_passes', {'days': 10})
        pause = ('pause', {'wait': 0, 'length': None})
        close = ('close', {'wait': 0, 'money': 'credit', 'bill': True})
        removal = ('amend', {'line': LINE, 'which': 0, 'what': 'remove', 'timing': 'now', 'wait': 0})
        credit = ('credit_by_hand', {'again': False, 'which': 0, 'share': 1.0})
        for steps, policies, broken in (
            ((later, pause, later), {}, patch.object(order, '_credit_pause', lambda order: None)),
            ((later, close, later), {}, patch.object(order, '_give_back', lambda *args: None)),
            ((later, removal, later), {}, patch.object(order, '_is_money_given_back', lambda order: False)),
            ((later, removal, later), {'downgrade_policy': 'no_credit'},
             patch.object(order, '_is_money_given_back', lambda order: True)),
            ((later, removal, credit), {}, self._let_everything_be_credited()),
        ):
            with self.subTest(steps=steps, policies=policies):
                self._play(*steps, **policies)
                with broken, self.assertRaises(AssertionError):
                    self._play(*steps, **policies)
