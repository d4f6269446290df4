"""A page of /training/list and one training among 100,000."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.databases import KINDS, Bare, bare, fresh, migrated, why_not
from benchmarks.effort import Effort
from benchmarks.filling import fill_finished
from benchmarks.rows import MILLISECONDS, Row, below, cannot_run
from benchmarks.servers import EIGHT_GPUS, CannotRunError, Client, ask, service, simulated

TRAINING = "/api/v1/training"
PAGE_LIMIT_MS = 20.0
DETAIL_LIMIT_MS = 10.0
PAGE = 50

#: A serial number far back in the list (the first is 2, as 1 was the template's).
DEEP = 200


def measure(effort: Effort) -> Iterator[Row]:
    """Measure both over a persistent HTTP connection, compared with the same rows by the bare driver."""
    for kind in KINDS:
        reason = why_not(kind)
        if reason is not None:
            yield cannot_run(f"/training/list, {kind}", reason)
            continue
        with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder)) as url:
            yield from _measure(effort, kind, url)


def _measure(effort: Effort, kind: str, url: str) -> Iterator[Row]:
    still = {"GPU_MONITOR_INTERVAL": "3600", "GPU_STATUS_CHECK_TIMEOUT": "86400"}
    with service(**simulated(EIGHT_GPUS, DATABASE_URL=url, **still)) as server, bare(url) as driver:
        gpus = [gpu["uuid"] for gpu in ask(server, "/api/v1/gpu/status").json()["data"]["gpus"]]
        with migrated(url) as database:
            ids = fill_finished(database, effort.tasks, gpus)
        if not driver.is_sqlite:
            # PostgreSQL's autovacuum would do this within a minute.
            driver.run("VACUUM ANALYZE")
        client = Client(server)
        of_gpu = f"task_gpus g JOIN tasks ON tasks.serial = g.serial WHERE g.gpu_uuid = '{gpus[3]}'"
        pages = {
            "newest": ("", "tasks WHERE 1 = 1", ""),
            "status=completed": ("status=completed", "tasks WHERE status = 'completed'", ""),
            "status=failed,stopped": ("status=failed,stopped", "tasks WHERE status IN ('failed', 'stopped')", ""),
            "gpu_id=3": ("gpu_id=3", of_gpu, ""),
            "gpu_id=3, failed": ("gpu_id=3&status=failed", f"{of_gpu} AND status = 'failed'", ""),
            "deep cursor": (f"cursor={DEEP}", "tasks WHERE 1 = 1", f"AND tasks.serial < {DEEP}"),
        }
        for name, (query, source, position) in pages.items():
            taken = _median_ms(effort, client, f"{TRAINING}/list?limit={PAGE}&{query}", has_rows=True)
            floor = _floor_ms(effort, driver, source, position)
            what = f"/training/list of {effort.tasks:,}, {name}, {kind}: p50"
            beside = f"{MILLISECONDS.show(floor)} bare count and SELECT"
            yield below(what, taken, PAGE_LIMIT_MS, MILLISECONDS, beside)
        taken = _median_ms(effort, client, f"{TRAINING}/{ids[len(ids) // 2]}", has_rows=False)
        floor = _detail_floor_ms(effort, driver, ids[len(ids) // 2])
        beside = f"{MILLISECONDS.show(floor)} bare SELECT of task and attempts"
        yield below(f"/training/ID of {effort.tasks:,}, {kind}: p50", taken, DETAIL_LIMIT_MS, MILLISECONDS, beside)
        client.close()


def _median_ms(effort: Effort, client: Client, path: str, has_rows: bool) -> float:
    taken = []
    for _ in range(effort.requests + 3):
        began = time.perf_counter()
        answer = client.ask(path)
        taken.append(1000 * (time.perf_counter() - began))
        if answer.status != 200 or (has_rows and not answer.json()["data"]["tasks"]):
            raise CannotRunError(f"GET {path}: HTTP {answer.status}, or nothing found")
    return statistics.median(taken[3:])


def _floor_ms(effort: Effort, driver: Bare, source: str, position: str) -> float:
    taken = []
    for _ in range(effort.requests):
        began = time.perf_counter()
        driver.run(f"SELECT count(*) FROM {source}")
        driver.run(f"SELECT tasks.* FROM {source} {position} ORDER BY tasks.serial DESC LIMIT {PAGE + 1}")
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def _detail_floor_ms(effort: Effort, driver: Bare, task_id: str) -> float:
    taken = []
    for _ in range(effort.requests):
        began = time.perf_counter()
        driver.run("SELECT * FROM tasks WHERE task_id = %s", (task_id,))
        driver.run("SELECT * FROM attempts WHERE task_id = %s ORDER BY number", (task_id,))
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)
