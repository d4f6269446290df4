"""One server process of the simulated machine: the real control plane, on the simulation's time and machine."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from api.config import Config
from api.errors import ServiceError
from api.hardware.source import FakeSource
from api.runtime.training import TrainingParts, build_training
from api.services.attempts.updates import NewsDesk
from api.services.gpus.events import GPUEvents
from api.services.gpus.service import GPUService
from api.storage.attempts import AttemptStore
from api.storage.disk import DiskReserve
from api.storage.registrations import DatabaseRegistrations
from api.storage.tasks import TaskStore
from api.utils.clock import FakeClock
from tests.simulation.executor import Fate, SimulatedExecutor
from tests.simulation.faults import Faults, FaultyDatabase
from tests.simulation.world import World
from tests.unit.services.builders import identity, process, reading, snapshot, vitals

NODE = "here"
BUSY_MB = 12_000


class SimulatedServer:
    """Lives from its start to its crash."""

    def __init__(self, name: str, root: Path, world: World, faults: Faults, fate: Fate) -> None:
        self.name = name
        self.faults = faults
        self._world = world
        self._sweeps = 0
        config = Config(storage_root=root, min_free_disk_mb=0)
        self.database = FaultyDatabase(root / "simulated.db", faults)
        self.database.migrate()
        clock: FakeClock = world.clock
        self.tasks, self.attempts = TaskStore(self.database), AttemptStore(self.database)
        registrations = DatabaseRegistrations(self.database, NODE, clock)
        self.gpus = GPUService(FakeSource(0), registrations, clock, max_age=60.0)
        self.parts: TrainingParts = build_training(
            config,
            self.tasks,
            self.attempts,
            self.gpus,
            clock,
            NODE,
            NewsDesk(),
            DiskReserve(root),
            SimulatedExecutor(world, faults, NODE, fate),
            database=self.database,
            events=GPUEvents(),
        )
        self.sweep()

    def sweep(self) -> None:
        """Reads the GPUs: what really lives on them has memory there."""
        busy = {uuid: run for run in self._world.alive() for uuid in run.submission.gpu_uuids}
        now, at = self._world.clock.now(), self._world.clock.monotonic()
        readings = []
        for index, uuid in enumerate(self._world.gpus):
            run = busy.get(uuid)
            used = 400 if run is None else BUSY_MB
            readings.append(
                reading(
                    index,
                    identity=replace(identity(index), uuid=uuid),
                    vitals=vitals(memory_used_mb=used, memory_free_mb=24_576 - used),
                    processes=() if run is None else (process(run.pid),),
                    read_at=now,
                    read_monotonic=at,
                )
            )
        self._sweeps += 1
        with suppress(ServiceError):
            self.gpus.publish(snapshot(*readings, sequence=self._sweeps, taken_at=now, taken_monotonic=at))

    def round(self) -> None:
        """One round of the loop that everything depends on. Raises Crash."""
        self.sweep()
        self.parts.loop.run_once()

    def die(self) -> None:
        """What the kernel does when its process has ended."""
        self.parts.loop._lock.release()
        self.database.close()
