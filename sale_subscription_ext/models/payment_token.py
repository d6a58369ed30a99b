from odoo import fields, models
from odoo.tools import format_date


class PaymentToken(models.Model):
    _inherit = 'payment.token'

    subscription_expiry_date = fields.Date(
        string="Expires On", help="The last day on which this payment method can be charged, where it is known.")

    # === HOOKS === #

    def _get_subscription_problem(self):
        """Return why a saved payment method can't be charged.

        Addons which know more of a method extend it; call super.

        :return: a sentence, or nothing
        :rtype: str|None
        """
        self.ensure_one()
        token = self.sudo()  # salespeople have no right on providers
        if not token.active:
            return self.env._("Payment method %(method)s was removed.", method=token.display_name)
        if token.provider_id.state == 'disabled':
            return self.env._(
                "Payment method %(method)s belongs to %(provider)s, which is switched off.",
                method=token.display_name, provider=token.provider_id.name)
        if token.subscription_expiry_date and token.subscription_expiry_date < fields.Date.today():
            return self.env._(
                "Payment method %(method)s expired on %(day)s.", method=token.display_name,
                day=format_date(self.env, token.subscription_expiry_date))
        if not token.payment_method_id.active:
            return self.env._(
                "Payment method %(method)s is of the kind %(kind)s, which is switched off.",
                method=token.display_name, kind=token.payment_method_id.name)
        return None
