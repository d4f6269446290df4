"""Spans, if traces are made: `composition/tracing` sets the tracer. Without one, a place that could make a span only
looks at a name.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

#: The header by which a trace goes from one program to the next (W3C Trace Context).
TRACEPARENT = "traceparent"

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,200})?"
)

Value = str | int | float | bool


class Span(Protocol):
    """Something that takes time, and is under way."""

    @property
    def traceparent(self) -> str:
        """The header by which another program goes on with it."""
        ...

    def end(self, values: Mapping[str, Value], *, name: str | None = None, has_failed: bool = False) -> None:
        """Ends it, with what is now known of it."""
        ...


class Tracer(Protocol):
    """Makes spans."""

    def begin(self, name: str, *, is_request: bool, parent: Span | None, traceparent: str | None) -> Span:
        """A span that begins now, below its parent, or below what a header told, or on its own."""
        ...

    def note(self, name: str, parent: Span, seconds: float, values: Mapping[str, Value]) -> None:
        """Makes a span of what has just ended and took so long."""
        ...


_tracer: Tracer | None = None

#: The span within which the present context works.
_current: ContextVar[Span | None] = ContextVar("current_span", default=None)


def use_tracer(tracer: Tracer | None) -> None:
    """Has all spans of this process made by this one; None: by none."""
    global _tracer  # noqa: PLW0603 - as with the root logger, all code of the process tells one
    _tracer = tracer


def begin_request(headers: Mapping[bytes, bytes]) -> Span | None:
    """A span of a request, below the one that its caller told; None where no traces are made. It is the current one in
    this context from here on.
    """
    if _tracer is None:
        return None
    told = headers.get(TRACEPARENT.encode(), b"").decode("latin-1")
    valid = told if _TRACEPARENT.fullmatch(told) else None
    span = _tracer.begin("request", is_request=True, parent=None, traceparent=valid)
    _current.set(span)
    return span


@contextmanager
def spanning(name: str, values: Mapping[str, Value]) -> Iterator[None]:
    """A span over the `with` block."""
    tracer = _tracer
    if tracer is None:
        yield
        return
    span = tracer.begin(name, is_request=False, parent=_current.get(), traceparent=None)
    token = _current.set(span)
    has_failed = True
    try:
        yield
        has_failed = False
    finally:
        _current.reset(token)
        span.end(values, has_failed=has_failed)


def note_span(name: str, seconds: float, values: Mapping[str, Value]) -> None:
    """Makes a span of what has just ended, if it was part of one: what loops do all day long is nobody's trace."""
    if _tracer is None:
        return
    parent = _current.get()
    if parent is not None:
        _tracer.note(name, parent, seconds, values)


def traceparent_headers() -> dict[str, str]:
    """The headers by which a receiver goes on with the present trace; none where there is none."""
    span = None if _tracer is None else _current.get()
    return {} if span is None else {TRACEPARENT: span.traceparent}
