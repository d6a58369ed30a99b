from . import account_move_reversal
from . import sale_advance_payment_inv
from . import sale_order_discount
from . import subscription_change_day
from . import subscription_close
from . import subscription_price_update
from . import subscription_start
