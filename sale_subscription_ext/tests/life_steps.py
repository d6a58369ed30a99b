from contextlib import contextmanager
from typing import NamedTuple

from odoo.exceptions import UserError

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon
from odoo.addons.sale_subscription_ext.tests.life import Life

LINE = {'product': 'support', 'product_uom_qty': 1.0, 'price_unit': 100.0, 'discount': 0.0}
POLICIES = {
    'pause_policy': 'credit', 'downgrade_policy': 'credit', 'bill_in': 'advance', 'invoice_lead_days': 0,
    'billing_alignment': 'anniversary', 'first_period': 'prorate', 'trial_value': 0, 'trial_end': 'invoice',
    'term_value': 0, 'term_end': 'continue',
}


# After so many failures no further ones are looked for.
MANY = 20


class Step(NamedTuple):
    """A step of a life: a rule of `Life` and its arguments."""

    rule: str
    arguments: dict


def amend(what, timing='now', wait=0, **line):
    return Step('amend', {'line': {**LINE, **line}, 'which': 0, 'what': what, 'timing': timing, 'wait': wait})


def close(money='keep', bill=True, wait=0):
    return Step('close', {'wait': wait, 'money': money, 'bill': bill})


def pause(wait=0, length=None):
    return Step('pause', {'wait': wait, 'length': length})


# What becomes of a contract as a whole.
LIFECYCLE = {
    'pause': pause(),
    'pause soon, for some days': pause(wait=2, length=8),
    'pause for 20 days': pause(length=20),
    'resume': Step('resume', {}),
    'close and credit': close('credit'),
    'close': close(),
    'close, nothing more billed': close(bill=False),
    'close soon and credit': close('credit', wait=3),
    'undo closing': Step('undo_closing', {}),
    'reopen': Step('reopen', {}),
    'renew': Step('renew', {'price': 120.0, 'drop': False}),
}
OFFER = Step('offer_renewal', {'price': 120.0, 'drop': False})
ACCEPT = Step('accept_renewal', {})
# What becomes of its lines.
CHANGES = {
    'raise': amend('change', price_unit=250.0),
    'lower': amend('change', price_unit=40.0),
    'add': amend('add'),
    'remove': amend('remove'),
    'swap': amend('swap'),
    'remove with the next period': amend('remove', 'next_period'),
    'raise soon': amend('change', 'date', 6, price_unit=250.0),
    'switch plan': Step('switch_plan', {}),
    'edit': Step('edit_directly', {'line': {**LINE, 'product_uom_qty': 2.0}, 'which': 0}),
    'edit less': Step('edit_directly', {'line': {**LINE, 'product_uom_qty': 0.5}, 'which': 0}),
    'choose option': Step('choose_option', {'quantity': 1.0}),
    'drop option': Step('choose_option', {'quantity': 0.0}),
    'index': Step('index', {'wait': 3, 'percentage': 10.0}),
    'change billing day': Step('change_billing_day', {'wait': 10}),
    'leave out a period': Step('leave_out_next_period', {}),
    'renew with less': Step('renew', {'price': 80.0, 'drop': True}),
    'hand over': Step('hand_over', {}),
}
# What accountants do to its documents.
CREDITS = {
    'credit and bill again': Step('credit_by_hand', {'again': True, 'which': 0, 'share': 1.0}),
    'credit': Step('credit_by_hand', {'again': False, 'which': 0, 'share': 1.0}),
    'credit half': Step('credit_by_hand', {'again': False, 'which': 0, 'share': 0.5}),
    'reverse a credit': Step('reverse_credit_note', {'again': False, 'which': 0}),
    'reverse a credit and bill again': Step('reverse_credit_note', {'again': True, 'which': 0}),
    'undo a reversal': Step('undo_reversal', {'which': 0}),
}


class LifeCommon(SaleSubscriptionCommon):
    """What lives of contracts are played with."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.setup = cls._create_setup_fee()
        cls.successor = cls.env['res.partner'].create({'name': "Lumber & Sons", 'email': 'sons@example.com'})

    def __getitem__(self, name):
        return getattr(self, name)

    def _get_life_class(self):
        return type('PlayedLife', (Life,), {'case': self})


class StepByStep(LifeCommon):
    """Plays each sequence of some steps, with and without time between them, those which begin alike only once."""

    def _play_all(self, steps, depth, days=35, waits=(0, 33), before=None, then=None, **policies):
        """Play all sequences of a number of steps, and from each a way out.

        :param dict steps: {name: Step}
        :param int depth: of how many steps
        :param int days: how old the contract is at the first step
        :param tuple waits: how many days pass after a step
        :param Step before: a step which is taken before the first one
        :param dict then: the steps after the first one, all if not given
        :return: names of the steps which were taken, and not only refused
        :rtype: set[str]
        """
        self.taken, self.failures = set(), []
        life_class = self._get_life_class()
        for name in steps:
            life = life_class()
            with life.stack:
                life.confirm(
                    lines=[LINE, {**LINE, 'product': 'service'}], plan='monthly', policies={**POLICIES, **policies},
                    option={**LINE, 'price_unit': 30.0})
                life.time_passes(days=days)
                if before:
                    self._take(life, before, 0)
                self._play_next(life, then or steps, {name: steps[name]}, depth, waits, [])
        self.assertEqual(self.failures, [])
        return self.taken

    def _play_next(self, life, steps, next_steps, depth, waits, path):
        for name, step in next_steps.items():
            if len(self.failures) > MANY or not self._is_possible(life, step):
                continue
            for wait in waits:
                here = [*path, name, f"{wait} days"]
                with self._try(life, here):
                    self._take(life, step, wait)
                    if not life.is_refused:
                        self.taken.add(name)
                    if depth > 1:
                        self._play_next(life, steps, steps, depth - 1, waits, here)
                    with self._try(life, [*here, "a way out"]):
                        life.find_a_way_out()

    def _is_possible(self, life, step):
        [rule] = [rule for rule in life.rules if rule.function.__name__ == step.rule]
        return all(precondition(life) for precondition in rule.preconditions)

    def _take(self, life, step, wait):
        getattr(life, step.rule)(**step.arguments)
        life.ledgers_hold()
        if wait:
            life.time_passes(days=wait)
            life.ledgers_hold()

    @contextmanager
    def _try(self, life, path):
        """Take everything back afterwards, and note what failed."""
        today, paused, applied = life.today, life.closed_while_paused, life.expected.applied
        stories = {line: story.snapshot() for line, story in life.expected.stories.items()}
        savepoint = self.env.cr.savepoint()
        try:
            yield
        except (AssertionError, UserError) as error:
            self.failures.append(f"{', '.join(path)}: {error}")
        finally:
            savepoint.close(rollback=True)
            self.env.invalidate_all()
            life.today, life.closed_while_paused, life.expected.applied = today, paused, applied
            life.expected.stories.clear()
            life.expected.stories.update(stories)
            life.clock.move_to(f'{today} 10:00:00')
