"""Whether the one who asked is still there, for work that would be in vain without."""

from collections.abc import Callable
from contextvars import ContextVar

#: Set by the shell for each request; outside of one nobody leaves.
has_caller_left: ContextVar[Callable[[], bool]] = ContextVar("has_caller_left", default=lambda: False)
