"""Histograms of this process, and spans of traces. Without a tracer, a span costs only the check of a variable."""

import re
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.core import Exemplar, HistogramMetricFamily, Metric

from api.util.text.ids import current_request_id

#: The header that passes a trace from one program to the next (W3C Trace Context).
TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]{0,200})?"
)

Value = str | int | float | bool

#: Bounds in seconds, for short operations, and for waits of queues and trainings.
SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

LONG = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0)

#: Maximum length of an exemplar's names and values together (OpenMetrics 1.0).
EXEMPLAR_CHARACTERS = 128

#: One observation: name and value to find it by, its duration, and its Unix time. A plain tuple, since each request
#: creates one.
Example = tuple[str, str, float, float]

#: The names in exemplars for a request's id, which is in the log, and for a task's id.
REQUEST_ID = "request_id"
TASK_ID = "task_id"


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


@dataclass(slots=True)
class _Row:
    counts: list[int]
    examples: list[Example | None]
    total: float = 0.0


@dataclass(slots=True, eq=False)
class Histogram:
    """Counts of durations by labels; each bucket stores its latest example.

    The histogram of prometheus-client takes 3 µs for an observation with labels and an exemplar, and adds a series with
    the creation time of each. This one takes half a microsecond.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    bounds: Sequence[float] = SHORT
    _rows: dict[tuple[str, ...], _Row] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def observe(
        self, seconds: float, labels: tuple[str, ...] = (), example: tuple[str, str] | None = None, at: float = 0.0
    ) -> None:
        """Count a duration.

        `example` is a name and a value to find the observation by; `at` is the Unix time of its end, 0 for now.
        """
        index = bisect_left(self.bounds, seconds)
        with self._lock:
            row = self._rows.get(labels)
            if row is None:
                row = self._rows[labels] = self._new_row()
            row.counts[index] += 1
            row.total += seconds
            if example is not None and len(example[0]) + len(example[1]) <= EXEMPLAR_CHARACTERS:
                row.examples[index] = (*example, seconds, at or time.time())

    def _new_row(self) -> _Row:
        size = len(self.bounds) + 1
        return _Row([0] * size, [None] * size)

    def collect(self) -> Iterator[Metric]:
        """Yield the series for prometheus-client; none before the first observation."""
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        with self._lock:
            rows = [(labels, list(row.counts), list(row.examples), row.total) for labels, row in self._rows.items()]
        for labels, counts, examples, total in rows:
            family.add_metric(labels, list(self._buckets(counts, examples)), total)
        yield family

    def _buckets(
        self, counts: list[int], examples: list[Example | None]
    ) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
        total = 0
        for bound, count, example in zip((*map(str, self.bounds), "+Inf"), counts, examples, strict=True):
            total += count
            yield (bound, total) if example is None else (bound, total, _as_exemplar(*example))


def _as_exemplar(name: str, value: str, seconds: float, at: float) -> Exemplar:
    return Exemplar({name: value}, seconds, at)


loop_rounds = Histogram(
    "diffusion_pipe_loop_round_duration_seconds",
    "Duration of a round of a loop, by kind of loop.",
    ("loop",),
    SHORT,
)
transactions = Histogram(
    "diffusion_pipe_database_transaction_duration_seconds",
    "Duration of a transaction, including the wait for its start.",
    ("mode",),
    SHORT,
)
queue_waits = Histogram(
    "diffusion_pipe_queue_wait_seconds",
    "Time for which tasks had waited when their resources became available.",
    ("task_type",),
    LONG,
)
starts = Histogram(
    "diffusion_pipe_start_to_running_seconds",
    "Time from the response to the request that created a task until its trainer first ran.",
    ("task_type",),
    LONG,
)
attempt_starts = Histogram(
    "diffusion_pipe_attempt_start_duration_seconds",
    "Time from an attempt's claim of its GPUs until its trainer ran.",
    ("task_type",),
    LONG,
)
delivery_lags = Histogram(
    "diffusion_pipe_alert_delivery_lag_seconds",
    "Time from the creation of an alert's message to its delivery by this process.",
    ("channel_kind",),
    LONG,
)

ALL = (loop_rounds, transactions, queue_waits, starts, attempt_starts, delivery_lags)


def note_transaction(mode: str, seconds: float) -> None:
    """Record the duration of a transaction, with the current request as its example."""
    request_id = current_request_id.get()
    transactions.observe(seconds, (mode,), (REQUEST_ID, request_id) if request_id else None)
    note_span(f"database {mode}", seconds, {"db.operation.name": mode})
