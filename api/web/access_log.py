"""The access log and the HTTP metrics, written in batches by a thread.

A request only appends its facts to a queue: writing a line immediately would take longer than sending a ready document,
and a blocked terminal would stop the event loop. A crash loses at most the last 0.1 s of lines.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TextIO

from prometheus_client.core import CounterMetricFamily, Metric

from api.util.logs import format_line
from api.util.measures import REQUEST_ID, Histogram
from api.util.periodic import LoopOwner, PeriodicThread
from api.util.text.masking import mask_secrets

#: The most requests that wait to be written. Further lines are lost; their number is logged.
CAPACITY = 100_000

#: The most characters of a path that are logged.
PATH_CHARACTERS = 500

#: Seconds between two batches. Without requests the thread sleeps.
_FLUSH_SECONDS = 0.1

# Lines written without a pause (about 1 ms), and the pause after them: more than 100,000 lines a second.
_BATCH = 400
_PAUSE_SECONDS = 0.002

#: The methods with series of their own. All others share one, which bounds the number of series.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET", "-"})
_OTHER = "other"
_CLASSES = tuple(f"{first}xx" for first in range(10))


class Access(NamedTuple):
    """The facts of one request; `seconds` is its duration, `ended` the Unix time of its end."""

    ended: float
    method: str
    path: str
    route: str
    status: int
    seconds: float
    request_id: str
    client: str | None


class AccessLog(LoopOwner):
    """Receives requests from the event loop; a thread writes and counts them."""

    def __init__(
        self,
        metrics: "HTTPMetrics",
        level: str,
        as_json: bool,
        stream: TextIO | None = None,
        copy: Callable[[str], None] | None = None,
    ) -> None:
        """`copy` is called with all written text."""
        self._metrics = metrics
        self._writes_all = level in ("DEBUG", "INFO")
        self._as_json = as_json
        self._stream = stream
        self._copy = copy
        self._queue: deque[Access] = deque()
        self._lost = 0
        self._thread = PeriodicThread("access-log", None, self._flush_until_empty, rest=_FLUSH_SECONDS)

    def record(self, access: Access) -> None:
        """Queue a request to be logged and counted. Never blocks."""
        if len(self._queue) >= CAPACITY:
            self._lost += 1
            return
        self._queue.append(access)
        # Only the first request of a batch wakes the thread.
        if len(self._queue) == 1:
            self._thread.trigger()

    def stop(self) -> None:
        """Stop the thread, and write the remaining requests."""
        self._thread.stop()
        self.flush()

    def flush(self) -> None:
        """Write and count the queued requests."""
        waiting = len(self._queue)
        while waiting > 0:
            batch = [self._queue.popleft() for _ in range(min(waiting, _BATCH))]
            waiting -= len(batch)
            self._write(batch)
            if waiting > 0:
                # Releases the interpreter to the event loop, which would otherwise wait up to 5 ms for it.
                time.sleep(_PAUSE_SECONDS)

    def _flush_until_empty(self) -> None:
        try:
            self.flush()
        finally:
            if self._queue:
                self._thread.trigger()

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
            # A path without variable parts contains nothing to mask.
            "path": access.path if access.path == access.route else shown_path(access.path),
            "route": access.route,
            "status": access.status,
            "duration_ms": round(access.seconds * 1000, 3),
            "request_id": access.request_id,
            "client": access.client,
        }
        level = "ERROR" if access.status >= 500 else "INFO"
        return format_line(self._as_json, access.ended, level, "request", facts)


def shown_path(path: str) -> str:
    """Return the path for the log: shortened, with anything that looks like a key masked."""
    return mask_secrets(path[:PATH_CHARACTERS]) + ("…" if len(path) > PATH_CHARACTERS else "")


class HTTPMetrics:
    """Requests by method, route and status, and their durations; a collector for prometheus-client."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._durations = Histogram(
            "diffusion_pipe_http_request_duration_seconds",
            "Time from request to answer.",
            ("route", "method", "status_class"),
        )

    def count(self, batch: Iterable[Access]) -> None:
        """Add these requests to the metrics."""
        with self._lock:
            for ended, method, _, route, status, seconds, request_id, _ in batch:
                known = method if method in _METHODS else _OTHER
                key = (known, route, status)
                self._requests[key] = self._requests.get(key, 0) + 1
                labels = (route, known, _CLASSES[status // 100])
                self._durations.observe(seconds, labels, (REQUEST_ID, request_id), ended)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all requests, for prometheus-client."""
        requests = CounterMetricFamily(
            "diffusion_pipe_http_requests", "Requests answered.", labels=("method", "route", "status")
        )
        with self._lock:
            for (method, route, status), count in self._requests.items():
                requests.add_metric((method, route, str(status)), count)
        yield requests
        yield from self._durations.collect()
