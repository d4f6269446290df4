"""Builds the parts of trainings."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.alerts.channel_store import ChannelStore
from api.composition.slots import slot_limits
from api.composition.slurm import ClusterLocations, SlurmParts
from api.config import Config, cache_roots, child_environment
from api.datasets.references import DatasetReferences
from api.db.database import Database
from api.db.file_lock import FileLock
from api.db.leadership import Leaders, Leadership
from api.domain.task import TaskType
from api.executors.executor import Executor, NodeState
from api.executors.local import LocalExecutor
from api.executors.trainer_user import TrainerUser
from api.files.disk import DiskReserve
from api.gpus.events import GPUEvents
from api.gpus.hold_store import HoldStore
from api.gpus.offers import list_pids, name_gpus
from api.gpus.service import GPUService
from api.gpus.sources import host
from api.nodes.server_identity import ServerIdentity
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Trainer
from api.training.attempt_store import AttemptStore
from api.training.attempts.checks import AttemptChecks
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.hangs import HangLimits
from api.training.attempts.orphans import Orphans
from api.training.attempts.pending_stops import PendingStops
from api.training.attempts.reconciler import Reconciler, StopTimes
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.task_results import TaskResultRecorder
from api.training.attempts.unwatched_attempts import UnwatchedAttempts
from api.training.attempts.updates import TrainingNews
from api.training.cache_use import CacheUse
from api.training.checkpoint_saving import CheckpointSaving
from api.training.cluster import ClusterNodes
from api.training.dispatcher import Dispatcher
from api.training.forecast import QueueForecast
from api.training.holds import Holds
from api.training.intake import Intake
from api.training.loop import TrainingLoop
from api.training.lost_output import LostOutput
from api.training.memory_runs import MemoryRunStore
from api.training.orphan_store import OrphanStore
from api.training.owners import TaskOwners
from api.training.quotas import Quotas
from api.training.request_check import RequestChecker
from api.training.service import TrainingService
from api.training.store import TaskStore
from api.training.task_progress import ProgressAnswers
from api.training.task_resources import TaskResources
from api.training.task_stops import TaskStops
from api.training.window import ClusterWindow
from api.util.clock import Clock


@dataclass(frozen=True, slots=True)
class TrainingParts:
    """The services of trainings, their loop, and the trainers by name."""

    service: TrainingService
    saving: CheckpointSaving
    progress: ProgressAnswers
    stops: TaskStops
    intake: Intake
    dispatcher: Dispatcher
    loop: TrainingLoop
    orphans: Orphans
    trainers: Mapping[str, Trainer]
    executor: Executor
    owners: TaskOwners
    holds: Holds
    cluster: Callable[[], Sequence[NodeState]]  #: the machines as the cluster knows them; empty without one
    cluster_nodes: ClusterNodes | None  #: the cluster options of requests; None: trainings run on this machine


@dataclass(frozen=True, slots=True)
class TaskKinds:
    """Tasks of other kinds than trainings: the programs that execute them, and the collectors of their results."""

    trainers: tuple[Trainer, ...] = ()
    recorders: Mapping[TaskType, TaskResultRecorder] = field(default_factory=dict)


def build_trainers(config: Config) -> tuple[DiffusionPipe, Toy]:
    """Return the trainers of this program: diffusion-pipe and the toy."""
    real = DiffusionPipe(
        config.diffusion_pipe_root,
        config.diffusion_pipe_python,
        allow_pickled_weights=config.allow_pickled_weights,
    )
    return real, Toy(sys.executable)


@dataclass(frozen=True, slots=True)
class TrainingDependencies:
    """The dependencies of trainings.

    Without `quotas` tasks have no owner. Without `trainers` the trainers of `build_trainers` are used.
    """

    config: Config
    database: Database
    tasks: TaskStore  #: of all kinds
    attempts: AttemptStore  #: of all kinds
    gpus: GPUService
    clock: Clock
    node: str  #: the name of this machine
    news: TrainingNews
    reserve: DiskReserve
    events: GPUEvents
    quotas: Quotas | None = None
    datasets: DatasetReferences | None = None
    caches: CacheUse | None = None
    paths: ReadablePaths | None = None  #: decides which files a request may name; None: all
    kinds: TaskKinds = field(default_factory=TaskKinds)
    trainers: tuple[Trainer, ...] = ()  #: those that train
    trainer_user: TrainerUser | None = None  #: None: trainers run as the user of this service

    @property
    def root(self) -> Path:
        """The storage directory."""
        return self.config.storage_root.absolute()

    def trainers_by_name(self) -> dict[str, Trainer]:
        """Return all trainers: those that train, and those for other kinds of tasks."""
        found = (*(self.trainers or build_trainers(self.config)), *self.kinds.trainers)
        return {trainer.name: trainer for trainer in found}


@dataclass(frozen=True, slots=True)
class _Place:
    """The executor of attempts and their environment."""

    executor: Executor
    slurm: SlurmParts | None  #: None: on this machine
    window: ClusterWindow | None
    is_shared: bool  #: whether every server with this storage observes the attempts, as on a cluster
    environment: Mapping[str, str]  #: of trainers
    own_environment: Mapping[str, str]  #: of this service's programs


@dataclass(frozen=True, slots=True)
class _Parts:
    """Parts that several other parts use."""

    trainers: Mapping[str, Trainer]
    place: _Place
    reconciler: Reconciler
    dispatcher: Dispatcher
    pending_stops: PendingStops


def build_training(
    needs: TrainingDependencies, executor: Executor | None = None, *, is_shared: bool = False
) -> TrainingParts:
    """Build every part once, without starting any. Without `executor` the setting EXECUTOR decides.

    `is_shared`: every server with this storage observes what the given executor runs.
    """
    tasks, attempts, gpus, clock = needs.tasks, needs.attempts, needs.gpus, needs.clock
    trainers, place = needs.trainers_by_name(), _find_place(needs, executor, is_shared)
    pending_stops, holds = PendingStops(needs.reserve), HoldStore(needs.database)
    reconciler = _build_reconciler(needs, trainers, place, pending_stops)
    dispatcher = _build_dispatcher(needs, trainers, place, holds)
    parts = _Parts(trainers, place, reconciler, dispatcher, pending_stops)
    orphans = _build_orphans(needs, trainers, place)
    loop = _build_loop(needs, parts, orphans)
    # The tasks that training requests may name; tasks of other kinds have services of their own.
    trainings = TaskStore(needs.database, TaskType.TRAINING, TaskType.CACHE)
    own_attempts = AttemptStore(needs.database, TaskType.TRAINING, TaskType.CACHE)
    service = _build_service(needs, parts, trainings, own_attempts, loop.wake)
    progress = ProgressAnswers(attempts, dispatcher, reconciler, clock)
    slurm = place.slurm
    return TrainingParts(
        service=service,
        saving=CheckpointSaving(service, trainings, own_attempts, trainers, clock),
        progress=progress,
        stops=TaskStops(tasks, attempts, progress, reconciler, clock, pending_stops, loop.wake),
        intake=Intake(tasks, dispatcher, gpus, QueueForecast(tasks, gpus, clock, needs.quotas), clock, needs.quotas),
        dispatcher=dispatcher,
        loop=loop,
        orphans=orphans,
        trainers=trainers,
        executor=place.executor,
        owners=TaskOwners(tasks, reconciler.find_watch),
        holds=Holds(holds, gpus, clock, loop.wake),
        cluster=tuple if slurm is None else slurm.executor.known_nodes,
        cluster_nodes=None if slurm is None else slurm.cluster_nodes,
    )


def _find_place(needs: TrainingDependencies, given: Executor | None, is_shared: bool) -> _Place:
    config, gpus, user = needs.config, needs.gpus, needs.trainer_user
    own = child_environment()
    supervisors = {name: own[name] for name in ("LD_LIBRARY_PATH",) if name in own}
    environment = own if user is None else own | user.environment(needs.root / "caches")
    local = given or LocalExecutor(
        sys.executable,
        needs.node,
        supervisors,
        pids_by_gpu=lambda: list_pids(gpus.state, host.has_own_pid_namespace()),
        trainer_user=user,
    )
    if config.executor == "local" or given is not None:
        return _Place(local, None, None, is_shared, environment, own)
    slurm = SlurmParts(config, local, needs.tasks.queued_cluster_options, supervisors)
    gpus.offer_from(slurm.names, slurm.status_of)
    window = slurm.window(config, needs.attempts, needs.clock)
    return _Place(slurm.executor, slurm, window, True, environment, own)


def _watched_node(needs: TrainingDependencies, place: _Place) -> str | None:
    """Return the machine whose attempts this server observes; None: all, since every server observes a cluster."""
    return None if place.is_shared else needs.node


def _stop_times(config: Config) -> StopTimes:
    return StopTimes(config.stop_checkpoint_seconds, config.stop_terminate_seconds)


def _build_reconciler(
    needs: TrainingDependencies, trainers: Mapping[str, Trainer], place: _Place, pending_stops: PendingStops
) -> Reconciler:
    config, tasks, attempts, gpus, clock = needs.config, needs.tasks, needs.attempts, needs.gpus, needs.clock
    root, executor, watched = needs.root, place.executor, _watched_node(needs, place)

    def name(uuids: Sequence[str]) -> tuple[str | None, ...]:
        return name_gpus(gpus.state, uuids)

    given = (place.environment, config.log_max_bytes, name, needs.datasets, place.own_environment, needs.paths)
    starter = AttemptStarter(executor, root, *given)
    limits = HangLimits(config.hang_step_seconds, config.hang_quiet_seconds)
    return Reconciler(
        tasks,
        attempts,
        starter,
        executor,
        trainers,
        AttemptChecks(tasks, attempts, gpus, clock, limits, host.has_own_pid_namespace()),
        AttemptEnding(tasks, attempts, gpus, starter, executor, clock, watched, root, needs.kinds.recorders),
        clock,
        watched,
        root,
        _stop_times(config),
        needs.news,
        pending_stops,
        ClusterLocations(needs.database, gpus, clock).record,
    )


def _build_dispatcher(
    needs: TrainingDependencies, trainers: Mapping[str, Trainer], place: _Place, holds: HoldStore
) -> Dispatcher:
    config, slurm = needs.config, place.slurm
    return Dispatcher(
        needs.tasks,
        needs.attempts,
        needs.gpus,
        trainers,
        place.executor,
        needs.clock,
        needs.root,
        node=needs.node,
        max_concurrent=config.max_concurrent_tasks,
        slot_limits=slot_limits(config),
        min_free_mb=config.min_free_disk_mb,
        quotas=needs.quotas,
        holds=holds,
        nodes_of=(lambda queue: {}) if slurm is None else slurm.cluster_nodes.nodes_of,
        window=place.window,
    )


def _build_orphans(needs: TrainingDependencies, trainers: Mapping[str, Trainer], place: _Place) -> Orphans:
    return Orphans(
        OrphanStore(needs.database),
        place.executor,
        trainers,
        needs.gpus,
        needs.events,
        needs.clock,
        needs.node,
        needs.root,
        _stop_times(needs.config),
    )


def _build_loop(needs: TrainingDependencies, parts: _Parts, orphans: Orphans) -> TrainingLoop:
    database, attempts, clock, root, place = needs.database, needs.attempts, needs.clock, needs.root, parts.place
    window, lock = place.window, FileLock(root / "trainings.lock")
    watched = _watched_node(needs, place)
    own_identity = ServerIdentity.own(needs.node, root)
    scope = own_identity.cluster_scope if place.is_shared else own_identity.scope
    watching, leading = _build_leaderships(database, own_identity, scope, lock, clock)
    return TrainingLoop(
        parts.reconciler,
        parts.dispatcher,
        orphans,
        UnwatchedAttempts(needs.tasks, attempts, Leaders(database), clock, watched, root),
        lambda: attempts.has_work() or (window is not None and window.is_open),
        watching,
        leading,
        lock,
        None if place.slurm is None else place.slurm.executor.poll,
    )


def _build_service(
    needs: TrainingDependencies, parts: _Parts, tasks: TaskStore, attempts: AttemptStore, wake: Callable[[], None]
) -> TrainingService:
    database, gpus, root, place = needs.database, needs.gpus, needs.root, parts.place
    checker = RequestChecker(
        parts.trainers,
        gpus,
        root,
        needs.config.min_free_disk_mb,
        cache_roots(needs.config, place.environment),
        needs.datasets,
        ChannelStore(database).names,
        needs.caches,
        MemoryRunStore(database).find,
        None if place.slurm is None else place.slurm.cluster_nodes,
        needs.paths,
    )
    return TrainingService(
        tasks,
        attempts,
        checker,
        parts.dispatcher,
        parts.reconciler,
        parts.trainers,
        gpus,
        needs.clock,
        root,
        wake,
        parts.pending_stops,
        LostOutput(place.executor, root),
        needs.quotas,
        database.require_files,
    )


def build_task_resources(
    config: Config,
    database: Database,
    training: TrainingParts,
    clock: Clock,
    kind: TaskType,
    quotas: Quotas | None = None,
) -> TaskResources:
    """Return the resources with which tasks of another kind are created, shown and stopped."""
    return TaskResources(
        TaskStore(database, kind),
        AttemptStore(database, kind),
        training.intake,
        training.dispatcher,
        training.progress,
        training.stops,
        training.loop.wake,
        clock,
        config.storage_root.absolute(),
        config.min_free_disk_mb,
        quotas,
    )


def _build_leaderships(
    database: Database, own: ServerIdentity, own_scope: str, lock: FileLock, clock: Clock
) -> tuple[Leadership, Leadership]:
    """Return the leaderships over the attempts of this machine and storage, and over the queue of the database."""

    def name() -> str:
        return own.as_leader(_has(lock))

    def is_gone(holder: str) -> bool:
        return own.knows_gone(holder, lambda: _has(lock))

    watching, leading = (Leadership(database, scope, name, clock, is_gone) for scope in (own_scope, "queue"))
    return watching, leading


def _has(lock: FileLock) -> bool:
    """Return whether this process holds the lock; False on a file system without locks."""
    try:
        return lock.acquire()
    except OSError:
        return False
