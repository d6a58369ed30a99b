from odoo import models


class AccountMoveReversal(models.TransientModel):
    _inherit = 'account.move.reversal'

    # === ACTION METHODS === #

    def reverse_moves(self, is_modify=False):
        """Override of `account`: the new draft of a modified invoice bills its periods."""
        reversed_moves = self.move_ids
        wizard = self.with_context(sale_subscription_ext_modifying=True) if is_modify else self
        action = super(AccountMoveReversal, wizard).reverse_moves(is_modify=is_modify)
        if is_modify:
            for move, new_move in zip(reversed_moves, self.new_move_ids, strict=True):
                move._move_subscription_periods(new_move)
        return action
