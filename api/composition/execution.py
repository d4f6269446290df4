"""Build what executes trainings: the executor, the watches over attempts, the queue, and the loop."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.composition.slurm import ClusterLocations, SlurmParts
from api.config import Config, child_environment
from api.datasets.versions.references import DatasetReferences
from api.db.database import Database
from api.db.file_lock import FileLock
from api.db.leadership import Leaders, Leadership
from api.domain.datasets.media import Decoder
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskSummary
from api.executors.executor import Executor
from api.executors.local import LocalExecutor
from api.executors.trainer_user import TrainerUser
from api.files.disk import DiskReserve
from api.files.task_files import TaskStorage
from api.gpus.health.events import GPUEvents
from api.gpus.offers import list_pids, name_gpus
from api.gpus.service import GPUService
from api.gpus.sharing.hold_store import HoldStore
from api.gpus.sources import host
from api.nodes.server_identity import ServerIdentity
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Trainer
from api.training.attempts.checks import AttemptChecks, HangLimits
from api.training.attempts.draining import GPUDraining
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.follower import AttemptFollower
from api.training.attempts.orphans import Orphans
from api.training.attempts.preparation import AttemptPreparation, ProcessSettings
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.stop_delivery import AttemptStopping, StopTimes
from api.training.attempts.task_results import TaskResultRecorder
from api.training.attempts.unwatched_attempts import UnwatchedAttempts
from api.training.attempts.watch.updates import TrainingNews
from api.training.attempts.watch.watches import Watches
from api.training.dataset_use import CacheUse
from api.training.intake import Intake
from api.training.output.written import TrainingOutput
from api.training.queue.claims import AttemptClaims
from api.training.queue.closures import Closures, NeighbourRule
from api.training.queue.cluster_window import ClusterWindow
from api.training.queue.dispatcher import Dispatcher
from api.training.queue.forecast import QueueForecast
from api.training.queue.loop import Leaderships, ThreadOwner, TrainingLoop
from api.training.queue.making_room import MakingRoom
from api.training.queue.planner import PassPlanner, PlacementRules
from api.training.queue.preemption import Preemption
from api.training.queue.quotas import Quotas
from api.training.queue.slots import SlotLimits
from api.training.records.attempt_store import AttemptStore, ObservedAttempts, TaskStores
from api.training.records.task_store import TaskStore
from api.training.schedule.store import ScheduleStore
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

#: Interval of polls of a cluster in seconds, in addition to those of attempts.
POLL_SECONDS = 2.0


def slot_limits(config: Config) -> SlotLimits:
    """Return the limits of dataset work and of transfers."""
    working = config.preprocess_parallel or max(1, (os.cpu_count() or 1) // 2)
    return SlotLimits(working, config.transfers_parallel, config.hf_endpoint, config.comfyui_gpus)


def stop_times(config: Config) -> StopTimes:
    """Return the seconds of each step of a stop."""
    return StopTimes(config.stop_checkpoint_seconds, config.stop_terminate_seconds)


def hang_limits(config: Config) -> HangLimits:
    """Return the seconds after which an attempt hangs."""
    return HangLimits(config.hang_step_seconds, config.hang_quiet_seconds, config.rehearsal_seconds)


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
    decoder: Decoder | None = None  #: draws thumbnails of samples; None: a new one does

    @property
    def root(self) -> Path:
        """The storage directory."""
        return self.config.storage_root.absolute()

    @property
    def stores(self) -> TaskStores:
        """The stores of tasks of all kinds."""
        return TaskStores(self.tasks, self.attempts)

    @property
    def storage(self) -> TaskStorage:
        """The storage of tasks."""
        return TaskStorage(self.root, self.config.min_free_disk_mb, self.database.require_files)

    def trainers_by_name(self) -> dict[str, Trainer]:
        """Return all trainers: those that train, and those for other kinds of tasks."""
        found = (*(self.trainers or build_trainers(self.config)), *self.kinds.trainers)
        return {trainer.name: trainer for trainer in found}


@dataclass(frozen=True, slots=True)
class Execution:
    """The executor of attempts and their environment."""

    executor: Executor
    slurm: SlurmParts | None  #: None: on this machine
    window: ClusterWindow | None
    is_shared: bool  #: whether every server with this storage observes the attempts, as on a cluster
    environment: Mapping[str, str]  #: of trainers
    own_environment: Mapping[str, str]  #: of this service's programs


def choose_execution(needs: TrainingDependencies, given: Executor | None, is_shared: bool) -> Execution:
    """Return the given executor, or the one that EXECUTOR chooses, with the environment of attempts."""
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
        return Execution(local, None, None, is_shared, environment, own)
    slurm = SlurmParts(config, local, needs.tasks.queued_cluster_options, supervisors)
    gpus.offer_from(slurm.names, slurm.status_of)
    window = slurm.window(config, needs.attempts, needs.clock)
    return Execution(slurm.executor, slurm, window, True, environment, own)


@dataclass(frozen=True, slots=True)
class AttemptParts:
    """Parts that several other parts use."""

    execution: Execution
    output: TrainingOutput
    observed: ObservedAttempts
    watches: Watches
    stopping: AttemptStopping


def build_attempt_parts(
    needs: TrainingDependencies, trainers: Mapping[str, Trainer], execution: Execution
) -> AttemptParts:
    """Build the parts that observe and stop attempts."""
    watches = Watches(needs.tasks, trainers, execution.executor, needs.news, needs.clock)
    times = stop_times(needs.config)
    stopping = AttemptStopping(needs.tasks, execution.executor, watches, needs.reserve, times, needs.clock)
    # Every server observes what a cluster runs.
    observed = ObservedAttempts(needs.attempts, None if execution.is_shared else needs.node, needs.root)
    return AttemptParts(execution, TrainingOutput(needs.storage, trainers), observed, watches, stopping)


@dataclass(frozen=True, slots=True)
class QueueParts:
    """The queue, and what decides when its tasks start."""

    holds: HoldStore
    schedules: ScheduleStore
    closures: Closures
    planner: PassPlanner
    dispatcher: Dispatcher
    forecast: QueueForecast
    intake: Intake


def build_queue(needs: TrainingDependencies, parts: AttemptParts, wake: Callable[[], None]) -> QueueParts:
    """Build the queue. `wake` triggers the training loop."""
    config, execution, gpus, clock = needs.config, parts.execution, needs.gpus, needs.clock
    holds, schedules = HoldStore(needs.database), ScheduleStore(needs.database)
    closures = Closures(holds, schedules, clock)
    closures.rule = NeighbourRule(config.neighbour_rule)
    planner = _build_planner(needs, execution, closures)
    claims = AttemptClaims(needs.attempts, parts.output, execution.executor, gpus, clock, needs.quotas)
    # A cluster has its own preemption, by QOS or partition.
    preemption = (
        Preemption(needs.tasks, parts.watches.listening_seconds, clock, config.preempt_after_seconds)
        if execution.slurm is None
        else None
    )
    dispatcher = Dispatcher(needs.stores, planner, claims, gpus, clock, execution.window, preemption)

    def leaves_in(task: TaskSummary) -> float | None:
        allowed_in = None if preemption is None else preemption.allowed_in(task)
        return None if allowed_in is None else allowed_in + (needs.attempts.stop_seconds(task) or 0.0)

    forecast = QueueForecast(needs.tasks, gpus, closures, clock, needs.quotas, leaves_in)
    intake = Intake(needs.tasks, planner, claims, gpus, forecast, clock, needs.quotas, wake)
    return QueueParts(holds, schedules, closures, planner, dispatcher, forecast, intake)


def _build_planner(needs: TrainingDependencies, execution: Execution, closures: Closures) -> PassPlanner:
    rules = PlacementRules(needs.config.max_concurrent_tasks, slot_limits(needs.config))
    if execution.slurm is not None:
        rules = replace(rules, nodes_of=execution.slurm.cluster_nodes.nodes_of)
    return PassPlanner(needs.stores, needs.gpus, closures, needs.storage, needs.clock, needs.quotas, rules)


def _build_preparation(needs: TrainingDependencies, execution: Execution) -> AttemptPreparation:
    gpus, group = needs.gpus, None if needs.trainer_user is None else needs.trainer_user.gid
    settings = ProcessSettings(execution.environment, execution.own_environment, needs.config.log_max_bytes, group)
    name = lambda uuids: name_gpus(gpus.state, uuids)  # noqa: E731
    return AttemptPreparation(needs.storage, settings, name, needs.datasets, needs.paths)


def build_reconciler(
    needs: TrainingDependencies, parts: AttemptParts, ending: AttemptEnding, checks: AttemptChecks
) -> Reconciler:
    """Build the reconciler of attempts."""
    stores, gpus, clock, watches, stopping = needs.stores, needs.gpus, needs.clock, parts.watches, parts.stopping
    executor = parts.execution.executor
    preparation = _build_preparation(needs, parts.execution)
    starter = AttemptStarter(stores, preparation, executor, parts.output.trainers, watches, ending)
    note_location = ClusterLocations(needs.database, gpus, clock).record
    follower = AttemptFollower(stores, watches, checks, stopping, ending, clock, note_location)
    draining = GPUDraining(stores, gpus, executor, needs.storage, clock)
    return Reconciler(parts.observed, watches, starter, follower, stopping, draining, clock)


def build_loop(
    needs: TrainingDependencies,
    parts: AttemptParts,
    reconciler: Reconciler,
    dispatcher: Dispatcher,
    orphans: Orphans,
    making_room: MakingRoom,
    closures: Closures,
    beside: Sequence[ThreadOwner],
) -> TrainingLoop:
    """Build the loop without starting it. The parts `beside` it run as long as it does."""
    database, clock, root, execution = needs.database, needs.clock, needs.root, parts.execution
    own_identity = ServerIdentity.own(needs.node, root)
    scope = own_identity.cluster_scope if execution.is_shared else own_identity.scope
    leaderships = _build_leaderships(database, own_identity, scope, FileLock(root / "trainings.lock"), clock)
    unwatched = UnwatchedAttempts(needs.tasks, parts.observed, Leaders(database), clock)
    if execution.slurm is not None:
        beside = (PeriodicThread("cluster", POLL_SECONDS, execution.slurm.executor.poll), *beside)
    return TrainingLoop(reconciler, dispatcher, orphans, unwatched, making_room, closures, leaderships, beside)


def _build_leaderships(
    database: Database, own: ServerIdentity, own_scope: str, lock: FileLock, clock: Clock
) -> Leaderships:
    """Return the leaderships over the attempts of this machine and storage, and over the queue of the database."""

    def name() -> str:
        return own.as_leader(_has(lock))

    def is_gone(holder: str) -> bool:
        return own.knows_gone(holder, lambda: _has(lock))

    watching, leading = (Leadership(database, scope, name, clock, is_gone) for scope in (own_scope, "queue"))
    return Leaderships(watching, leading, lock)


def _has(lock: FileLock) -> bool:
    """Return whether this process holds the lock; False on a file system without locks."""
    try:
        return lock.acquire()
    except OSError:
        return False
