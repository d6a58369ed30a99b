from contextlib import suppress
from unittest.mock import patch

from odoo.exceptions import UserError
from odoo.fields import Date
from odoo.tests import freeze_time, new_test_user
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext import const
from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

LIFECYCLE_CRON = 'ir_cron_run_lifecycle'


@freeze_time('2026-01-01 10:00:00')
class TestLifecycleCron(SaleSubscriptionCommon):
    """Every timed step: several records, companies and time zones, run again, stopped in the middle."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.trial = cls._create_plan("Trial", 1, 'month', trial_value=1, trial_unit='month', trial_reminder_days=2)
        cls.renewing = cls._create_plan("Renewing", 1, 'month', term_value=1, term_unit='month', term_end='renew')

    def _create_life(self, **values):
        """Create contracts with a step due on 1 February, one for each kind of step.

        :return: the contracts, and their states after the step
        """
        trial = self._create_order(plan=self.trial, confirm=True, **values)
        pausing = self._create_order(confirm=True, **values)
        paused = self._create_order(confirm=True, **values)
        renewing = self._create_order(plan=self.renewing, confirm=True, **values)
        renewed = self._create_order(confirm=True, **values)
        closing = self._create_order(confirm=True, **values)
        contracts = trial | pausing | paused | renewing | renewed | closing
        contracts._bill_subscriptions()
        pausing._pause_subscriptions(Date.to_date('2026-02-01'))
        paused._pause_subscriptions(None, Date.to_date('2026-02-01'))
        renewed._create_renewal().action_confirm()
        closing._plan_closing(self.reason, date=Date.to_date('2026-01-31'))
        return contracts, ['progress', 'paused', 'progress', 'renewed', 'renewed', 'closed']

    def _get_chain(self, contracts):
        return contracts | contracts.renewal_ids

    def test_the_steps_of_several_contracts_are_taken_once(self):
        contracts, states = self._create_life()
        more, _states = self._create_life()
        with freeze_time('2026-01-31 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            self.assertEqual(
                contracts.mapped('subscription_state'),
                ['trial', 'progress', 'paused', 'progress', 'progress', 'closing'])
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
            events = self._get_events(self._get_chain(contracts | more))
            for _again in range(2):
                self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(contracts.mapped('subscription_state'), states)
        self.assertEqual(more.mapped('subscription_state'), states)
        self.assertEqual(self._get_events(self._get_chain(contracts | more)), events)
        self.assertEqual((contracts | more).renewal_ids.mapped('subscription_state'), ['progress'] * 4)
        self._assert_ledgers_hold(self._get_chain(contracts | more))

    def test_a_late_cron_takes_the_steps_as_of_their_day(self):
        contracts, states = self._create_life()
        with freeze_time('2026-02-05 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(contracts.mapped('subscription_state'), states)
        chain = self._get_chain(contracts)
        moved = self.Event.search([('order_id', 'in', chain.ids), ('event_date', '>', '2026-01-01')])
        self.assertEqual(
            set(moved.mapped('event_date')), {Date.to_date('2026-01-31'), Date.to_date('2026-02-01')})
        self._assert_ledgers_hold(self._get_chain(contracts))

    def test_each_company_goes_by_its_own_date(self):
        contracts, states = self._create_life()
        company = self._create_company(name="Down Under", subscription_tz='Pacific/Auckland')
        self.env.user.company_ids += company
        with freeze_time('2026-01-01 10:00:00'):
            there, _states = self.with_company_context(company)
        with freeze_time('2026-01-31 20:00:00'):  # 1 February in Auckland
            self._run_cron(LIFECYCLE_CRON)
            self.assertNotEqual(contracts.mapped('subscription_state'), states)
            self.assertEqual(there.mapped('subscription_state'), states)
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(contracts.mapped('subscription_state'), states)
        self._assert_ledgers_hold(self._get_chain(contracts | there))

    def with_company_context(self, company):
        """Create a life in another company."""
        partner = self.env['res.partner'].create({'name': "Sheep Ltd", 'email': 'sheep@example.com'})
        return self._create_life(company_id=company.id, partner_id=partner.id)

    def test_one_contract_which_fails_stops_neither_the_others_nor_the_other_steps(self):
        contracts, states = self._create_life()
        more, _states = self._create_life()
        bad = more[2]
        skip = type(self.Order)._skip_until

        def fail_on_bad(orders, day):
            if bad in orders:
                raise UserError(self.env._("Not today."))
            return skip(orders, day)

        with (
            freeze_time('2026-02-01 10:00:00'),
            patch.object(type(self.Order), '_skip_until', fail_on_bad),
            mute_logger('odoo.addons.sale_subscription_ext.models.subscription_lifecycle_mixin'),
        ):
            self._run_cron(LIFECYCLE_CRON)
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(contracts.mapped('subscription_state'), states)
        self.assertEqual(bad.subscription_state, 'paused')
        self.assertEqual(len(bad.activity_ids), 1, "Somebody is asked once")
        with freeze_time('2026-02-02 10:00:00'):
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(more.mapped('subscription_state'), states)
        self._assert_ledgers_hold(self._get_chain(contracts | more))

    def test_a_run_which_stops_in_the_middle_is_taken_up_by_the_next(self):
        contracts, states = self._create_life()
        take_over = type(self.Order)._take_over

        class Killed(BaseException):
            pass

        def die(orders):
            take_over(orders)
            raise Killed

        with freeze_time('2026-02-01 10:00:00'):
            with patch.object(type(self.Order), '_take_over', die), suppress(Killed):
                self._run_cron(LIFECYCLE_CRON)
            self.env.invalidate_all()
            self.assertNotEqual(contracts.mapped('subscription_state'), states)
            self._run_cron(LIFECYCLE_CRON)
        self.assertEqual(contracts.mapped('subscription_state'), states)
        self._assert_ledgers_hold(self._get_chain(contracts))

    def test_every_state_has_a_stage_and_every_step_a_state(self):
        states = {state for state, _label in const.STATES}
        stages = self.env['subscription.stage'].search([])
        self.assertEqual(set(stages.mapped('subscription_state')), states)
        for source, target in const.TRANSITIONS:
            self.assertIn(source, states)
            self.assertIn(target, states | {False})

    def test_a_salesperson_leads_contracts_through_their_life_without_other_rights(self):
        user = new_test_user(self.env, 'seller-of-life', 'sales_team.group_sale_salesman')
        plan = self._create_plan("Crediting", 1, 'month', pause_policy='credit')
        order = self._create_order(plan=plan, user_id=user.id, confirm=True)
        self._bill('2026-01-01')
        mine = order.with_user(user)
        with freeze_time('2026-01-10 10:00:00'):
            mine._pause_subscriptions()
        with freeze_time('2026-01-15 10:00:00'):
            mine._resume_subscriptions()
            renewal = self.Order.with_user(user).browse(mine.action_renew()['res_id'])
            renewal.action_confirm()
            renewal._action_cancel()
            mine._plan_closing(self.reason, date=Date.to_date('2026-01-20'), money='credit')
            mine.action_undo_closing()
            mine._close_subscriptions(self.reason, money='credit')
        with freeze_time('2026-01-25 10:00:00'):
            mine._reopen_subscriptions()
            mine.partner_id = self.env['res.partner'].create({'name': "Other"})
        self.env.invalidate_all()
        self.assertEqual(order.subscription_state, 'progress')
        self.assertEqual(self._get_billed_amount(order), 16.45)  # 30 × 17/31: 1–9, 15 and 25–31 January
        self._assert_ledgers_hold(order)
