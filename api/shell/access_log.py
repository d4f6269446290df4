"""One line and one count for each request, written in batches by a thread of its own.

A request only appends its facts to a queue: writing the line there and then would cost a ready document more than
sending it does, and a paused terminal would stop the event loop. A crash loses at most the last 0.1 s of lines.
"""

import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TextIO

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from api.utils.logs import format_line
from api.utils.masking import mask_secrets
from api.utils.periodic import PeriodicThread

#: The most requests that wait to be written; further lines are lost, and their number is logged.
CAPACITY = 100_000

#: Characters of a path that are logged.
PATH_CHARACTERS = 500

_FLUSH_SECONDS = 0.1

# Lines written at a stretch (about 0.3 ms), and the pause after them: more than 100,000 lines a second.
_BATCH = 100
_PAUSE_SECONDS = 0.0005

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Access(NamedTuple):
    """The facts of one request; `seconds` is how long it took, `ended` the Unix time of its end."""

    ended: float
    method: str
    path: str
    route: str
    status: int
    seconds: float
    request_id: str
    client: str | None


class AccessLog:
    """Takes requests from the event loop, writes and counts them in its own thread."""

    def __init__(
        self,
        metrics: "HTTPMetrics",
        level: str,
        as_json: bool,
        stream: TextIO | None = None,
        copy: Callable[[str], None] | None = None,
    ) -> None:
        """`copy` gets every line that is written, too."""
        self._metrics = metrics
        self._writes_all = level in ("DEBUG", "INFO")
        self._as_json = as_json
        self._stream = stream
        self._copy = copy
        self._queue: deque[Access] = deque()
        self._lost = 0
        self._thread = PeriodicThread("access-log", _FLUSH_SECONDS, self.flush)

    def record(self, access: Access) -> None:
        """Takes a request to be logged and counted; never blocks."""
        if len(self._queue) < CAPACITY:
            self._queue.append(access)
        else:
            self._lost += 1

    def start(self) -> None:
        """Starts the thread that writes."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left, and stops the thread."""
        self._thread.stop()
        self.flush()

    def flush(self) -> None:
        """Writes and counts what has come in."""
        waiting = len(self._queue)
        while waiting > 0:
            batch = [self._queue.popleft() for _ in range(min(waiting, _BATCH))]
            waiting -= len(batch)
            self._write(batch)
            if waiting > 0:
                # Gives the interpreter back to the event loop, which would otherwise wait up to 5 ms for it.
                time.sleep(_PAUSE_SECONDS)

    def _write(self, batch: list[Access]) -> None:
        self._metrics.count(batch)
        lines = [self._line(access) for access in batch if self._writes_all or access.status >= 500]
        if self._lost:
            lost, self._lost = self._lost, 0
            message = "request lines were lost"
            lines.append(format_line(self._as_json, batch[-1].ended, "WARNING", message, {"lost": lost}))
        if lines:
            text = "\n".join(lines) + "\n"
            if self._copy is not None:
                self._copy(text)
            stream = self._stream or sys.stderr
            stream.write(text)
            stream.flush()

    def _line(self, access: Access) -> str:
        facts = {
            "method": access.method,
            "path": shown_path(access.path),
            "route": access.route,
            "status": access.status,
            "duration_ms": round(access.seconds * 1000, 3),
            "request_id": access.request_id,
            "client": access.client,
        }
        level = "ERROR" if access.status >= 500 else "INFO"
        return format_line(self._as_json, access.ended, level, "request", facts)


def shown_path(path: str) -> str:
    """The path, shortened, and with what looks like a pasted key masked."""
    return mask_secrets(path[:PATH_CHARACTERS]) + ("…" if len(path) > PATH_CHARACTERS else "")


@dataclass(slots=True)
class _Timing:
    counts: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS) + 1))
    total: float = 0.0


class HTTPMetrics:
    """Requests by method, route and status, and how long they took; a collector of prometheus-client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._timings: dict[str, _Timing] = {}

    def count(self, batch: Iterable[Access]) -> None:
        """Adds these requests to the metrics."""
        with self._lock:
            for access in batch:
                key = (access.method, access.route, access.status)
                self._requests[key] = self._requests.get(key, 0) + 1
                timing = self._timings.get(access.route)
                if timing is None:
                    timing = self._timings[access.route] = _Timing()
                timing.counts[bisect_left(_BUCKETS, access.seconds)] += 1
                timing.total += access.seconds

    def collect(self) -> Iterator[Metric]:
        """The metrics of all requests, for prometheus-client."""
        requests = CounterMetricFamily(
            "diffusion_pipe_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        timings = HistogramMetricFamily(
            "diffusion_pipe_http_request_duration_seconds", "Time from request to answer.", labels=("route",)
        )
        with self._lock:
            for (method, route, status), count in self._requests.items():
                requests.add_metric((method, route, str(status)), count)
            for route, timing in self._timings.items():
                timings.add_metric((route,), buckets=list(_cumulate(timing.counts)), sum_value=timing.total)
        yield requests
        yield timings


def _cumulate(counts: list[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, _BUCKETS), "+Inf"), counts, strict=True):
        total += count
        yield bound, total
