from odoo import fields, models
from odoo.exceptions import UserError
from odoo.tools import format_date

from .. import const


class PaymentToken(models.Model):
    _inherit = 'payment.token'

    subscription_expiry_date = fields.Date(
        string="Expires On", help="The last day on which this payment method can be charged, where it is known.")

    # === BUSINESS METHODS === #

    def _handle_archiving(self):
        """Override of `payment` to keep methods which running subscriptions are charged to.

        :raise UserError: saying which, and what to do first
        """
        super()._handle_archiving()
        if self.env.context.get('sale_subscription_ext_archive_used'):
            return
        charged = self._get_charged_subscriptions().filtered(lambda order: not order._can_remove_method())
        if charged:
            raise UserError(self.env._(
                "%(names)s: charged to this payment method. Choose another one there first, or ask for invoices by"
                " e-mail instead.", names=', '.join(charged.mapped('name'))))

    def get_linked_records_info(self):
        """Override of `payment` to name the running subscriptions which are charged to the method.

        :return: see `payment`; the address is the page on which another method is chosen
        :rtype: list[dict]
        """
        return super().get_linked_records_info() + [
            {
                'description': self.env._("Subscription"),
                'id': order.id,
                'name': order.name,
                'url': f'/my/orders/{order.id}/payment_method',
            }
            for order in self._get_charged_subscriptions()
        ]

    def _get_charged_subscriptions(self):
        """Return the running subscriptions which are charged to these methods.

        :rtype: sale.order
        """
        # Whose method it is may not see all of them, as where a colleague chose it.
        return self.env['sale.order'].sudo().search([
            ('payment_token_id', 'in', self.ids), ('subscription_state', 'in', const.CONTRACT_STATES)])

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
