"""The machine and the service at a glance."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric

from api import __version__
from api.domain.gpu import GPUSummary
from api.domain.system import (
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
from api.domain.task import TaskType
from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageGone, Unavailable
from api.gpus.documents import GPUDocuments
from api.gpus.offers import explain_no_gpus
from api.gpus.service import GPUService
from api.gpus.sources import host
from api.gpus.state import GPUState
from api.trainers.trainer import Trainer
from api.training.cluster import ClusterWishes
from api.training.service import TrainingService
from api.util.clock import Clock

_MIB = 1024 * 1024

_NO_REPORTERS = (
    "no training can start: no GPU of Slurm's machines is reported to this server; run ROLE=node there (see /nodes)"
)

#: Errors that neither time nor the service itself can mend.
NEEDS_A_PERSON = (StorageGone, DatabaseDamaged)


class SystemService:
    """Makes the answers of `/health`, `/health/ready` and `/system/overview`."""

    def __init__(
        self,
        gpus: GPUService,
        training: TrainingService,
        clock: Clock,
        storage_root: Path,
        node: str,
        find_trouble: Callable[[], DatabaseUnavailable | None] = lambda: None,
        trainers: Sequence[Trainer] = (),
        cluster: ClusterWishes | None = None,
    ) -> None:
        """`node` is this machine's name. `find_trouble` says from memory why nothing can be kept now. `cluster` knows
        where trainings run; without one, on this machine.
        """
        self._gpus = gpus
        self._training = training
        self._clock = clock
        self._storage_root = storage_root
        self._node = node
        self._find_trouble = find_trouble
        self._trainers = trainers
        self._cluster = cluster
        self._started = clock.monotonic()
        self._cpu = host.CPUMeter()
        self._measured_sweep = 0

    def note_state(self, number: int, documents: GPUDocuments) -> None:
        """Measures the processors' use. It is told of each state of the GPUs, so once a sweep, whoever asks."""
        sweep = self._gpus.state.snapshot.sequence
        if sweep != self._measured_sweep:
            self._measured_sweep = sweep
            self._cpu.measure()

    @property
    def uptime(self) -> int:
        """Whole seconds since the service was built."""
        return int(self._clock.monotonic() - self._started)

    def collect(self) -> Iterator[Metric]:
        """The machine's series, for prometheus-client."""
        system = host.read_system([self._storage_root], self._cpu.percent)
        known: tuple[tuple[str, str, float | None], ...] = (
            ("cpus", "Processors.", system.cpu_count),
            ("cpu_ratio", "Use of the processors since the reading before.", _ratio(system.cpu_percent)),
            ("load1", "Load over a minute.", system.load_average[0]),
            ("memory_total_bytes", "Memory.", system.memory.total * _MIB),
            ("memory_available_bytes", "Memory that programs can have.", system.memory.available * _MIB),
            ("uptime_seconds", "Time since the machine began.", system.uptime),
        )
        for name, text, value in known:
            if value is not None:
                yield GaugeMetricFamily(f"diffusion_pipe_host_{name}", text, value=value)

    def get_health(self) -> Health:
        """The answer that the service is alive. Reads memory only: the event loop itself asks.

        Raises StorageGone or DatabaseDamaged while only a person can make it keep anything again.
        """
        health = Health(status="ok", version=__version__, uptime=self.uptime)
        trouble, state = self._find_trouble(), self._gpus.state
        problems = [] if trouble is None else [trouble.detail]
        # Before Slurm has been heard of, nothing is known to be wrong. Anybody may ask: machines are not named.
        if state.startable and explain_no_gpus(state) is not None:
            problems.append(_NO_REPORTERS)
        if problems:
            health = replace(health, status="degraded", problems=tuple(problems))
        if isinstance(trouble, NEEDS_A_PERSON):
            health = replace(health, status="failing")
            raise type(trouble)(trouble.detail, data=health, headers=trouble.headers)
        return health

    def get_readiness(self) -> Readiness:
        """The answer that the readings can be relied on, and that what is acknowledged is kept.

        Raises Unavailable, or what the database is in trouble with. Reads memory only: the event loop itself asks."""
        readiness, trouble = self._gpus.get_readiness(), self._find_trouble()
        if trouble is not None:
            reasons = (trouble.detail, *readiness.reasons)
            readiness = replace(readiness, status="not_ready", reasons=reasons)
            raise type(trouble)("; ".join(reasons), data=readiness, headers={"Retry-After": "5"})
        if readiness.reasons:
            raise Unavailable("; ".join(readiness.reasons), data=readiness, headers={"Retry-After": "5"})
        return readiness

    def get_overview(self) -> SystemOverview:
        """The machine, its GPUs, and the tasks that whoever asks may see."""
        status = self._gpus.get_status()
        holders, trainings = self._gpus.tasks.count(), self._training.count()
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
                push=holders[TaskType.PUSH],
                external=holders[TaskType.EXTERNAL],
            ),
            nodes=_nodes(self._gpus.state),
            trainers=tuple(_show_trainer(trainer) for trainer in self._trainers),
            executor=self._show_executor(),
            uptime=self.uptime,
            version=__version__,
        )

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
