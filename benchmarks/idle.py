"""The idle service: start, memory and share of a core."""

import statistics
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager

from benchmarks.effort import Effort
from benchmarks.rows import MEGABYTES, PERCENT, SECONDS, Row, below
from benchmarks.servers import Running, ask, peer, service

HEALTH = "/health"
STATUS = "/api/v1/gpu/status"

START_LIMIT_SECONDS = 1.2

#: Seconds after a start until background work has finished.
SETTLE_SECONDS = 1.0


def measure(effort: Effort) -> Iterator[Row]:
    """Measure the service with default settings, compared with an empty Flask app on the same server."""
    starts = [_start(service(), (HEALTH, STATUS)) for _ in range(effort.starts)]
    empty_start = statistics.median(_start(peer("flask", b"{}"), ("/",))[0] for _ in range(effort.starts))
    beside = f"{SECONDS.show(empty_start)} empty Flask app"
    for index, path in enumerate((HEALTH, STATUS)):
        seconds = statistics.median(start[index] for start in starts)
        yield below(
            f"start until GET {path.removeprefix('/api/v1')} is 200", seconds, START_LIMIT_SECONDS, SECONDS, beside
        )
    with service() as server:
        ask(server, STATUS)
        cpu, memory = _rest(server, effort.idle_seconds)
    with peer("flask", b"{}") as empty:
        ask(empty, "/")
        empty_cpu, empty_memory = _rest(empty, effort.idle_seconds)
    beside = f"{MEGABYTES.show(empty_memory)} empty Flask app"
    yield below("idle: memory", memory, 130.0, MEGABYTES, beside)
    beside = f"{PERCENT.show(empty_cpu)} empty Flask app"
    yield below("idle: share of a core", cpu, 1.0, PERCENT, beside)


def _start(starting: AbstractContextManager[Running], paths: tuple[str, ...]) -> list[float]:
    """Return the seconds from the start of the process until each path has answered."""
    seconds = []
    with starting as server:
        for path in paths:
            ask(server, path)
            seconds.append(time.perf_counter() - server.started)
    return seconds


def _rest(server: Running, seconds: int) -> tuple[float, float]:
    """Return the share of a core in %, and memory in MB."""
    time.sleep(SETTLE_SECONDS)
    began, cpu = time.perf_counter(), server.cpu_seconds()
    time.sleep(seconds)
    return 100 * (server.cpu_seconds() - cpu) / (time.perf_counter() - began), server.rss_mb()
