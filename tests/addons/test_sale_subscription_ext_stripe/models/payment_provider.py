from odoo import models
from odoo.exceptions import UserError


class PaymentProvider(models.Model):
    _inherit = 'payment.provider'

    def _build_request_url(self, endpoint, **kwargs):
        """Override of `payment_stripe` to reach the fake server of the tests, and never the internet."""
        if self.code != 'stripe':
            return super()._build_request_url(endpoint, **kwargs)
        # Whoever pays may not read parameters.
        url = self.env['ir.config_parameter'].sudo().get_param('test_sale_subscription_ext_stripe.url')
        if not url:
            raise UserError(self.env._(
                "There is no address of a fake server: set the parameter test_sale_subscription_ext_stripe.url."))
        return f'{url}/v1/{endpoint}'
