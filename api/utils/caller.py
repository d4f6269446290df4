"""Who asked: their address, and whether they are still there; work for one who has left would be in vain."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

#: Tells whether the client of this request has left. The shell sets it; outside of a request it is always False.
has_caller_left: ContextVar[Callable[[], bool]] = ContextVar("has_caller_left", default=lambda: False)

#: The cookie of who has signed in at the page.
SESSION_COOKIE = "dp_session"

#: The key in the state of an ASGI scope under which the gate leaves who asks.
REQUEST_PRINCIPAL = "principal"


def address_of_caller(scope: Mapping[str, Any]) -> str | None:
    """The IP address that a request (an ASGI scope) comes from; None where the socket has none."""
    client = scope.get("client")
    return None if client is None else str(client[0])
