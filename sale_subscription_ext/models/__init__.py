# Own models.
from . import subscription_close_reason
from . import subscription_stage
from . import subscription_plan
from . import subscription_period
from . import subscription_event
from . import subscription_run_guard_mixin
from . import subscription_run_work_mixin
from . import subscription_billing_run
from . import subscription_billing_run_line
# What a sales order and its lines can do as a subscription, by concern.
from . import subscription_quotation_mixin
from . import subscription_metrics_mixin
from . import subscription_lifecycle_mixin
from . import subscription_batch_mixin
from . import subscription_invoicing_mixin
from . import subscription_tax_mixin
from . import subscription_forecast_mixin
from . import subscription_billing_mixin
from . import subscription_preview_mixin
from . import subscription_schedule_mixin
from . import subscription_change_mixin
from . import subscription_move_batch_mixin
# Extensions of the host.
from . import res_company
from . import res_config_settings
from . import product_pricelist_item
from . import product_pricelist
from . import product_template
from . import sale_order_template
from . import sale_order_template_line
from . import sale_order
from . import sale_order_line
from . import account_move
from . import account_move_send
from . import account_move_line
