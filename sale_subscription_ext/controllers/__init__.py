from . import portal
from . import recovery
