from . import recurrence
from . import proration
from . import metrics
from . import indexation
