"""Time until POST /training/start answers, and until the trainer runs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.databases import KINDS, bare, fresh, why_not
from benchmarks.effort import Effort
from benchmarks.rows import MILLISECONDS, SECONDS, Row, below, cannot_run
from benchmarks.servers import EIGHT_GPUS, CannotRunError, Client, Running, ask, service, simulated

TRAINING = "/api/v1/training"
ANSWER_LIMIT_MS = 100.0
RUNNING_LIMIT_SECONDS = 1.0

JSON = {"Content-Type": "application/json"}
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.002

#: A request whose training still loads when it is stopped.
TOY = {"model_type": "toy", "config": {"epochs": 1, "toy": {"load_seconds": 3600}}}


@dataclass(slots=True)
class _Found:
    answer_ms: list[float] = field(default_factory=list)
    running_seconds: list[float] = field(default_factory=list)


def measure(effort: Effort) -> Iterator[Row]:
    """Start trainings one after the other on free GPUs, compared with a bare committed INSERT."""
    for kind in KINDS:
        reason = why_not(kind)
        if reason is not None:
            yield cannot_run(f"POST /training/start, {kind}", reason)
            continue
        with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder)) as url:
            floor = _insert_ms(url, effort.requests)
            with service(**simulated(EIGHT_GPUS, DATABASE_URL=url)) as server:
                found = _start_all(server, effort.trainings)
        beside = f"{MILLISECONDS.show(floor)} bare INSERT, committed"
        answer = statistics.median(found.answer_ms)
        note = f"slowest of {effort.trainings}: {max(found.answer_ms):.0f} ms"
        yield below(f"POST /training/start, {kind}: p50", answer, ANSWER_LIMIT_MS, MILLISECONDS, beside, note)
        slowest = max(found.running_seconds)
        note = f"p50 {statistics.median(found.running_seconds):.2f} s"
        what = f"from the answer until the trainer runs, {kind}: slowest"
        beside = f"{SECONDS.show(_fork_seconds())} a Python started twice, bare"
        yield below(what, slowest, RUNNING_LIMIT_SECONDS, SECONDS, beside, note)


def _start_all(server: Running, count: int) -> _Found:
    ask(server, "/api/v1/gpu/status")
    client, found = Client(server), _Found()
    started: list[str] = []
    try:
        for _ in range(count):
            poll_until(client, "/api/v1/gpu/available", lambda answer: len(answer["available_gpus"]) > 0)
            before = _pids()
            began = time.perf_counter()
            answer = client.ask(f"{TRAINING}/start", JSON, "POST", json.dumps(TOY).encode())
            answered = time.perf_counter()
            if answer.status != 201:
                raise CannotRunError(f"POST {TRAINING}/start: HTTP {answer.status} {answer.body[:200]!r}")
            task_id = answer.json()["data"]["task_id"]
            started.append(task_id)
            found.answer_ms.append(1000 * (answered - began))
            found.running_seconds.append(_await_trainer(task_id, before) - answered)
            stop(client, task_id)
    finally:
        for task_id in started:
            stop(client, task_id)
            poll_until(client, f"{TRAINING}/{task_id}", has_ended)
        client.close()
    return found


def stop(client: Client, task_id: str) -> None:
    """Stop a training without a checkpoint, unless it has ended."""
    client.ask(f"{TRAINING}/stop/{task_id}", JSON, "POST", b'{"force": true}')


def has_ended(task: Mapping[str, Any]) -> bool:
    """Return whether the training has finished."""
    return task["status"] in ("completed", "failed", "stopped")


def poll_until(client: Client, path: str, is_so: Callable[[Any], bool]) -> None:
    """Poll until `is_so` accepts the response. Raise CannotRunError after a time limit."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_so(client.ask(path).json()["data"]):
        if time.monotonic() > until:
            raise CannotRunError(f"GET {path} did not come to what was waited for in {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.05)


def _pids() -> set[str]:
    return {name for name in os.listdir("/proc") if name.isdigit()}


def _await_trainer(task_id: str, before: set[str]) -> float:
    """Return the time when /proc first showed the main process of this task's trainer."""
    wanted = f"/{task_id}/attempts/1/config.toml".encode()
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for pid in _pids() - before:
            with suppress(OSError):
                if wanted in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return time.perf_counter()
        time.sleep(LOOK_SECONDS)
    raise CannotRunError(f"the trainer of {task_id} was not seen in {PATIENCE_SECONDS:.0f} s")


def _insert_ms(url: str, count: int) -> float:
    with bare(url) as driver:
        driver.run("CREATE TABLE bare (id varchar(64) PRIMARY KEY, body text NOT NULL)")
        body, taken = json.dumps(TOY) * 10, []
        for number in range(count):
            began = time.perf_counter()
            driver.run("INSERT INTO bare (id, body) VALUES (%s, %s)", (f"train_{number}", body))
            taken.append(1000 * (time.perf_counter() - began))
        driver.run("DROP TABLE bare")
    return statistics.median(taken)


def _fork_seconds() -> float:
    """Return the minimum seconds of a start: one interpreter for the supervisor and one for the trainer."""

    began = time.perf_counter()
    for _ in range(2):
        subprocess.run([sys.executable, "-I", "-S", "-c", ""], check=True)
    return time.perf_counter() - began
