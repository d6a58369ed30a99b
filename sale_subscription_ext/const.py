"""Tables of the subscription: states, what may follow what, units, limits."""

UNITS = [
    ('day', "Days"),
    ('week', "Weeks"),
    ('month', "Months"),
    ('year', "Years"),
]

STATES = [
    ('draft', "Quotation"),
    ('renewal', "Renewal"),
    ('trial', "Trial"),
    ('progress', "In Progress"),
    ('paused', "Paused"),
    ('closing', "Closing"),
    ('renewed', "Renewed"),
    ('closed', "Closed"),
    ('amendment', "Amendment"),
]

# A contract in one of these states is served.
RUNNING_STATES = ('progress', 'closing')

# A contract in one of these states was begun and hasn't ended.
CONTRACT_STATES = ('trial', *RUNNING_STATES, 'paused')

# Their schedule is billed: that of a paused one ends with the day before the pause, that of a renewed one with the
# day before its renewal takes over, that of a closed one with its last day; what was taken back of it can be due again.
BILLED_STATES = (*RUNNING_STATES, 'paused', 'renewed', 'closed')

# (from, to) -> MRR movement which the step writes, None for none; a step which isn't here is refused.
TRANSITIONS = {
    ('draft', 'trial'): None,
    ('draft', 'progress'): 'new',
    ('trial', 'progress'): 'new',
    ('trial', 'paused'): None,
    ('progress', 'paused'): 'pause',
    ('paused', 'progress'): 'resume',
    # A closing only announces an end; undone, the contract is what it was before.
    ('trial', 'closing'): None,
    ('progress', 'closing'): None,
    ('paused', 'closing'): None,
    ('closing', 'trial'): None,
    ('closing', 'progress'): None,
    ('closing', 'paused'): None,
    ('trial', 'closed'): 'churn',
    ('progress', 'closed'): 'churn',
    ('paused', 'closed'): 'churn',
    ('closing', 'closed'): 'churn',
    ('closed', 'progress'): 'reactivation',
    # What moves at a renewal is written for both contracts together.
    ('renewal', 'progress'): None,
    ('progress', 'renewed'): None,
    ('closing', 'renewed'): None,
    # Cancelled before anything was billed: the contract never was.
    ('progress', False): 'correction',
    ('trial', False): None,
    ('renewal', False): None,
}

# (from, to) -> e-mail which tells of a step that only leads back; any other step sends that of the stage it enters.
STEP_MAIL_TEMPLATES = {
    ('paused', 'progress'): 'sale_subscription_ext.mail_template_subscription_resumed',
    ('closing', 'trial'): 'sale_subscription_ext.mail_template_subscription_resumed',
    ('closing', 'progress'): 'sale_subscription_ext.mail_template_subscription_resumed',
    ('closed', 'progress'): 'sale_subscription_ext.mail_template_subscription_resumed',
}

EVENT_TYPES = [
    ('new', "New"),
    ('expansion', "Expansion"),
    ('contraction', "Contraction"),
    ('churn', "Churn"),
    ('reactivation', "Reactivation"),
    ('pause', "Pause"),
    ('resume', "Resume"),
    ('transfer', "Transfer"),
    ('correction', "Correction"),
]

# Subscriptions locked, billed and committed together by the billing run.
BILLING_BATCH_SIZE = 100

# On how many days a failing subscription is tried again before it waits for somebody.
MAX_BILLING_FAILURES = 5

# How long the preview of a billing run may keep somebody waiting; the billing crons compute the rest.
PREVIEW_SECONDS = 10.0

# From how many earlier billing days on a run can be told to be larger than usual.
USUAL_MIN_DAYS = 3

# How many billing days make up what is usual.
USUAL_DAYS = 10

# How often a batch is tried again when another transaction got in its way.
MAX_CONCURRENCY_RETRIES = 5

# What can be done to a selection of subscriptions; addons extend the selection of `subscription.bulk.action`.
BULK_ACTIONS = [
    ('renew', "Renew"),
    ('change', "Change"),
    ('change_day', "Change Billing Day"),
    ('pause', "Pause"),
    ('resume', "Resume"),
    ('close', "Close"),
    ('undo_closing', "Undo Closing"),
    ('reopen', "Reopen"),
    ('hand_over', "Hand Over"),
    ('update_prices', "Update Prices"),
]

# Up to how many subscriptions somebody waits for a bulk action; more are done in the background.
BULK_SIZE_AT_ONCE = 30

# What becomes of the charge of an invoice.
CHARGE_STATES = [
    ('waiting', "To Charge"),
    ('sent', "Being Charged"),
    ('unknown', "No Answer"),
    ('failed', "Failed"),
    ('refused', "Refused for Good"),
    ('done', "Paid"),
]

# A payment in one of these states may still bring money.
OPEN_TRANSACTION_STATES = ('draft', 'pending', 'authorized')

# For how many hours a provider keeps the idempotency key of a payment request, less some for the way there.
REPEATABLE_HOURS = {'stripe': 23, 'adyen': 23, 'worldline': 23, 'mercado_pago': 23, 'demo': 23}

# Minutes after which a payment request that brought no answer is asked about again.
ASK_AGAIN_MINUTES = 10

# Payments which only a person confirms, such as wire transfers, stay pending whether they were made or not.
MANUAL_PROVIDERS = ('none', 'custom')

# For how many days a transfer, or a payment of an order, is waited for before its invoices are charged, and a provider
# may process a charge or a refund before a person is asked to look into it.
PENDING_DAYS = 14

# Minutes for which a customer who opened a payment page is left to pay by it.
PAYMENT_PAGE_MINUTES = 60

# What card networks allow: tries of one invoice in so many days.
MAX_CHARGES = 15
MAX_CHARGES_DAYS = 30

# Words of providers for declines which no further try will change, by the code of the answer.
HARD_DECLINE_CODES = frozenset({
    'do_not_try_again', 'expired_card', 'fraudulent', 'incorrect_number', 'invalid_account', 'lost_card',
    'merchant_blacklist', 'new_account_information_available', 'pickup_card', 'restricted_card',
    'revocation_of_all_authorizations', 'revocation_of_authorization', 'security_violation', 'stolen_card',
    'stop_payment_order',
})

# How many days before a saved payment method expires its owner is told.
EXPIRY_WARNING_DAYS = 30
