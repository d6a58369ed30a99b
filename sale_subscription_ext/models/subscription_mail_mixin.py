from odoo import models


class SubscriptionMailMixin(models.AbstractModel):
    """The e-mails which tell the customer of the steps in a contract's life."""

    _name = 'subscription.mail.mixin'
    _description = "Subscription E-mails"

    # === BUSINESS METHODS === #

    def _send_subscription_mail(self, template_xmlid):
        """Send an e-mail to the customers, where the plan sends any and the customer has an address.

        The recipients read it in their language, by the template; the queue sends it after the commit.

        :param str template_xmlid: of an e-mail template for sales orders
        """
        template = self.env.ref(template_xmlid, raise_if_not_found=False)
        if not template or self.env.context.get('tracking_disable'):
            return
        for order in self.filtered(lambda order: order._is_stage_mail_sent()):
            order.message_post_with_source(template, **order._get_subscription_mail_options())

    def _send_instead_of_stage_mail(self, template_xmlid):
        """Send an e-mail, and not that of the stage which is entered in this transaction.

        :param str template_xmlid: of an e-mail template for sales orders
        """
        self._get_told_order_ids().update(self.ids)
        self._send_subscription_mail(template_xmlid)

    def _get_told_order_ids(self):
        """Return whose stage sends nothing in this transaction, because another e-mail tells of the step.

        :rtype: set
        """
        # Stage e-mails are sent before the commit, by which time only the transaction knows what led there.
        return self.env.cr.precommit.data.setdefault('sale_subscription_ext.told_order_ids', set())

    def _is_stage_mail_sent(self):
        """Return whether the customer is told of the steps of this contract.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.plan_id.send_mails and self.partner_id.email)

    def _get_offer_template(self):
        """Return the e-mail with which a quotation is sent that renews or changes a contract.

        :return: nothing for any other quotation
        :rtype: mail.template
        """
        self.ensure_one()
        name = {'renewal': 'renewal', 'amendment': 'amendment'}.get(self.subscription_state)
        template = name and self.env.ref(
            f'sale_subscription_ext.mail_template_subscription_{name}', raise_if_not_found=False)
        return template or self.env['mail.template']

    def _get_subscription_mail_options(self):
        """Return how the e-mails of a contract are posted.

        :rtype: dict
        """
        return {
            'subtype_id': self.env['ir.model.data']._xmlid_to_res_id('mail.mt_note'),
            'email_layout_xmlid': 'mail.mail_notification_layout_with_responsible_signature',
        }
