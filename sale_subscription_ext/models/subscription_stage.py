from odoo import api, fields, models
from odoo.exceptions import ValidationError

from .. import const


class SubscriptionStage(models.Model):
    """A column of the subscriptions' kanban: a step inside one subscription state."""

    _name = 'subscription.stage'
    _description = "Subscription Stage"
    _order = 'sequence, id'

    name = fields.Char(required=True, translate=True)
    sequence = fields.Integer(default=10)
    fold = fields.Boolean(string="Folded in Kanban")
    subscription_state = fields.Selection(
        selection=const.STATES,
        string="State",
        required=True,
        default='progress',
        help="The state of the subscriptions in this stage. A subscription can be moved by hand between the"
            " stages of its state only.",
    )
    mail_template_id = fields.Many2one(
        comodel_name='mail.template',
        string="E-mail Template",
        domain="[('model', '=', 'sale.order')]",
        help="Sent to the customer when a subscription enters this stage: a welcome, a rating request,"
            " a survey.",
    )

    # === CONSTRAINT METHODS === #

    @api.constrains('subscription_state')
    def _check_every_state_has_a_stage(self):
        self._check_state_coverage(self.search([]))

    # === CRUD METHODS === #

    @api.ondelete(at_uninstall=False)
    def _unlink_except_last_of_state(self):
        self._check_state_coverage(self.search([('id', 'not in', self.ids)]))

    # === TOOLING === #

    def _check_state_coverage(self, stages):
        """Make sure that every state keeps a stage.

        :param stages: the stages which remain
        :raise ValidationError: when a state would be left without any
        """
        if self.env.context.get('install_mode'):
            return  # the stages are created one by one
        present = set(stages.mapped('subscription_state'))
        missing = [label for state, label in self._fields['subscription_state']._description_selection(self.env)
                   if state not in present]
        if missing:
            raise ValidationError(self.env._(
                "Every state of a subscription needs at least one stage. Create another stage for %(states)s"
                " first.",
                states=', '.join(missing),
            ))
