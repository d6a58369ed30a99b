from . import cart
from . import delivery
from . import main
from . import payment
