from odoo.tests import freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.dunning_common import SubscriptionDunningCommon


@tagged('post_install', '-at_install')
class TestDunningCalendar(SubscriptionDunningCommon):
    """Calendars of other products, as far as their rules are ours."""

    @freeze_time('2021-09-06 10:00:00')
    def test_overdue_with_a_warning_a_block_and_a_cancellation(self):
        """A charge fails on 6 September; tries after 1, 8, 4 and 7 days more; warning on day 10, blocked on day 14,
        cancelled on day 21.

        There, a retry calendar and overdue states run side by side, counted from two dates; here one policy holds
        both, counted from the first failed charge. All dates are the same.
        """
        self.charged.dunning_policy_id = self._create_policy(
            (1, 'retry_charge'), (9, 'retry_charge'), (10, 'send_mail'), (13, 'retry_charge'),
            (14, 'restrict_portal'), (20, 'retry_charge'), (21, 'close'))
        self.charged.close_warning_days = 0
        self.answer = 'decline'
        order = self._create_unpaid(self.charged, day='2021-09-06', payment_token_id=self.token.id)
        move = order.invoice_ids
        tried, told, blocked = [], [], []
        for day in (6, 7, 8, 14, 15, 16, 17, 18, 19, 20, 21, 25, 26, 27, 28):
            tries, mails = len(self.requests), len(self._get_mails(order, 'payment_failed'))
            self._collect_until(f'2021-09-{day:02}', f'2021-09-{day:02}', times=2)
            tried += [day] * (len(self.requests) - tries)
            told += [day] * (len(self._get_mails(order, 'payment_failed')) - mails)
            blocked += [day] if order._is_portal_restricted() else []
        self.assertEqual(tried, [6, 7, 15, 19, 26])
        self.assertEqual(told, [16], "The warning")
        self.assertEqual(blocked[0], 20)
        self.assertEqual((order.subscription_state, str(order.close_date)), ('closed', '2021-09-27'))
        self.assertEqual(order.close_reason_id, self.unpaid)
        self.assertEqual([day for day, _date in self._get_steps(move)], [1, 9, 10, 13, 14, 20, 21])

    @freeze_time('2026-01-01 10:00:00')
    def test_a_campaign_of_two_attempts_ends_once_and_leaves_what_follows_alone(self):
        """Two attempts three days apart, one invoice in dollars and one which falls due three days later: 3 January
        only the first, 6 January the second attempt of the first and the first one of the other, 9 January the second
        one of the other, 12 January nothing.

        There, a campaign begins when what a customer owes in a currency reaches a threshold; here each invoice has its
        own calendar from its due date, whatever its amount. So it is the due date which puts the second one off, and
        the end is told once for each invoice.
        """
        self.monthly.dunning_policy_id = self._create_policy((2, 'send_mail'), (5, 'send_mail', 'create_activity'))
        first = self._create_unpaid(day='2026-01-01')
        other = self._create_unpaid(day='2026-01-04')
        calendar = {3: (1, 0), 4: (1, 0), 6: (2, 1), 7: (2, 1), 9: (2, 2), 12: (2, 2), 31: (2, 2)}
        for day, counts in calendar.items():
            with self.subTest(day=day):
                self._collect_until(f'2026-01-{day:02}', f'2026-01-{day:02}')
                self.assertEqual(tuple(
                    len(self._get_mails(order, 'unpaid_reminder')) for order in (first, other)), counts)
        self.assertEqual([len(order.activity_ids) for order in (first, other)], [1, 1], "Finished once")
        self.assertIn("No step is left", first.dunning_notice)
