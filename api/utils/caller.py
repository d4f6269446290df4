"""Who asked: from where, and whether they are still there, for work that would be in vain without."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

#: Set by the shell for each request; outside of one nobody leaves.
has_caller_left: ContextVar[Callable[[], bool]] = ContextVar("has_caller_left", default=lambda: False)


def address_of_caller(scope: Mapping[str, Any]) -> str | None:
    """The IP address that a request (an ASGI scope) comes from; None where the socket has none."""
    client = scope.get("client")
    return None if client is None else str(client[0])
