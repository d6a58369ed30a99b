from . import test_billing
from . import test_lifecycle
from . import test_metrics
from . import test_proration
from . import test_recurrence
