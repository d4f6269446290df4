"""Health, readiness and overview of the machine and the service."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric

from api import __version__
from api.domain.machines.gpu import GPUSummary
from api.domain.machines.installation import TrainerInstallation
from api.domain.machines.system import (
    ExecutorAtAGlance,
    GPUTotals,
    Health,
    HolderCounts,
    NodeAtAGlance,
    Readiness,
    SystemOverview,
    TaskTotals,
    TrainerAtAGlance,
    TrainerProblem,
)
from api.domain.tasks.task import TaskType
from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageGone, Unavailable
from api.gpus.documents import GPUDocuments
from api.gpus.offers import explain_no_gpus
from api.gpus.service import GPUService
from api.gpus.sources import host
from api.gpus.state import GPUState
from api.trainers.diffusion_pipe.installation.check import InstallationCheck
from api.trainers.trainer import Trainer
from api.training.cluster import ClusterNodes
from api.training.details import TrainingPages
from api.util.clock import Clock

_MIB = 1024 * 1024

_NO_REPORTERS = (
    "no training can start: no GPU of Slurm's machines is reported to this server; run ROLE=node there (see /nodes)"
)

#: Errors that need an administrator; neither time nor the service can fix them.
NEEDS_A_PERSON = (StorageGone, DatabaseDamaged)


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """The trainers, and the cluster on which they run."""

    trainers: Sequence[Trainer] = ()
    cluster: ClusterNodes | None = None  #: None: on this machine
    installation: InstallationCheck | None = None  #: of diffusion-pipe


class SystemService:
    """Builds the responses of `/health`, `/health/ready` and `/system/overview`."""

    def __init__(
        self,
        gpus: GPUService,
        trainings: TrainingPages,
        clock: Clock,
        storage_root: Path,
        find_trouble: Callable[[], DatabaseUnavailable | None] = lambda: None,
        setup: TrainingSetup | None = None,
    ) -> None:
        """`find_trouble` returns from memory why nothing can be stored now, or None."""
        setup = setup or TrainingSetup()
        self._gpus = gpus
        self._trainings = trainings
        self._clock = clock
        self._storage_root = storage_root
        self._find_trouble = find_trouble
        self._trainers = setup.trainers
        self._cluster = setup.cluster
        self._installation = setup.installation
        self._started = clock.monotonic()
        self._cpu = host.CPUMeter()
        self._measured_sweep = 0

    def note_state(self, number: int, documents: GPUDocuments) -> None:
        """Measure the CPU usage once per sweep. Called with each new GPU state."""
        sweep = self._gpus.state.snapshot.sequence
        if sweep != self._measured_sweep:
            self._measured_sweep = sweep
            self._cpu.measure()

    @property
    def uptime(self) -> int:
        """Whole seconds since the service was built."""
        return int(self._clock.monotonic() - self._started)

    def collect(self) -> Iterator[Metric]:
        """Yield the machine's series, for prometheus-client."""
        system = host.read_system([self._storage_root], self._cpu.percent)
        known: tuple[tuple[str, str, float | None], ...] = (
            ("cpus", "Number of CPUs.", system.cpu_count),
            ("cpu_ratio", "CPU usage since the previous reading.", _ratio(system.cpu_percent)),
            ("load1", "Load average over one minute.", system.load_average[0]),
            ("memory_total_bytes", "Memory in total.", system.memory.total * _MIB),
            ("memory_available_bytes", "Memory available to programs.", system.memory.available * _MIB),
            ("uptime_seconds", "Time since the machine started.", system.uptime),
        )
        for name, text, value in known:
            if value is not None:
                yield GaugeMetricFamily(f"diffusion_pipe_host_{name}", text, value=value)

    def get_health(self) -> Health:
        """Return the service's health. Reads memory only, since the event loop calls it.

        Raises StorageGone or DatabaseDamaged if the service can store nothing until someone fixes it.
        """
        health = Health(status="ok", version=__version__, uptime=self.uptime)
        trouble, state = self._find_trouble(), self._gpus.state
        problems = [] if trouble is None else [trouble.detail]
        # Before Slurm's first answer nothing is known to be wrong. No machine names, as this requires no key.
        if state.startable and explain_no_gpus(state) is not None:
            problems.append(_NO_REPORTERS)
        if problems:
            health = replace(health, status="degraded", problems=tuple(problems))
        if isinstance(trouble, NEEDS_A_PERSON):
            health = replace(health, status="failing")
            raise type(trouble)(trouble.detail, data=health, headers=trouble.headers)
        return health

    def get_readiness(self) -> Readiness:
        """Return whether readings are current and acknowledged writes are stored.

        Raises Unavailable or the database's error. Reads memory only, since the event loop calls it.
        """
        readiness, trouble = self._gpus.get_readiness(), self._find_trouble()
        if trouble is not None:
            reasons = (trouble.detail, *readiness.reasons)
            readiness = replace(readiness, status="not_ready", reasons=reasons)
            raise type(trouble)("; ".join(reasons), data=readiness, headers={"Retry-After": "5"})
        if readiness.reasons:
            raise Unavailable("; ".join(readiness.reasons), data=readiness, headers={"Retry-After": "5"})
        return readiness

    def get_overview(self) -> SystemOverview:
        """Return the machine, its GPUs, and the tasks in the caller's scope."""
        status = self._gpus.get_status()
        holders, trainings = self._gpus.tasks.count(), self._trainings.count()
        return SystemOverview(
            system=host.read_system([Path("/"), self._storage_root], self._cpu.percent),
            gpus=_totals(status.summary),
            source=status.source,
            tasks=TaskTotals(total=sum(trainings.values()), **{status.value: n for status, n in trainings.items()}),
            trainings=trainings,
            holders=HolderCounts(
                total=holders.total(),
                training=holders[TaskType.TRAINING],
                preprocessing=holders[TaskType.PREPROCESSING],
                download=holders[TaskType.DOWNLOAD],
                cache=holders[TaskType.CACHE],
                rehearsal=holders[TaskType.REHEARSAL],
                push=holders[TaskType.PUSH],
                export=holders[TaskType.EXPORT],
                sample=holders[TaskType.SAMPLE],
                external=holders[TaskType.EXTERNAL],
            ),
            nodes=_nodes(self._gpus.state),
            trainers=tuple(_show_trainer(trainer) for trainer in self._trainers),
            executor=self._show_executor(),
            uptime=self.uptime,
            version=__version__,
        )

    def get_trainer(self) -> TrainerInstallation:
        """Return the result of the last check of the trainer's installation. Starts nothing."""
        return TrainerInstallation(None, None) if self._installation is None else self._installation.last

    def check_trainer(self) -> TrainerInstallation:
        """Have the trainer's installation checked again, and return what is known now."""
        return TrainerInstallation(None, None) if self._installation is None else self._installation.request()

    def _show_executor(self) -> ExecutorAtAGlance:
        nodes = tuple(sorted(self._gpus.state.startable))
        if self._cluster is None:
            return ExecutorAtAGlance("local", nodes)
        return ExecutorAtAGlance("slurm", nodes, self._cluster.partitions, self._cluster.features)


def _nodes(state: GPUState) -> tuple[NodeAtAGlance, ...]:
    counts = Counter(gpu.node for gpu in state.gpus)
    return tuple(NodeAtAGlance(node.name, node.status, counts[node.name]) for node in state.nodes)


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _show_trainer(trainer: Trainer) -> TrainerAtAGlance:
    found = [TrainerProblem(each.code or "", each.message, each.remedy or "") for each in trainer.problems()]
    return TrainerAtAGlance(trainer.name, tuple(sorted(trainer.model_types)), not found, tuple(found))


def _totals(summary: GPUSummary) -> GPUTotals:
    known = {field.name: getattr(summary, field.name) for field in fields(summary)}
    return GPUTotals(**known, total=summary.total_gpus, available=summary.available_gpus, busy=summary.busy_gpus)
