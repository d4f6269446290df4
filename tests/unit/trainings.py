"""A simulated machine for trainings: real stores; fake GPUs, executor and clock; no threads."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.composition.execution import TaskKinds, TrainingDependencies
from api.composition.training import TrainingParts, build_training
from api.config import Config
from api.db.database import Database
from api.domain.access.principal import Quota
from api.domain.tasks.task import ProcessIdentity, TaskType
from api.domain.tasks.training import (
    Attempt,
    EventKind,
    GPURequest,
    NewTask,
    StopState,
    TaskStatus,
    TrainingPlan,
    TrainingRequest,
)
from api.domain.tasks.training import TrainingTask as Task
from api.executors.executor import Outcome
from api.executors.fake import FakeExecutor, outcome
from api.files.disk import DiskReserve
from api.files.task_files import TaskFiles, task_files
from api.gpus.health.events import GPUEvents
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.gpus.sources.source import FakeSource
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Command, Launch
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.task_results import TaskResultRecorder
from api.training.attempts.watch.updates import NewsDesk
from api.training.attempts.watch.watch import AttemptWatch
from api.training.output.storage_meter import StorageMeter
from api.training.queue.quotas import Quotas
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from api.training.records.usage_store import UsageStore
from api.util.clock import FakeClock

PROCESS = ProcessIdentity(4711, 1.0)
RUN_DIR = "20260101_00-00-00"
TOY = TrainingRequest("toy", config={"epochs": 3})


def steps(*numbers: int, loss: str = "0.5") -> str:
    """Return output lines of steps that take a second each."""
    return "".join(f"steps: {number} loss: {loss} iter time (s): 1.0 samples/sec: 64.0\n" for number in numbers)


class Errand(Toy):
    """A trainer for tasks without GPUs, based on the toy."""

    name = "errand"
    model_types = frozenset()

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        return Command(("true",), launch.directory, {}, {})


class TrainingMachine:
    """All parts of the machine, and methods for events of a training."""

    def __init__(
        self,
        database: Database,
        root: Path,
        clock: FakeClock,
        quota_of: Callable[[str], Quota] | None = None,
        recorder: TaskResultRecorder | None = None,
        **settings: Any,
    ) -> None:
        """With `quota_of`, tasks have owners with quotas. `recorder` records results of preprocessing tasks."""
        recorders = {} if recorder is None else {TaskType.PREPROCESSING: recorder}
        config = Config(**{"storage_root": root, "min_free_disk_mb": 0, **settings})
        self.clock = clock
        self.root = root
        self.database = database
        self.executor = FakeExecutor()
        self.desk = NewsDesk()
        self.tasks, self.attempts = TaskStore(database), AttemptStore(database)
        self.source = FakeSource(4)
        self.gpu_events = GPUEvents()
        registrations = DatabaseRegistrations(database, "here", clock)
        self.gpus = GPUService(self.source, registrations, clock, max_age=10_000.0)
        self.gpus._monitor.sweep()
        usage = UsageStore(database)
        self.meter = StorageMeter(usage.owned_tasks, root, clock)
        self.quotas = None if quota_of is None else Quotas(usage, quota_of, self.meter, clock)
        self.parts: TrainingParts = build_training(
            TrainingDependencies(
                config,
                database,
                self.tasks,
                self.attempts,
                self.gpus,
                clock,
                "here",
                self.desk,
                DiskReserve(root),
                self.gpu_events,
                quotas=self.quotas,
                kinds=TaskKinds((Errand(),), recorders),
            ),
            self.executor,
        )

    @property
    def reconciler(self) -> Reconciler:
        return self.parts.loop._reconciler

    def close(self) -> None:
        self.parts.loop.stop()
        self.gpus.stop_monitoring()

    def plan(self, request: TrainingRequest = TOY) -> TrainingPlan:
        plan = self.parts.output.trainers["toy"].check(request, self.files().output).plan
        assert plan is not None
        return plan

    def put(
        self,
        task_id: str = "a",
        count: int = 1,
        *gpus: int | str,
        plan: TrainingPlan | None = None,
        owner: str | None = None,
        **options: Any,
    ) -> str:
        """Create a queued toy training that needs a number of GPUs or specific ones."""
        request = replace(TOY, gpus=GPURequest(gpus, count), **options)
        new = NewTask(task_id, "toy", request, plan or self.plan(request), owner=owner)
        self.tasks.create(new, self.clock.now(), "ann")
        return task_id

    def put_errand(self, task_id: str = "e", owner: str | None = None, **options: Any) -> str:
        """Create a queued preprocessing task without GPUs."""
        request = TrainingRequest("wan", GPURequest(count=0), **options)
        plan = TrainingPlan(Errand.name, "wan", 0, total_steps=3)
        new = NewTask(task_id, Errand.name, request, plan, owner=owner, kind=TaskType.PREPROCESSING)
        self.tasks.create(new, self.clock.now(), "ann")
        return task_id

    def run_errand(self, task_id: str = "e", **options: Any) -> str:
        """Create a running preprocessing task."""
        self.put_errand(task_id, **options)
        self.train()
        self.executor.runs(self.uid(task_id), PROCESS)
        self.train()
        assert self.status(task_id) is TaskStatus.RUNNING
        return task_id

    def train(self) -> None:
        """Make one round of the loop."""
        self.parts.loop.wake()
        self.parts.loop.run_once()

    def claim(self, task_id: str = "a", **options: Any) -> Attempt:
        """Create a training that has its GPUs but is not started."""
        self.put(task_id, **options)
        self.parts.loop._dispatcher.dispatch()
        return self.attempt(task_id)

    def run(self, task_id: str = "a", **options: Any) -> str:
        """Create a running training."""
        self.put(task_id, **options)
        self.train()
        self.executor.runs(self.uid(task_id), PROCESS)
        self.train()
        assert self.status(task_id) is TaskStatus.RUNNING
        return task_id

    def prints(self, text: str, task_id: str = "a") -> None:
        self.executor.prints(self.files(task_id).log, text.encode())

    def saves(self, *numbers: int, task_id: str = "a") -> Path:
        """Create complete checkpoints of these steps."""
        run_dir = self.files(task_id).output / RUN_DIR
        for number in numbers:
            (run_dir / f"global_step{number}").mkdir(parents=True)
            (run_dir / f"global_step{number}" / "state.json").write_text("{}")
            (run_dir / "latest").write_text(f"global_step{number}")
        return run_dir

    def request_task_stop(self, task_id: str = "a", *, force: bool = False, seconds: float | None = None) -> None:
        stop = StopState(self.clock.now(), "ann", force, seconds)
        self.tasks.request_stop(task_id, stop, self.clock.now(), "asked to stop")

    def end(self, task_id: str = "a", how: Outcome | None = None) -> None:
        """End its process, by default with exit code 0. Its GPUs drain."""
        self.executor.ends(self.uid(task_id), how or outcome())
        self.train()

    def free_gpus(self) -> None:
        """Make a sweep that shows no process on the GPUs."""
        self.clock.advance(1.0)
        self.gpus._monitor.sweep()
        self.train()

    def files(self, task_id: str = "a") -> TaskFiles:
        return task_files(self.root, task_id)

    def task(self, task_id: str = "a") -> Task:
        return self.tasks.get(task_id)

    def status(self, task_id: str = "a") -> TaskStatus:
        return self.tasks.get_summary(task_id).status

    def attempt(self, task_id: str = "a") -> Attempt:
        return self.attempts.of_task(task_id)[-1]

    def uid(self, task_id: str = "a") -> str:
        return self.attempt(task_id).uid

    def watch(self, task_id: str = "a") -> AttemptWatch:
        found = self.parts.watches.find(task_id)
        assert found is not None
        return found

    def messages(self, kind: EventKind, task_id: str = "a") -> list[str]:
        """Return the messages of events of this kind, oldest first."""
        return [event.message for event in self.tasks.events(task_id, 0, 500) if event.type is kind]
