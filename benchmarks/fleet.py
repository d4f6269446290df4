"""A head of 1,000 nodes with 8 GPUs each and 100,000 tasks: a pass, a tick, a response, and its memory.

Also a head with as many nodes as 10,000 running trainings need.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from api.composition.execution import TrainingDependencies
from api.composition.training import build_training
from api.config import Config
from api.db.database import Database
from api.db.tables import attempts, leases, tasks
from api.domain.machines.lease import LeaseKind, LeaseState
from api.domain.machines.reading import (
    DriverVersions,
    GPUCondition,
    GPUIdentity,
    GPUProcess,
    GPUVitals,
    ProcessKind,
    SourceName,
)
from api.domain.tasks.training import AttemptStatus, TaskStatus
from api.executors.executor import AttemptRef, Submission
from api.executors.fake import FakeExecutor
from api.files.disk import DiskReserve
from api.files.task_files import task_files
from api.gpus.documents import GPUDocuments, no_process_metrics
from api.gpus.health.events import GPUEvents
from api.gpus.offers import list_offers
from api.gpus.other_machines import NodePart
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.gpus.snapshot import GPUReading, GPUSnapshot
from api.gpus.sources.source import FakeSource
from api.training.attempts.watch.updates import NewsDesk
from api.training.queue.scheduler import PassContext, plan_pass
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from api.util.clock import FakeClock
from api.util.http.base_path import BASE_PATH
from benchmarks.databases import KINDS, fresh, why_not
from benchmarks.effort import Effort
from benchmarks.filling import AT_ONCE, fill_queue, template
from benchmarks.rows import COUNT, MEGABYTES, MILLISECONDS, SECONDS, Row, at_least, below, cannot_run

NODES, GPUS_EACH = 1000, 8
#: Number of GPUs per running training; all GPUs are in use.
GPUS_OF_ONE = 2

#: Trainings that run on one head.
MANY = 10_000

LIMIT_SECONDS, LIMIT_STATUS_MS, LIMIT_MB = 1.0, 150.0, 1000.0
HEAD = "head"


def measure(effort: Effort) -> Iterator[Row]:
    """Measure on both databases."""
    for kind in KINDS:
        reason = why_not(kind)
        if reason is not None:
            yield cannot_run(f"fleet, {kind}", reason)
            continue
        with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder)) as url:
            yield from _measure(effort, kind, url, Path(folder))
        with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder)) as url:
            yield from _measure_running(effort, kind, url, Path(folder))


def _measure(effort: Effort, kind: str, url: str, folder: Path) -> Iterator[Row]:
    nodes = NODES if effort.tasks >= 100_000 else NODES // 20
    fleet = Fleet(url, folder, nodes)
    try:
        running = nodes * GPUS_EACH // GPUS_OF_ONE
        fleet.run(running)
        fill_queue(fleet.database, effort.tasks - running, GPUS_EACH)
        what = f"{nodes:,} nodes, {nodes * GPUS_EACH:,} GPUs, {effort.tasks:,} tasks, {kind}"
        fleet.sweep()
        yield from _take_up(fleet, what, running)
        taken, note = fleet.time_of_ticks(effort.passes)
        yield below("the same: a tick", taken, LIMIT_SECONDS, SECONDS, note)
        taken, note = _median(fleet.parts.dispatcher.dispatch, effort.passes)
        yield below("the same: a pass, all held", taken, LIMIT_SECONDS, SECONDS, note)
        queue = fleet.tasks.queued()
        yield at_least("the same: tasks that wait in it", len(queue), effort.tasks - running, COUNT)
        free = [replace(gpu, is_available=True, held_by=None) for gpu in list_offers(fleet.gpus.state)]
        around = PassContext(fleet.clock.now())
        taken, note = _median(lambda: plan_pass(queue, free, around), effort.passes)
        yield below("the same: planning alone, all free", taken, LIMIT_SECONDS, SECONDS, note)
        yield from _answers(effort, fleet)
        yield below("the same: memory of the head", _memory_mb(), LIMIT_MB, MEGABYTES)
    finally:
        fleet.database.close()


def _measure_running(effort: Effort, kind: str, url: str, folder: Path) -> Iterator[Row]:
    running = MANY if effort.tasks >= 100_000 else MANY // 20
    fleet = Fleet(url, folder, running // GPUS_EACH, gpus_of_one=1)
    try:
        fleet.run(running)
        fleet.sweep()
        yield from _take_up(fleet, f"{running:,} trainings that run with a GPU each, {kind}", running)
        taken, note = fleet.time_of_ticks(effort.passes)
        yield below("the same: a tick", taken, LIMIT_SECONDS, SECONDS, note)
    finally:
        fleet.database.close()


def _take_up(fleet: "Fleet", what: str, running: int) -> Iterator[Row]:
    """Run ticks until a watch follows every attempt."""
    longest, rounds, began = 0.0, 0, time.perf_counter()
    while fleet.count_followed() < running and rounds < running:
        taken, _ = fleet.time_of_ticks(1)
        longest, rounds = max(longest, taken), rounds + 1
    note = f"{rounds} of them, {time.perf_counter() - began:.1f} s"
    yield at_least(f"{what}: attempts that are watched", fleet.count_followed(), running, COUNT)
    yield below("the same: the longest tick until they are", longest, LIMIT_SECONDS, SECONDS, note)


def _answers(effort: Effort, fleet: "Fleet") -> Iterator[Row]:
    path, cold, ready, sizes = f"{BASE_PATH}/gpu/status", list[float](), list[float](), 0
    for _ in range(effort.passes):
        fleet.gpus.republish()
        began = time.perf_counter()
        # As the service makes it of a new state.
        documents = GPUDocuments(fleet.gpus.state, fleet.clock, no_process_metrics, None).table
        document = documents.get(path)
        cold.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        documents.ready(path)
        ready.append(1000 * (time.perf_counter() - began))
        sizes = 0 if document is None else len(document.body)
    note = f"{sizes / 1e6:.1f} MB"
    yield below("the same: GET /gpu/status, cold", sorted(cold)[len(cold) // 2], LIMIT_STATUS_MS, MILLISECONDS, note)
    yield below("the same: GET /gpu/status, ready", sorted(ready)[len(ready) // 2], 1.0, MILLISECONDS)


class RunningClock(FakeClock):
    """A clock that can be advanced and also runs, since a tick measures its own duration."""

    def monotonic(self) -> float:
        return super().monotonic() + time.perf_counter()


class Fleet:
    """A head without running loops and with simulated nodes."""

    def __init__(self, url: str, folder: Path, nodes: int, gpus_of_one: int = GPUS_OF_ONE) -> None:
        """Create the head. `gpus_of_one`: GPUs of each training."""
        self.clock, self.database = RunningClock(), Database(url)
        self.database.migrate()
        self._gpus_of_one = gpus_of_one
        self._folder, self._sweeps, self._running_uids = folder, 0, list[str]()
        self.uuids = [f"GPU-{number:08x}-0000-0000-0000-000000000000" for number in range(nodes * GPUS_EACH)]
        self.tasks, self.executor = TaskStore(self.database), FakeExecutor()
        registrations = DatabaseRegistrations(self.database, HEAD, self.clock)
        self.gpus = GPUService(FakeSource(0), registrations, self.clock, max_age=3600.0)
        names = frozenset(f"node{number:04d}" for number in range(nodes))
        self.gpus.offer_from(lambda: names)
        self.parts = build_training(
            TrainingDependencies(
                Config(storage_root=folder, min_free_disk_mb=0),
                self.database,
                self.tasks,
                AttemptStore(self.database),
                self.gpus,
                self.clock,
                HEAD,
                NewsDesk(),
                DiskReserve(folder),
                GPUEvents(),
            ),
            self.executor,
        )
        self.reconciler: Any = self.parts.loop._reconciler  # noqa: SLF001 - its loop does more than one tick

    def sweep(self) -> None:
        """Send reports of all nodes; all their GPUs are busy."""
        self._sweeps += 1
        readings = [self._read(place % GPUS_EACH, uuid) for place, uuid in enumerate(self.uuids)]
        places = range(0, len(readings), GPUS_EACH)
        snapshots = [self._snapshot(readings[place : place + GPUS_EACH]) for place in places]
        names, at = [f"node{number:04d}" for number in range(len(snapshots))], self.clock.monotonic()
        self.gpus.update_nodes(
            {name: NodePart(name, each, at) for name, each in zip(names, snapshots, strict=True)}, {}
        )
        self.gpus.publish(self._snapshot([]))

    def _snapshot(self, readings: list[GPUReading]) -> GPUSnapshot:
        versions = DriverVersions(driver="580.65.06", cuda="13.0", nvml="13.580.65.06")
        now, at = self.clock.now(), self.clock.monotonic()
        return GPUSnapshot(self._sweeps, tuple(readings), SourceName.NVML, versions, now, at, 0.2)

    def _read(self, index: int, uuid: str) -> GPUReading:
        vitals = GPUVitals(memory_total_mb=81_559, memory_used_mb=60_000, memory_free_mb=21_559, utilization_gpu=97)
        worker = GPUProcess(4711, ProcessKind.COMPUTE, 59_000, "ada", "python train.py", self.clock.now(), None, 9000)
        return GPUReading(
            index=index,
            identity=GPUIdentity(index=index, uuid=uuid, name="NVIDIA H100 80GB HBM3"),
            vitals=vitals,
            condition=GPUCondition(),
            processes=(worker,),
            read_at=self.clock.now(),
            read_monotonic=self.clock.monotonic(),
        )

    def run(self, count: int) -> None:
        """Create running trainings that use all GPUs."""
        row = template(self.database)
        made = [self._running(row, number) for number in range(count)]
        for start in range(0, count, AT_ONCE):
            some = made[start : start + AT_ONCE]
            with self.database.write() as connection:
                connection.execute(insert(tasks), [task for task, _, _ in some])
                connection.execute(insert(attempts), [attempt for _, attempt, _ in some])
                connection.execute(insert(leases), [lease for _, _, held in some for lease in held])
        for task, attempt, _ in made:
            files = task_files(self._folder, task["task_id"])
            directory = Path(attempt["directory"])
            directory.mkdir(parents=True)
            ref = AttemptRef(attempt["uid"], directory, files.log)
            self.executor.submit(Submission(ref, (), directory, {}, gpu_uuids=tuple(attempt["gpu_uuids"])))

    def _running(self, row: dict[str, Any], number: int) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
        task_id, at = _task_id(number), self.clock.now().timestamp() - 600.0
        uuids = self.uuids[self._gpus_of_one * number : self._gpus_of_one * (number + 1)]
        times = dict.fromkeys(("created_at", "queued_at", "started_at", "updated_at"), at)
        task = {**row, **times, "task_id": task_id, "status": TaskStatus.RUNNING, "attempts": 1, "gpu_uuids": uuids}
        attempt = {
            "uid": f"{task_id}.1",
            "task_id": task_id,
            "number": 1,
            "status": AttemptStatus.RUNNING,
            "token": task_id,
            "node": HEAD,
            "directory": str(task_files(self._folder, task_id).attempts / "1"),
            "gpu_uuids": uuids,
            "gpu_indices": [self._gpus_of_one * number % GPUS_EACH + place for place in range(self._gpus_of_one)],
            "created_at": at,
            "started_at": at,
            "known_run_dirs": [],
        }
        lease: dict[str, Any] = {"kind": LeaseKind.GPU, "task_id": task_id, "attempt_uid": f"{task_id}.1"}
        lease |= {"token": task_id, "state": LeaseState.HELD, "claimed_at": at, "expires_at": at + 10_000.0}
        self._running_uids.append(attempt["uid"])
        return {**task, "gpu_count": self._gpus_of_one}, attempt, [{**lease, "resource": uuid} for uuid in uuids]

    def count_followed(self) -> int:
        """Return the number of running trainings that have a watch."""
        return sum(self.parts.watches.get(uid) is not None for uid in self._running_uids)

    def time_of_ticks(self, count: int) -> tuple[float, str]:
        """Return the median tick in seconds at the service's interval, and its processor time."""

        def tick() -> None:
            self.clock.advance(0.5)
            self.reconciler.tick()

        return _median(tick, count)


def _task_id(number: int) -> str:
    return f"train_20251231_{number:08d}"


def _median(call: Any, count: int) -> tuple[float, str]:
    """Return the medians of wall time and processor time in seconds; the latter is meaningful on a busy machine."""
    taken, worked = list[float](), list[float]()
    for _ in range(count):
        began, began_work = time.perf_counter(), time.process_time()
        call()
        taken.append(time.perf_counter() - began)
        worked.append(time.process_time() - began_work)
    return sorted(taken)[count // 2], f"{sorted(worked)[count // 2]:.2f} s of processor"


def _memory_mb() -> float:
    """Return the current memory of this process."""
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return float(kilobytes) / 1024
