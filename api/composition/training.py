"""Build the parts of trainings."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from api.access.readable_paths import ReadablePaths
from api.alerts.channel_store import ChannelStore
from api.composition.slurm import ClusterLocations, SlurmParts
from api.config import Config, ConfigError, cache_roots, child_environment, tracker_environment
from api.datasets.references import DatasetReferences
from api.db.database import Database
from api.db.file_lock import FileLock
from api.db.leadership import Leaders, Leadership
from api.domain.access import current_principal
from api.domain.dataset import PinnedDataset
from api.domain.media import Decoder
from api.domain.retention import RetentionRule
from api.domain.sample_set import RequestedSamples, SampleOrder
from api.domain.task import TaskType
from api.domain.training import TaskSummary, TrainingRequest
from api.errors import Finding
from api.executors.executor import Executor, NodeState
from api.executors.local import LocalExecutor
from api.executors.trainer_user import TrainerUser
from api.files.disk import DiskReserve
from api.files.media.decoder import MediaDecoder
from api.gpus.events import GPUEvents
from api.gpus.hold_store import HoldStore
from api.gpus.neighbours import ComfyNeighbour, OllamaNeighbour, is_here
from api.gpus.offers import list_pids, name_gpus
from api.gpus.service import GPUService
from api.gpus.sources import host
from api.jobs.kinds import EXPORTS, SAMPLING
from api.jobs.sampling.probe import is_answering
from api.nodes.server_identity import ServerIdentity
from api.sampling.service import SampleSetService, WorkflowService
from api.sampling.store import SampleSetStore, WorkflowStore
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Trainer
from api.training.attempt_store import AttemptStore
from api.training.attempts.checks import AttemptChecks, HangLimits
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.export_delivery import ExportDelivery
from api.training.attempts.orphans import Orphans
from api.training.attempts.pending_stops import PendingStops
from api.training.attempts.reconciler import Reconciler, StopTimes
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.task_results import TaskResultRecorder
from api.training.attempts.unwatched_attempts import UnwatchedAttempts
from api.training.attempts.updates import TrainingNews
from api.training.attempts.watch import AttemptWatch
from api.training.automatic_samples import AutomaticSamples
from api.training.checkpoint_saving import CheckpointSaving
from api.training.closures import Closures, NeighbourRule
from api.training.cluster import ClusterNodes
from api.training.comfyui_links import ComfyModels
from api.training.comparison import TrainingComparison
from api.training.dataset_use import CacheUse
from api.training.dispatcher import Dispatcher
from api.training.energy import EnergyBook, EnergyMeter
from api.training.energy_store import EnergyStore
from api.training.exports import Exports
from api.training.follow_up_tasks import FollowUpTasks
from api.training.forecast import QueueForecast
from api.training.holds import Holds
from api.training.intake import Intake
from api.training.loop import TrainingLoop
from api.training.making_room import MakingRoom
from api.training.measured_memory import MemoryRunStore
from api.training.neighbours import Neighbours
from api.training.orphan_store import OrphanStore
from api.training.power_limit_store import PowerLimitStore
from api.training.power_limits import PowerLimits
from api.training.preemption import Preemption
from api.training.quotas import Quotas
from api.training.rehearsal_files import RehearsalFiles
from api.training.request_check import RequestChecker
from api.training.retention import Retention
from api.training.retention_store import RetentionStore
from api.training.sample_orders import SampleOrderStore
from api.training.sample_store import TrainingSampleStore
from api.training.samples import SamplerSettings, TrainingSamples
from api.training.schedule_service import ScheduleService
from api.training.schedule_store import ScheduleStore
from api.training.service import TrainingService
from api.training.slots import SlotLimits
from api.training.store import TaskStore
from api.training.sweep_rule import SweepRule
from api.training.sweep_store import SweepStore
from api.training.sweeps import Sweeps
from api.training.task_progress import LostOutput, ProgressAnswers, TaskOwners
from api.training.task_resources import TaskResources
from api.training.task_stops import TaskStops
from api.training.trackers.sender import TrackerSender
from api.training.trackers.store import TrackerStore
from api.training.trackers.tracker import TrackerProcess
from api.training.trainer_exports import TrainerExports
from api.training.window import ClusterWindow
from api.util.clock import Clock
from api.util.extras import describe_missing


def slot_limits(config: Config) -> SlotLimits:
    """Return the limits of dataset work and of transfers."""
    working = config.preprocess_parallel or max(1, (os.cpu_count() or 1) // 2)
    return SlotLimits(working, config.transfers_parallel, config.hf_endpoint, config.comfyui_gpus)


@dataclass(frozen=True, slots=True)
class TrainingParts:
    """The services of trainings, their loop, and the trainers by name."""

    service: TrainingService
    saving: CheckpointSaving
    progress: ProgressAnswers
    stops: TaskStops
    intake: Intake
    exports: Exports
    samples: TrainingSamples
    comfyui_links: ComfyModels
    automatic: AutomaticSamples
    trackers: tuple[TrackerSender, ...]
    sample_sets: SampleSetService
    workflows: WorkflowService
    comparison: TrainingComparison
    sweeps: Sweeps
    retention: Retention
    dispatcher: Dispatcher
    reconciler: Reconciler
    loop: TrainingLoop
    orphans: Orphans
    trainers: Mapping[str, Trainer]
    executor: Executor
    owners: TaskOwners
    holds: Holds
    closures: Closures
    neighbours: Neighbours
    schedule: ScheduleService
    power_limits: PowerLimits
    energy: EnergyMeter
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
    decoder: Decoder | None = None  #: draws thumbnails of samples; None: a new one does

    @property
    def root(self) -> Path:
        """The storage directory."""
        return self.config.storage_root.absolute()

    def trainers_by_name(self) -> dict[str, Trainer]:
        """Return all trainers: those that train, and those for other kinds of tasks."""
        found = (*(self.trainers or build_trainers(self.config)), *self.kinds.trainers)
        return {trainer.name: trainer for trainer in found}


@dataclass(frozen=True, slots=True)
class _Execution:
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
    execution: _Execution
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
    trainers, execution = needs.trainers_by_name(), _choose_execution(needs, executor, is_shared)
    pending_stops, holds = PendingStops(needs.reserve), HoldStore(needs.database)
    schedules = ScheduleStore(needs.database)
    closures = Closures(holds, schedules, clock)
    closures.rule = NeighbourRule(needs.config.neighbour_rule)
    # Otherwise removed files could count towards their owner's quota for a day.
    forget_files = (lambda task_id: None) if needs.quotas is None else needs.quotas.forget_files
    rehearsals = RehearsalFiles(needs.database, needs.root, forget_files)
    preemption = Preemption(
        tasks,
        lambda task_id: _listening_seconds(reconciler.find_watch(task_id)),
        clock,
        needs.config.preempt_after_seconds,
    )

    def leaves_in(task: TaskSummary) -> float | None:
        allowed_in = None if execution.slurm is not None else preemption.allowed_in(task)
        return None if allowed_in is None else allowed_in + (attempts.stop_seconds(task) or 0.0)

    dispatcher = _build_dispatcher(needs, trainers, execution, holds, closures, preemption)
    forecast = QueueForecast(tasks, gpus, clock, needs.quotas, closures, leaves_in)
    intake = Intake(tasks, dispatcher, gpus, forecast, clock, needs.quotas)
    plain_checker = _build_checker(needs, trainers, execution)
    exports = _build_exports(needs, trainers, plain_checker, intake, dispatcher, lambda: loop.wake())  # noqa: PLW0108 - the loop is built last
    retention = Retention(
        RetentionStore(needs.database),
        trainers,
        needs.root,
        clock,
        retention_default(needs.config),
        needs.database.require_files,
        forget_files,
    )
    samples = _build_samples(needs, intake, exports, lambda: loop.wake())  # noqa: PLW0108 - the loop is built last
    workflows = WorkflowService(WorkflowStore(needs.database), clock)
    sets = SampleSetService(SampleSetStore(needs.database), workflows, clock)
    reconciler = _build_reconciler(needs, trainers, execution, pending_stops, exports, rehearsals, samples, retention)
    parts = _Parts(trainers, execution, reconciler, dispatcher, pending_stops)
    orphans = _build_orphans(needs, trainers, execution)
    sweep_store = SweepStore(needs.database)
    rule = SweepRule(sweep_store, attempts, clock, lambda: loop.wake())  # noqa: PLW0108 - the loop is built last
    making_room = MakingRoom(tasks, attempts, gpus, closures, clock)
    neighbours = _build_neighbours(needs, holds, closures, dispatcher, lambda: loop.wake())  # noqa: PLW0108 - the loop is built last
    loop = _build_loop(needs, parts, orphans, rehearsals, rule, making_room, retention, neighbours)
    # The tasks that training requests may name; tasks of other kinds have services of their own.
    shown = (TaskType.TRAINING, TaskType.CACHE, TaskType.EXPORT, TaskType.REHEARSAL, TaskType.SAMPLE)
    trainings, own_attempts = TaskStore(needs.database, *shown), AttemptStore(needs.database, *shown)
    orders, chosen = SampleOrderStore(needs.database), _Samples(sets, samples)
    checker = _build_checker(needs, trainers, execution, chosen)
    starting = (loop.wake, exports, orders, forecast, intake)
    service = _build_service(needs, parts, checker, trainings, own_attempts, *starting)
    disk = (needs.root, needs.config.min_free_disk_mb)
    sweeps = Sweeps(sweep_store, service, trainings, checker, intake, clock, *disk, loop.wake)
    progress = ProgressAnswers(attempts, dispatcher, reconciler, clock)
    compared = AttemptStore(needs.database, TaskType.TRAINING)
    slurm = execution.slurm
    return TrainingParts(
        service=service,
        saving=CheckpointSaving(service, trainings, own_attempts, trainers, clock),
        progress=progress,
        stops=TaskStops(tasks, attempts, progress, reconciler, clock, pending_stops, loop.wake),
        intake=intake,
        exports=exports,
        samples=samples,
        comfyui_links=ComfyModels(
            service,
            samples,
            _sampler_settings(needs.config).addresses(0),
            lambda task_id, name, file, is_linked, actor: trainings.note_link(
                task_id, name, file, is_linked, clock.now(), actor
            ),
        ),
        automatic=_build_automatic_samples(needs, orders, samples, lambda: loop.is_here),
        trackers=_build_trackers(needs, lambda: loop.is_here),
        sample_sets=sets,
        workflows=workflows,
        comparison=TrainingComparison(compared, progress, samples, gpus, clock, needs.database.require_files),
        sweeps=sweeps,
        retention=retention,
        dispatcher=dispatcher,
        reconciler=reconciler,
        loop=loop,
        orphans=orphans,
        trainers=trainers,
        executor=execution.executor,
        owners=TaskOwners(tasks, reconciler.find_watch),
        holds=Holds(holds, gpus, clock, loop.wake, lambda task_id: attempts.stop_seconds(tasks.get_summary(task_id))),
        closures=closures,
        neighbours=neighbours,
        schedule=ScheduleService(schedules, gpus, clock, loop.wake),
        power_limits=PowerLimits(PowerLimitStore(needs.database), gpus, clock),
        energy=EnergyMeter(EnergyStore(needs.database), gpus, clock),
        cluster=tuple if slurm is None else slurm.executor.known_nodes,
        cluster_nodes=None if slurm is None else slurm.cluster_nodes,
    )


def _listening_seconds(watch: AttemptWatch | None) -> float | None:
    """Return the seconds that an attempt runs, or None if it cannot save a checkpoint now."""
    return None if watch is None or watch.signal_file is None else watch.seconds


def _choose_execution(needs: TrainingDependencies, given: Executor | None, is_shared: bool) -> _Execution:
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
        return _Execution(local, None, None, is_shared, environment, own)
    slurm = SlurmParts(config, local, needs.tasks.queued_cluster_options, supervisors)
    gpus.offer_from(slurm.names, slurm.status_of)
    window = slurm.window(config, needs.attempts, needs.clock)
    return _Execution(slurm.executor, slurm, window, True, environment, own)


def _watched_node(needs: TrainingDependencies, execution: _Execution) -> str | None:
    """Return the machine whose attempts this server observes; None: all, since every server observes a cluster."""
    return None if execution.is_shared else needs.node


def stop_times(config: Config) -> StopTimes:
    """Return the seconds of each step of a stop."""
    return StopTimes(config.stop_checkpoint_seconds, config.stop_terminate_seconds)


def hang_limits(config: Config) -> HangLimits:
    """Return the seconds after which an attempt hangs."""
    return HangLimits(config.hang_step_seconds, config.hang_quiet_seconds, config.rehearsal_seconds)


def retention_default(config: Config) -> RetentionRule:
    """Return the rule of trainings without their own. 0 is no limit."""
    values = (config.retention_keep_last, config.retention_keep_every, config.retention_keep_rated)
    return RetentionRule(*(value or None for value in values))


def _build_reconciler(
    needs: TrainingDependencies,
    trainers: Mapping[str, Trainer],
    execution: _Execution,
    pending_stops: PendingStops,
    exports: Exports,
    rehearsals: RehearsalFiles,
    samples: TrainingSamples,
    retention: Retention,
) -> Reconciler:
    config, tasks, attempts, gpus, clock = needs.config, needs.tasks, needs.attempts, needs.gpus, needs.clock
    root, executor, watched = needs.root, execution.executor, _watched_node(needs, execution)

    def name(uuids: Sequence[str]) -> tuple[str | None, ...]:
        return name_gpus(gpus.state, uuids)

    given = (execution.environment, config.log_max_bytes, name, needs.datasets, execution.own_environment, needs.paths)
    group = None if needs.trainer_user is None else needs.trainer_user.gid
    starter = AttemptStarter(executor, root, *given, group)
    recorders = {**needs.kinds.recorders, TaskType.EXPORT: ExportDelivery(root)}
    at_end = (recorders, exports.keep, rehearsals.remove_soon, samples.end, retention.apply)
    return Reconciler(
        tasks,
        attempts,
        starter,
        executor,
        trainers,
        AttemptChecks(tasks, attempts, gpus, clock, hang_limits(config), host.has_own_pid_namespace(), retention.apply),
        AttemptEnding(tasks, attempts, gpus, starter, executor, clock, *at_end),
        clock,
        watched,
        root,
        stop_times(config),
        needs.news,
        pending_stops,
        ClusterLocations(needs.database, gpus, clock).record,
    )


def _build_exports(
    needs: TrainingDependencies,
    trainers: Mapping[str, Trainer],
    checker: RequestChecker,
    intake: Intake,
    dispatcher: Dispatcher,
    wake: Callable[[], None],
) -> Exports:
    database = needs.database
    made = TaskStore(database, TaskType.EXPORT)
    given = (made, intake, needs.clock, needs.root, needs.config.min_free_disk_mb, wake)
    return Exports(
        FollowUpTasks(TaskType.EXPORT, EXPORTS, *given),
        TrainerExports(checker, intake, needs.clock, needs.root, wake),
        made,
        TaskStore(database, TaskType.TRAINING, TaskType.CACHE),
        trainers,
        dispatcher,
        needs.clock,
        database.require_files,
    )


def _build_samples(
    needs: TrainingDependencies, intake: Intake, exports: Exports, wake: Callable[[], None]
) -> TrainingSamples:
    config, database = needs.config, needs.database
    made = TaskStore(database, TaskType.SAMPLE)
    given = (made, intake, needs.clock, needs.root, config.min_free_disk_mb, wake)
    return TrainingSamples(
        FollowUpTasks(TaskType.SAMPLE, SAMPLING, *given),
        made,
        TaskStore(database, TaskType.TRAINING),
        TrainingSampleStore(database),
        needs.clock,
        _sampler_settings(config),
        needs.decoder or MediaDecoder(1),
        exports,
        database.require_files,
    )


def _sampler_settings(config: Config) -> SamplerSettings:
    urls = tuple(config.comfyui_url.split(",")) if config.comfyui_url else ()
    loras = tuple(path.absolute() for path in config.comfyui_loras)
    return SamplerSettings(urls, loras, config.sample_command, config.comfyui_extensions, config.sample_seconds)


@dataclass(frozen=True, slots=True)
class _Samples:
    """Checks the automatic samples of requests, for the principal of the present request."""

    sets: SampleSetService
    samples: TrainingSamples

    def order(self, requested: RequestedSamples) -> SampleOrder:
        return self.sets.order(requested, current_principal.get())

    def find_problem(
        self, request: TrainingRequest, order: SampleOrder, datasets: Sequence[PinnedDataset]
    ) -> Finding | None:
        return self.samples.find_problem(request, order, datasets)


def _build_automatic_samples(
    needs: TrainingDependencies, orders: SampleOrderStore, samples: TrainingSamples, is_here: Callable[[], bool]
) -> AutomaticSamples:
    settings = _sampler_settings(needs.config)
    return AutomaticSamples(
        orders,
        samples,
        TaskStore(needs.database, TaskType.TRAINING),
        TaskStore(needs.database, TaskType.SAMPLE),
        needs.clock,
        is_here,
        lambda: bool(settings.command) or any(map(is_answering, settings.urls)),
    )


def _build_trackers(needs: TrainingDependencies, is_here: Callable[[], bool]) -> tuple[TrackerSender, ...]:
    config, database = needs.config, needs.database
    for name in config.trackers:
        if missing := describe_missing(name, f"TRACKERS={name}"):
            raise ConfigError(missing)
    stores = (TrackerStore(database), AttemptStore(database, TaskType.TRAINING), TrainingSampleStore(database))
    processes = [
        TrackerProcess(name, config.tracker_project, needs.root / "trackers" / name, tracker_environment())
        for name in config.trackers
    ]
    return tuple(TrackerSender(each, *stores, needs.root, needs.clock, is_here) for each in processes)


def _build_dispatcher(
    needs: TrainingDependencies,
    trainers: Mapping[str, Trainer],
    execution: _Execution,
    holds: HoldStore,
    closures: Closures,
    preemption: Preemption,
) -> Dispatcher:
    config, slurm = needs.config, execution.slurm
    return Dispatcher(
        needs.tasks,
        needs.attempts,
        needs.gpus,
        trainers,
        execution.executor,
        needs.clock,
        needs.root,
        node=needs.node,
        max_concurrent=config.max_concurrent_tasks,
        slot_limits=slot_limits(config),
        min_free_mb=config.min_free_disk_mb,
        quotas=needs.quotas,
        holds=holds,
        closures=closures,
        nodes_of=(lambda queue: {}) if slurm is None else slurm.cluster_nodes.nodes_of,
        window=execution.window,
        # A cluster has its own, by QOS or partition.
        preemption=preemption if slurm is None else None,
    )


def _build_neighbours(
    needs: TrainingDependencies,
    holds: HoldStore,
    closures: Closures,
    dispatcher: Dispatcher,
    wake: Callable[[], None],
) -> Neighbours:
    config = needs.config
    comfy = [ComfyNeighbour(url) for url in config.comfyui_url.split(",") if url and is_here(url)]
    ollama = [OllamaNeighbour(config.ollama_url)] if config.ollama_url and is_here(config.ollama_url) else []
    given = (needs.gpus, holds, closures, lambda: dispatcher.short, needs.clock, config.neighbour_idle_minutes, wake)
    return Neighbours([*comfy, *ollama], *given)


def _build_orphans(needs: TrainingDependencies, trainers: Mapping[str, Trainer], execution: _Execution) -> Orphans:
    return Orphans(
        OrphanStore(needs.database),
        execution.executor,
        trainers,
        needs.gpus,
        needs.events,
        needs.clock,
        needs.node,
        needs.root,
        stop_times(needs.config),
    )


def _build_loop(
    needs: TrainingDependencies,
    parts: _Parts,
    orphans: Orphans,
    rehearsals: RehearsalFiles,
    rule: SweepRule,
    making_room: MakingRoom,
    retention: Retention,
    neighbours: Neighbours,
) -> TrainingLoop:
    database, attempts, clock, root, execution = (
        needs.database,
        needs.attempts,
        needs.clock,
        needs.root,
        parts.execution,
    )
    window, lock = execution.window, FileLock(root / "trainings.lock")
    watched = _watched_node(needs, execution)
    own_identity = ServerIdentity.own(needs.node, root)
    scope = own_identity.cluster_scope if execution.is_shared else own_identity.scope
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
        None if execution.slurm is None else execution.slurm.executor.poll,
        rehearsals,
        rule,
        making_room,
        retention,
        neighbours,
    )


def _build_checker(
    needs: TrainingDependencies,
    trainers: Mapping[str, Trainer],
    execution: _Execution,
    samples: _Samples | None = None,
) -> RequestChecker:
    return RequestChecker(
        trainers,
        needs.gpus,
        needs.root,
        needs.config.min_free_disk_mb,
        cache_roots(needs.config, execution.environment),
        needs.datasets,
        ChannelStore(needs.database).names,
        needs.caches,
        MemoryRunStore(needs.database).find,
        None if execution.slurm is None else execution.slurm.cluster_nodes,
        needs.paths,
        samples,
    )


def _build_service(
    needs: TrainingDependencies,
    parts: _Parts,
    checker: RequestChecker,
    tasks: TaskStore,
    attempts: AttemptStore,
    wake: Callable[[], None],
    exports: Exports,
    orders: SampleOrderStore,
    forecast: QueueForecast,
    intake: Intake,
) -> TrainingService:
    database, gpus, root, execution = needs.database, needs.gpus, needs.root, parts.execution
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
        LostOutput(execution.executor, root),
        needs.quotas,
        database.require_files,
        exports,
        orders,
        forecast,
        intake,
        TrainingSampleStore(database).find_trigger,
        EnergyBook(EnergyStore(database), needs.config.price_per_kwh, needs.config.price_currency),
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
