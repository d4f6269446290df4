"""16 running trainings that print 100 lines/s each: cost of watching them, and of their supervisors."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.effort import Effort
from benchmarks.log_files import count_lines, log_of
from benchmarks.rows import ENOUGH, PER_SECOND, PERCENT, SMALL_MEGABYTES, Row, at_least, below, without_limit
from benchmarks.servers import CannotRunError, Client, Running, ask, service, simulated
from benchmarks.starting import JSON, TRAINING, has_ended, poll_until, stop
from benchmarks.toys import chatty_toy

ATTEMPTS = 16
BOARDS = f"{ATTEMPTS}x NVIDIA H100 80GB HBM3"

#: Two steps a second, with two lines of their own each.
STEP_SECONDS = 0.5
LINES_PER_STEP = 48
LINES_PER_SECOND = (LINES_PER_STEP + 2) / STEP_SECONDS

SERVER_LIMIT_PERCENT = 10.0
MEMORY_LIMIT_MB = 12.0

#: Seconds until background work after a start has finished.
SETTLE_SECONDS = 3.0

TOY = chatty_toy(STEP_SECONDS, LINES_PER_STEP)


@dataclass(frozen=True, slots=True)
class _Found:
    """Shares of a core in %, memory in MB."""

    idle: float
    busy: float
    supervisors: Sequence[float]
    trainers: float
    lines: float  #: a second, of the attempt that wrote the least
    rss: Sequence[float]
    pss: Sequence[float]
    bare: tuple[float, float]


def measure(effort: Effort) -> Iterator[Row]:
    """Measure the server before and during the trainings, and the supervisors compared with a bare interpreter."""
    with service(**simulated(BOARDS)) as server:
        ask(server, "/api/v1/gpu/status")
        time.sleep(SETTLE_SECONDS)
        idle = _shares([server.process], effort.watch_seconds)[0]
        with _trainings(server) as ids:
            found = _watch(server, ids, effort.watch_seconds, idle)
    yield from _rows(found)


def _rows(found: _Found) -> Iterator[Row]:
    what = f"watching {ATTEMPTS} attempts of {LINES_PER_SECOND:.0f} lines/s: server, share of a core"
    beside = f"{PERCENT.show(found.idle)} idle just before, subtracted; {PERCENT.show(found.trainers)} the trainers"
    yield below(what, found.busy - found.idle, SERVER_LIMIT_PERCENT, PERCENT, beside)
    # Otherwise the results would be those of attempts that print less.
    limit = ENOUGH * LINES_PER_SECOND
    yield at_least("the same: written by each", found.lines, limit, PER_SECOND, f"{LINES_PER_SECOND:.0f}/s asked for")
    mean = statistics.mean(found.supervisors)
    beside = f"{PERCENT.show(sum(found.supervisors))} all {ATTEMPTS} together"
    yield without_limit(
        "the same: a supervisor, share of a core", mean, PERCENT, beside, f"most: {max(found.supervisors):.2f} %"
    )
    for name, values, bare_mb in zip(("RSS", "PSS"), (found.rss, found.pss), found.bare, strict=True):
        beside = f"{SMALL_MEGABYTES.show(bare_mb)} python -I -S that only waits"
        yield below(f"a supervisor: {name}, most of {ATTEMPTS}", max(values), MEMORY_LIMIT_MB, SMALL_MEGABYTES, beside)


@contextmanager
def _trainings(server: Running) -> Iterator[list[str]]:
    ids: list[str] = []
    try:
        with closing(Client(server)) as client:
            for _ in range(ATTEMPTS):
                answer = client.ask(f"{TRAINING}/start", JSON, "POST", json.dumps(TOY).encode())
                if answer.status != 201:
                    raise CannotRunError(f"POST {TRAINING}/start: HTTP {answer.status} {answer.body[:200]!r}")
                ids.append(answer.json()["data"]["task_id"])
            for task_id in ids:
                poll_until(client, f"{TRAINING}/{task_id}/progress", _trains)
        yield ids
    finally:
        with closing(Client(server)) as client:
            for task_id in ids:
                stop(client, task_id)
            for task_id in ids:
                poll_until(client, f"{TRAINING}/{task_id}", has_ended)


def _trains(details: Mapping[str, Any]) -> bool:
    return (details["progress"]["current_step"] or 0) > 1


def _watch(server: Running, ids: Sequence[str], seconds: int, idle: float) -> _Found:
    supervisors, trainers = _processes(ids)
    time.sleep(SETTLE_SECONDS)
    logs = [log_of(server, task_id) for task_id in ids]
    before = [count_lines(log) for log in logs]
    busy, *others = _shares([server.process, *supervisors, *trainers], seconds)
    written = [count_lines(log) - lines for log, lines in zip(logs, before, strict=True)]
    memory = [_memory_mb(supervisor.pid) for supervisor in supervisors]
    with _bare_python() as bare:
        bare_mb = _memory_mb(bare.pid)
    return _Found(
        idle=idle,
        busy=busy,
        supervisors=others[:ATTEMPTS],
        trainers=sum(others[ATTEMPTS:]),
        lines=min(written) / seconds,
        rss=[rss for rss, _ in memory],
        pss=[pss for _, pss in memory],
        bare=bare_mb,
    )


def _processes(ids: Sequence[str]) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Return the supervisors and the trainers of these tasks."""
    supervisors: list[psutil.Process] = []
    trainers: list[psutil.Process] = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if not any(f"/{task_id}/" in part for part in line for task_id in ids):
            continue
        (trainers if any(part.endswith("train.py") for part in line) else supervisors).append(process)
    if (len(supervisors), len(trainers)) != (ATTEMPTS, ATTEMPTS):
        raise CannotRunError(f"{len(supervisors)} supervisors and {len(trainers)} trainers run, not {ATTEMPTS} each")
    return supervisors, trainers


def _shares(processes: Sequence[psutil.Process], seconds: int) -> list[float]:
    """Return the percentage of a core that each process uses during these seconds."""
    began, before = time.perf_counter(), [_cpu_seconds(process) for process in processes]
    time.sleep(seconds)
    taken = time.perf_counter() - began
    return [100 * (_cpu_seconds(process) - cpu) / taken for process, cpu in zip(processes, before, strict=True)]


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _memory_mb(pid: int) -> tuple[float, float]:
    """Return the memory of a process in MB: resident (RSS), and with shared pages divided among processes (PSS)."""
    found = dict[str, float]()
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        with suppress(ValueError):
            found[name.rstrip(":")] = int(value) / 1024
    return found["Rss"], found["Pss"]


@contextmanager
def _bare_python() -> Iterator[psutil.Popen]:
    command = [sys.executable, "-I", "-S", "-c", "print(flush=True); input()"]
    process = psutil.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()
