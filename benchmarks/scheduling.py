"""A scheduling pass over 1,000 queued trainings, alone and with the database."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from api.composition.composition import Runtime
from api.config import read_config
from api.domain.access.principal import Quota
from api.domain.tasks.task import TaskType
from api.domain.tasks.usage import Account
from api.executors.fake import FakeExecutor
from api.files.task_files import TaskStorage
from api.gpus.monitor import GPUMonitor
from api.gpus.offers import list_offers
from api.gpus.sharing.hold_store import HoldStore
from api.gpus.sources.simulated import SimulatedSource
from api.training.output.written import TrainingOutput
from api.training.queue.claims import AttemptClaims
from api.training.queue.closures import Closures
from api.training.queue.dispatcher import Dispatcher
from api.training.queue.planner import PassPlanner
from api.training.queue.scheduler import PassContext, plan_pass
from api.training.records.attempt_store import TaskStores
from api.training.records.task_store import TaskStore
from api.training.schedule.store import ScheduleStore
from api.util.clock import FakeClock
from benchmarks.databases import KINDS, bare, fresh, why_not
from benchmarks.effort import Effort
from benchmarks.filling import fill_queue
from benchmarks.rows import COUNT, MILLISECONDS, Row, at_least, below, cannot_run, without_limit
from benchmarks.servers import CannotRunError

QUEUE = 1000
LIMIT_MS = 100.0
OWNERS = 20


def measure(effort: Effort) -> Iterator[Row]:
    """Measure passes with every GPU in use, the usual case, and with every GPU free."""
    for gpus in (8, 64):
        for kind in KINDS:
            reason = why_not(kind)
            if reason is not None:
                yield cannot_run(f"dispatch, {gpus} GPUs, {kind}", reason)
                continue
            with tempfile.TemporaryDirectory() as folder, fresh(kind, Path(folder)) as url:
                yield from _measure(effort, gpus, kind, url, Path(folder))


def _measure(effort: Effort, gpus: int, kind: str, url: str, folder: Path) -> Iterator[Row]:
    queue = f"{QUEUE:,} waiting, {gpus} GPUs"
    machine = _Machine(url, folder, gpus)
    try:
        fill_queue(machine.runtime.database, QUEUE, gpus)
        if kind == KINDS[0]:
            yield from _plans(effort, machine, queue, "all free")
        machine.hold_all()
        if kind == KINDS[0]:
            yield from _plans(effort, machine, queue, "all held")
        with bare(url) as driver:
            select = "SELECT * FROM tasks WHERE status = 'queued' ORDER BY priority DESC, queued_at, serial"
            floor, _ = _measure_call(lambda: driver.run(select), effort.passes)
        taken, note = _measure_call(machine.dispatcher.dispatch, effort.passes)
        if len(machine.tasks.queued()) != QUEUE:
            raise CannotRunError("a training got a GPU although every one was held")
        beside = f"{MILLISECONDS.show(floor)} bare SELECT of the queue"
        yield below(f"dispatch, {queue}, all held, {kind}", taken, LIMIT_MS, MILLISECONDS, beside, note)
        machine.release_all()
        began = time.perf_counter()
        claimed = machine.dispatcher.dispatch()
        taken = 1000 * (time.perf_counter() - began)
        note = f"{taken / max(1, claimed):.1f} ms a claim"
        yield without_limit(f"the same, all free: {claimed} claims", taken, MILLISECONDS, "", note)
        # Each training of the queue holds four GPUs at most.
        yield at_least("the same: claims", claimed, gpus // 4, COUNT, f"{gpus} GPUs were free")
    finally:
        machine.runtime.database.close()


def _plans(effort: Effort, machine: "_Machine", queue: str, state: str) -> Iterator[Row]:
    tasks = machine.tasks.queued()
    offers = list_offers(machine.runtime.services.gpus.service.state)
    around = PassContext(machine.clock.now())
    taken, note = _measure_call(lambda: plan_pass(tasks, offers, around), effort.passes)
    floor, _ = _measure_call(lambda: [gpu.uuid for _ in tasks for gpu in offers], effort.passes)
    beside = f"{MILLISECONDS.show(floor)} a loop over tasks and GPUs"
    yield below(f"plan_pass, {queue}, {state}", taken, LIMIT_MS, MILLISECONDS, beside, note)
    owned = [replace(task, owner=f"user{number % OWNERS}") for number, task in enumerate(tasks)]
    accounts = {task.owner: Account(Quota(gpus=4), gpu_seconds=60.0 * number) for number, task in enumerate(owned)}
    shared = replace(around, accounts=accounts)
    taken, note = _measure_call(lambda: plan_pass(owned, offers, shared), effort.passes)
    yield below(f"the same, of {OWNERS} users with quotas", taken, LIMIT_MS, MILLISECONDS, beside, note)


class _Machine:
    """A runtime without running loops, whose dispatcher is called directly."""

    def __init__(self, url: str, folder: Path, gpus: int) -> None:
        self.clock = FakeClock()
        settings = {
            "GPU_SOURCE": "simulated",
            "SIMULATED_GPUS": f"{gpus}x NVIDIA H100 80GB HBM3",
            "DATABASE_URL": url,
            "STORAGE_ROOT": str(folder),
            "MIN_FREE_DISK_MB": "0",
        }
        executor = FakeExecutor()
        self.runtime = Runtime(read_config(environ=settings, dotenv_path=None), self.clock, executor)
        self.runtime.prepare()
        self.gpus = self.runtime.services.gpus.service
        self.tasks = TaskStore(self.runtime.database)
        database = self.runtime.database
        stores, storage = TaskStores.of(database), TaskStorage(folder)
        closures = Closures(HoldStore(database), ScheduleStore(database), self.clock)
        planner = PassPlanner(stores, self.gpus, closures, storage, self.clock)
        claims = AttemptClaims(stores.attempts, TrainingOutput(storage, {}), executor, self.gpus, self.clock)
        self.dispatcher = Dispatcher(stores, planner, claims, self.gpus, self.clock)
        assert isinstance(self.runtime.source, SimulatedSource)
        self._monitor = GPUMonitor(self.runtime.source, 5.0, self.clock, self.gpus.publish)
        self._held: list[str] = []
        self._monitor.sweep()

    def hold_all(self) -> None:
        indices = [gpu.gpu_id for gpu in self.gpus.get_all_gpus() if gpu.gpu_id is not None]
        self._held = [self.gpus.tasks.register([index], TaskType.EXTERNAL).task_id for index in indices]
        self._monitor.sweep()

    def release_all(self) -> None:
        for task_id in self._held:
            self.gpus.tasks.release(task_id)
        # Drained, and read once more.
        self.clock.advance(120.0)
        self._monitor.sweep()


def _measure_call(call: Callable[[], object], count: int) -> tuple[float, str]:
    """Return the median of the call's milliseconds, and a note with the processor time."""
    call()
    taken, cpu = [], []
    for _ in range(count):
        began, cpu_began = time.perf_counter(), time.thread_time()
        call()
        taken.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.thread_time() - cpu_began))
    return statistics.median(taken), f"CPU {statistics.median(cpu):.1f} ms"
