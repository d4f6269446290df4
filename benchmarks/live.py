"""Concurrent followers of trainings and dashboards: their delays, and the latency of other requests."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.effort import Effort
from benchmarks.rows import (
    COUNT,
    ENOUGH,
    MEGABYTES,
    MILLISECONDS,
    PER_SECOND,
    PERCENT,
    Row,
    at_least,
    below,
    without_limit,
)
from benchmarks.servers import EIGHT_GPUS, ROOT, CannotRunError, Client, Running, ask, service, simulated
from benchmarks.starting import JSON, TRAINING, poll_until, stop
from benchmarks.toys import chatty_toy

TASKS = 8
STEP_SECONDS = 0.5
LINES_PER_STEP = 3
LINES_PER_SECOND = (LINES_PER_STEP + 2) / STEP_SECONDS

#: Seconds between two requests, in turn for a ready document, from Flask and from the database.
ASK_SECONDS = 0.05

TOY = chatty_toy(STEP_SECONDS, LINES_PER_STEP)


def measure(effort: Effort) -> Iterator[Row]:
    """Measure 500 followers of eight trainings together with 500 dashboards."""
    with service(**simulated(EIGHT_GPUS, MIN_FREE_DISK_MB="0")) as server:
        ask(server, "/api/v1/gpu/status")
        with _trainings(server) as ids:
            paths = ("/api/v1/gpu/status", f"{TRAINING}/list", f"{TRAINING}/{ids[0]}/progress")
            quiet = _ask_in_turn(server, paths, effort.live_seconds / 2)
            before_mb = server.rss_mb()
            with _listeners(server, effort.followers, ids) as found:
                began, cpu = time.perf_counter(), server.cpu_seconds()
                asked = _ask_in_turn(server, paths, effort.live_seconds)
                seconds = time.perf_counter() - began
                share = 100 * (server.cpu_seconds() - cpu) / seconds
                grown = server.rss_mb() - before_mb
    who = f"{effort.followers} followers, {effort.followers} dashboards"
    note = f"median {MILLISECONDS.show(found['line_p50'])}"
    yield below(f"{who}: print to follower, 99th percentile", found["line_p99"], 1000.0, MILLISECONDS, "", note)
    note = f"median {MILLISECONDS.show(found['spread_p50'])}; {found['messages']:,} messages to all"
    yield below(
        "the same: first to last dashboard, 99th percentile", found["spread_p99"], 1000.0, MILLISECONDS, "", note
    )
    received = found["fresh"] / effort.followers / seconds
    yield at_least(
        "the same: lines that a follower receives",
        received,
        ENOUGH * LINES_PER_SECOND,
        PER_SECOND,
        f"{LINES_PER_SECOND:.0f}/s asked for",
    )
    beside = f"{MILLISECONDS.show(quiet)} without them"
    yield below("the same: REST, 99th percentile", asked, 200.0, MILLISECONDS, beside)
    yield below("the same: lines missing, clients lost", found["missing"] + found["closed"], 1, COUNT)
    yield without_limit("the same: share of a core", share, PERCENT)
    yield without_limit("the same: growth of memory", grown, MEGABYTES)


@contextmanager
def _trainings(server: Running) -> Iterator[Sequence[str]]:
    client = Client(server)
    ids: list[str] = []
    try:
        for _ in range(TASKS):
            answer = client.ask(f"{TRAINING}/start", JSON, "POST", json.dumps(TOY).encode())
            if answer.status != 201:
                raise CannotRunError(f"a training could not be started: {answer.body[:300].decode()}")
            ids.append(answer.json()["data"]["task_id"])
        for task_id in ids:
            poll_until(client, f"{TRAINING}/{task_id}/progress", _is_training)
        yield ids
    finally:
        for task_id in ids:
            stop(client, task_id)
        client.close()


def _is_training(shown: Any) -> bool:
    return bool(shown["progress"]["current_step"])


@contextmanager
def _listeners(server: Running, count: int, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run the clients during the `with` block; afterwards the yielded dictionary contains their results."""
    command = [sys.executable, "-m", "benchmarks.listeners", str(server.port), str(count), *ids]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = {}
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "connected":
            raise CannotRunError(f"{2 * count:,} clients could not be connected: see above")
        yield found
        found.update(json.loads(process.communicate(timeout=60)[0]))
    finally:
        process.kill()
        process.wait()


def _ask_in_turn(server: Running, paths: Sequence[str], seconds: float) -> float:
    """Return the 99th percentile, in milliseconds, of alternating requests for these paths."""
    client, taken = Client(server), []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for path in paths:
            began = time.perf_counter()
            client.ask(path)
            taken.append(1000 * (time.perf_counter() - began))
            time.sleep(ASK_SECONDS)
    client.close()
    return sorted(taken)[int(0.99 * len(taken))]
