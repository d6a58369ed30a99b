"""Tables of the subscription: states, what may follow what, units, limits."""

UNITS = [
    ('day', "Days"),
    ('week', "Weeks"),
    ('month', "Months"),
    ('year', "Years"),
]

STATES = [
    ('draft', "Quotation"),
    ('progress', "In Progress"),
    ('closed', "Closed"),
    ('amendment', "Amendment"),
]

# A contract in one of these states is served: it has MRR and is billed.
RUNNING_STATES = ('progress',)

# (from, to) -> MRR movement which the step writes; a step which isn't here is refused.
TRANSITIONS = {
    ('draft', 'progress'): 'new',
    ('progress', 'closed'): 'churn',
    # Cancelled before anything was billed: the contract never was.
    ('progress', False): 'correction',
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
