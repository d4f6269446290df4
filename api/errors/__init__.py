"""What can go wrong, as exceptions: raised deep, mapped to an answer once. A module a noun; here are all of them."""

from api.errors.access import *  # noqa: F403
from api.errors.base import *  # noqa: F403
from api.errors.datasets import *  # noqa: F403
from api.errors.models import *  # noqa: F403
from api.errors.tasks import *  # noqa: F403
