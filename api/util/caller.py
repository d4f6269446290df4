"""Who asked: their address, and whether they are still there; work for one who has left would be in vain."""

import functools
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from ipaddress import ip_address, ip_network
from typing import Any

#: Tells whether the client of this request has left. The shell sets it; outside of a request it is always False.
has_caller_left: ContextVar[Callable[[], bool]] = ContextVar("has_caller_left", default=lambda: False)

#: The cookie of who has signed in at the page.
SESSION_COOKIE = "dp_session"

#: The key in the state of an ASGI scope under which the gate leaves who asks.
REQUEST_PRINCIPAL = "principal"


#: Characters of an address: IPv6 with its zone and port has fewer. What a proxy says beyond is none.
_LONGEST_ADDRESS = 80


def address_of_caller(scope: Mapping[str, Any]) -> str | None:
    """The IP address that a request (an ASGI scope) comes from, in its one form; None where the socket has none."""
    client = scope.get("client")
    return None if client is None else _in_one_form(str(client[0])[:_LONGEST_ADDRESS])


@functools.lru_cache(1_000)
def _in_one_form(address: str) -> str:
    """One client has one address: without the port that some proxies add, and IPv4 never dressed as IPv6."""
    if address.startswith("["):
        bare = address[1:].partition("]")[0]
    else:
        bare = address.partition(":")[0] if address.count(":") == 1 else address
    try:
        found = ip_address(bare)
    except ValueError:
        return address
    return str(found if found.version == 4 else found.ipv4_mapped or found)


def network_of(address: str | None) -> str:
    """The address, of IPv6 the /64 that one customer has; "unknown" without one."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))
