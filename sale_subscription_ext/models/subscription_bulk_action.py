import logging
from collections import defaultdict

from odoo import api, fields, models
from odoo.exceptions import LockError, UserError
from odoo.fields import Command, Domain

from .. import const
from .subscription_batch_mixin import DATABASE_ERRORS

_logger = logging.getLogger(__name__)


class SubscriptionBulkAction(models.Model):
    """What somebody wants done to several subscriptions, its progress, and afterwards its report."""

    _name = 'subscription.bulk.action'
    _inherit = ['subscription.process.mixin']
    _description = "Bulk Action on Subscriptions"
    _order = 'id desc'

    _once_a_dialog = models.UniqueIndex(
        "(dialog_model, dialog_id)", "This is being done already. Look at Subscriptions → Bulk Actions.")

    action_type = fields.Selection(
        selection=const.BULK_ACTIONS, string="Action", required=True, readonly=True)
    user_id = fields.Many2one(
        comodel_name='res.users', string="Requested by", required=True, readonly=True, index=True,
        default=lambda self: self.env.user, help="It is done with the rights of this user.")
    company_ids = fields.Many2many(comodel_name='res.company', string="Companies", required=True, readonly=True)
    # The dialog, and what was chosen in it.
    dialog_model = fields.Char(required=True, readonly=True)
    dialog_id = fields.Integer(required=True, readonly=True)
    choices = fields.Json(readonly=True)
    state = fields.Selection(
        selection=[('running', "Running"), ('stopped', "Stopped"), ('done', "Done")],
        string="Status", required=True, readonly=True, default='running')
    end_time = fields.Datetime(string="Finished", readonly=True)

    # Report
    line_ids = fields.One2many(
        comodel_name='subscription.bulk.action.line', inverse_name='bulk_id', string="Subscriptions", readonly=True)
    line_count = fields.Integer(string="Selected", compute='_compute_counts')
    todo_count = fields.Integer(string="To Do", compute='_compute_counts')
    done_count = fields.Integer(string="Done", compute='_compute_counts')
    skipped_count = fields.Integer(string="Left Out", compute='_compute_counts')
    error_count = fields.Integer(string="Failed", compute='_compute_counts')
    made_count = fields.Integer(string="Quotations", compute='_compute_counts')
    progress = fields.Float(compute='_compute_counts')

    # === COMPUTE METHODS === #

    @api.depends('line_ids.state')
    def _compute_counts(self):
        counts = defaultdict(lambda: defaultdict(int))
        for bulk, state, count, made in self.env['subscription.bulk.action.line']._read_group(
            [('bulk_id', 'in', self.ids)], ['bulk_id', 'state'], ['__count', 'made_order_id:count_distinct'],
        ):
            counts[bulk.id][state] = count
            counts[bulk.id]['made'] += made
        for bulk in self:
            by_state = counts[bulk.id]
            for state in ('todo', 'done', 'skipped', 'error', 'made'):
                bulk[f'{state}_count'] = by_state[state]
            bulk.line_count = total = sum(by_state.values()) - by_state['made']
            bulk.progress = 100.0 * (total - bulk.todo_count) / total if total else 0.0

    @api.depends('action_type', 'create_date')
    @api.depends_context('lang')
    def _compute_display_name(self):
        labels = dict(self._fields['action_type']._description_selection(self.env))
        for bulk in self:
            bulk.display_name = self.env._(
                "%(action)s (no. %(number)s)", action=labels.get(bulk.action_type, ''), number=bulk.id)

    # === ACTION METHODS === #

    def action_refresh(self):
        """Show the form again as it is now.

        :return: a client action
        :rtype: dict
        """
        return {'type': 'ir.actions.client', 'tag': 'soft_reload'}

    def action_stop(self):
        """Leave out what isn't done yet; what is done stays done.

        :raise UserError: when one isn't running
        """
        self.check_access('read')
        self._check_state(('running',), self.env._("stopped"))
        bulks = self.sudo()  # nobody writes them but the engine
        bulks.line_ids.filtered(lambda line: line.state == 'todo').write({
            'state': 'skipped', 'message': self.env._("Stopped by %(user)s.", user=self.env.user.name)})
        bulks.write({'state': 'stopped', 'end_time': fields.Datetime.now()})

    def action_retry_errors(self):
        """Do again what failed, once the cause is mended; with the rights of who presses the button.

        :raise UserError: when one isn't finished
        """
        self.check_access('read')
        self._check_state(('done', 'stopped'), self.env._("tried again"))
        for bulk in self.sudo():  # nobody writes them but the engine
            bulk.line_ids.filtered(lambda line: line.state == 'error').write({'state': 'todo', 'message': False})
            bulk.write({'state': 'running', 'end_time': False, 'user_id': self.env.uid})
            bulk._begin()

    def action_view_made(self):
        """Open the quotations which were made.

        :return: a window action
        :rtype: dict
        """
        self.ensure_one()
        return self.line_ids.made_order_id._get_records_action(
            name=self.env._("Quotations"), views=[(False, 'list'), (False, 'form')])

    # === BUSINESS METHODS === #

    @api.model
    def _start(self, dialog):
        """Do what was chosen in a dialog to its subscriptions: at once where they are few, else in the background.

        :param dialog: see `subscription.dialog.mixin`
        :return: an action which shows the report
        :rtype: dict
        """
        origin = {'dialog_model': dialog._name, 'dialog_id': dialog.id}
        # Whatever the user may do with the report: it is written by the engine only.
        bulk = self.sudo().search([(name, '=', value) for name, value in origin.items()])
        if not bulk:  # pressed twice, it is done once
            bulk = self.sudo().create({
                **origin,
                'action_type': dialog._get_bulk_type(),
                'choices': dialog._prepare_choices(),
                'company_ids': [Command.set(dialog.order_ids.company_id.ids)],
                'line_ids': [Command.create({'order_id': order.id}) for order in dialog.order_ids],
            })
            bulk._begin()
        return bulk.with_env(self.env)._get_records_action(name=self.env._("Report"))

    def _begin(self):
        """Do what is to do: at once where it is little, else by the cron."""
        self.ensure_one()
        if self.todo_count <= const.BULK_SIZE_AT_ONCE:
            self._work(commit=False)
        if self.state == 'running':
            self.env.ref('sale_subscription_ext.ir_cron_run_bulk_actions')._trigger()

    def _work(self, commit):
        """Do what is left to do, batch by batch; each subscription in a savepoint of its own.

        :param bool commit: commit batch by batch and report the progress, for crons
        :return: whether there was time for all
        :rtype: bool
        """
        self.ensure_one()
        todo = self.env['subscription.bulk.action.line']._search([
            ('bulk_id', '=', self.id), ('state', '=', 'todo'), ('bulk_id.state', '=', 'running')])
        domain = Domain('id', 'in', todo.subselect('order_id'))
        _made, is_done = self.env['sale.order']._run_in_batches(
            domain, self._process_orders, self._fail_order, commit=commit)
        if is_done and not self.line_ids.filtered(lambda line: line.state == 'todo') and self.state == 'running':
            self.write({'state': 'done', 'end_time': fields.Datetime.now()})
            if commit:
                self._notify_done()
        return is_done

    def _process_orders(self, orders):
        """Do it to locked subscriptions, and report what became of each.

        :param sale.order orders: the subscriptions
        :rtype: list
        """
        self.ensure_one()
        lines = self.env['subscription.bulk.action.line'].search(
            [('bulk_id', '=', self.id), ('order_id', 'in', orders.ids)]).grouped('order_id')
        user_orders = orders.with_env(self._get_user_env())
        for order, user_order in zip(orders, user_orders, strict=True):
            if values := self._process_order(user_order):
                lines[order].write(values)
        return []

    def _process_order(self, order):
        """Do it to a subscription with the rights of who asked for it; one which fails is left as it was.

        :param sale.order order: the subscription
        :return: values of its line, nothing when another transaction is at it
        :rtype: dict
        """
        try:
            with self.env.cr.savepoint():
                order = order.with_company(order.sudo().company_id)
                order.check_access('write')
                dialog = order.env[self.dialog_model].new(
                    {**self.choices, 'order_ids': [Command.set(order.ids)]})
                if reason := dialog._get_skip_reason(order):
                    return {'state': 'skipped', 'message': reason}
                message = dialog._get_preview_of(order)
                made = dialog._apply_to(order)
                return {'state': 'done', 'message': message, 'made_order_id': made.id if made else False}
        except DATABASE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it must not stop the others
            if isinstance(error, LockError) or isinstance(error.__cause__, LockError):
                return {}  # it is being billed right now; the cron tries again
            return self._prepare_error(order, error)

    def _fail_order(self, order, error):
        """Report that a subscription couldn't be worked on; for `_run_in_batches`."""
        line = self.line_ids.filtered(lambda line: line.order_id == order)
        line.write(self._prepare_error(order, error))

    def _prepare_error(self, order, error):
        """Prepare what is reported of a subscription which failed.

        :param sale.order order: the subscription
        :param Exception error: what happened
        :rtype: dict
        """
        message = order._get_text_below_name(str(error))
        if not isinstance(error, UserError):
            _logger.warning("%s failed on subscription %s", self.display_name, order.id, exc_info=error)
            message = self.env._("It could not be done: %(error)s", error=error)
        return {'state': 'error', 'message': message}

    def _get_user_env(self):
        """Return the environment of who asked for it: rights, language, companies, without what a view has set.

        :rtype: odoo.api.Environment
        """
        self.ensure_one()
        user = self.user_id
        return self.env(user=user.id, su=False, context={
            'lang': user.lang, 'tz': user.tz, 'allowed_company_ids': self.company_ids.ids})

    def _notify_done(self):
        """Tell who asked for it that what was done in the background is done."""
        self.user_id._bus_send('simple_notification', {
            'type': 'warning' if self.error_count else 'success',
            'title': self.display_name,
            'message': self.env._(
                "%(done)s done, %(skipped)s left out, %(failed)s failed. See Subscriptions → Bulk Actions.",
                done=self.done_count, skipped=self.skipped_count, failed=self.error_count),
        })

    # === CRON === #

    @api.model
    def _cron_run_bulk_actions(self):
        """Do what was asked for and is too much to wait for, or was busy, as long as there is time."""
        for bulk in self.search([('state', '=', 'running')], order='id'):
            if not bulk._work(commit=True):
                return
        if self.search_count([('state', '=', 'running')], limit=1):
            # What is left is being billed right now.
            again = fields.Datetime.add(fields.Datetime.now(), minutes=1)
            self.env.ref('sale_subscription_ext.ir_cron_run_bulk_actions')._trigger(at=again)
