from odoo import models


class SaleReport(models.Model):
    _inherit = 'sale.report'

    def _where_sale(self):
        """Override of `sale` to leave amendments out: what they sell is on the subscription."""
        return f"{super()._where_sale()} AND s.amendment_type IS NULL"
