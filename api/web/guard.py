"""Checks of the Host and Origin headers, for every method and for WebSockets.

A web page can make a browser call a loopback service, either under a name that it resolves to 127.0.0.1 (DNS
rebinding) or across origins. The first shows in Host, the second in Origin. Pages of allowed origins get CORS headers
(fetch.spec.whatwg.org); cookies are never accepted across origins, so `Access-Control-Allow-Credentials` is not sent.
"""

from collections.abc import Iterable, Mapping

from api.errors import HostNotAllowed, MalformedRequest, OriginNotAllowed
from api.util.http.documents import HeaderList
from api.util.text.ids import is_safe_id, new_request_id
from api.util.text.masking import mask_secrets

#: Headers that may occur only once: with two, a proxy might read the first and this service the second.
_SINGLE = frozenset(
    b"host origin referer content-length content-type authorization idempotency-key last-event-id range if-range "
    b"if-modified-since if-unmodified-since x-request-id access-control-request-method sec-websocket-key "
    b"sec-websocket-version".split()
)

#: Headers that are lists: several with one name are joined (RFC 9110, 5.3).
_LISTS = frozenset(
    b"accept accept-encoding accept-language if-match if-none-match connection upgrade content-encoding "
    b"transfer-encoding access-control-request-headers sec-websocket-protocol".split()
)

# The number of accepted Host headers that are cached; bounded, since clients choose them.
_REMEMBERED = 256


class HostPolicy:
    """The allowed host names, with or without a port, and the allowed origins besides the host's own."""

    def __init__(self, names: Iterable[str], origins: Iterable[str] = ()) -> None:
        self._names = frozenset(names)
        self._origins = frozenset(origins)
        self._passed: set[bytes] = set()

    @property
    def has_origins(self) -> bool:
        """Whether any origin besides the host's own is allowed."""
        return bool(self._origins)

    def check(self, host: bytes | None, origin: bytes | None) -> None:
        """Check the Host and Origin headers. Raises MalformedRequest, HostNotAllowed or OriginNotAllowed."""
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
            raise HostNotAllowed(f'The host name "{shown}" is not allowed. To allow it, add it to ALLOWED_HOSTS.')
        if len(self._passed) < _REMEMBERED:
            self._passed.add(host)

    def _check_origin(self, origin: bytes, host: bytes) -> None:
        text = origin.decode("latin-1").lower()
        scheme, _, netloc = text.partition("://")
        if text in self._origins or (scheme in ("http", "https") and netloc == host.decode("latin-1").lower()):
            return
        raise OriginNotAllowed(
            f'The origin "{mask_secrets(text[:100])}" is not allowed. To allow it, add it to CORS_ORIGINS.'
        )

    def allows_cross(self, origin: bytes | None) -> bool:
        """Return whether this origin is allowed besides the host's own."""
        return origin is not None and origin.decode("latin-1").lower() in self._origins


def host_name(host: str) -> str:
    """Return the name of a Host header without its port, in lower case; IPv6 addresses keep their brackets."""
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
    """Return the headers by name, lists joined. Raises MalformedRequest if a single header occurs twice."""
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
    """Return the client's X-Request-ID, or a new id if it is unsafe or looks like a secret: logs and audit store it."""
    if b"x-request-id" not in headers:
        return new_request_id()
    text = headers[b"x-request-id"].decode("latin-1")
    return text if is_safe_id(text) and mask_secrets(text) == text else new_request_id()


#: Response headers that pages of allowed origins may read, besides the CORS-safelisted ones.
EXPOSED = (
    "ETag, Age, X-Stale, Location, Retry-After, X-Request-ID, X-Next-Offset, Idempotent-Replayed, Accept-Ranges, "
    "Content-Range, Content-Disposition, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Tus-Resumable, "
    "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Expires, "
    "Upload-Metadata"
)

#: Request headers that pages of allowed origins may send.
SENDABLE = (
    "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Range, "
    "X-Request-ID, Tus-Resumable, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Checksum, "
    "X-HTTP-Method-Override"
)

#: Every method in use. An address that does not support one answers with 405, which the page can read.
METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"

#: Seconds for which a browser may cache the response to a preflight.
MAX_AGE_SECONDS = 3600


def reading_headers(origin: bytes) -> HeaderList:
    """Return the headers that let a page of this origin read a response."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED.encode()),
    ]


def is_preflight(method: str, headers: dict[bytes, bytes]) -> bool:
    """Return whether the request is a CORS preflight."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def preflight_headers(headers: dict[bytes, bytes]) -> HeaderList:
    """Return the headers that let a page send its request; the caller adds `reading_headers`."""
    answer = [
        (b"access-control-allow-methods", METHODS.encode()),
        (b"access-control-allow-headers", SENDABLE.encode()),
        (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
    ]
    if b"access-control-request-private-network" in headers:
        # A public page that calls a machine of the local network; its origin is in the allow-list.
        answer.append((b"access-control-allow-private-network", b"true"))
    return answer
