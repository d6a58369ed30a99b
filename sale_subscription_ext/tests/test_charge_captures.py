from odoo.tests import freeze_time, tagged

from odoo.addons.sale_subscription_ext.tests.charge_common import SubscriptionChargeCommon


@tagged('post_install', '-at_install')
@freeze_time('2026-06-16 10:00:00')
class TestChargeCaptures(SubscriptionChargeCommon):
    """Charges which a provider only authorizes, until somebody captures or voids the amount, at once or in parts."""

    def setUp(self):
        super().setUp()
        self.order = self._create_charged()
        self.move = self._bill('2026-06-16', self.order)
        self.provider.support_manual_capture = 'partial'
        self.answer = 'authorized'
        self._collect()
        self.charge = self._get_charges(self.order)
        self.answer = 'done'

    def _capture(self, amount):
        """Capture a part, which the host books a little later."""
        capture = self.charge._create_child_transaction(amount)
        capture._set_done()
        return capture

    def _void(self, amount):
        self.charge._create_child_transaction(amount)._set_canceled()

    def _collect_and_book(self, *transactions):
        """Let the collection run before and after the host books, whichever comes first."""
        self._collect()
        for tx in transactions:
            tx._post_process()
        self._collect()

    def _assert_paid(self):
        self.assertEqual(
            (self.charge.state, self.move.payment_state, self.order.charge_state), ('done', 'paid', 'paid'))

    def test_an_authorized_charge_is_under_way(self):
        self._collect()
        self.assertEqual((self.charge.state, self.order.charge_state), ('authorized', 'pending'))
        self.assertEqual(len(self.requests), 1)

    def test_what_is_captured_whole_is_booked_before_anything_is_charged(self):
        self._collect_and_book(self._capture(30.0))
        self._assert_paid()
        self.assertEqual(len(self.requests), 1)

    def test_the_rest_of_a_partial_capture_is_not_charged_while_it_may_be_captured(self):
        self._collect_and_book(self._capture(10.0))
        self.assertEqual((self.charge.state, self.move.amount_residual), ('authorized', 20.0))
        self.assertEqual((len(self.requests), self.order.charge_state), (1, 'pending'))
        self._collect_and_book(self._capture(20.0))
        self._assert_paid()
        self.assertEqual(len(self.requests), 1)

    def test_the_rest_which_was_voided_is_charged_anew(self):
        capture = self._capture(10.0)
        self._void(20.0)
        self._collect_and_book(capture)
        self.assertEqual(self.requests[1:], [(self._get_charges(self.order)[1].reference, 20.0)])
        self.assertEqual((self.move.payment_state, self.order.charge_state), ('paid', 'paid'))
        self.assertIn("10.00 of", self._get_story(self.order), "Told is what was captured")

    def test_what_was_voided_whole_is_a_failure(self):
        self._void(30.0)
        self._collect()
        self.assertEqual((self.charge.state, self.order.charge_state, len(self.requests)), ('cancel', 'failed', 1))

    def test_what_a_customer_authorized_is_not_charged_before_its_capture_is_booked(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        payment = self._create_transaction(
            'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)], reference='Web')
        self.provider.support_manual_capture = 'partial'
        payment._set_authorized()
        self._collect()
        capture = payment._create_child_transaction(30.0)
        capture._set_done()
        self._collect_and_book(capture, payment)
        self.assertEqual((len(self.requests), move.payment_state, order.charge_state), (1, 'paid', 'paid'))

    def test_what_a_customer_paid_is_not_charged_before_it_is_booked(self):
        order = self._create_charged()
        move = self._bill('2026-06-16', order)
        payment = self._create_transaction(
            'redirect', amount=30.0, currency_id=move.currency_id.id, invoice_ids=[(6, 0, move.ids)], reference='Web')
        payment._set_done()
        self._collect_and_book(payment)
        self.assertEqual((len(self.requests), move.payment_state, order.charge_state), (1, 'paid', 'paid'))
