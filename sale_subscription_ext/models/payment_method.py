from odoo import api, models


class PaymentMethod(models.Model):
    _inherit = 'payment.method'

    @api.model
    def _get_compatible_payment_methods(self, *args, force_tokenization=False, sale_order_id=None, **kwargs):
        """Override of `payment` to offer only what can be saved where a subscription needs a saved method."""
        return super()._get_compatible_payment_methods(
            *args,
            force_tokenization=force_tokenization or self.env['payment.provider']._is_tokenization_required(
                sale_order_id=sale_order_id),
            sale_order_id=sale_order_id,
            **kwargs,
        )
