from markupsafe import Markup

from odoo import api, models

# How a message comes to the chatter of an invoice.
CHATTER_METHODS = (
    'message_post', '_message_post_after_hook', '_message_create', '_notify_thread', '_notify_get_recipients',
    '_message_compute_author', '_message_compute_parent_id', '_process_attachments_for_post', '_creation_subtype',
    '_creation_message',
)
CHATTER_MODULES = frozenset({'mail', 'account', 'rating', 'sms', 'sale_subscription_ext'})

# How an invoice comes to its number.
NUMBER_METHODS = (
    '_compute_name', '_inverse_name', '_set_next_sequence', '_get_next_sequence_format', '_get_last_sequence',
    '_get_last_sequence_domain', '_get_starting_sequence', '_get_sequence_format_param', '_get_sequence_date_range',
    '_deduce_sequence_number_reset', '_locked_increment',
)
# Debit notes, which have numbers of their own, aren't made here.
NUMBER_MODULES = frozenset({'account', 'account_debit_note', 'sale_subscription_ext'})


class SubscriptionMovePostMixin(models.AbstractModel):
    """Numbers and messages of the invoices of a billing run, which they get together."""

    _name = 'subscription.move.post.mixin'
    _description = "Invoices Posted Set-wise"

    # === BUSINESS METHODS - NUMBERS === #

    def _has_number(self):
        """Return whether the invoice has a number.

        :rtype: bool
        """
        self.ensure_one()
        return bool(self.name and self.name != '/')

    def _filter_numbered_together(self):
        """Return the invoices which get numbers one after the other, without a look at the last one for each.

        :rtype: account.move
        """
        if not self._is_set_wise() or not self._is_unchanged('account.move', NUMBER_METHODS, NUMBER_MODULES):
            return self.browse()
        return self.filtered(
            lambda move: move.state == 'posted' and move.date and not move._has_number()
            and move.move_type == 'out_invoice' and not move.journal_id.is_self_billing and not move.origin_payment_id)

    def _number_together(self):
        """Give invoices their numbers: the host finds the first one of each journal and date, the others follow.

        The host locks that number in the database until the transaction is over, so those which follow are free.
        """
        moves = self.sorted(lambda move: (move.date, move.ref or '', move._origin.id))
        for same in moves.grouped(lambda move: (move.journal_id, move.date)).values():
            first, others = same[0], same[1:]
            first._set_next_sequence()
            format_string, format_values = first._get_sequence_format_param(first.name)
            for move in others.with_context(clear_sequence_mixin_cache=False):
                move.name = move._locked_increment(format_string, dict(format_values))
            others._recompute_after_numbering()
        moves._inverse_name()

    def _recompute_after_numbering(self):
        """Let everything follow which depends on the numbers, as the host's `_set_next_sequence` does."""
        registry = self.env.registry
        for path, triggered_fields in registry._field_triggers[self._fields['name']].items():
            for field in triggered_fields:
                if field.store and field.compute:
                    for inverse in registry.field_inverses[path[0]] if path else [None]:
                        self.env.add_to_compute(field, self[inverse.name] if inverse else self)

    # === BUSINESS METHODS - CHATTER === #

    @api.model
    def _is_logged_together(self):
        """Return whether the messages of new invoices are created together: no addon has its own way to post them.

        :rtype: bool
        """
        return self._is_unchanged('account.move', CHATTER_METHODS, CHATTER_MODULES)

    def _log_creation(self):
        """Post on new invoices that they were created, as `mail` does at the end of `create`."""
        for moves in self.grouped('move_type').values():
            body = Markup('<div summary="o_mail_notification"><p>%s</p></div>') % moves[0]._creation_message()
            moves._message_post_together(dict.fromkeys(moves.ids, body), moves[0]._creation_subtype())

    def _log_origin(self):
        """Say on new invoices which subscriptions they bill, as the host does."""
        values = {move: {'self': move, 'origin': move.line_ids.sale_line_ids.order_id} for move in self}
        if not self._is_logged_together() or not self._is_unchanged(
                'account.move', ('message_post_with_source',), CHATTER_MODULES):
            for move in self:
                move.message_post_with_source(
                    'mail.message_origin_link', render_values=values[move], subtype_xmlid='mail.mt_note')
            return
        self._message_post_together({
            move.id: self.env['mail.render.mixin']._render_template_qweb_view(
                'mail.message_origin_link', self._name, move.ids, add_context=values[move])[move.id]
            for move in self
        }, self.env.ref('mail.mt_note'))

    def _message_post_together(self, bodies, subtype):
        """Post a notification on each of these invoices, as `message_post` does, but all at once.

        Invoices on which somebody has to be notified go the host's way.

        :param dict bodies: {id: body}
        :param mail.message.subtype subtype: who follows it is notified
        """
        recipients = self.env['mail.followers']._get_recipient_data(self, 'notification', subtype.id, [])
        author = self.env.user.partner_id
        heard = self.filtered(lambda move: set(recipients.get(move.id, ())) - {author.id})
        for move in heard:
            move.sudo().message_post(body=bodies[move.id], subtype_id=subtype.id, author_id=author.id)
        silent = (self - heard)._fallback_lang()
        parents = dict(self.env['mail.message'].sudo()._read_group(
            [('model', '=', self._name), ('res_id', 'in', silent.ids), ('message_type', '!=', 'user_notification')],
            ['res_id'], ['id:max']))
        reply_to = silent._notify_get_reply_to(default=author.email_formatted, author_id=author.id)
        alias_domains = silent.sudo()._mail_get_alias_domains(default_company=self.env.company)
        companies = silent._mail_get_companies(default=self.env.company)
        silent.sudo()._message_create([{
            'author_id': author.id, 'author_guest_id': False, 'email_from': author.email_formatted,
            'email_add_signature': True, 'model': self._name, 'res_id': move.id, 'body': bodies[move.id],
            'message_type': 'notification', 'parent_id': parents.get(move.id, False), 'subject': False,
            'subtype_id': subtype.id, 'partner_ids': [], 'incoming_email_to': False, 'incoming_email_cc': False,
            'outgoing_email_to': False, 'record_alias_domain_id': alias_domains[move.id].id,
            'record_company_id': companies[move.id].id, 'reply_to': reply_to[move.id],
        } for move in silent])
