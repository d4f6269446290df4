"""Logs: the end of a large log, a search of 1 GB, and many followers of many lines."""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.effort import Effort
from benchmarks.log_files import count_lines, log_of, make_log
from benchmarks.rows import (
    COUNT,
    ENOUGH,
    MEGABYTES,
    MILLISECONDS,
    PER_SECOND,
    PERCENT,
    SECONDS,
    TIMES,
    Row,
    at_least,
    below,
    without_limit,
)
from benchmarks.servers import EIGHT_GPUS, ROOT, CannotRunError, Client, Running, service, simulated
from benchmarks.starting import JSON, TRAINING, has_ended, poll_until, stop
from benchmarks.toys import chatty_toy

TAIL_LIMIT_MS = 100.0
TAIL_MEMORY_LIMIT_MB = 20.0
SEARCH_LIMIT = 3.0  #: how many times as long as grep a search may take
OTHERS_LIMIT_MS = 100.0
SERVER_LIMIT_PERCENT = 100.0
LATE_LIMIT_MS = 300.0

TASKS, FOLLOWERS = 8, 50
STEP_SECONDS = 0.1
LINES_PER_STEP = 500  #: besides two of the toy's own: 5,000 lines/s

RARE = "no such word"

#: Searches that run during other requests: name and query.
SEARCHES = {
    "a rare word": "keyword=no+such+word",
    "(a+)+$": "regex=%28a%2B%29%2B%24",
    "every line, none of which is wanted": "regex=.&level=error",
}

#: Routes that compute their response, and one with a prepared response.
OTHERS = ("/api/v1/gpu/available", "/api/v1/training/list", "/api/v1/gpu/status")


def measure(effort: Effort) -> Iterator[Row]:
    """Measure each part with a separate server."""
    with service(**simulated(EIGHT_GPUS)) as server:
        task_id = _finished(server)
        yield from _measure_tail(server, task_id, effort)
    with service(**simulated(EIGHT_GPUS)) as server:
        task_id = _finished(server)
        yield from _measure_search(server, task_id, effort)
    yield from _measure_followers(TASKS, FOLLOWERS, LINES_PER_STEP, effort)
    yield from _measure_followers(1, 10, 10, effort)


def _toy(steps: int, lines: int, load_seconds: float = 0) -> bytes:
    return json.dumps(chatty_toy(STEP_SECONDS, lines, steps, load_seconds)).encode()


def _start(client: Client, body: bytes) -> str:
    answer = client.ask(f"{TRAINING}/start", JSON, "POST", body)
    if answer.status != 201:
        raise CannotRunError(f"POST {TRAINING}/start: HTTP {answer.status} {answer.body[:200]!r}")
    return str(answer.json()["data"]["task_id"])


def _finished(server: Running) -> str:
    """Run a training to its end; its log can be replaced."""
    with closing(Client(server)) as client:
        task_id = _start(client, _toy(1, 0))
        poll_until(client, f"{TRAINING}/{task_id}", has_ended)
    return task_id


# -- the end of a large log ---------------------------------------------------------------------------------------


def _measure_tail(server: Running, task_id: str, effort: Effort) -> Iterator[Row]:
    path = f"{TRAINING}/{task_id}/logs?tail=1000"
    small_ms = _ask_ms(server, task_id, path, 200_000, 200_000, effort)
    memory = server.rss_mb()
    large_ms = _ask_ms(server, task_id, path, 10 * 10**9, 64 * 2**20, effort)
    grown = server.rss_mb() - memory
    beside = f"{MILLISECONDS.show(statistics.median(small_ms))} of a log of 200 KB"
    note = f"slowest of {len(large_ms)}: {max(large_ms):.0f} ms"
    what = "the last 1,000 lines of a log of 10 GB: p50"
    yield below(what, statistics.median(large_ms), TAIL_LIMIT_MS, MILLISECONDS, beside, note)
    yield below("the same: growth of memory", grown, TAIL_MEMORY_LIMIT_MB, MEGABYTES)


def _ask_ms(server: Running, task_id: str, path: str, size: int, written: int, effort: Effort) -> list[float]:
    make_log(log_of(server, task_id), size, written)
    taken = []
    with closing(Client(server)) as client:
        for _ in range(effort.requests):
            began = time.perf_counter()
            lines = client.ask(path).json()["data"]["logs"]
            taken.append(1000 * (time.perf_counter() - began))
            if len(lines) != 1000 or lines[-1]["line_number"] != lines[0]["line_number"] + 999:
                raise CannotRunError(f"GET {path} answers {len(lines)} lines")
    return taken


# -- searching ----------------------------------------------------------------------------------------------------


def _measure_search(server: Running, task_id: str, effort: Effort) -> Iterator[Row]:
    size = 10**9 if effort.requests > 50 else 10**8
    directory = log_of(server, task_id)
    make_log(directory, size, 2 * size)
    grep = min(_grep_seconds(directory) for _ in range(3))
    path = f"{TRAINING}/{task_id}/logs/search?{SEARCHES['a rare word']}"
    ours = min(_search(server, path)[0] for _ in range(3))
    name = f"{size / 10**9:g} GB"
    note = f"{ours:.2f} s"
    yield below(
        f"a rare word in {name}, to grep -c", ours / grep, SEARCH_LIMIT, TIMES, f"{SECONDS.show(grep)} grep -c", note
    )
    quiet = _others_ms(server, None, effort)
    for what, query in SEARCHES.items():
        path = f"{TRAINING}/{task_id}/logs/search?{query}"
        busy = _others_ms(server, path, effort)
        beside = f"{MILLISECONDS.show(quiet)} without a search"
        yield below(f"others while {name} is searched for {what}: p99", busy, OTHERS_LIMIT_MS, MILLISECONDS, beside)


def _grep_seconds(directory: Path) -> float:
    """Return the seconds of `grep -c` over the same cached files."""
    files = sorted(str(path) for path in directory.glob("*.log"))
    began = time.perf_counter()
    done = subprocess.run(["grep", "-c", RARE, *files], stdout=subprocess.DEVNULL, check=False)
    if done.returncode > 1:
        raise CannotRunError("grep does not work here")
    return time.perf_counter() - began


def _search(server: Running, path: str) -> tuple[float, dict[str, Any]]:
    with closing(Client(server, timeout=60)) as client:
        began = time.perf_counter()
        answer = client.ask(path)
        return time.perf_counter() - began, answer.json()["data"]


def _others_ms(server: Running, path: str | None, effort: Effort) -> float:
    """Return the 99th percentile of other requests, in milliseconds, while this request is repeated."""
    taken, ended = [], threading.Event()

    def search() -> None:
        while path is not None and not ended.is_set():
            _search(server, path)

    thread = threading.Thread(target=search)
    thread.start()
    try:
        with closing(Client(server)) as client:
            until = time.perf_counter() + 3 * effort.load_seconds
            while time.perf_counter() < until:
                for other in OTHERS:
                    began = time.perf_counter()
                    client.ask(other)
                    taken.append(1000 * (time.perf_counter() - began))
                time.sleep(0.01)
    finally:
        ended.set()
        thread.join()
    return sorted(taken)[int(0.99 * len(taken))]


# -- following ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Found:
    cpu_percent: float = 0.0
    lines: float = 0.0  #: written a second, while that was measured
    seen: dict[str, Any] = field(default_factory=dict)
    written: list[int] = field(default_factory=list)


def _measure_followers(tasks: int, followers: int, lines: int, effort: Effort) -> Iterator[Row]:
    seconds = effort.stream_seconds
    with service(**simulated(EIGHT_GPUS)) as server, closing(Client(server)) as client:
        body = _toy(int((seconds + 5) / STEP_SECONDS), lines, load_seconds=4)
        ids = [_start(client, body) for _ in range(tasks)]
        found = _Found()
        try:
            with _following(server, followers, ids, found):
                time.sleep(3)
                began, cpu, size = time.perf_counter(), server.cpu_seconds(), _bytes(server, ids)
                time.sleep(seconds)
                taken, size = time.perf_counter() - began, _bytes(server, ids) - size
                found.cpu_percent = 100 * (server.cpu_seconds() - cpu) / taken
                for task_id in ids:
                    poll_until(client, f"{TRAINING}/{task_id}", has_ended)
            found.written = [count_lines(log_of(server, task_id)) for task_id in ids]
            # Estimated from the size: reading the logs would disturb the measurement.
            found.lines = size / taken * sum(found.written) / _bytes(server, ids)
        finally:
            for task_id in ids:
                stop(client, task_id)
    yield from _rows(tasks, followers, lines, found)


def _rows(tasks: int, followers: int, lines: int, found: _Found) -> Iterator[Row]:
    what = f"{tasks} x {lines / STEP_SECONDS:,.0f} lines/s, {followers} followers"
    lost = sum(abs(found.written[n % tasks] - seen) for n, seen in enumerate(found.seen["lines"]))
    wanted = tasks * lines / STEP_SECONDS
    note = f"of {sum(found.written[n % tasks] for n in range(followers)):,}"
    yield below(f"{what}: lines lost or doubled", lost + found.seen["gaps"], 1, COUNT, note=note)
    yield at_least("the same: written", found.lines, ENOUGH * wanted, PER_SECOND, f"{wanted:,.0f}/s asked for")
    yield below("the same: share of a core", found.cpu_percent, SERVER_LIMIT_PERCENT, PERCENT)
    late = found.seen["late_p99_ms"]
    note = f"p50 {found.seen['late_p50_ms']:.0f} ms"
    if tasks == 1:
        yield below("the same: from print to client, p99", late, LATE_LIMIT_MS, MILLISECONDS, note=note)
    else:
        yield without_limit("the same: from print to client, p99", late, MILLISECONDS, note=note)


def _bytes(server: Running, ids: Sequence[str]) -> int:
    return sum(path.stat().st_size for task_id in ids for path in log_of(server, task_id).glob("*.log"))


@contextmanager
def _following(server: Running, followers: int, ids: Sequence[str], found: _Found) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.followers", str(server.port), str(followers), *ids]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "connected":
            raise CannotRunError(f"{followers} followers could not be connected: see above")
        yield
        found.seen = json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
