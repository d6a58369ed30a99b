from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from odoo.addons.sale_subscription_ext.tests.life_base import LifeBase


class AccountedLife(LifeBase):
    """A contract whose documents accountants credit and reverse by hand."""

    @property
    def creditable_invoices(self):
        """Invoices of which accountants gave nothing back: who credits one twice gives the money back twice."""
        return self.order.invoice_ids.filtered(
            lambda move: move.move_type == 'out_invoice' and move.state == 'posted' and not move.reversal_move_ids)

    @precondition(lambda self: self.creditable_invoices)
    @rule(again=st.booleans(), which=st.integers(0, 3), share=st.sampled_from([1.0, 1.0, 0.5]))
    def credit_by_hand(self, again, which, share):
        moves = self.creditable_invoices.sorted('id')
        move = moves[-1 - which % len(moves)]
        lines = set(move.invoice_line_ids.sale_line_ids)
        with self.step(by_hand=lines):
            refund = move._reverse_moves([{'invoice_date': self.today}], cancel=False)
            for line in refund.invoice_line_ids if share != 1.0 else ():
                line.price_unit = self.case.currency.round(line.price_unit * share)
            refund.action_post()
            self.decide_about_credited(again, lines)
        self.run_crons()

    def decide_about_credited(self, again, lines):
        """Bill again or leave out what is credited, also by an earlier step, and note on which lines."""
        credited = self.chain.order_line.period_ids.filtered(lambda row: row.is_credited and row.state == 'billed')
        lines.update(credited.order_line_id)
        credited.action_bill_again() if again else credited.action_leave_out()

    @property
    def reversible_notes(self):
        """Credit notes which the engine made, or an accountant."""
        return self.order.invoice_ids.filtered(lambda move: move.move_type == 'out_refund' and self.can_be_undone(move))

    def can_be_undone(self, move):
        """Return whether nothing was done because of a document; what is sold once is invoiced again after a credit."""
        return move.state == 'posted' and not move.reversal_move_ids and all(
            move.invoice_line_ids.sale_line_ids.mapped('is_recurring'))

    @precondition(lambda self: self.reversible_notes)
    @rule(again=st.booleans(), which=st.integers(0, 3))
    def reverse_credit_note(self, again, which):
        notes = self.reversible_notes.sorted('id')
        note = notes[-1 - which % len(notes)]
        lines = set(note.invoice_line_ids.sale_line_ids)
        with self.step(by_hand=lines):
            note._reverse_moves([{'invoice_date': self.today}], cancel=True)
            self.decide_about_credited(again, lines)
        self.run_crons()

    @property
    def undoable_reversals(self):
        """Documents by which accountants took back others."""
        return self.order.invoice_ids.reversal_move_ids.filtered(self.can_be_undone)

    @precondition(lambda self: self.undoable_reversals)
    @rule(which=st.integers(0, 3))
    def undo_reversal(self, which):
        reversals = self.undoable_reversals.sorted('id')
        reversal = reversals[-1 - which % len(reversals)]
        with self.step(by_hand=frozenset(reversal.invoice_line_ids.sale_line_ids)):
            reversal.button_draft()
            reversal.button_cancel()
        self.run_crons()
