"""Spans, if tracing is on: `composition/tracing` sets the tracer.

Without one, a span costs only the check of a variable.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

#: The header that passes a trace from one program to the next (W3C Trace Context).
TRACEPARENT = "traceparent"

_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,200})?"
)

Value = str | int | float | bool


class Span(Protocol):
    """A timed operation in progress."""

    @property
    def traceparent(self) -> str:
        """The header by which another program continues the trace."""
        ...

    def end(self, values: Mapping[str, Value], *, name: str | None = None, has_failed: bool = False) -> None:
        """End the span, with the values that are known now."""
        ...


class Tracer(Protocol):
    """Creates spans."""

    def begin(self, name: str, *, is_request: bool, parent: Span | None, traceparent: str | None) -> Span:
        """Start a span below its parent, below the span of a header, or on its own."""
        ...

    def note(self, name: str, parent: Span, seconds: float, values: Mapping[str, Value]) -> None:
        """Create a span of an operation that has just ended and took this long."""
        ...


_tracer: Tracer | None = None

#: The span of the current context.
_current: ContextVar[Span | None] = ContextVar("current_span", default=None)


def use_tracer(tracer: Tracer | None) -> None:
    """Set the tracer of this process; None: no tracing."""
    global _tracer  # noqa: PLW0603 - as with the root logger, all code of the process shares one
    _tracer = tracer


def begin_request(headers: Mapping[bytes, bytes]) -> Span | None:
    """Start a span of a request, below the span in its headers; None if tracing is off.

    It becomes the current span of this context.
    """
    if _tracer is None:
        return None
    value = headers.get(TRACEPARENT.encode(), b"").decode("latin-1")
    valid = value if _TRACEPARENT.fullmatch(value) else None
    span = _tracer.begin("request", is_request=True, parent=None, traceparent=valid)
    _current.set(span)
    return span


@contextmanager
def spanning(name: str, values: Mapping[str, Value]) -> Iterator[None]:
    """Create a span over the `with` block."""
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
    """Create a span of an operation that has just ended, if it was part of one.

    Operations of loops do not belong to a trace.
    """
    if _tracer is None:
        return
    parent = _current.get()
    if parent is not None:
        _tracer.note(name, parent, seconds, values)


def traceparent_headers() -> dict[str, str]:
    """Return the headers by which a receiver continues the current trace; empty if there is none."""
    span = None if _tracer is None else _current.get()
    return {} if span is None else {TRACEPARENT: span.traceparent}
