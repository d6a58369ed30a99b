from . import test_billing
from . import test_change
from . import test_host
from . import test_lifecycle
from . import test_metrics
from . import test_metrics_ledger
from . import test_proration
from . import test_recurrence
