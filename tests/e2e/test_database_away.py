"""A database is stopped for a minute, or locked for half a minute, under two servers behind nginx.

Trainings and readings continue, changes are refused in time, recovery is quick, and no acknowledged change is lost.
"""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from api.db.tables import metadata
from tests.e2e.behind_nginx import Site, site
from tests.e2e.server import BASE, until
from tests.e2e.toy_tasks import toy
from tests.e2e.training_server import LONG
from tests.lengths import length
from tests.postgres_servers import OwnPostgres
from tests.redis_servers import OwnRedis

STOPPED_SECONDS, LOCKED_SECONDS = length(60.0, 15.0), length(30.0, 12.0)

#: Limits for the refusal of a change and the answer to a read. A change waits for four seconds; where all tests
#: share the cores, the work before and after it has taken another five, and a read six.
CHANGE_SECONDS, READ_SECONDS = length(5.5, 12.0), length(2.5, 8.0)

RECOVERY_SECONDS = 15.0


@dataclass
class Observations:
    """The observations of clients while the database was away, and afterwards."""

    reads: list[httpx.Response] = field(default_factory=list)
    changes: list[httpx.Response] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    well_after: float = 0.0
    steps: tuple[int, int] = (0, 0)
    attempts: int = 0
    tracebacks: list[str] = field(default_factory=list)


Away = Callable[[], AbstractContextManager[None]]

WAYS = ("stopped postgresql", "locked postgresql", "locked sqlite")


@pytest.fixture(scope="module")
def plays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Observations]]]:
    """Play each way separately, but all at the same time, as most of it is waiting."""
    all_serve = threading.Barrier(len(WAYS), timeout=LONG)
    with ThreadPoolExecutor(len(WAYS)) as pool:
        yield {way: pool.submit(play_in, tmp_path_factory.mktemp("away"), way, all_serve) for way in WAYS}


@pytest.fixture(params=WAYS)
def seen(request: pytest.FixtureRequest, plays: dict[str, Future[Observations]]) -> Observations:
    return plays[request.param].result()


def play_in(directory: Path, way: str, all_serve: threading.Barrier) -> Observations:
    what, _, backend = way.partition(" ")
    settings = {"GPU_MONITOR_INTERVAL": "1", "GPU_STATUS_CHECK_TIMEOUT": "4"}
    with ExitStack() as stack:
        away: Away = lambda: locked_sqlite(directory / "data" / "database.sqlite")  # noqa: E731
        if backend == "postgresql":
            postgres = stack.enter_context(OwnPostgres())
            redis = stack.enter_context(OwnRedis(directory))
            redis.start()
            settings |= {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}
            away = {"stopped": lambda: stopped(postgres, redis), "locked": lambda: locked_postgres(postgres)}[what]
        behind = stack.enter_context(site(directory, **settings))
        # Response times are measured: no server may start meanwhile.
        all_serve.wait()
        return play(behind, away, STOPPED_SECONDS if what == "stopped" else LOCKED_SECONDS)


@contextmanager
def stopped(postgres: OwnPostgres, redis: OwnRedis) -> Iterator[None]:
    """Stop PostgreSQL, and kill Redis as well."""
    postgres.stop()
    redis.kill()
    try:
        yield
    finally:
        redis.start()
        postgres.start()


@contextmanager
def locked_postgres(postgres: OwnPostgres) -> Iterator[None]:
    """Lock the tables as a manual migration would: no other connection reads or writes them."""
    with psycopg.connect(postgres.url) as connection:
        until(lambda: lock_all(connection), LONG, "a lock of every table")
        yield


def lock_all(connection: psycopg.Connection[Any]) -> bool:
    """Lock the tables one after the other; return False on a deadlock with a server that holds a later one."""
    try:
        connection.execute(f"LOCK TABLE {', '.join(metadata.tables)} IN ACCESS EXCLUSIVE MODE")
    except psycopg.errors.DeadlockDetected:
        connection.rollback()
        return False
    return True


@contextmanager
def locked_sqlite(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def play(behind: Site, away: Away, seconds: float) -> Observations:
    seen = Observations()
    first = behind.servers[0]
    task_id = first.start_task(toy(100_000, step_seconds=0.1))
    first.await_step(task_id, 3)
    for _ in range(6):
        change(behind, seen)
    seen.changes.clear()
    step = printed_step(behind, task_id)
    with away():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen.reads.extend(behind.client.get(f"{BASE}/gpu/status") for _ in range(4))
            change(behind, seen)
        seen.steps = (step, printed_step(behind, task_id))
    back = time.monotonic()
    until(lambda: all(server.get("/health")["status"] == "ok" for server in behind.servers), LONG, "healthy servers")
    # Twice, so that each of the servers receives it.
    until(lambda: change(behind, seen) and change(behind, seen), LONG, "changes that are taken")
    seen.well_after = time.monotonic() - back
    until(lambda: (first.task(task_id)["progress"]["current_step"] or 0) > seen.steps[1], LONG, "steps to be counted")
    seen.attempts = first.task(task_id)["attempt_count"]
    seen.known = [name for name in seen.acknowledged if all(server.task(name) for server in behind.servers)]
    seen.tracebacks = [line for server in behind.servers for line in server.tracebacks()]
    report(seen)
    return seen


def change(behind: Site, seen: Observations) -> bool:
    """Start a training; return whether it was acknowledged."""
    answer = behind.client.post(f"{BASE}/training/start", json=toy(2, gpus=[7]))
    seen.changes.append(answer)
    if answer.status_code == 201:
        seen.acknowledged.append(answer.json()["data"]["task_id"])
    return answer.status_code == 201


def printed_step(behind: Site, task_id: str) -> int:
    """Return the last step that the trainer itself printed."""
    return behind.servers[0].attempts_of(task_id)[0].steps[-1]


def report(seen: Observations) -> None:
    slowest = [max(answer.elapsed.total_seconds() for answer in some) for some in (seen.reads, seen.changes)]
    sys.stdout.write(f"slowest read and change: {slowest}; well after {seen.well_after:.1f} s; steps {seen.steps}\n")


def test_gpu_readings_continue(seen: Observations) -> None:
    assert {answer.status_code for answer in seen.reads} == {200}
    assert max(answer.elapsed.total_seconds() for answer in seen.reads) < READ_SECONDS
    assert {answer.json()["data"]["stale"] for answer in seen.reads} == {False}


def test_changes_are_refused_in_time_with_retry_after(seen: Observations) -> None:
    refused = [answer for answer in seen.changes if answer.status_code != 201]
    assert refused
    assert {answer.status_code for answer in refused} == {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert max(answer.elapsed.total_seconds() for answer in refused) < CHANGE_SECONDS


def test_training_continues(seen: Observations) -> None:
    before, after = seen.steps
    assert after - before > LOCKED_SECONDS
    assert seen.attempts == 1


def test_service_recovers_soon_afterwards(seen: Observations) -> None:
    assert seen.well_after < RECOVERY_SECONDS
    assert seen.tracebacks == []


def test_nothing_acknowledged_is_lost(seen: Observations) -> None:
    assert len(seen.acknowledged) >= 8
    assert seen.known == seen.acknowledged
