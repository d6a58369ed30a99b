from odoo.fields import Command
from odoo.tests import freeze_time
from odoo.tools import html2plaintext

from odoo.addons.sale_subscription_ext.tests.test_amendment import AmendmentCommon


@freeze_time('2026-01-17 10:00:00')
class TestAmendmentStory(AmendmentCommon):
    """The chatter of a contract tells in plain sentences what an amendment changed."""

    def _get_story(self, order):
        """Return the newest note of an order as text, with usual blanks."""
        return html2plaintext(order.message_ids.sorted('id')[-1].body).replace('\N{NO-BREAK SPACE}', ' ')

    def test_the_chatter_tells_what_changed_on_each_line(self):
        self.env.user.group_ids += self.env.ref('sale.group_discount_per_so_line')
        old, new = self.env['account.tax'].create([{'name': "19%", 'amount': 19.0}, {'name': "20%", 'amount': 20.0}])
        backup, archive = (self._create_service(name, 10.0, recurring_invoice=True) for name in ("Backup", "Archive"))
        order = self._create_billed(
            {'product_id': self.service.id, 'product_uom_qty': 2, 'tax_ids': [Command.set(old.ids)]},
            self.support, backup, archive)
        amendment = self._amend(order, {
            0: {'product_uom_qty': 3.5, 'price_unit': 1234.5678, 'discount': 10.0, 'tax_ids': [Command.set(new.ids)]},
            1: {'product_uom_qty': 0}, 2: {'product_id': self.service.id}, 3: {'name': "Archive for ten years"},
        }, added=[{'product_id': self.support.id, 'product_uom_qty': 1500}, {'product_id': self.installation.id}],
            close_reason_id=self.reason.id)
        self.env['decimal.precision'].search([('name', '=', 'Product Price')]).digits = 4
        amendment.order_line[0].price_unit = 1234.5678
        amendment.action_confirm()
        story = self._get_story(order)
        self.assertIn(f"{amendment.name} takes effect on 01/17/2026. MRR: +$ ", story)
        for text in (
            "Hosting: Quantity 2 → 3.5, Unit Price $ 30.00 → $ 1,234.5678, Discount (%) 0 → 10, Taxes 19% → 20%.",
            "Support is removed, until then 1 × $ 120.00 every month. Reason: Moved away.",
            "Backup → Hosting: Unit Price $ 10.00 → $ 30.00.",
            "Archive: another description.",
            "Support is added: 1,500 × $ 120.00 every month.",
            "Installation is sold once: 1 × $ 200.00.",
        ):
            with self.subTest(text=text):
                self.assertIn(text, story)

    def test_a_switch_of_the_plan_is_told_once(self):
        order = self._create_billed(
            {'product_id': self.service.id, 'price_unit': 30.0}, self.support,
            {'product_id': self.support.id, 'plan_id': self.quarterly.id})
        amendment = self._amend(order, {2: {'plan_id': self.yearly.id}}, plan_id=self.yearly.id)
        amendment.order_line[0].price_unit = 400.0
        amendment.order_line[1].price_unit = 2000.0
        amendment.action_confirm()
        story = self._get_story(order)
        self.assertIn("Recurring plan: Every month → Every year.", story)
        self.assertIn("Hosting: Unit Price $ 30.00 → $ 400.00.", story)
        self.assertIn("Support: Plan Every quarter → Every year.", story)
        self.assertEqual(story.count("Every month"), 1)

    def test_an_option_is_added_and_a_removal_needs_no_reason(self):
        order = self._create_billed(
            self.service, {'display_type': 'line_section', 'name': "Options", 'is_optional': True},
            {'product_id': self.support.id, 'product_uom_qty': 0})
        self._amend(order, {2: {'product_uom_qty': 2}}).action_confirm()
        self.assertIn("Support is added: 2 × $ 120.00 every month.", self._get_story(order))
        self.monthly.downgrade_policy = 'credit'
        self._amend(order, {2: {'product_uom_qty': 0}}).action_confirm()
        self.assertIn("Support is removed, until then 2 × $ 120.00 every month.", self._get_story(order))

    def test_what_waits_for_its_date_is_told_when_it_is_confirmed_too(self):
        order = self._create_billed({'product_id': self.service.id, 'product_uom_qty': 3})
        amendment = self._amend(order, {0: {'product_uom_qty': 1}})
        amendment.action_confirm()
        story = self._get_story(order)
        self.assertIn(f"Change {amendment.name} was confirmed and takes effect on 02/01/2026.", story)
        self.assertIn("Hosting: Quantity 3 → 1.", story)

    def test_numbers_and_currency_are_written_as_the_reader_writes_them(self):
        self.env['res.lang']._activate_lang('de_DE')
        currency = self.setup_other_currency('EUR', rates=[('2020-01-01', 2.0)])
        pricelist = self.env['product.pricelist'].create({'name': "Euro", 'currency_id': currency.id})
        order = self._create_billed({'product_id': self.service.id, 'price_unit': 1030.0}, pricelist_id=pricelist.id)
        amendment = self._amend(order, {0: {'product_uom_qty': 2.5, 'price_unit': 1040.0}})
        amendment.with_context(lang='de_DE').action_confirm()
        self.assertRegex(self._get_story(order), r"1 → 2,5, .*1\.030,00 € → 1\.040,00 €")

    def test_a_name_is_no_markup(self):
        order = self._create_billed()
        self.support.name = "<b>Support</b>"
        self._amend(order, added=[{'product_id': self.support.id}]).action_confirm()
        self.assertIn("&lt;b&gt;Support", order.message_ids.sorted('id')[-1].body)

    def test_many_lines_are_told_with_the_queries_of_a_few(self):
        counts = []
        for size in (2, 9):
            order = self._create_billed(*[self._create_service(
                f"Service {number}", 10.0, recurring_invoice=True) for number in range(size)])
            amendment = self._amend(order, {index: {'product_uom_qty': 2} for index in range(size)})
            self.env.flush_all()
            self.env.invalidate_all()
            before = self.cr.sql_log_count
            texts = amendment._get_change_texts(amendment.order_line._get_line_changes())
            counts.append(self.cr.sql_log_count - before)
            self.assertEqual(len(texts), size)
        self.assertEqual(*counts)
