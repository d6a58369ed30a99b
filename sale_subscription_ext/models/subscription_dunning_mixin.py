from datetime import timedelta

from odoo import api, fields, models
from odoo.fields import Domain
from odoo.tools import format_amount, format_date


class SubscriptionDunningMixin(models.AbstractModel):
    """Dunning of an invoice of subscriptions: when it begins, its steps, and its end.

    A step is taken in one transaction, with the invoice and its contracts locked, together with the row which the
    database accepts but once.
    """

    _name = 'subscription.dunning.mixin'
    _description = "Dunning"

    subscription_dunning_policy_id = fields.Many2one(
        comodel_name='subscription.dunning.policy', string="Dunning Policy", copy=False, readonly=True,
        index='btree_not_null', ondelete='restrict')
    subscription_dunning_date = fields.Date(
        string="In Dunning Since", copy=False, readonly=True, index='btree_not_null',
        help="Day 0 of the dunning: the first failed payment, or the due date. Empty as long as there is none.")
    subscription_dunning_next_date = fields.Date(
        string="Next Dunning Step", compute='_compute_subscription_dunning_next_date', store=True, copy=False,
        index='btree_not_null')
    subscription_paid_date = fields.Date(
        copy=False, readonly=True, help="When the invoice was paid, whether the money went back later or not.")
    subscription_dunning_restricted = fields.Boolean(
        string="Restricts the Portal", copy=False, readonly=True,
        help="Until this invoice is paid, the customer can change nothing of its contracts.")
    subscription_dunning_entry_ids = fields.One2many(
        comodel_name='subscription.dunning.entry', inverse_name='move_id', string="Dunning", readonly=True)

    # === COMPUTE METHODS === #

    @api.depends(
        'subscription_dunning_date', 'subscription_dunning_policy_id.step_ids.day_offset',
        'subscription_dunning_entry_ids.state', 'subscription_dunning_entry_ids.day_offset')
    def _compute_subscription_dunning_next_date(self):
        for move in self:
            asked = move.subscription_dunning_entry_ids.filtered(lambda entry: entry.state == 'asked')
            step = move._get_steps_left()[:1]
            if asked:
                move.subscription_dunning_next_date = asked[0].date
            else:
                move.subscription_dunning_next_date = step and move._get_step_date(step)

    # === BUSINESS METHODS - BEGIN === #

    def _handle_charge_failure(self, transaction, is_hard):
        """Override to begin the dunning with the first failed charge; its steps are left to the next collection.

        What a customer tried to pay online isn't one.
        """
        result = super()._handle_charge_failure(transaction, is_hard)
        is_charge = not transaction or transaction.operation == 'offline'
        if is_charge and self._is_charge_open():
            self._begin_dunning(self.company_id._get_subscription_today())
            self.env['sale.order']._trigger_collection()
        return result

    def _note_returned_payment(self):
        """Override to dun what went back from today on, as after a refusal for good."""
        result = super()._note_returned_payment()
        today = self.company_id._get_subscription_today()
        self.subscription_paid_date = self.subscription_paid_date or today  # so that nothing counts from its due date
        self._begin_dunning(today)
        return result

    def _handle_invoice_paid(self):
        """Override to end the dunning with the money, and to tell of money which comes for closed contracts.

        It is part of the payment's transaction, so nothing of it may stand in the way of that.
        """
        result = super()._handle_invoice_paid()
        paid = self.filtered(lambda move: move.move_type == 'out_invoice' and move._get_subscriptions())
        paid.write({
            'subscription_paid_date': fields.Date.context_today(self), 'subscription_close_warning_date': False})
        for move in paid:
            closed = move._get_subscriptions() if move._is_closed_as_unpaid() else self.env['sale.order']
            move._end_dunning(self.env._("Invoice %(invoice)s is paid.", invoice=move._get_charge_label()))
            closed._ask_about_late_payment(move)
        return result

    def _begin_dunning(self, day_zero):
        """Begin the dunning of invoices which have a policy.

        :param datetime.date day_zero: the day from which the steps are counted
        """
        for move in self.filtered(lambda move: not move.subscription_dunning_date):
            policy = move._get_dunning_policy()
            if policy and not move._is_closed_as_unpaid():
                move.write({'subscription_dunning_policy_id': policy.id, 'subscription_dunning_date': day_zero})

    def _begin_due_dunning(self):
        """Begin the dunning of locked invoices which are overdue."""
        for move in self:
            # What had been paid and went back begins today, not in the past.
            today = move.company_id._get_subscription_today()
            move._begin_dunning(today if move.subscription_paid_date else move._get_oldest_due_date())
        return []

    def _get_dunning_policy(self):
        """Return the policy by which this invoice is dunned: that of the first of its subscriptions which has one.

        :rtype: subscription.dunning.policy
        """
        self.ensure_one()
        return self._get_subscriptions().plan_id.dunning_policy_id.filtered('active')[:1]

    @api.model
    def _get_dunning_begin_domain(self):
        """Return the domain of the overdue invoices whose dunning begins.

        A failed charge begins it where subscriptions are charged, so that only what nobody tries to charge begins by
        its due date there.

        :rtype: Domain
        """
        # What ended as unpaid isn't begun anew.
        order = Domain('plan_id.dunning_policy_id.active', '=', True) & Domain.OR([
            Domain('subscription_state', '!=', 'closed'),
            Domain('close_reason_id', '=', False),
            Domain('close_reason_id', '!=', self._get_unpaid_reason().id),
        ])
        asked = order & Domain('collection_mode', 'in', ('send', 'prepaid'))
        charged = order & Domain('collection_mode', '=', 'charge')
        return (
            Domain('subscription_dunning_date', '=', False)
            & (
                Domain('invoice_line_ids.sale_line_ids.order_id', 'any', asked)
                | Domain('subscription_charge_state', '=', False)
                & Domain('invoice_line_ids.sale_line_ids.order_id', 'any', charged)
            )
            & self._get_unpaid_domain() & self._get_overdue_domain()
        )

    # === BUSINESS METHODS - STEPS === #

    @api.model
    def _get_dunning_due_domain(self):
        """Return the domain of the invoices of which a dunning step is due.

        :rtype: Domain
        """
        due = self.env['sale.order']._get_dated_domain(
            lambda today: Domain('subscription_dunning_next_date', '<=', today))
        return Domain('subscription_dunning_date', '!=', False) & due & self._get_unpaid_domain()

    def _take_dunning_steps(self):
        """Take what is due of locked invoices."""
        for move in self:
            move._take_dunning_step()
        return []

    def _take_dunning_step(self):
        """Take what is due of a locked invoice. Steps which were missed are taken together, each action once.

        Where the saved method can be charged again, the rest waits for the answer.
        """
        self.ensure_one()
        today = self.company_id._get_subscription_today()
        steps = self._get_steps_left().filtered(lambda step: self._get_step_date(step) <= today)
        asked = self.subscription_dunning_entry_ids.filtered(lambda entry: entry.state == 'asked')
        entries = asked | asked.create([self._prepare_dunning_entry(step, today) for step in steps])
        if any(step.retry_charge and step.day_offset for step in steps) and self._retry_charge():
            entries.state = 'asked'
            return
        done = self._carry_out(entries.step_id) if entries.step_id else []
        if asked:
            done = [self.env._("charged again without success"), *done]
        description = ', '.join(done) or self.env._("nothing could be done")
        entries.write({'state': 'done', 'description': description})
        for order in self._get_subscriptions():
            order._message_log(body=self.env._(
                "Invoice %(invoice)s is unpaid, day %(day)s: %(actions)s.",
                invoice=self._get_html_link(), day=max(entries.mapped('day_offset'), default=0), actions=description))

    def _prepare_dunning_entry(self, step, day):
        """Prepare the row which guards a step.

        :param subscription.dunning.step step: the step which is taken
        :param datetime.date day: today where the company is
        :rtype: dict
        """
        self.ensure_one()
        return {
            'move_id': self.id, 'step_id': step.id, 'day_offset': step.day_offset, 'date': day,
            'order_ids': [fields.Command.set(self._get_subscriptions().ids)],
        }

    def _retry_charge(self):
        """Ask for the saved method to be charged again, unless the card networks or anything else forbid it. What had
        been paid and went back is a person's matter.

        :return: whether an answer will come
        :rtype: bool
        """
        self.ensure_one()
        if self.subscription_paid_date or not self._is_chargeable() or self._get_charge_error():
            return False  # the limits of the card networks are among the errors
        self._request_charge()
        return True

    def _is_chargeable(self):
        """Return whether the subscriptions of this invoice are charged by a saved method.

        :rtype: bool
        """
        self.ensure_one()
        modes = self._get_subscriptions().mapped('collection_mode')
        return bool(self._get_charge_token()) and not {'charge', 'prepaid'}.isdisjoint(modes)

    def _carry_out(self, steps):
        """Do what steps say, apart from charging.

        :param subscription.dunning.step steps: the last one decides where they differ
        :return: what was done, in words
        :rtype: list[str]
        """
        self.ensure_one()
        done = []
        contracts = self._get_running_contracts()
        steps = steps.sorted('day_offset')
        if any(steps.mapped('close')) and contracts:
            contracts._close_as_unpaid(self)
            return [self.env._("contract closed")]
        if any(steps.mapped('restrict_portal')):
            self.subscription_dunning_restricted = True
            done.append(self.env._("portal restricted"))
        if any(steps.mapped('pause')) and contracts._pause_as_unpaid(any(steps.mapped('send_mail'))):
            done.append(self.env._("contract paused"))
        if not self.subscription_dunning_date:
            return done  # settled by what the pause gave back: nothing is to be asked for
        if any(steps.mapped('create_activity')):
            self._schedule_unpaid_activity()
            done.append(self.env._("activity created"))
        if mailing := steps.filtered('send_mail')[-1:]:
            done.append(self._send_step_mail(mailing))
        return done

    def _send_step_mail(self, step):
        """Send the e-mail of a step, unless the invoice itself, which was mailed today, asks for the money.

        :param subscription.dunning.step step: a step with an e-mail
        :return: what was done, in words
        :rtype: str
        """
        self.ensure_one()
        is_refused = self.subscription_charge_state in ('failed', 'refused')
        if not is_refused and self.invoice_date == self.company_id._get_subscription_today():
            return self.env._("no e-mail on the day of the invoice")
        if self._send_unpaid_mail(step.mail_template_id or self._get_unpaid_template()):
            return self.env._("e-mail sent")
        return self.env._("no e-mail: plan or address forbid it")

    def _get_steps_left(self):
        """Return the steps which weren't taken yet, in their order; those before one that was are over.

        :rtype: subscription.dunning.step
        """
        self.ensure_one()
        if not self.subscription_dunning_date:
            return self.env['subscription.dunning.step']
        entries = self.subscription_dunning_entry_ids
        last_day = max(entries.mapped('day_offset'), default=-1)
        return self.subscription_dunning_policy_id.step_ids.filtered(
            lambda step: step.day_offset > last_day and step not in entries.step_id).sorted('day_offset')

    def _get_step_date(self, step):
        """Return the day on which a step of this dunning is due.

        :param subscription.dunning.step step: one of the policy
        :rtype: datetime.date
        """
        self.ensure_one()
        return self.subscription_dunning_date + timedelta(days=step.day_offset)

    # === BUSINESS METHODS - END === #

    def _end_dunning(self, message=''):
        """End the dunning of invoices: nothing more is done, what was restricted is free again.

        :param str message: translated sentence for the chatter of the contracts
        """
        dunned = self.filtered('subscription_dunning_date')
        if not dunned:
            return
        dunned.subscription_dunning_entry_ids.active = False
        dunned.write({
            'subscription_dunning_date': False, 'subscription_dunning_policy_id': False,
            'subscription_dunning_restricted': False,
        })
        orders = dunned._get_subscriptions() | dunned._get_running_contracts()
        free = orders.filtered(lambda order: not order._get_dunned_invoices())
        free.activity_unlink(['sale_subscription_ext.mail_activity_type_unpaid'])
        if message:
            orders._message_log_batch(bodies=dict.fromkeys(orders.ids, message))
        if free.filtered('paused_as_unpaid'):
            self.env['sale.order']._trigger_collection()

    def _end_settled_dunning(self):
        """End the dunning of locked invoices of which nothing is left to be paid."""
        self._end_dunning(self.env._("Dunning ended: nothing of the invoice is left to be paid."))
        return []

    @api.model
    def _get_dunning_settled_domain(self):
        """Return the domain of the invoices in dunning which are paid, credited or cancelled: the payment itself ends
        the dunning, this is for everything else.

        :rtype: Domain
        """
        settled = Domain('payment_state', 'not in', ('not_paid', 'partial', 'blocked')) | Domain('state', '=', 'cancel')
        return Domain('subscription_dunning_date', '!=', False) & settled

    # === BUSINESS METHODS - ACTIONS OF STEPS === #

    def _schedule_unpaid_activity(self):
        """Ask somebody to get in touch with the customer."""
        self.ensure_one()
        order = (self._get_running_contracts() or self._get_subscriptions())[:1]
        order._schedule_collection_activity('sale_subscription_ext.mail_activity_type_unpaid', self.env._(
            "Invoice %(invoice)s of %(amount)s is unpaid since %(day)s. Get in touch with %(customer)s.",
            invoice=self._get_charge_label(), customer=self.partner_id.display_name,
            amount=format_amount(self.env, self._get_charge_amount(), self.currency_id),
            day=format_date(self.env, self._get_oldest_due_date())))

    def _handle_dunning_error(self, error):
        """Ask somebody to look at the contracts of an invoice about which nothing could be done.

        :param Exception error: what happened
        """
        for order in self._get_subscriptions():
            order._log_lifecycle_error(error)
