from markupsafe import Markup

from odoo import fields, models
from odoo.tools import format_amount, format_date


class SubscriptionMailMixin(models.AbstractModel):
    """The e-mails which tell the customer of the steps in a contract's life."""

    _name = 'subscription.mail.mixin'
    _description = "Subscription E-mails"

    invoice_email = fields.Boolean(
        string="Invoices by E-mail",
        help="E-mail the invoices of this subscription, however they are paid. With Post and send invoices they always"
            " are; drafts are once somebody has confirmed them.",
    )
    invoice_email_partner_ids = fields.Many2many(
        comodel_name='res.partner', relation='sale_order_invoice_email_partner_rel', string="Invoice Recipients",
        check_company=True, help="Who gets the invoices by e-mail. Empty for the invoice address.")

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

    def _is_mailing_invoices(self):
        """Return whether the invoices of this subscription are e-mailed once they are posted.

        :rtype: bool
        """
        self.ensure_one()
        return self.invoice_email or self.collection_mode == 'send'

    def _skip_start_mails(self):
        """Leave the shipped e-mails on the start of contracts out in this transaction: another one says the same."""
        shipped = self._get_subscription_template('started') | self._get_subscription_template('trial')
        orders = self.filtered(lambda order: order.is_subscription and order.stage_id.mail_template_id in shipped)
        self._get_told_order_ids().update(orders.ids)

    def _get_offer_template(self, template):
        """Return the e-mail with which a quotation is sent: one which says what is due and what follows, where it has
        a plan.

        :param mail.template template: what the host would send; its own templates are replaced, others are kept
        :rtype: mail.template
        """
        self.ensure_one()
        name = {'draft': 'quotation', 'renewal': 'renewal', 'amendment': 'amendment'}.get(self.subscription_state)
        is_hosts = template and template == self.env.ref('sale.email_template_edi_sale', raise_if_not_found=False)
        return self._get_subscription_template(name) or template if name and is_hosts else template

    def _get_agreed_template(self, template):
        """Return the e-mail with which a confirmed order is sent.

        :param mail.template template: what the host would send; its own template is replaced, one which somebody
            chose in the settings is kept where it may say the right thing
        :rtype: mail.template
        """
        self.ensure_one()
        if self.amendment_type:
            return self._get_subscription_template('changed') or template
        is_hosts = template == self.env.ref('sale.mail_template_sale_confirmation', raise_if_not_found=False)
        return is_hosts and self.is_subscription and self._get_subscription_template('confirmed') or template

    def _get_subscription_template(self, name):
        """Return a shipped e-mail, nothing where somebody deleted it.

        :param str name: the end of its XML id
        :rtype: mail.template
        """
        xmlid = f'sale_subscription_ext.mail_template_subscription_{name}'
        return self.env.ref(xmlid, raise_if_not_found=False) or self.env['mail.template']

    def _with_step_invoice(self, move):
        """Let the story and the e-mail of the step which is taken next tell of the invoice which it made.

        :param account.move move: the invoice, empty where none was made
        :rtype: sale.order
        """
        return self.with_context(sale_subscription_ext_mailed_invoice_id=move[:1].id)

    def _get_step_message(self, message):
        """Return the sentence of a step for the chatter, followed by the invoice which it made.

        :param str message: translated sentence
        :rtype: str
        """
        move = self._get_mailed_invoice()
        if not move:
            return message
        return Markup(' ').join([message, self.env._(
            "Invoiced now: %(invoice)s, %(amount)s incl. tax.", invoice=move._get_html_link(),
            amount=format_amount(self.env, move.amount_total, move.currency_id))])

    def _log_given_back(self, move):
        """Name in the chatter the document which gives invoiced days back.

        :param account.move move: the document, empty where none was made
        """
        self.ensure_one()
        if move:
            self._message_log(body=self.env._(
                "What was invoiced and isn't served is given back by %(document)s.", document=move._get_html_link()))

    def _get_service_until_end_text(self):
        """Return how a contract whose end is announced is served until then.

        :rtype: str
        """
        self.ensure_one()
        if not self.paused_from or self.paused_from > self.end_date:
            return self.env._("Until then it is served as ever.")
        if self._is_resumed_before_end():
            return self.env._(
                "It is paused from %(start)s on, and served again from %(until)s on until then.",
                start=format_date(self.env, self.paused_from), until=format_date(self.env, self.paused_until))
        if self._is_paused():
            return self.env._("It stays paused until then.")
        return self.env._(
            "It is served until it pauses on %(start)s.", start=format_date(self.env, self.paused_from))

    def _get_subscription_mail_options(self):
        """Return how the e-mails of a contract are posted.

        :rtype: dict
        """
        return {
            # As the host posts those of stages: e-mails which follow refer to it in place of what was only logged, and
            # an answer to it is no note, so that the followers of the contract are told.
            'message_type': 'auto_comment',
            'subtype_id': self.env['ir.model.data']._xmlid_to_res_id('mail.mt_note'),
            'email_layout_xmlid': 'mail.mail_notification_layout_with_responsible_signature',
        }

    def _prepare_mail_layout_values(self, message, values):
        """Prepare what the layout of an e-mail about a subscription says differently.

        :param mail.message message: what is sent
        :param dict values: what the host would let it say
        :rtype: dict
        """
        if len(self) != 1 or not self._is_in_ledger():
            return {}
        order = self.with_context(lang=values.get('lang') or self.env.lang)
        prepared = {'subtitles': [*values['subtitles'][:1], *order._get_price_texts()]}
        if message.message_type == 'auto_comment':
            # A note in the chatter, but written to the customer, whose mailbox would show it as internal.
            prepared['subtype'] = self.env['mail.message.subtype']
        return prepared
