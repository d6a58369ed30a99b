from odoo import api, models

# What the menu Actions offers in the lists of subscriptions only.
BOUND_ACTIONS = (
    'sale_order_action_bulk_resume', 'sale_order_action_bulk_reopen', 'sale_order_action_bulk_undo_closing',
    'sale_order_action_bulk_hand_over', 'sale_order_action_bulk_change_day',
    'sale_order_action_update_prices', 'sale_order_action_index_prices',
)


class SubscriptionSelectionMixin(models.AbstractModel):
    """What the list offers to do to ticked subscriptions."""

    _name = 'subscription.selection.mixin'
    _description = "Selected Subscriptions"

    @api.model
    def get_views(self, views, options=None):
        """Override of `base` to leave the actions of subscriptions out of the lists of plain sales orders."""
        result = super().get_views(views, options)
        view = result['views'].get('list', {})
        bound = view.get('toolbar', {}).get('action')
        if bound and view['id'] != self.env.ref('sale_subscription_ext.sale_order_view_list_subscription').id:
            ours = {
                action.id for name in BOUND_ACTIONS
                if (action := self.env.ref(f'sale_subscription_ext.{name}', raise_if_not_found=False))}
            view['toolbar']['action'] = [action for action in bound if action['id'] not in ours]
        return result

    def _get_text_below_name(self, text):
        """Return a sentence about this subscription as it is written next to its name: without it.

        :param str text: a sentence
        :rtype: str
        """
        self.ensure_one()
        return text.removeprefix(self.name or '').lstrip(' :')
