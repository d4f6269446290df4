"""Pages of other origins: what an allowed one may send and read (the CORS protocol, fetch.spec.whatwg.org).

Which origins are allowed, the guard says; all others were refused before anything of this is asked. Credentials of the
browser are never taken: `Access-Control-Allow-Credentials` is not sent.
"""

from api.util.documents import HeaderList

#: Headers of answers that such a page may read, besides those that every page may.
EXPOSED = (
    "ETag, Age, X-Stale, Location, Retry-After, X-Request-ID, X-Next-Offset, Idempotent-Replayed, Accept-Ranges, "
    "Content-Range, Content-Disposition, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Tus-Resumable, "
    "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, Upload-Offset, Upload-Length, Upload-Expires, "
    "Upload-Metadata"
)

#: Headers that such a page may send.
SENDABLE = (
    "Accept, Authorization, Cache-Control, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Range, "
    "X-Request-ID, Tus-Resumable, Upload-Offset, Upload-Length, Upload-Metadata, Upload-Checksum, "
    "X-HTTP-Method-Override"
)

#: Every method that any address takes: where an address does not, the answer is 405, which the page can then read.
METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"

#: Seconds for which a browser may remember the answer to a preflight.
MAX_AGE_SECONDS = 3600


def reading_headers(origin: bytes) -> HeaderList:
    """The headers that let a page of this origin read an answer."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED.encode()),
    ]


def is_preflight(method: str, headers: dict[bytes, bytes]) -> bool:
    """Whether the request is a preflight: a browser asks what a page may send before it sends it."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def preflight_headers(headers: dict[bytes, bytes]) -> HeaderList:
    """The headers that let a page send its request; `reading_headers` are added to them."""
    answer = [
        (b"access-control-allow-methods", METHODS.encode()),
        (b"access-control-allow-headers", SENDABLE.encode()),
        (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
    ]
    if b"access-control-request-private-network" in headers:
        # A page of the internet that asks a machine of the local network; its origin was allowed by name.
        answer.append((b"access-control-allow-private-network", b"true"))
    return answer
