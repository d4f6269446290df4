"""Claims of GPUs by 32 threads at once."""

import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.errors import DatabaseUnavailable
from api.training.records.attempt_store import AttemptStore, NewAttempt
from benchmarks.databases import KINDS, Bare, bare, fresh, migrated, why_not
from benchmarks.effort import Effort
from benchmarks.filling import fill_queue
from benchmarks.rows import COUNT, PER_SECOND, TIMES, Row, at_least, below, cannot_run
from benchmarks.servers import CannotRunError

THREADS = 32

#: Compared with the bare driver, which creates no objects from rows.
RATIO_LIMIT = 0.5

Claim = Callable[[int], None]


def measure(effort: Effort) -> Iterator[Row]:
    """Measure claims of a GPU, a port and an attempt, compared with the same statements by the bare driver."""
    for kind in KINDS:
        reason = why_not(kind)
        if reason is not None:
            yield cannot_run(f"claims, {kind}", reason)
            continue
        with tempfile.TemporaryDirectory() as folder:
            ours, refused = _ours(effort, kind, Path(folder))
            theirs, refused_bare = _theirs(effort, kind, Path(folder))
        beside = f"{PER_SECOND.show(theirs)} the same statements, bare"
        what = f"claims by {THREADS} threads, {kind}"
        yield at_least(what, ours / theirs, RATIO_LIMIT, TIMES, beside, PER_SECOND.show(ours))
        what = f"the same: of {effort.claims:,} waited too long, 503"
        yield below(what, refused, 1, COUNT, f"{refused_bare} bare")


def _ours(effort: Effort, kind: str, folder: Path) -> tuple[float, int]:
    with fresh(kind, folder) as url, migrated(url) as database:
        ids = fill_queue(database, effort.claims, 8)
        store = AttemptStore(database)

        @contextmanager
        def begin() -> Iterator[Claim]:
            yield lambda number: _claim(store, ids[number], number)

        return _rate(effort.claims, begin)


def _theirs(effort: Effort, kind: str, folder: Path) -> tuple[float, int]:
    with fresh(kind, folder) as url:
        with migrated(url) as database:
            ids = fill_queue(database, effort.claims, 8)

        @contextmanager
        def begin() -> Iterator[Claim]:
            with bare(url) as driver:
                yield lambda number: _claim_bare(driver, ids[number], number)

        return _rate(effort.claims, begin)


def _rate(count: int, begin: Callable[[], AbstractContextManager[Claim]]) -> tuple[float, int]:
    """Return claims per second of all threads, and the number abandoned because of conflicts."""
    numbers, ready = iter(range(count)), threading.Barrier(THREADS + 1)
    refused: list[int] = []
    failures: list[Exception] = []

    def work() -> None:
        try:
            with begin() as claim:
                ready.wait()
                # The GIL ensures that only one thread at a time advances the range's iterator.
                for number in numbers:
                    try:
                        claim(number)
                    except (DatabaseUnavailable, sqlite3.OperationalError):
                        refused.append(number)
        except Exception as error:
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    with suppress(threading.BrokenBarrierError):
        ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    if failures:
        raise CannotRunError(f"a claim failed: {failures[0]!r}")
    return (count - len(refused)) / taken, len(refused)


def _claim(store: AttemptStore, task_id: str, number: int) -> None:
    now = datetime.now(UTC)
    new = NewAttempt(
        task_id=task_id,
        token=f"token-{number}",
        node="node",
        gpu_uuids=(f"GPU-{number}",),
        gpu_indices=(0,),
        caches=(),
        master_port=number,
        directory_of=f"/data/tasks/{task_id}/attempts",
        known_run_dirs=(),
        run_dir=None,
        resumed_from=None,
        expires_at=now + timedelta(seconds=60),
    )
    store.claim(new, now)


def _claim_bare(driver: Bare, task_id: str, number: int) -> None:
    now = time.time()
    driver.begin()
    driver.run("SELECT status, serial, attempts FROM tasks WHERE task_id = %s", (task_id,))
    move = (
        "UPDATE tasks SET status = 'starting', attempts = 1, updated_at = %s WHERE task_id = %s AND status = 'queued'"
    )
    driver.run(move, (now, task_id))
    event = "INSERT INTO events (task_id, at, type, actor, message) VALUES (%s, %s, 'status', 'scheduler', 'got GPU 0')"
    driver.run(event, (task_id, now))
    lease = (
        "INSERT INTO leases (resource, kind, task_id, token, state, claimed_at, expires_at) "
        "VALUES (%s, %s, %s, %s, 'held', %s, %s)"
    )
    for kind, resource in (("gpu", f"GPU-{number}"), ("port", f"port:node:{number}")):
        driver.run(lease, (resource, kind, task_id, f"token-{number}", now, now + 60))
    attempt = (
        "INSERT INTO attempts (uid, task_id, number, status, token, node, directory, gpu_uuids, gpu_indices, "
        "created_at, known_run_dirs) VALUES (%s, %s, 1, 'claimed', %s, 'node', '/data', '[]', '[0]', %s, '[]')"
    )
    driver.run(attempt, (f"{task_id}.1", task_id, f"token-{number}", now))
    driver.run("INSERT INTO task_gpus (gpu_uuid, serial) VALUES (%s, %s)", (f"GPU-{number}", number))
    driver.run("COMMIT")
