"""The machine and the service at a glance."""

from pathlib import Path

from api import __version__
from api.errors import Unavailable
from api.hardware import host
from api.models.system import Health, Readiness, SystemOverview, TaskCounts
from api.models.task import TaskType
from api.services.gpu_service import GPUService
from api.services.training_service import TrainingService
from api.utils.clock import Clock


class SystemService:
    """What `/health` and `/system/overview` tell."""

    def __init__(self, gpus: GPUService, training: TrainingService, clock: Clock, storage_root: Path) -> None:
        self._gpus = gpus
        self._training = training
        self._clock = clock
        self._storage_root = storage_root
        self._started = clock.monotonic()
        self._cpu = host.CPUMeter()
        self._measured_sweep = 0

    def note_state(self, number: int, message: bytes) -> None:
        """Told of each state of the GPUs: once a sweep the processors are measured, whoever asks for it and when."""
        sweep = self._gpus.state.snapshot.sequence
        if sweep != self._measured_sweep:
            self._measured_sweep = sweep
            self._cpu.measure()

    @property
    def uptime(self) -> int:
        """Whole seconds since the service was built."""
        return int(self._clock.monotonic() - self._started)

    def get_health(self) -> Health:
        """That the service is alive. Reads memory only: the event loop itself asks."""
        return Health(status="ok", version=__version__, uptime=self.uptime)

    def get_readiness(self) -> Readiness:
        """That the readings can be relied on. Raises Unavailable. Reads memory only: the event loop itself asks."""
        readiness = self._gpus.get_readiness()
        if readiness.reasons:
            raise Unavailable("; ".join(readiness.reasons), data=readiness, headers={"Retry-After": "5"})
        return readiness

    def get_overview(self) -> SystemOverview:
        """The machine, its GPUs and tasks."""
        status = self._gpus.get_status()
        tasks = self._gpus.count_tasks()
        return SystemOverview(
            system=host.read_system([Path("/"), self._storage_root], self._cpu.percent),
            gpus=status.summary,
            source=status.source,
            tasks=TaskCounts(
                total=tasks.total(),
                training=tasks[TaskType.TRAINING],
                preprocessing=tasks[TaskType.PREPROCESSING],
                download=tasks[TaskType.DOWNLOAD],
                external=tasks[TaskType.EXTERNAL],
            ),
            trainings=self._training.count(),
            uptime=self.uptime,
            version=__version__,
        )
