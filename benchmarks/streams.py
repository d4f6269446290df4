"""A thousand streaming clients, and the latency of other requests meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.effort import Effort
from benchmarks.rows import COUNT, ENOUGH, MEGABYTES, MILLISECONDS, PERCENT, Row, at_least, below
from benchmarks.servers import EIGHT_GPUS, ROOT, CannotRunError, Client, Running, ask, peer, service, simulated

STATUS = "/api/v1/gpu/status"
FLASK_ROUTE = "/api/v1/gpu/available"

#: Seconds between two polls of each address.
POLL_SECONDS = 0.1

#: Seconds of polling before anybody subscribes, to compare with.
QUIET_SECONDS = 5


@dataclass(slots=True)
class _Found:
    """Measurements while the clients were subscribed."""

    cpu_percent: float = 0.0
    rss_mb: float = 0.0
    clients: dict[str, Any] = field(default_factory=dict)
    p99_ms: dict[str, float] = field(default_factory=dict)


def measure(effort: Effort) -> Iterator[Row]:
    """Measure the service, compared with a bare loop that writes the same bytes to as many sockets."""
    with service(**simulated(EIGHT_GPUS, GPU_MONITOR_INTERVAL="1")) as server:
        body = ask(server, STATUS).body
        quiet = _poll(server, (STATUS, FLASK_ROUTE), min(QUIET_SECONDS, effort.stream_seconds))
        ours = _subscribe(server, effort, (STATUS, FLASK_ROUTE))
    with peer("events", body) as bare:
        theirs = _subscribe(bare, effort, ())
    yield from _rows(ours, theirs, quiet, effort)


def _rows(ours: _Found, theirs: _Found, quiet: dict[str, float], effort: Effort) -> Iterator[Row]:
    clients = f"{effort.clients:,} SSE clients, 1 event/s"
    beside = f"{PERCENT.show(theirs.cpu_percent)} bare writes to sockets"
    yield below(f"{clients}: share of a core", ours.cpu_percent, 15.0, PERCENT, beside)
    beside = f"{MEGABYTES.show(theirs.rss_mb)} bare sockets"
    yield below("the same: growth of memory", ours.rss_mb, 60.0, MEGABYTES, beside)
    for path, quiet_ms in quiet.items():
        beside = f"{MILLISECONDS.show(quiet_ms)} without the clients"
        what = f"the same: GET {path.removeprefix('/api/v1')}, 99th percentile"
        yield below(what, ours.p99_ms[path], 100.0, MILLISECONDS, beside)
    # Its own events a second; one may lie beyond either end.
    wanted = ENOUGH * effort.stream_seconds - 1
    beside = f"{COUNT.show(theirs.clients['fewest'])} bare"
    yield at_least("the same: fewest events of a client", ours.clients["fewest"], wanted, COUNT, beside)
    seen = f"of {ours.clients['events']:,}"
    lost = ours.clients["missing"] + ours.clients["closed"]
    beside = f"{theirs.clients['missing'] + theirs.clients['closed']} bare"
    yield below("the same: events and clients lost", lost, 1, COUNT, beside, seen)


def _subscribe(server: Running, effort: Effort, paths: Sequence[str]) -> _Found:
    found = _Found()
    before_mb = server.rss_mb()
    with _subscribers(server, effort.clients, found):
        began, cpu = time.perf_counter(), server.cpu_seconds()
        found.p99_ms = _poll(server, paths, effort.stream_seconds)
        found.cpu_percent = 100 * (server.cpu_seconds() - cpu) / (time.perf_counter() - began)
        found.rss_mb = server.rss_mb() - before_mb
    return found


@contextmanager
def _subscribers(server: Running, count: int, found: _Found) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.subscribers", str(server.port), str(count)]
    # Errors go to the terminal: a pipe that is not read would fill up.
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "connected":
            raise CannotRunError(f"{count:,} clients could not be connected: see above")
        yield
        # Closing its input makes it print its results.
        found.clients = json.loads(process.communicate(timeout=30)[0])
    finally:
        process.kill()
        process.wait()


def _poll(server: Running, paths: Sequence[str], seconds: float) -> dict[str, float]:
    """Return the 99th percentile of each path in milliseconds, requested alternately."""
    taken: dict[str, list[float]] = {path: [] for path in paths}
    client = Client(server)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for path, times in taken.items():
            began = time.perf_counter()
            client.ask(path)
            times.append(1000 * (time.perf_counter() - began))
        time.sleep(POLL_SECONDS)
    client.close()
    return {path: sorted(times)[int(0.99 * len(times))] for path, times in taken.items()}
