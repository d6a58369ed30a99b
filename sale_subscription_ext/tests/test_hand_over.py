from odoo.exceptions import UserError
from odoo.tests import freeze_time, new_test_user

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


@freeze_time('2026-01-01 10:00:00')
class TestHandOver(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.other = cls.env['res.partner'].create({'name': "Brick Ltd", 'email': 'brick@example.com'})
        cls.seller = new_test_user(cls.env, 'second', 'sales_team.group_sale_salesman_all_leads')

    def _hand_over(self, orders, **values):
        """Hand orders over through the dialog."""
        action = orders.action_hand_over()
        wizard = orders.env[action['res_model']].with_context(**action['context']).create(values)
        wizard.action_apply()

    def _get_transfers(self, order):
        return self.Event.search([('order_id', '=', order.id), ('event_type', '=', 'transfer')], order='id')

    def test_another_customer_takes_a_contract_over_and_open_invoices_stay(self):
        order = self._create_order(self.service, self.support, confirm=True)
        invoice = self._bill('2026-01-01')
        with freeze_time('2026-01-20 10:00:00'):
            self._hand_over(order, partner_id=self.other.id)
        self.assertEqual(invoice.partner_id, self.partner)
        self.assertRecordValues(order, [{
            'partner_id': self.other.id, 'partner_invoice_id': self.other.id, 'partner_shipping_id': self.other.id,
            'mrr': 150.0}])
        transfers = self._get_transfers(order)
        self.assertEqual(transfers.mapped('mrr_change'), [-30.0, 30.0, -120.0, 120.0])
        self.assertEqual(transfers.partner_id, self.partner | self.other)
        self.assertEqual(transfers.mapped('contract_change'), [-1, 1, 0, 0])
        self.assertEqual(transfers.mapped('customer_change'), [-1, 1, 0, 0])
        self.assertEqual(self._bill('2026-02-01').partner_id, self.other)
        self._assert_ledgers_hold(order)

    def test_the_old_customer_reads_the_contract_no_more(self):
        order = self._create_order(confirm=True)
        token = order._portal_ensure_token()
        order.message_subscribe(self.partner.ids)
        self._hand_over(order, partner_id=self.other.id)
        self.assertNotIn(self.partner, order.message_partner_ids)
        self.assertIn(self.other, order.message_partner_ids)
        self.assertNotEqual(order._portal_ensure_token(), token)

    def test_what_was_offered_to_the_old_customer_is_cancelled_and_what_is_agreed_goes_along(self):
        order = self._create_order(self.service, self.support, confirm=True)
        invoice = self._bill('2026-01-01')
        offer, agreed = (self.Order.browse(order.action_change()['res_id']) for _number in range(2))
        renewal = self.Order.browse(order.action_renew()['res_id'])
        agreed.write({'amendment_timing': 'next_period'})
        agreed.order_line[0].product_uom_qty = 3
        agreed.action_confirm()
        token = agreed._portal_ensure_token()
        dialog = self.env['subscription.hand.over'].create({'order_ids': order.ids, 'partner_id': self.other.id})
        self.assertIn(f"what is offered to the old customer is cancelled: {offer.name}, {renewal.name}", dialog.preview)
        dialog.action_apply()
        self.assertEqual((offer | renewal).mapped('state'), ['cancel', 'cancel'])
        self.assertEqual((agreed.state, agreed.partner_id), ('sale', self.other))
        self.assertNotEqual(agreed._portal_ensure_token(), token)
        with freeze_time('2026-02-01 10:00:00'):
            invoices = self._bill('2026-02-01')
        self.assertEqual((invoices.amount_untaxed, invoices.partner_id), (210.0, self.other))
        self.assertEqual(order._get_customer_invoices(), invoices, "What the old customer owes is theirs")
        self.assertIn(invoice, order.invoice_ids)

    def test_a_renewal_which_waits_takes_over_for_the_new_customer(self):
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        renewal = self.Order.browse(order.action_renew()['res_id'])
        renewal.action_confirm()
        self._hand_over(order, partner_id=self.other.id)
        self.assertEqual((renewal.state, renewal.partner_id), ('sale', self.other))
        with freeze_time('2026-02-01 10:00:00'):
            self._run_cron('ir_cron_run_lifecycle')
            self.assertEqual(self._bill('2026-02-01').partner_id, self.other)
        self._assert_ledgers_hold(order | renewal)

    def test_another_contact_of_the_same_customer_keeps_the_offers(self):
        contact = self.env['res.partner'].create({'name': "Buyer", 'parent_id': self.partner.id})
        order = self._create_order(confirm=True)
        offer = self.Order.browse(order.action_change()['res_id'])
        self._hand_over(order, partner_id=contact.id)
        self.assertEqual(offer.state, 'draft')

    def test_churn_counts_for_the_new_customer(self):
        order = self._create_order(confirm=True)
        self._hand_over(order, partner_id=self.other.id)
        order._close_subscriptions(self.reason)
        for partner, total in ((self.partner, 0), (self.other, 0)):
            events = self.Event.search([('order_id', '=', order.id), ('partner_id', '=', partner.id)])
            self.assertEqual(sum(events.mapped('customer_change')), total)
            self.assertEqual(sum(events.mapped('mrr_change')), 0.0)
        self._assert_ledgers_hold(order)

    def test_another_salesperson_takes_contracts_over(self):
        orders = self._create_order(confirm=True) | self._create_order(confirm=True)
        self._hand_over(orders, user_id=self.seller.id)
        for order in orders:
            transfers = self._get_transfers(order)
            self.assertEqual(transfers.mapped('mrr_change'), [-30.0, 30.0])
            self.assertEqual(transfers[1].user_id, self.seller)
            self.assertEqual(transfers.mapped('contract_change'), [0, 0])
        self._assert_ledgers_hold(orders)

    def test_the_chatter_names_who_changes_and_nobody_else(self):
        order = self._create_order(user_id=self.env.user.id, confirm=True)
        for values, text in (
            ({'partner_id': self.other.id}, "handed over from Lumber Inc to Brick Ltd."),
            ({'user_id': self.seller.id}, f"handed over from {self.env.user.name} to {self.seller.name}."),
        ):
            self._hand_over(order, **values)
            self.assertIn(text, order.message_ids.sorted('id')[-1].body)
        order.user_id = False
        self._hand_over(order, user_id=self.seller.id)
        self.assertIn(
            f"handed over from nobody to {self.seller.name}.", order.message_ids.sorted('id')[-1].body)

    def test_who_sees_own_contracts_only_gives_one_to_a_colleague(self):
        owner = new_test_user(self.env, 'owner', 'sales_team.group_sale_salesman')
        for write in (lambda order: self._hand_over(order, user_id=self.seller.id),
                      lambda order: order.write({'user_id': self.seller.id})):
            order = self._create_order(user_id=owner.id, confirm=True)
            self.env.flush_all()
            self.env.invalidate_all()
            write(order.with_user(owner))
            self.env.flush_all()
            self.env.invalidate_all()
            self.assertEqual(order.user_id, self.seller)
            self.assertEqual(self._get_transfers(order).mapped('mrr_change'), [-30.0, 30.0])

    def test_the_form_is_left_for_the_list_by_who_does_not_see_the_contract_any_more(self):
        owner = new_test_user(self.env, 'owner', 'sales_team.group_sale_salesman')
        order = self._create_order(user_id=owner.id, confirm=True)
        action = order.with_user(owner).action_hand_over()
        wizard = self.env[action['res_model']].with_user(owner).with_context(**action['context']).create({
            'user_id': self.seller.id})
        self.assertEqual(wizard.action_apply()['target'], 'main')

    def test_a_salesperson_changed_in_the_form_is_a_transfer_too(self):
        order = self._create_order(confirm=True)
        order.user_id = self.seller
        self.assertEqual(self._get_transfers(order).mapped('mrr_change'), [-30.0, 30.0])
        order.user_id = self.seller
        self.assertEqual(len(self._get_transfers(order)), 2, "The same again is no change")

    def test_a_quotation_or_closed_contract_moves_without_a_trace(self):
        quotation, closed = self._create_order(), self._create_order(confirm=True)
        closed._close_subscriptions(self.reason)
        (quotation | closed).user_id = self.seller
        self.assertFalse(self._get_transfers(quotation) | self._get_transfers(closed))

    def test_a_paused_contract_has_its_customer_too(self):
        order = self._create_order(confirm=True)
        order._pause_subscriptions()
        self._hand_over(order, partner_id=self.other.id)
        order._resume_subscriptions()
        order._close_subscriptions(self.reason)
        for partner in self.partner | self.other:
            events = self.Event.search([('order_id', '=', order.id), ('partner_id', '=', partner.id)])
            self.assertEqual(sum(events.mapped('customer_change')), 0)
        self._assert_ledgers_hold(order)

    def test_somebody_must_be_chosen(self):
        order = self._create_order(confirm=True)
        with self.assertRaisesRegex(UserError, "Choose to whom"):
            self._hand_over(order)

    def test_an_automatic_fiscal_position_follows_the_new_customer(self):
        country = self.env['res.country'].create({'name': "Elsewhere", 'code': 'Q9'})
        abroad = self.env['account.fiscal.position'].create({
            'name': "Abroad", 'auto_apply': True, 'country_id': country.id})
        tax = self.env['account.tax'].create({'name': "Home", 'amount': 10.0})
        self.env['account.tax'].create({
            'name': "Abroad", 'amount': 0.0, 'fiscal_position_ids': abroad.ids, 'original_tax_ids': tax.ids})
        self.service.taxes_id = tax
        self.other.country_id = country
        order = self._create_order(confirm=True)
        self._bill('2026-01-01')
        self._hand_over(order, partner_id=self.other.id)
        self.assertEqual(order.fiscal_position_id, abroad)
        self.assertEqual(self._bill('2026-02-01').amount_tax, 0.0)
