"""CORS headers: what pages of allowed origins may send and read (fetch.spec.whatwg.org).

`HostPolicy` in guard.py decides which origins are allowed and rejects all others earlier. Cookies are never accepted
across origins: `Access-Control-Allow-Credentials` is not sent.
"""

from api.util.documents import HeaderList

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
