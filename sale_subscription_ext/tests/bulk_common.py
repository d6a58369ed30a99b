from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


class BulkCommon(SaleSubscriptionCommon):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Bulk = cls.env['subscription.bulk.action']

    def _open(self, action, user=None, **values):
        """Make the dialog which an action opens."""
        env = self.env if user is None else self.env(user=user)
        return env[action['res_model']].with_context(**action['context']).create(values)

    def _get_report(self, wizard):
        """Do what a dialog is for, and return its report."""
        return wizard.env['subscription.bulk.action'].browse(wizard.action_apply()['res_id'])

    def _get_states(self, report):
        return {line.order_id.id: line.state for line in report.line_ids}

    def _create_orders(self, count, **values):
        return self.Order.union(*(self._create_order(start_date='2026-01-01', confirm=True, **values)
                                  for _index in range(count)))
