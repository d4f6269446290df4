"""Cost of authentication, and a service with keys under a steady load and under three times that load."""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.util.text.key_format import new_key
from benchmarks.databases import KINDS, fresh, migrated, why_not
from benchmarks.effort import Effort
from benchmarks.filling import fill_finished
from benchmarks.load import CONNECTIONS, Target, compare
from benchmarks.paced import Answers, Paced, Request
from benchmarks.rows import (
    COUNT,
    MICROSECONDS,
    MILLISECONDS,
    PER_SECOND,
    SECONDS,
    TIMES,
    Row,
    at_least,
    below,
    cannot_run,
)
from benchmarks.servers import EIGHT_GPUS, CannotRunError, Client, Running, ask, service, simulated

STATUS = "/api/v1/gpu/status"
TRAINING = "/api/v1/training"

#: Maximum processor time of authentication for a prepared document, and for a request through Flask.
READY_MICROSECONDS = 20.0
FLASK_MICROSECONDS = 150.0

READS, WRITES = 300, 50
READ_P99_MS, WRITE_P99_MS = 200.0, 500.0
OVERLOAD = 3
HEALTH_SECONDS, RECOVERY_SECONDS = 1.0, 10.0

#: Number of requests per measurement of processor time, sent sequentially by one client.
ASKED = 2000


def measure(effort: Effort) -> Iterator[Row]:
    """Measure authentication against the same service without keys, then the load on both databases."""
    yield from _gate(effort)
    for kind in KINDS:
        reason = why_not(kind)
        if reason is not None:
            yield cannot_run(f"{READS} reads/s and {WRITES} writes/s, {kind}", reason)
            continue
        with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder)) as url:
            yield from _load(effort, kind, url)


@contextmanager
def _with_keys(**settings: str) -> Iterator[tuple[Running, dict[str, str]]]:
    """Start a server with authentication; yield it with the headers of the administrator's key."""
    with tempfile.TemporaryDirectory() as folder:
        file, key = Path(folder) / "key", new_key()[1]
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
        file.write_text(key)
        with service(AUTH="required", ADMIN_KEY_FILE=str(file), RATE_LIMITS="off", **settings) as server:
            yield server, {"Authorization": f"Bearer {key}"}


def _gate(effort: Effort) -> Iterator[Row]:
    boards = simulated(EIGHT_GPUS)
    with service(**boards) as open_one, _with_keys(**boards) as (gated, key):
        ask(open_one, STATUS)
        ask(gated, STATUS, key)
        headers = [f"{name}: {value}" for name, value in key.items()]
        found = compare(Target(gated.url(STATUS), headers), Target(open_one.url(STATUS)), effort)
        beside = f"{PER_SECOND.show(found.theirs.rate)} without keys, {CONNECTIONS} connections"
        yield at_least("GET /gpu/status with a key", found.ratio, 0.7, TIMES, beside, PER_SECOND.show(found.ours.rate))
        for what, path, limit in (
            ("a ready document", STATUS, READY_MICROSECONDS),
            ("a Flask route", f"{TRAINING}/list?limit=1", FLASK_MICROSECONDS),
        ):
            without, with_key = _microseconds(effort, path, open_one, gated, key)
            beside = f"{MICROSECONDS.show(without)} without keys"
            yield below(f"the gate's CPU for {what}", with_key - without, limit, MICROSECONDS, beside)


def _microseconds(
    effort: Effort, path: str, open_one: Running, gated: Running, key: dict[str, str]
) -> tuple[float, float]:
    """Return the server's processor time per request, without and with keys: medians of alternating rounds."""
    rounds = [(_taken(open_one, path, {}), _taken(gated, path, key)) for _ in range(effort.rounds)]
    return statistics.median(pair[0] for pair in rounds), statistics.median(pair[1] for pair in rounds)


def _taken(server: Running, path: str, headers: dict[str, str]) -> float:
    client = Client(server)
    client.ask(path, headers)
    before = server.cpu_seconds()
    for _ in range(ASKED):
        if client.ask(path, headers).status != 200:
            raise CannotRunError(f"GET {path} fails")
    client.close()
    return 1e6 * (server.cpu_seconds() - before) / ASKED


def _load(effort: Effort, kind: str, url: str) -> Iterator[Row]:
    with _with_keys(**simulated(EIGHT_GPUS, DATABASE_URL=url)) as (server, key):
        gpus = [gpu["uuid"] for gpu in ask(server, STATUS, key).json()["data"]["gpus"]]
        with migrated(url) as database:
            ids = fill_finished(database, effort.tasks, gpus)
        yield from asyncio.run(_drive(effort, kind, server, key, ids))


async def _drive(effort: Effort, kind: str, server: Running, key: dict[str, str], ids: list[str]) -> list[Row]:
    clients = Paced(server.port, key)
    reads, writes, _ = await _both(clients, ids, 1, effort.load_seconds * 4)
    what = f"{READS} reads/s, {WRITES} writes/s, {effort.tasks:,} tasks, {kind}"
    rows = [
        below(f"{what}: read p99", reads.p99_ms(), READ_P99_MS, MILLISECONDS),
        below("the same: write p99", writes.p99_ms(), WRITE_P99_MS, MILLISECONDS),
        below("the same: answers other than 200", reads.others_than(200) + writes.others_than(200), 1, COUNT),
    ]
    reads, writes, health = await _both(clients, ids, OVERLOAD, effort.load_seconds * 4)
    calm = await _recover(clients, ids)
    served = (reads.statuses[200] + writes.statuses[200]) / (effort.load_seconds * 4)
    other = reads.others_than(200, 429, 503) + writes.others_than(200, 429, 503)
    beside = f"{PER_SECOND.show(served)} served of {(READS + WRITES) * OVERLOAD}"
    rows += [
        below(f"{OVERLOAD} times that, {kind}: answers but 200, 429, 503", other, 1, COUNT, beside),
        below("the same: slowest /health", health, HEALTH_SECONDS, SECONDS),
        below("the same: until answers are as quick as before", calm, RECOVERY_SECONDS, SECONDS),
    ]
    clients.close()
    return rows


async def _both(clients: Paced, ids: list[str], times: int, seconds: float) -> tuple[Answers, Answers, float]:
    """Run reads and writes concurrently; return them with the slowest health check."""
    reads = asyncio.create_task(clients.run(lambda n: _read(ids, n), READS * times, seconds))
    writes = asyncio.create_task(clients.run(lambda n: _write(ids, n), WRITES * times, seconds))
    slowest = 0.0
    while not (reads.done() and writes.done()):
        slowest = max(slowest, (await clients.once(Request("/health")))[1])
        await asyncio.sleep(0.1)
    return reads.result(), writes.result(), slowest


async def _recover(clients: Paced, ids: list[str]) -> float:
    began = time.perf_counter()
    while time.perf_counter() - began < 2 * RECOVERY_SECONDS:
        read, write = await clients.once(_read(ids, 0)), await clients.once(_write(ids, 0))
        if read[0] == write[0] == 200 and 1000 * read[1] < READ_P99_MS and 1000 * write[1] < WRITE_P99_MS:
            break
    return time.perf_counter() - began


def _read(ids: list[str], number: int) -> Request:
    """Return the n-th read: of ten, four are of GPUs, three of a training, two of its progress, one of the list."""
    some = ids[(number * 7919) % len(ids)]
    paths = [STATUS] * 4 + [f"{TRAINING}/{some}"] * 3 + [f"{TRAINING}/{some}/progress"] * 2 + [f"{TRAINING}/list"]
    return Request(paths[number % 10])


def _write(ids: list[str], number: int) -> Request:
    """Return a change of priority, which is committed before the response."""
    return Request(f"{TRAINING}/{ids[(number * 104_729) % len(ids)]}", "PATCH", b'{"priority": %d}' % (number % 100))
