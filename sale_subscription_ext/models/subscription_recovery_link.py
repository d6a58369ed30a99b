from datetime import timedelta

from odoo import api, fields, models
from odoo.tools import consteq, hmac

# How long a link is valid at the most.
MAX_DAYS = 30

# A link which is mailed once more is valid for that many days at least, else there is a new one.
MIN_DAYS = 14


class SubscriptionRecoveryLink(models.Model):
    """A link which lets whoever holds it pay one invoice without a login, and save the method used."""

    _name = 'subscription.recovery.link'
    _description = "Payment Link of an Unpaid Invoice"
    _order = 'id desc'
    _rec_name = 'move_id'

    _check_expiry_date = models.Constraint(
        f"CHECK(expiry_date > issue_date AND expiry_date <= issue_date + interval '{MAX_DAYS} days')",
        "A payment link is valid for 30 days at the most.",
    )

    move_id = fields.Many2one(
        comodel_name='account.move', string="Invoice", required=True, index=True, readonly=True, ondelete='cascade')
    company_id = fields.Many2one(related='move_id.company_id', store=True, index=True)
    partner_id = fields.Many2one(
        comodel_name='res.partner', string="Customer", required=True, readonly=True, ondelete='restrict',
        help="For whom the link was made. It ends when the invoice becomes somebody else's.",
    )
    order_ids = fields.Many2many(
        comodel_name='sale.order', relation='subscription_recovery_link_order_rel', column1='link_id',
        column2='order_id', string="Subscriptions", readonly=True)
    issue_date = fields.Datetime(required=True, readonly=True, default=fields.Datetime.now)
    expiry_date = fields.Datetime(required=True, readonly=True)
    is_revoked = fields.Boolean(string="Revoked", readonly=True)
    state = fields.Selection(
        selection=[('valid', "Valid"), ('paid', "Paid"), ('expired', "Expired"), ('revoked', "Revoked")],
        compute='_compute_state',
    )

    # === COMPUTE METHODS === #

    @api.depends('move_id.payment_state', 'move_id.state', 'move_id.partner_id', 'expiry_date', 'is_revoked')
    def _compute_state(self):
        now = fields.Datetime.now()
        for link in self:
            move = link.move_id.sudo()  # whoever looks at the link
            if link.is_revoked or move.partner_id != link.partner_id or move.state == 'cancel':
                link.state = 'revoked'
            elif not move._is_payable_by_link():
                link.state = 'paid'
            else:
                link.state = 'expired' if link.expiry_date <= now else 'valid'

    # === ACTION METHODS === #

    def action_revoke(self):
        """End links at once, whoever has them.

        :raise AccessError: when the user may not change the subscriptions
        """
        self.order_ids.check_access('write')
        self.sudo().is_revoked = True  # the right on the subscriptions was checked; links are the engine's

    # === BUSINESS METHODS === #

    @api.model
    def _ensure_for(self, move):
        """Return a link for an unpaid invoice which is valid for a while, a new one where there is none.

        :param account.move move: the invoice
        :rtype: subscription.recovery.link
        """
        now = fields.Datetime.now()
        latest = self.search([
            ('move_id', '=', move.id), ('partner_id', '=', move.partner_id.id), ('is_revoked', '=', False),
            ('expiry_date', '>=', now + timedelta(days=MIN_DAYS)),
        ], limit=1)
        return latest or self.create({
            'move_id': move.id,
            'partner_id': move.partner_id.id,
            'order_ids': move._get_subscriptions().ids,
            'issue_date': now,
            'expiry_date': now + timedelta(days=MAX_DAYS),
        })

    @api.model
    def _find_by_token(self, token):
        """Return the link which a token stands for, in whatever state it is.

        :param str token: from the address of a page
        :return: nothing where the token was made up or changed
        :rtype: subscription.recovery.link
        """
        link_id, _dash, signature = (token or '').partition('-')
        if not link_id.isdecimal() or len(link_id) > 9 or not signature.isascii():
            return self.browse()
        link = self.browse(int(link_id)).exists()
        return link if link and consteq(link._get_signature(), signature) else self.browse()

    # === TOOLING === #

    def _get_token(self):
        """Return what the address of the page holds. It can't be guessed, and isn't stored.

        :rtype: str
        """
        self.ensure_one()
        return f'{self.id}-{self._get_signature()}'

    def _get_signature(self):
        """Sign what a link stands for, so that nothing of it can be swapped.

        :rtype: str
        """
        self.ensure_one()
        signed = (self.id, self.move_id.id, self.partner_id.id, fields.Datetime.to_string(self.expiry_date))
        return hmac(self.env(su=True), 'sale_subscription_ext.recovery_link', signed)

    def _get_url(self):
        """Return the address of the page.

        :rtype: str
        """
        self.ensure_one()
        return f'{self.move_id.get_base_url()}/subscription/pay/{self._get_token()}'
