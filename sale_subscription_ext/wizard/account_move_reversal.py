from odoo import models


class AccountMoveReversal(models.TransientModel):
    _inherit = 'account.move.reversal'

    # === ACTION METHODS === #

    def reverse_moves(self, is_modify=False):
        """Override of `account`: the new draft of a modified invoice bills its periods and keeps what was paid.

        :raise UserError: when money for an invoice which is to be replaced may still arrive
        """
        reversed_moves = self.move_ids
        if is_modify:
            reversed_moves._check_not_being_charged()
        paying_items = {move: move._get_paying_items() for move in reversed_moves}
        wizard = self.with_context(sale_subscription_ext_modifying=True) if is_modify else self
        action = super(AccountMoveReversal, wizard).reverse_moves(is_modify=is_modify)
        if is_modify:
            for move, new_move in zip(reversed_moves, self.new_move_ids, strict=True):
                move._move_subscription_periods(new_move)
                if move.move_type == 'out_invoice' and move._get_subscriptions():
                    new_move.subscription_kept_item_ids = paying_items[move]
        return action
