from odoo import api, fields, models
from odoo.exceptions import ValidationError


class ResConfigSettings(models.TransientModel):
    _inherit = 'res.config.settings'

    subscription_tz = fields.Selection(related='company_id.subscription_tz', readonly=False)
    subscription_days_per_month = fields.Selection(
        related='company_id.subscription_days_per_month', readonly=False)
    subscription_catch_up = fields.Integer(related='company_id.subscription_catch_up', readonly=False)
    subscription_max_run = fields.Integer(related='company_id.subscription_max_run', readonly=False)
    subscription_billing_user_id = fields.Many2one(
        related='company_id.subscription_billing_user_id', readonly=False)
    subscription_billing_hold = fields.Boolean(
        string="Hold All Billing", config_parameter='sale_subscription_ext.billing_hold')
    subscription_billing_workers = fields.Integer(
        string="Billing Workers", help="How many workers share the work of a billing run, and of charging.")

    # === CONSTRAINT METHODS === #

    @api.constrains('subscription_billing_workers')
    def _check_subscription_billing_workers(self):
        count = len(self._get_billing_crons())
        for settings in self:
            if not 0 <= settings.subscription_billing_workers <= count:
                raise ValidationError(self.env._(
                    "The number of billing workers must be between 0, which stops billing, and %(count)s.",
                    count=count,
                ))

    # === BUSINESS METHODS === #

    @api.model
    def get_values(self):
        """Override of `base_setup` to count the billing crons which are on."""
        return {
            **super().get_values(),
            'subscription_billing_workers': len(self._get_billing_crons().filtered('active')),
        }

    def set_values(self):
        """Override of `base_setup` to switch as many billing crons on as wished."""
        result = super().set_values()
        for crons in (self._get_billing_crons(), self._get_collection_crons()):
            if len(crons.filtered('active')) == self.subscription_billing_workers:
                continue
            for position, cron in enumerate(crons):
                cron.active = position < self.subscription_billing_workers
        return result

    @api.model
    def _get_billing_crons(self):
        """Return the identical crons of the billing run, on or off.

        :rtype: ir.cron
        """
        return self._get_identical_crons('sale_subscription_ext.ir_cron_bill_subscriptions_1')

    @api.model
    def _get_collection_crons(self):
        """Return the identical crons which collect payments, on or off.

        :rtype: ir.cron
        """
        return self._get_identical_crons('sale_subscription_ext.ir_cron_collect_payments_1')

    @api.model
    def _get_identical_crons(self, xmlid):
        """Return the crons which do the same as one of them.

        :param str xmlid: of the first one
        :rtype: ir.cron
        """
        # Only administrators see crons; whoever triggers them has the right to what they do.
        cron = self.env.ref(xmlid).sudo()
        return cron.with_context(active_test=False).search([
            ('model_id', '=', cron.model_id.id), ('code', '=', cron.code)], order='id')
