"""The histograms of this process."""

import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import Exemplar, HistogramMetricFamily, Metric

from api.util.ids import current_request_id
from api.util.tracing import note_span

#: Bounds in seconds, for short operations, and for waits of queues and trainings.
SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LONG = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0, 86_400.0)

#: Maximum length of an exemplar's names and values together (OpenMetrics 1.0).
EXEMPLAR_CHARACTERS = 128


#: One observation: name and value to find it by, its duration, and its Unix time. A plain tuple, since each request
#: creates one.
Example = tuple[str, str, float, float]


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


#: The names in exemplars for a request's id, which is in the log, and for a task's id.
REQUEST_ID = "request_id"
TASK_ID = "task_id"

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
