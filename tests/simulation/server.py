"""One head of the simulated machines: the real control plane with the simulation's time and machines."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from api.composition.execution import TrainingDependencies
from api.composition.training import TrainingParts, build_training
from api.config import Config
from api.domain.access.read_scope import ReadScope
from api.domain.tasks.task import RegisteredTask
from api.domain.tasks.training import TrainingRequest
from api.errors import ServiceError
from api.files.disk import DiskReserve
from api.gpus.documents import GPUDocuments
from api.gpus.health.events import GPUEvents
from api.gpus.health.judgement import JudgedGPU
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.gpus.snapshot import GPUReading, GPUSnapshot
from api.gpus.sources.source import FakeSource
from api.gpus.state import GPUState, GPUStateKeeper
from api.training.attempts.watch.updates import NewsDesk
from api.training.queue.neighbour_rule import Neighbours
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from tests.simulation.alerts import SimulatedAlerts
from tests.simulation.executor import Fate, SimulatedExecutor
from tests.simulation.faults import Faults, FaultyDatabase
from tests.simulation.mailbox import Mailbox
from tests.simulation.world import Run, World
from tests.unit.builders import identity, process, reading, snapshot, vitals

HEAD = "head"
BUSY_MB = 12_000

#: Minutes without work after which a neighbour is idle.
IDLE_MINUTES = 5.0

#: Seconds after its start within which no training makes room for an urgent one.
PREEMPT_AFTER = 60.0

#: Seconds after which an unread node is unknown, and between two sweeps.
MAX_AGE = 15.0
SWEEP_SECONDS = 5.0


class SimulatedServer:
    """A server, from its start to its crash."""

    def __init__(
        self, name: str, root: Path, url: str, world: World, faults: Faults, fate: Fate, mailbox: Mailbox, is_new: bool
    ) -> None:
        """Start a server on the database with this URL. `is_new`: the tables do not exist yet."""
        self.name = name
        self.faults = faults
        self._world = world
        self._sweeps = 0
        self._swept_at, self._swept_changes = float("-inf"), -1
        self._readings: dict[str, tuple[object, GPUReading]] = {}
        self.database = FaultyDatabase(url, root, faults)
        if is_new:
            self.database.migrate()
        clock = world.clock
        self.tasks, self.attempts = TaskStore(self.database), AttemptStore(self.database)
        executor = SimulatedExecutor(world, faults, fate)
        self.gpus = _FleetGPUs(FakeSource(0), DatabaseRegistrations(self.database, HEAD, clock), clock, max_age=MAX_AGE)
        self.gpus.know_nodes(world, lambda: [node.name for node in executor.nodes() if node.state == "up"])
        self.parts: TrainingParts = build_training(
            TrainingDependencies(
                Config(storage_root=root, min_free_disk_mb=0, preempt_after_seconds=PREEMPT_AFTER),
                self.database,
                self.tasks,
                self.attempts,
                self.gpus,
                clock,
                HEAD,
                NewsDesk(),
                DiskReserve(root),
                GPUEvents(),
            ),
            executor,
            is_shared=True,
        )
        self.parts.closures.rule = world.neighbour_rule
        self._neighbours = Neighbours(
            () if world.neighbour is None else (world.neighbour,),
            self.gpus,
            self.parts.closures,
            lambda: self.parts.dispatcher.reasons.short,
            clock,
            IDLE_MINUTES,
            self.parts.loop.wake,
        )
        self.alerts = SimulatedAlerts(name, self.database, root, world, faults, mailbox)

        loop: Any = self.parts.loop
        for part, name in ((loop._dispatcher, "dispatch"), (loop._unwatched, "check"), (loop._making_room, "check")):
            setattr(part, name, self._for_the_queue(getattr(part, name)))

    def _for_the_queue(self, do: Callable[..., Any]) -> Callable[..., Any]:
        def done(*given: Any) -> Any:
            with self.database.writing_for(self.parts.loop._leading):
                return do(*given)

        return done

    @property
    def leads(self) -> bool:
        """Whether it assigns GPUs."""
        return self.parts.loop.is_here and self.parts.loop._is_leading

    def sweep(self) -> None:
        """Read the GPUs if the result may have changed: live processes use memory on them."""
        at = self._world.clock.monotonic()
        if self._swept_changes == self._world.changes and at - self._swept_at < SWEEP_SECONDS:
            return
        busy = {uuid: run for run in self._world.alive() for uuid in run.submission.gpu_uuids}
        readings = [self._read(uuid, busy.get(uuid), index) for index, uuid in enumerate(self._world.node_of)]
        self._sweeps += 1
        self._swept_at, self._swept_changes = at, self._world.changes
        now = self._world.clock.now()
        with suppress(ServiceError):
            self.gpus.publish(snapshot(*readings, sequence=self._sweeps, taken_at=now, taken_monotonic=at))

    def _read(self, uuid: str, run: Run | None, index: int) -> GPUReading:
        before = self._readings.get(uuid)
        if before is not None and not self._world.node_of[uuid].is_seen:
            return before[1]
        now, at, foreign = self._world.clock.now(), self._world.clock.monotonic(), self._world.foreign
        on_it = run, foreign
        if before is not None and before[0] == on_it:
            made = replace(before[1], read_at=now, read_monotonic=at)
        else:
            used = sum((each.memory_mb or 0 for each in foreign), 400 if run is None else BUSY_MB)
            made = reading(
                index,
                identity=replace(identity(index), uuid=uuid),
                vitals=vitals(memory_used_mb=used, memory_free_mb=24_576 - used),
                processes=(*foreign, *([] if run is None else [process(run.pid)])),
                read_at=now,
                read_monotonic=at,
            )
        self._readings[uuid] = on_it, made
        return made

    def start(self, request: TrainingRequest, key: str) -> str:
        """Accept a request, and return the id of its task."""
        self.sweep()
        return self.parts.services.service.start(request, "ann", key).task_id

    def round(self) -> None:
        """Run one round of the essential loops. Raise Crash."""
        if self.parts.loop.is_here:
            self.sweep()
            if self._world.neighbour is not None:
                self._neighbours.run_once()
        with self.database.writing_for(self.parts.loop._watching):
            self.parts.loop.run_once()

    def run_alerts(self) -> None:
        """Run one round of the alert loops. Raise Crash."""
        self.alerts.round()

    def die(self) -> None:
        """End, as the kernel does when the process has ended."""
        self.parts.loop._lock.release()
        self.database.close()


class _FleetKeeper(GPUStateKeeper):
    """Judges the GPUs of all nodes."""

    world: World

    def _judge(
        self, gpu: GPUReading, snapshot: GPUSnapshot, held: Mapping[str, RegisteredTask] | None, now: float
    ) -> JudgedGPU:
        node = self.world.node_of[gpu.uuid or ""]
        return replace(super()._judge(gpu, snapshot, held, now), node=node.name)


class _NoDocuments:
    """A replacement for the documents, which are rarely read here: encoding takes longer than the rest of a round."""

    def __init__(self, state: GPUState, make: Callable[[], GPUDocuments]) -> None:
        self.state = state
        self.table = self
        self._make = make

    def seen_by(self, scope: ReadScope) -> GPUDocuments:
        return self._make().seen_by(scope)

    def make_all(self) -> None:
        """Do nothing."""

    def follow(self, before: "_NoDocuments") -> None:
        """Do nothing."""

    def record(self, *_: Any) -> None:
        """Record no history."""


class _FleetGPUs(GPUService):
    """The GPUs of all nodes, without documents."""

    def know_nodes(self, world: World, startable: Any) -> None:
        keeper = _FleetKeeper(HEAD, self._clock, MAX_AGE, self._events)
        keeper.world = world
        self._keeper = keeper
        self.history = cast(Any, self._documents)
        self.offer_from(startable)

    def _document(self, state: GPUState) -> GPUDocuments:
        return cast(GPUDocuments, _NoDocuments(state, lambda: super(_FleetGPUs, self)._document(state)))
