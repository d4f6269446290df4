"""Responses that are stored as bytes: encoded once, sent many times."""

import functools
import hashlib
import re
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from api.util.http.envelope import JSON

#: Minimum size in bytes for compression; a smaller body fits one or two packets.
COMPRESS_FROM = 860

# Level 1: the fastest, and within a fifth of the best for this repetitive JSON.
_LEVEL = 1
_GZIP_CONTAINER = 31

_OPENMETRICS = "application/openmetrics-text"
_WEIGHT = re.compile(r"[01](\.\d{0,3})?")


HeaderList = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Document:
    """A body with its type and ETag.

    `read_monotonic` is the time when its content was read; None if it has no age. `vary` names the request headers that
    select the form.
    """

    body: bytes
    content_type: str = JSON
    read_monotonic: float | None = None
    vary: bytes = b"Accept-Encoding"
    etag: str = field(init=False)
    #: The headers of a 304 response, and those that a 200 response adds: built once, sent many times.
    headers: HeaderList = field(init=False)
    content_headers: HeaderList = field(init=False)
    _compressed: bytes | None = None

    def __post_init__(self) -> None:
        # Weak, since the compressed form is the same document.
        self.etag = f'W/"{hashlib.blake2b(self.body, digest_size=12).hexdigest()}"'
        self.headers = [
            (b"etag", self.etag.encode()),
            (b"cache-control", b"no-cache"),
            (b"vary", self.vary),
        ]
        self.content_headers = [
            (b"content-type", self.content_type.encode()),
            (b"content-length", b"%d" % len(self.body)),
        ]

    @property
    def compressed(self) -> bytes | None:
        """The body as gzip, created on first use; None if the body is too small."""
        if self._compressed is None and len(self.body) >= COMPRESS_FROM:
            packer = zlib.compressobj(_LEVEL, wbits=_GZIP_CONTAINER)
            self._compressed = packer.compress(self.body) + packer.flush()
        return self._compressed

    def age(self, now: float) -> int | None:
        """Return the whole seconds since the content was read; None if it has no age."""
        return None if self.read_monotonic is None else max(0, int(now - self.read_monotonic))

    def matches(self, if_none_match: str) -> bool:
        """Return whether the client has this document, by its If-None-Match header (RFC 9110, 13.1.2)."""
        return names_etag(if_none_match, self.etag)


def names_etag(if_none_match: str, etag: str) -> bool:
    """Return whether an If-None-Match header contains this ETag."""
    if if_none_match == etag:
        return True
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags


@functools.lru_cache(256)
def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether an Accept-Encoding header allows gzip."""
    weights = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        weights[name.strip()] = parameters.replace(" ", "")
    # "*" applies to encodings that are not listed (RFC 9110, 12.5.3).
    weight = weights.get("gzip", weights.get("*", "q=0"))
    return weight not in ("q=0", "q=0.0", "q=0.00", "q=0.000")


@functools.lru_cache(64)
def wants_openmetrics(accept: str) -> bool:
    """Return whether an Accept header prefers OpenMetrics to the older text format of Prometheus."""
    if _OPENMETRICS not in accept:
        return False
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        given = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        weights[kind] = max(weights.get(kind, 0.0), float(given) if _WEIGHT.fullmatch(given) else 0.0)
    return weights.get(_OPENMETRICS, 0.0) > 0.0 and weights[_OPENMETRICS] >= weights.get("text/plain", 0.0)


def reply_with(
    document: Document, if_none_match: str, accept_encoding: str, now: float
) -> tuple[int, HeaderList, bytes]:
    """Return status, headers and body of the response to a GET of the document."""
    age = document.age(now)
    headers = document.headers.copy() if age is None else [*document.headers, (b"age", b"%d" % age)]
    if if_none_match and document.matches(if_none_match):
        return 304, headers, b""
    if accept_encoding and accepts_gzip(accept_encoding):
        compressed = document.compressed
        if compressed is not None:
            headers.append(document.content_headers[0])
            headers.append((b"content-encoding", b"gzip"))
            headers.append((b"content-length", b"%d" % len(compressed)))
            return 200, headers, compressed
    headers += document.content_headers
    return 200, headers, document.body


Maker = Callable[[], Document]


class Address(NamedTuple):
    """The factory of a document, and the pattern of its route, for logs and metrics."""

    route: str
    make: Maker
    make_open: Maker | None = None  #: the factory of the OpenMetrics form


class ReadyDocument(NamedTuple):
    """A document that was created, and the pattern of its route."""

    document: Document
    route: str


class DocumentTable:
    """Documents by path, all of one moment. Each is created when it is first requested.

    Those with an OpenMetrics form are for scrapers, which can wait: they are created by `get` only, and never ready.
    """

    def __init__(self, addresses: Mapping[str, Address], find_more: Callable[[], Mapping[str, Address]] = dict) -> None:
        """Create the table. `find_more` returns further addresses. It is called for a path that `addresses` lacks."""
        self._addresses = addresses
        self._find_more = find_more
        self._more: Mapping[str, Address] | None = None
        self._ready: dict[str, ReadyDocument] = {}
        self._made: dict[Maker, Document] = {}
        self._lock = threading.Lock()

    @property
    def addresses(self) -> Mapping[str, Address]:
        """The addresses of all documents, by path."""
        return {**self._addresses, **self._further()}

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all documents."""
        return tuple(self.addresses)

    def _further(self) -> Mapping[str, Address]:
        if self._more is None:
            self._more = self._find_more()
        return self._more

    def is_for_scrapers(self, path: str) -> bool:
        """Return whether the document at this path is created only on request."""
        address = self._addresses.get(path)
        return address is not None and address.make_open is not None

    def ready(self, path: str) -> ReadyDocument | None:
        """Return the document if it was created already; never does work."""
        return self._ready.get(path)

    def get(self, path: str, accept: str = "") -> Document | None:
        """Return the document in the form that the Accept header requests, or None if the path has none.

        It is created if necessary.
        """
        address = self._addresses.get(path) or self._further().get(path)
        if address is None:
            return None
        with self._lock:
            if address.make_open is not None and wants_openmetrics(accept):
                if address.make_open not in self._made:
                    self._made[address.make_open] = address.make_open()
                return self._made[address.make_open]
            # Several paths may share one document.
            if address.make not in self._made:
                self._made[address.make] = address.make()
            document = self._made[address.make]
            if address.make_open is None:
                self._ready[path] = ReadyDocument(document, address.route)
        return document

    def make_all(self) -> None:
        """Create every document now, except those for scrapers, so that requests need not wait."""
        for path, address in self.addresses.items():
            if address.make_open is None:
                self.get(path)
