"""Who may address this service: the Host header and the Origin, checked for every method and for WebSockets.

A web page can make a browser talk to a loopback service, under a name of its own that it points at 127.0.0.1 (DNS
rebinding) or across origins. The first shows in Host, the second in Origin.
"""

from collections.abc import Iterable, Mapping

from api.errors import HostNotAllowed, MalformedRequest, OriginNotAllowed
from api.util.ids import is_safe_id, new_request_id
from api.util.masking import mask_secrets

#: Headers that a request may have only once: of two, a proxy before us might read one and we the other.
_SINGLE = frozenset(
    b"host origin referer content-length content-type authorization idempotency-key last-event-id range if-range "
    b"if-modified-since if-unmodified-since x-request-id access-control-request-method sec-websocket-key "
    b"sec-websocket-version".split()
)

#: Headers that are lists: several of a name count as one, joined (RFC 9110, 5.3).
_LISTS = frozenset(
    b"accept accept-encoding accept-language if-match if-none-match connection upgrade content-encoding "
    b"transfer-encoding access-control-request-headers sec-websocket-protocol".split()
)

# Host headers that have passed, so that the usual ones cost a look-up; bounded, since clients choose them.
_REMEMBERED = 256


class HostPolicy:
    """The allow-list of names, with or without a port, and of origins besides a host's own."""

    def __init__(self, names: Iterable[str], origins: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._origins = frozenset(origins)
        self._passed: set[bytes] = set()

    @property
    def has_origins(self) -> bool:
        """Whether any origin besides a host's own one is allowed."""
        return bool(self._origins)

    def check(self, host: bytes | None, origin: bytes | None) -> None:
        """Checks the Host and Origin headers. Raises MalformedRequest, HostNotAllowed or OriginNotAllowed."""
        if host not in self._passed:
            self._check_host(host)
        if origin is not None:
            self._check_origin(origin, host or b"")

    def _check_host(self, host: bytes | None) -> None:
        if not host:
            raise MalformedRequest("The request has no Host header.")
        name = host_name(host.decode("latin-1"))
        if name not in self._names:
            shown = mask_secrets(host[:100].decode("latin-1"))
            raise HostNotAllowed(
                f'This service does not answer to the name "{shown}". If it should, add the name to ALLOWED_HOSTS.'
            )
        if len(self._passed) < _REMEMBERED:
            self._passed.add(host)

    def _check_origin(self, origin: bytes, host: bytes) -> None:
        text = origin.decode("latin-1").lower()
        scheme, _, netloc = text.partition("://")
        if text in self._origins or (scheme in ("http", "https") and netloc == host.decode("latin-1").lower()):
            return
        raise OriginNotAllowed(
            f'Pages of "{mask_secrets(text[:100])}" may not use this service. If they should, add the origin to '
            "CORS_ORIGINS."
        )

    def allows_cross(self, origin: bytes | None) -> bool:
        """Whether this origin is one of those that were allowed besides the own one."""
        return origin is not None and origin.decode("latin-1").lower() in self._origins


def host_name(host: str) -> str:
    """The name of a Host header without its port, in lower case; IPv6 addresses keep their brackets."""
    host = host.lower()
    if host.startswith("["):
        name, bracket, rest = host.partition("]")
        name, separator, port = name + bracket, rest[:1], rest[1:]
        if not bracket or separator not in ("", ":"):
            return ""
    else:
        name, _, port = host.partition(":")
    return name if port == "" or (port.isascii() and port.isdigit()) else ""


def join_headers(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name, lists joined. Raises MalformedRequest when a header that must be single comes twice."""
    joined: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in joined:
            joined[name] = value
        elif name in _LISTS:
            joined[name] += b", " + value
        elif name in _SINGLE:
            raise MalformedRequest(f"The request has more than one {name.decode().title()} header.")
    return joined


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The client's X-Request-ID when it is safe and looks like no secret, else a new id: logs and the audit keep it."""
    text = headers.get(b"x-request-id", b"").decode("latin-1")
    return text if is_safe_id(text) and mask_secrets(text) == text else new_request_id()
