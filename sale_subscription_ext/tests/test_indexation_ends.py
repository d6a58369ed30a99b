from datetime import date

import psycopg2

from odoo.fields import Command
from odoo.tests import Form, freeze_time
from odoo.tools import mute_logger

from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon

CRON = 'ir_cron_run_indexations'


class IndexationCommon(SaleSubscriptionCommon):

    def _index(self, orders, confirm=True, **values):
        record = self.env['subscription.indexation'].create({
            'name': "Prices 2026", 'date': '2026-04-01', 'percentage': 10.0, 'is_announced': False,
            'selection': 'list', 'order_ids': [Command.set(orders.ids)], **values,
        })
        record.action_preview()
        if confirm:
            record.action_confirm()
        return record

    def _run_on(self, day):
        with freeze_time(f'{day} 10:00:00'):
            self._run_cron(CRON)

    def _create_billed(self, *lines, **values):
        order = self._create_order(*lines, start_date='2026-03-01', confirm=True, **values)
        self._bill('2026-03-10', order)
        return order

    def _change_later(self, order, index, values, day='2026-04-01'):
        """Confirm a change of a line for a day to come."""
        amendment = self.Order.browse(order.action_change()['res_id'])
        amendment.order_line[index].write(values)
        amendment.write({'amendment_timing': 'date', 'effective_date': day})
        amendment.action_confirm()

    def _get_mails(self, orders, subject):
        return self.env['mail.mail'].search([
            ('model', '=', 'sale.order'), ('res_id', 'in', orders.ids), ('subject', 'like', subject)])


@freeze_time('2026-03-10 10:00:00')
class TestIndexationOfWhatEnds(IndexationCommon):

    def test_lines_which_a_confirmed_change_ends_before_are_left_out(self):
        part, swapped, later = (self._create_billed(self.service, self.support) for _index in range(3))
        self._change_later(part, 1, {'product_uom_qty': 0})
        swapped.order_line[1].product_uom_qty = 0
        self._change_later(swapped, 0, {'product_id': self.support.id})
        self._change_later(later, 1, {'product_uom_qty': 0}, day='2026-05-01')
        record = self._index(part | swapped | later, confirm=False)
        lines = {line.order_id: line for line in record.line_ids}
        self.assertRecordValues(lines[part] | lines[swapped] | lines[later], [
            {'state': 'preview', 'mrr_change': 3.0, 'reason': "Without what ends before: Support."},
            {'state': 'skipped', 'mrr_change': 0.0, 'reason': "It ends before another price could take effect."},
            {'state': 'preview', 'mrr_change': 15.0, 'reason': False},
        ])
        self.assertEqual(lines[part].change_ids.product_id, self.service)
        self.assertIn("18.00", record.totals)

    def test_what_pauses_before_is_said_to_pause(self):
        order = self._create_billed()
        order._pause_subscriptions(date(2026, 3, 20))
        record = self._index(order, confirm=False)
        self.assertEqual(record.line_ids.reason, "It pauses or ends before another price could take effect.")

    def test_an_end_which_was_announced_after_the_preview_counts(self):
        ending, going = self._create_billed(), self._create_billed()
        record = self._index(ending | going, confirm=False)
        ending._plan_closing(self.reason, '', date(2026, 3, 31))
        record.action_confirm()
        lines = {line.order_id: line for line in record.line_ids}
        self.assertEqual((lines[ending].state, lines[going].state), ('skipped', 'to_apply'))
        self.assertIn("ends before", lines[ending].reason)
        self.assertFalse(ending.coming_price_text)

    def test_customers_are_not_told_of_lines_which_will_have_ended(self):
        order = self._create_billed(self.service, self.support)
        record = self._index(order, is_announced=True, announce_days=10)
        self.assertEqual(record.line_ids.mrr_change, 15.0)
        self._change_later(order, 1, {'product_uom_qty': 0})
        self._run_on('2026-03-22')
        body = self._get_mails(order, "New prices").body_html
        self.assertIn("Hosting", body)
        self.assertNotIn("Support", body)
        self.assertRecordValues(record.line_ids, [{
            'state': 'to_apply', 'mrr_change': 3.0, 'reason': "Without what ends before: Support."}])
        self._run_on('2026-04-01')
        self.assertEqual(order.order_line.mapped('price_unit'), [33.0, 120.0])

    def test_the_price_of_what_ends_by_its_day_stays_though_it_is_set_ahead(self):
        self.monthly.invoice_lead_days = 5
        order = self._create_billed()
        record = self._index(order)
        order._plan_closing(self.reason, '', date(2026, 3, 31))
        events = self._get_events(order)
        self._run_on('2026-03-27')
        self.assertEqual(order.order_line.price_unit, 30.0)
        self.assertEqual(self._get_events(order), events)
        self.assertEqual(record.line_ids.state, 'skipped')


@freeze_time('2026-03-10 10:00:00')
class TestIndexationCalledOff(IndexationCommon):

    def _announce(self, orders):
        record = self._index(orders, is_announced=True, announce_days=10)
        self._run_on('2026-03-22')
        return record

    def test_who_was_told_is_told_once_that_it_is_called_off(self):
        self.env['res.lang']._activate_lang('fr_FR')
        template = self.env.ref('sale_subscription_ext.mail_template_indexation_withdrawn')
        template.with_context(lang='fr_FR').subject = "Les prix restent"
        french = self.env['res.partner'].create({'name': "Bois", 'email': 'bois@example.com', 'lang': 'fr_FR'})
        told, told_french = self._create_billed(), self._create_billed(partner_id=french.id)
        untold = self._create_billed(self.support, plan=self.yearly)
        record = self._announce(told | told_french | untold)
        self.assertEqual(record.told_count, 2, "The yearly one is told next year")
        record.action_cancel()
        self.assertFalse(self._get_mails(told, "stay"), "The queue does it")
        for _index in range(2):
            self._run_on('2026-03-22')
        self.assertEqual(len(self._get_mails(told, "Prices of your subscription")), 1)
        self.assertEqual(len(self._get_mails(told_french, "Les prix restent")), 1)
        self.assertFalse(self._get_mails(untold, "stay"))
        self.assertIn("30.00", self._get_mails(told, "stay").body_html)
        self.assertEqual(record.state, 'cancel')
        line = record.line_ids.filtered(lambda line: line.order_id == told)
        with self.assertRaises(psycopg2.errors.CheckViolation), mute_logger('odoo.sql_db'), self.cr.savepoint():
            line.sudo().is_withdrawal_due = True
            self.env.flush_all()

    def test_each_way_of_calling_off_tells_the_customer(self):
        by_line, by_order, going = (self._create_billed() for _index in range(3))
        record = self._announce(by_line | by_order | going)
        record.line_ids.filtered(lambda line: line.order_id == by_line).action_cancel()
        by_order.action_cancel_price_changes()
        self._run_on('2026-03-23')
        for order in by_line | by_order:
            self.assertEqual(len(self._get_mails(order, "stay as they are")), 1)
        self.assertFalse(self._get_mails(going, "stay as they are"))
        self.assertEqual(record.told_count, 1)

    def test_the_dialog_says_how_many_were_told(self):
        orders = self._create_billed() | self._create_billed()
        record = self._announce(orders)
        form = Form(self.env['subscription.indexation.cancel'].with_context(default_indexation_id=record.id))
        self.assertEqual(form.told_count, 2)
        form.save().action_apply()
        self.assertEqual(record.state, 'cancel')

    def test_who_closed_meanwhile_is_not_told_of_prices(self):
        order = self._create_billed()
        record = self._announce(order)
        record.action_cancel()
        order._close_subscriptions(self.reason)
        self._run_on('2026-03-23')
        self.assertFalse(self._get_mails(order, "stay as they are"))
        self.assertFalse(record.line_ids.is_withdrawal_due)
