from odoo import fields
from odoo.exceptions import AccessError, UserError
from odoo.tests import Form, freeze_time, new_test_user
from odoo.tools import mute_logger
from odoo.tools.safe_eval import safe_eval

from odoo.addons.sale_subscription_ext.tests.test_billing_run import BILLING_CRON, BillingRunCommon


@freeze_time('2026-01-31 10:00:00')
class TestBillingRunRights(BillingRunCommon):

    def test_salespeople_have_no_billing_runs(self):
        user = new_test_user(self.env, 'seller', 'sales_team.group_sale_salesman_all_leads')
        run = self._create_run()
        for read in (lambda: self.Run.with_user(user).search([]),
                     lambda: self.env['subscription.billing.run.line'].with_user(user).search([]),
                     lambda: self.Run.with_user(user).create({}),
                     run.with_user(user).action_preview, run.with_user(user).action_start,
                     run.with_user(user).action_stop, run.with_user(user).action_cancel,
                     run.with_user(user).action_retry_errors):
            with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_model'):
                read()

    def test_who_sells_or_reviews_can_open_the_invoice(self):
        for group in ('sales_team.group_sale_salesman_all_leads', 'sales_team.group_sale_manager',
                      'account.group_account_invoice'):
            with self.subTest(group=group):
                user = new_test_user(self.env, f'opens_{group}', group, company_id=self.company.id)
                self._create_order(collection_mode='draft', confirm=True)
                move = self._bill('2026-01-31').with_user(user)
                move.invalidate_recordset()
                self.assertEqual(move.payment_count, 0)

    def test_drafts_are_reviewed_whichever_way_they_were_made(self):
        user = new_test_user(
            self.env, 'clerk', 'sales_team.group_sale_salesman_all_leads,account.group_account_invoice',
            company_id=self.company.id)
        self.monthly.collection_mode = 'draft'
        by_run, by_hand, sent = self._create_orders(3)
        self._start(self._create_run())
        by_run.invoice_ids.button_cancel()
        moves = by_hand.invoice_ids | sent.invoice_ids
        again = by_run._bill_subscriptions()
        action = self.env['ir.actions.act_window'].with_user(user)._for_xml_id(
            'sale_subscription_ext.account_move_action_billing_run_review')
        domain = safe_eval(action['domain'])
        self.assertEqual(self.env['account.move'].with_user(user).search(domain).ids, sorted((moves | again).ids)[::-1])
        (moves | again).with_user(user).action_validate_moves_with_confirmation()
        sent.invoice_ids.is_move_sent = True
        self.env['account.payment.register'].with_context(
            active_model='account.move', active_ids=again.ids).create({})._create_payments()
        self.assertEqual(self.env['account.move'].with_user(user).search(domain), by_hand.invoice_ids)

    def test_who_only_reads_accounts_may_not_start_a_run(self):
        user = new_test_user(self.env, 'auditor', 'account.group_account_readonly')
        self._create_orders(1)
        run = self._create_run()
        self.assertEqual(run.with_user(user).line_ids.mapped('amount_total'), [30.0])
        with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_model'):
            run.with_user(user).action_start()

    def test_sales_administrators_and_invoicing_run_the_billing(self):
        for group in ('sales_team.group_sale_manager', 'account.group_account_invoice'):
            with self.subTest(group=group):
                user = new_test_user(self.env, group, group)
                order = self._create_order(confirm=True)
                with Form(self.Run.with_user(user)) as form:
                    form.date = fields.Date.to_date('2026-01-31')
                run = form.record
                run.action_preview()
                self.assertEqual(run.todo_count, 1)
                run.action_start()
                self._run_cron(BILLING_CRON)
                self.assertEqual((run.state, run.billed_count), ('done', 1))
                with Form(run) as form:
                    self.assertEqual(form.state, 'done')
                self.assertEqual(run.line_ids.invoice_ids.ids, order.invoice_ids.ids)

    def test_another_company_sees_nothing_of_a_run(self):
        other = self.setup_other_company(name="Far East")['company']
        user = new_test_user(
            self.env, 'far', 'account.group_account_invoice', company_id=other.id, company_ids=[other.id])
        self._create_orders(1)
        run = self._create_run()
        self.assertFalse(self.Run.with_user(user).search([]))
        self.assertFalse(self.env['subscription.billing.run.line'].with_user(user).search([]))
        with self.assertRaises(AccessError):
            run.with_user(user).action_start()
        with self.assertRaises(AccessError):
            self.Run.with_user(user).create({'company_id': self.company.id})

    def test_the_status_follows_from_the_buttons_only(self):
        user = new_test_user(self.env, 'clever', 'account.group_account_invoice')
        run = self._create_run().with_user(user)
        for values in ({'state': 'running'}, {'origin': 'automatic'}):
            with self.assertRaisesRegex(UserError, "follows from its buttons"):
                run.write(values)
            with self.assertRaisesRegex(UserError, "follows from its buttons"):
                self.Run.with_user(user).create(values)
        with self.assertRaises(AccessError), mute_logger('odoo.addons.base.models.ir_model'):
            self.env['subscription.billing.run.line'].with_user(user).create({'run_id': run.id})
