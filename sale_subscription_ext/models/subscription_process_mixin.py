from odoo import models
from odoo.exceptions import UserError


class SubscriptionProcessMixin(models.AbstractModel):
    """What is done in steps, one of the states of the field `state` after the other."""

    _name = 'subscription.process.mixin'
    _description = "Subscription Process"

    def _check_state(self, states, action_name):
        """Refuse a step which isn't possible any more, or not yet.

        :param tuple states: in which the step is possible
        :param str action_name: what is done, translated: “started”
        :raise UserError: naming the first one for which it isn't
        """
        labels = dict(self._fields['state']._description_selection(self.env))
        if wrong := self.filtered(lambda process: process.state not in states)[:1]:
            raise UserError(self.env._(
                "%(name)s is in status “%(state)s” and can't be %(action)s. Possible in: %(states)s.",
                name=wrong.display_name, state=labels[wrong.state], action=action_name,
                states=', '.join(labels[state] for state in states),
            ))
