"""The client of a request: its address, and whether it is still connected, since work for a lost client is useless."""

import functools
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from ipaddress import ip_address, ip_network
from typing import Any

#: Returns whether the client of this request has disconnected. The shell sets it; outside of a request it returns
#: False.
has_caller_left: ContextVar[Callable[[], bool]] = ContextVar("has_caller_left", default=lambda: False)

#: The cookie of a session on the page.
SESSION_COOKIE = "dp_session"

#: The key in the state of an ASGI scope under which the gate stores the principal.
REQUEST_PRINCIPAL = "principal"


#: The User-Agent of this project's own clients.
_CLIENT = re.compile(r"dpipe/[^ ]{1,40} \(([a-z][a-z0-9_-]{0,15})\)")

#: Maximum length of an address; IPv6 with its zone and port is shorter. Anything longer from a proxy is not an address.
_LONGEST_ADDRESS = 80


def address_of_caller(scope: Mapping[str, Any]) -> str | None:
    """Return the canonical IP address of a request's client (of an ASGI scope); None if the socket has none."""
    client = scope.get("client")
    return None if client is None else _canonical(str(client[0])[:_LONGEST_ADDRESS])


@functools.lru_cache(1_000)
def _canonical(address: str) -> str:
    """Return the same text for each form of an address: without a port, and IPv4 never mapped to IPv6."""
    if address.startswith("["):
        bare = address[1:].partition("]")[0]
    else:
        bare = address.partition(":")[0] if address.count(":") == 1 else address
    try:
        found = ip_address(bare)
    except ValueError:
        return address
    return str(found if found.version == 4 else found.ipv4_mapped or found)


def kind_of_client(scope: Mapping[str, Any]) -> str | None:
    """Return the kind of client that the User-Agent of an ASGI scope states (`dpipe/1.0 (mcp)`: mcp), or None."""
    agent = dict(scope.get("headers", ())).get(b"user-agent", b"").decode("latin-1")
    found = _CLIENT.match(agent)
    return None if found is None else found[1]


def network_of(address: str | None) -> str:
    """Return the address, or for IPv6 the /64 network that one customer has; "unknown" without an address."""
    try:
        found = ip_address(address or "")
    except ValueError:
        return "unknown"
    return str(found) if found.version == 4 else str(ip_network((found, 64), strict=False))
