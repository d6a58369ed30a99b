from odoo.addons.account_payment.tests.common import AccountPaymentCommon
from odoo.addons.payment.tests.http_common import PaymentHttpCommon
from odoo.addons.sale_subscription_ext.tests.common import SaleSubscriptionCommon


class SubscriptionPaymentCommon(SaleSubscriptionCommon, AccountPaymentCommon, PaymentHttpCommon):
    """A plan by the calendar month, and a provider whose payments are booked."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.provider.journal_id.inbound_payment_method_line_ids.filtered(
            lambda line: line.payment_provider_id == cls.provider
        ).payment_account_id = cls.inbound_payment_method_line.payment_account_id
        cls.calendar = cls._create_plan("Calendar month", 1, 'month', billing_alignment='calendar')
