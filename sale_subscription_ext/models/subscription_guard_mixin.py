from odoo import api, fields, models
from odoo.exceptions import UserError

from .. import const

# What a running contract was signed for; another value is another contract.
SIGNED_FIELDS = frozenset({'plan_id', 'start_date', 'company_id', 'currency_id'})

# What the engine alone knows of a confirmed order.
ENGINE_FIELDS = frozenset({
    'subscription_state', 'next_invoice_date', 'recurring_total', 'mrr', 'arr',
    'billing_error', 'billing_error_date', 'billing_failure_count', 'billing_parked', 'close_date',
    'trial_end_date', 'term_value', 'term_unit', 'term_end', 'term_end_date', 'commitment_end_date',
    'paused_from', 'paused_until', 'renewal_date', 'subscription_id', 'origin_order_id',
    'charge_state', 'charge_reminder_date', 'method_warning_date',
    'paused_as_unpaid', 'state_before_closing', 'end_date_before_closing', 'close_money', 'close_unbilled',
    'renewal_before_closing_id',
})

# What became of a change or a renewal, of which nobody else writes.
RESULT_FIELDS = frozenset({'applied_date', 'amendment_invoice_id', 'agreed_amounts', 'renewed_terms'})


def get_changed_fields(record, vals, names):
    """Return which of some fields would be changed by writing `vals`.

    :param record: an order or a line
    :param dict vals: values to write
    :param names: of the fields which matter
    :rtype: list[str]
    """
    def is_changed(field):
        # Commands say what is to be done, not what would come out of it.
        return field.type == 'many2many' or (
            field.convert_to_cache(vals[field.name], record) != field.convert_to_cache(record[field.name], record))
    return [name for name in names if name in vals and is_changed(record._fields[name])]


class SubscriptionGuardMixin(models.AbstractModel):
    """What nobody may write by hand on a confirmed subscription."""

    _name = 'subscription.guard.mixin'
    _description = "Subscription Guard"

    # === BUSINESS METHODS === #

    def _check_engine_fields(self, vals):
        """Refuse to set by hand what follows from the ledgers, and to end a contract in the past.

        :param dict vals: the wished values
        :raise UserError: saying what to do instead
        """
        confirmed = self.filtered(lambda order: order.state == 'sale' and order.is_subscription)
        if confirmed and (names := ENGINE_FIELDS & vals.keys()):
            raise UserError(self.env._(
                "%(fields)s of a confirmed subscription follow from its billing and can't be set. Use the buttons of"
                " the subscription, such as Bill Now or Close, instead.",
                fields=', '.join(self._fields[name]._description_string(self.env) for name in sorted(names)),
            ))
        end_date = fields.Date.to_date(vals.get('end_date'))
        if 'end_date' in vals and (closing := confirmed.filtered(lambda order: order.subscription_state == 'closing')):
            raise UserError(self.env._(
                "The end of %(name)s is set by its closing. Undo the closing, or press Close for another day.",
                name=closing[0].name))
        for order in confirmed if end_date else ():
            if end_date < max(order.start_date, order._subscription_today()):
                raise UserError(self.env._(
                    "Subscription %(name)s can't end in the past. Close it instead, with the button Close.",
                    name=order.name,
                ))

    @api.model
    def _check_result_fields(self, vals):
        """Refuse to set by hand what became of a change or a renewal.

        :param dict vals: the wished values
        :raise UserError: saying what to do instead
        """
        if not self.env.su and (names := RESULT_FIELDS & vals.keys()):
            raise UserError(self.env._(
                "%(fields)s follow from confirming a change or renewal and can't be set. Confirm or cancel it instead.",
                fields=', '.join(self._fields[name]._description_string(self.env) for name in sorted(names))))

    def _check_signed(self, vals):
        """Refuse another plan, start, company or currency on a running contract.

        :param dict vals: the wished values
        :raise UserError: saying what to do instead
        """
        if self.env.context.get('sale_subscription_ext_changing'):
            return
        for order in self.filtered(lambda order: order.subscription_state in const.CONTRACT_STATES):
            for name in sorted(get_changed_fields(order, vals, SIGNED_FIELDS)):
                raise UserError(self.env._(
                    "The field “%(field)s” of running subscription %(name)s can't be changed. Close it and confirm"
                    " a new quotation instead.",
                    field=self._fields[name]._description_string(self.env), name=order.name,
                ))
