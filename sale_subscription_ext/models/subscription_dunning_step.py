from odoo import api, fields, models


class SubscriptionDunningStep(models.Model):
    """A day of a dunning policy, and what is done on it as long as the invoice is unpaid."""

    _name = 'subscription.dunning.step'
    _description = "Dunning Step"
    _order = 'day_offset, id'

    _unique_day = models.UniqueIndex(
        "(policy_id, day_offset)",
        "A dunning policy has one step a day. Put all that happens on that day into one step.",
    )
    _check_day_offset = models.Constraint(
        'CHECK(day_offset >= 0)',
        "The day of a dunning step can't be negative. Day 0 is that of the failed payment, or the due date.",
    )
    _check_actions = models.Constraint(
        'CHECK(retry_charge IS TRUE OR send_mail IS TRUE OR create_activity IS TRUE OR pause IS TRUE'
        ' OR restrict_portal IS TRUE OR close IS TRUE)',
        "A dunning step must do something. Tick at least one of its actions, or delete it.",
    )

    policy_id = fields.Many2one(
        comodel_name='subscription.dunning.policy', required=True, index=True, ondelete='cascade')
    day_offset = fields.Integer(
        string="Day", required=True,
        help="Days after the payment failed for the first time; after the due date where nothing is charged.")
    retry_charge = fields.Boolean(
        string="Charge Again",
        help="Charge the saved payment method once more. What else the step does waits for the answer, and is left"
            " undone when the money arrives. On day 0 the failed payment was the try.",
    )
    send_mail = fields.Boolean(
        string="E-mail",
        help="Send the customer an e-mail with a link for paying this invoice. Not on the day of the invoice, which"
            " asks for the money itself, unless a payment failed.",
    )
    mail_template_id = fields.Many2one(
        comodel_name='mail.template',
        string="E-mail Template",
        domain="[('model', '=', 'sale.order')]",
        help="Empty: “Payment Failed” after a failed charge, “Payment Reminder” otherwise.",
    )
    create_activity = fields.Boolean(string="Activity", help="Ask the salesperson to get in touch.")
    restrict_portal = fields.Boolean(
        help="The customer still sees contract and invoices and pays them, but changes nothing until then.")
    pause = fields.Boolean(help="Stop service until the invoice is paid.")
    close = fields.Boolean(help="End the contract today, as unpaid.")
    description = fields.Char(string="What Happens", compute='_compute_description')

    # === COMPUTE METHODS === #

    @api.depends('retry_charge', 'send_mail', 'create_activity', 'restrict_portal', 'pause', 'close')
    @api.depends_context('lang')
    def _compute_description(self):
        for step in self:
            step.description = ', '.join(step._get_action_labels())

    @api.depends('day_offset')
    @api.depends_context('lang')
    def _compute_display_name(self):
        for step in self:
            step.display_name = self.env._("Day %(day)s", day=step.day_offset)

    # === TOOLING === #

    def _get_action_labels(self):
        """Return what these steps do, in words, each once.

        :rtype: list[str]
        """
        labels = {
            'retry_charge': self.env._("charge again"),
            'send_mail': self.env._("e-mail"),
            'create_activity': self.env._("activity"),
            'restrict_portal': self.env._("restrict portal"),
            'pause': self.env._("pause"),
            'close': self.env._("close"),
        }
        return [label for name, label in labels.items() if any(self.mapped(name))]
