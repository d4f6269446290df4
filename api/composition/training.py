"""Build the parts of trainings."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from api.domain.training import TrainingRequest
from api.errors import Finding
from api.executors.executor import Executor, NodeState
from api.executors.local import LocalExecutor
from api.executors.trainer_user import TrainerUser
from api.files.disk import DiskReserve
from api.files.media.decoder import MediaDecoder
from api.files.task_files import TaskStorage
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
from api.training.after_end import AfterEnd
from api.training.attempt_store import AttemptStore, ObservedAttempts, TaskStores
from api.training.attempts.checks import AttemptChecks, HangLimits
from api.training.attempts.draining import GPUDraining
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.export_delivery import ExportDelivery
from api.training.attempts.follower import AttemptFollower
from api.training.attempts.orphans import Orphans
from api.training.attempts.preparation import AttemptPreparation, ProcessSettings
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.starter import AttemptStarter
from api.training.attempts.stopping import AttemptStopping, PendingStops, StopTimes
from api.training.attempts.task_results import TaskResultRecorder
from api.training.attempts.unwatched_attempts import UnwatchedAttempts
from api.training.attempts.updates import TrainingNews
from api.training.attempts.watches import Watches
from api.training.automatic_samples import AutomaticSamples
from api.training.capacity_check import CapacityCheck
from api.training.changes import TrainingChanges
from api.training.checkpoint_saving import CheckpointSaving
from api.training.claims import AttemptClaims
from api.training.closures import Closures, NeighbourRule
from api.training.cluster import ClusterNodes
from api.training.comfyui_links import ComfyModels
from api.training.comparison import TrainingComparison
from api.training.dataset_use import CacheUse
from api.training.details import TaskLists, TrainingDetails, TrainingPages
from api.training.dispatcher import Dispatcher
from api.training.energy import EnergyBook, EnergyMeter, EnergyStore
from api.training.exports import Exports
from api.training.follow_up_tasks import FollowUpTasks
from api.training.forecast import QueueForecast
from api.training.holds import Holds
from api.training.intake import Intake
from api.training.loop import Leaderships, ThreadOwner, TrainingLoop
from api.training.making_room import MakingRoom
from api.training.measured_memory import MemoryRunStore
from api.training.neighbours import Neighbours
from api.training.orphan_store import OrphanStore
from api.training.output import TrainingOutput
from api.training.planner import PassPlanner, PlacementRules
from api.training.power_limit_store import PowerLimitStore
from api.training.power_limits import PowerLimits
from api.training.preemption import Preemption
from api.training.quotas import Quotas
from api.training.rehearsal_files import RehearsalFiles
from api.training.request_check import OptionsCheck, RequestChecker
from api.training.retention import Retention
from api.training.retention_store import RetentionStore
from api.training.sample_orders import SampleOrderStore
from api.training.sample_rendering import SampleRendering, SamplerSettings
from api.training.sample_store import TrainingSampleStore
from api.training.samples import TrainingSamples
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
from api.training.task_stops import TaskStops, TrainingStops
from api.training.trackers.sender import TrackerSender
from api.training.trackers.store import TrackerStore
from api.training.trackers.tracker import TrackerProcess
from api.training.trainer_exports import TrainerExports
from api.training.training_files import TrainingFiles
from api.training.window import ClusterWindow
from api.util.clock import Clock
from api.util.extras import describe_missing
from api.util.periodic import PeriodicThread

#: Interval of polls of a cluster in seconds, in addition to those of attempts.
POLL_SECONDS = 2.0


def slot_limits(config: Config) -> SlotLimits:
    """Return the limits of dataset work and of transfers."""
    working = config.preprocess_parallel or max(1, (os.cpu_count() or 1) // 2)
    return SlotLimits(working, config.transfers_parallel, config.hf_endpoint, config.comfyui_gpus)


@dataclass(frozen=True, slots=True)
class TrainingParts:
    """The services of trainings, and their loop."""

    service: TrainingService
    details: TrainingDetails
    pages: TrainingPages
    changes: TrainingChanges
    files: TrainingFiles
    training_stops: TrainingStops
    saving: CheckpointSaving
    progress: ProgressAnswers
    stops: TaskStops
    intake: Intake
    exports: Exports
    samples: TrainingSamples
    rendering: SampleRendering
    comfyui_links: ComfyModels
    automatic: AutomaticSamples
    trackers: tuple[TrackerSender, ...]
    sample_sets: SampleSetService
    workflows: WorkflowService
    comparison: TrainingComparison
    sweeps: Sweeps
    retention: Retention
    planner: PassPlanner
    dispatcher: Dispatcher
    watches: Watches
    stopping: AttemptStopping
    checks: AttemptChecks
    loop: TrainingLoop
    orphans: Orphans
    output: TrainingOutput
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

    execution: _Execution
    output: TrainingOutput
    observed: ObservedAttempts
    watches: Watches
    stopping: AttemptStopping


@dataclass(frozen=True, slots=True)
class _Queue:
    """The queue, and what decides when its tasks start."""

    holds: HoldStore
    schedules: ScheduleStore
    closures: Closures
    planner: PassPlanner
    dispatcher: Dispatcher
    forecast: QueueForecast
    intake: Intake


def build_training(
    needs: TrainingDependencies, executor: Executor | None = None, *, is_shared: bool = False
) -> TrainingParts:
    """Build every part once, without starting any. Without `executor` the setting EXECUTOR decides.

    `is_shared`: every server with this storage observes what the given executor runs.
    """
    tasks, attempts, gpus, clock = needs.tasks, needs.attempts, needs.gpus, needs.clock
    trainers, execution = needs.trainers_by_name(), _choose_execution(needs, executor, is_shared)
    parts = _build_parts(needs, trainers, execution)
    output, watches, stopping = parts.output, parts.watches, parts.stopping
    wake = lambda: loop.wake()  # noqa: E731, PLW0108 - the loop is built last
    queue = _build_queue(needs, parts, wake)
    closures, dispatcher, forecast, intake = queue.closures, queue.dispatcher, queue.forecast, queue.intake
    # Otherwise removed files could count towards their owner's quota for a day.
    forget_files = (lambda task_id: None) if needs.quotas is None else needs.quotas.forget_files
    rehearsals = RehearsalFiles(needs.database, needs.root, forget_files)
    # Exports have no automatic samples.
    plain_checker = _build_checker(needs, parts, _build_options_check(needs, execution))
    exports = _build_exports(needs, output, plain_checker, intake, dispatcher)
    retention = Retention(
        RetentionStore(needs.database),
        trainers,
        needs.root,
        clock,
        retention_default(needs.config),
        needs.database.require_files,
        forget_files,
    )
    samples, rendering = _build_samples(needs), _build_rendering(needs, intake, exports)
    workflows = WorkflowService(WorkflowStore(needs.database), clock)
    sets = SampleSetService(SampleSetStore(needs.database), workflows, clock)
    ending = _build_ending(needs, exports, samples, rehearsals, retention)
    has_own_pids = host.has_own_pid_namespace()
    checks = AttemptChecks(tasks, attempts, gpus, clock, hang_limits(needs.config), has_own_pids, retention.apply)
    reconciler = _build_reconciler(needs, parts, ending, checks)
    orphan_store = OrphanStore(needs.database)
    orphans = Orphans(orphan_store, execution.executor, output, gpus, needs.events, stopping, clock)
    sweep_store = SweepStore(needs.database)
    rule = SweepRule(sweep_store, attempts, clock, wake)
    making_room = MakingRoom(tasks, attempts, gpus, closures, clock)
    neighbours = _build_neighbours(needs, closures, dispatcher, wake)
    loop: TrainingLoop = _build_loop(
        needs, parts, reconciler, dispatcher, orphans, making_room, (rehearsals, rule, retention, neighbours)
    )
    # The tasks that training requests may name; tasks of other kinds have services of their own.
    shown = (TaskType.TRAINING, TaskType.CACHE, TaskType.EXPORT, TaskType.REHEARSAL, TaskType.SAMPLE)
    shown_stores = TaskStores.of(needs.database, *shown)
    trainings = shown_stores.tasks
    orders, chosen = SampleOrderStore(needs.database), _Samples(sets, rendering)
    options = _build_options_check(needs, execution, chosen)
    checker = _build_checker(needs, parts, options)
    lost = LostOutput(execution.executor, needs.root)
    progress = ProgressAnswers(attempts, dispatcher, forecast, watches, stopping, lost, clock)
    shown_progress = ProgressAnswers(shown_stores.attempts, dispatcher, forecast, watches, stopping, lost, clock)
    energy = EnergyBook(EnergyStore(needs.database), needs.config.price_per_kwh, needs.config.price_currency)
    details = TrainingDetails(shown_stores, orders, output, shown_progress, gpus, energy, clock)
    lists = TrainingPages(trainings, TaskLists(trainings, needs.quotas), gpus, shown_progress, forecast, energy)
    find_trigger = TrainingSampleStore(needs.database).find_trigger
    files = TrainingFiles(trainings, output, exports, clock, find_trigger, forget_files)
    own_stops = TaskStops(shown_stores, shown_progress, stopping, clock, wake)
    compared = AttemptStore(needs.database, TaskType.TRAINING)
    slurm = execution.slurm
    return TrainingParts(
        service=TrainingService(trainings, checker, intake, output, details, clock),
        details=details,
        pages=lists,
        changes=TrainingChanges(trainings, options, output, forecast, details, clock, wake),
        files=files,
        training_stops=TrainingStops(trainings, own_stops, exports, details),
        saving=CheckpointSaving(details, shown_stores, trainers, clock),
        progress=progress,
        stops=TaskStops(needs.stores, progress, stopping, clock, wake),
        intake=intake,
        exports=exports,
        samples=samples,
        rendering=rendering,
        comfyui_links=ComfyModels(
            files,
            samples,
            _sampler_settings(needs.config).addresses(0),
            lambda task_id, name, file, is_linked, actor: trainings.note_link(
                task_id, name, file, is_linked, clock.now(), actor
            ),
        ),
        automatic=_build_automatic_samples(needs, orders, rendering, lambda: loop.is_here),
        trackers=_build_trackers(needs, lambda: loop.is_here),
        sample_sets=sets,
        workflows=workflows,
        comparison=TrainingComparison(compared, progress, samples, gpus, clock, needs.database.require_files),
        sweeps=Sweeps(sweep_store, lists, checker, intake, clock, needs.storage, wake),
        retention=retention,
        planner=queue.planner,
        dispatcher=dispatcher,
        watches=watches,
        stopping=stopping,
        checks=checks,
        loop=loop,
        orphans=orphans,
        output=output,
        executor=execution.executor,
        owners=TaskOwners(tasks, watches),
        holds=Holds(
            queue.holds, gpus, clock, loop.wake, lambda task_id: attempts.stop_seconds(tasks.get_summary(task_id))
        ),
        closures=closures,
        neighbours=neighbours,
        schedule=ScheduleService(queue.schedules, gpus, clock, loop.wake),
        power_limits=PowerLimits(PowerLimitStore(needs.database), gpus, clock),
        energy=EnergyMeter(EnergyStore(needs.database), gpus, clock),
        cluster=tuple if slurm is None else slurm.executor.known_nodes,
        cluster_nodes=None if slurm is None else slurm.cluster_nodes,
    )


def _build_parts(needs: TrainingDependencies, trainers: Mapping[str, Trainer], execution: _Execution) -> _Parts:
    watches = Watches(needs.tasks, trainers, execution.executor, needs.news, needs.clock)
    pending, times = PendingStops(needs.reserve), stop_times(needs.config)
    stopping = AttemptStopping(needs.tasks, execution.executor, watches, pending, times, needs.clock)
    # Every server observes what a cluster runs.
    observed = ObservedAttempts(needs.attempts, None if execution.is_shared else needs.node, needs.root)
    return _Parts(execution, TrainingOutput(needs.storage, trainers), observed, watches, stopping)


def _build_queue(needs: TrainingDependencies, parts: _Parts, wake: Callable[[], None]) -> _Queue:
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
    forecast = QueueForecast(needs.tasks, gpus, closures, clock, needs.quotas)
    intake = Intake(needs.tasks, dispatcher, gpus, forecast, clock, needs.quotas, wake)
    return _Queue(holds, schedules, closures, planner, dispatcher, forecast, intake)


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


def _build_ending(
    needs: TrainingDependencies,
    exports: Exports,
    samples: TrainingSamples,
    rehearsals: RehearsalFiles,
    retention: Retention,
) -> AttemptEnding:
    recorders = {**needs.kinds.recorders, TaskType.EXPORT: ExportDelivery(needs.root)}
    after_end = AfterEnd(needs.tasks, exports, samples, rehearsals, retention)
    return AttemptEnding(needs.stores, needs.gpus, needs.storage, recorders, after_end, needs.clock)


def _build_preparation(needs: TrainingDependencies, execution: _Execution) -> AttemptPreparation:
    gpus, group = needs.gpus, None if needs.trainer_user is None else needs.trainer_user.gid
    settings = ProcessSettings(execution.environment, execution.own_environment, needs.config.log_max_bytes, group)
    name = lambda uuids: name_gpus(gpus.state, uuids)  # noqa: E731
    return AttemptPreparation(needs.storage, settings, name, needs.datasets, needs.paths)


def _build_reconciler(
    needs: TrainingDependencies, parts: _Parts, ending: AttemptEnding, checks: AttemptChecks
) -> Reconciler:
    stores, gpus, clock, watches, stopping = needs.stores, needs.gpus, needs.clock, parts.watches, parts.stopping
    executor = parts.execution.executor
    preparation = _build_preparation(needs, parts.execution)
    starter = AttemptStarter(stores, preparation, executor, parts.output.trainers, watches, ending)
    note_location = ClusterLocations(needs.database, gpus, clock).record
    follower = AttemptFollower(stores, watches, checks, stopping, ending, clock, note_location)
    draining = GPUDraining(stores, gpus, executor, needs.storage, clock)
    return Reconciler(parts.observed, watches, starter, follower, stopping, draining, clock)


def _build_exports(
    needs: TrainingDependencies,
    output: TrainingOutput,
    checker: RequestChecker,
    intake: Intake,
    dispatcher: Dispatcher,
) -> Exports:
    database, clock = needs.database, needs.clock
    made = TaskStore(database, TaskType.EXPORT)
    return Exports(
        FollowUpTasks(TaskType.EXPORT, EXPORTS, made, intake, clock, needs.storage),
        TrainerExports(checker, intake, clock, needs.storage),
        made,
        TaskStore(database, TaskType.TRAINING, TaskType.CACHE),
        output,
        dispatcher,
        clock,
    )


def _build_samples(needs: TrainingDependencies) -> TrainingSamples:
    database, decoder = needs.database, needs.decoder or MediaDecoder(1)
    samplings, trainings = TaskStore(database, TaskType.SAMPLE), TaskStore(database, TaskType.TRAINING)
    return TrainingSamples(samplings, trainings, TrainingSampleStore(database), decoder, needs.storage, needs.clock)


def _build_rendering(needs: TrainingDependencies, intake: Intake, exports: Exports) -> SampleRendering:
    database, storage = needs.database, needs.storage
    made, trainings = TaskStore(database, TaskType.SAMPLE), TaskStore(database, TaskType.TRAINING)
    tasks = FollowUpTasks(TaskType.SAMPLE, SAMPLING, made, intake, needs.clock, storage)
    settings = _sampler_settings(needs.config)
    return SampleRendering(tasks, trainings, TrainingSampleStore(database), settings, exports, storage)


def _sampler_settings(config: Config) -> SamplerSettings:
    urls = tuple(config.comfyui_url.split(",")) if config.comfyui_url else ()
    loras = tuple(path.absolute() for path in config.comfyui_loras)
    return SamplerSettings(urls, loras, config.sample_command, config.comfyui_extensions, config.sample_seconds)


@dataclass(frozen=True, slots=True)
class _Samples:
    """Checks the automatic samples of requests, for the principal of the present request."""

    sets: SampleSetService
    rendering: SampleRendering

    def order(self, requested: RequestedSamples) -> SampleOrder:
        return self.sets.order(requested, current_principal.get())

    def find_problem(
        self, request: TrainingRequest, order: SampleOrder, datasets: Sequence[PinnedDataset]
    ) -> Finding | None:
        return self.rendering.find_problem(request, order, datasets)


def _build_automatic_samples(
    needs: TrainingDependencies, orders: SampleOrderStore, rendering: SampleRendering, is_here: Callable[[], bool]
) -> AutomaticSamples:
    settings = _sampler_settings(needs.config)
    return AutomaticSamples(
        orders,
        rendering,
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


def _build_planner(needs: TrainingDependencies, execution: _Execution, closures: Closures) -> PassPlanner:
    rules = PlacementRules(needs.config.max_concurrent_tasks, slot_limits(needs.config))
    if execution.slurm is not None:
        rules = replace(rules, nodes_of=execution.slurm.cluster_nodes.nodes_of)
    return PassPlanner(needs.stores, needs.gpus, closures, needs.storage, needs.clock, needs.quotas, rules)


def _build_neighbours(
    needs: TrainingDependencies, closures: Closures, dispatcher: Dispatcher, wake: Callable[[], None]
) -> Neighbours:
    config = needs.config
    comfy = [ComfyNeighbour(url) for url in config.comfyui_url.split(",") if url and is_here(url)]
    ollama = [OllamaNeighbour(config.ollama_url)] if config.ollama_url and is_here(config.ollama_url) else []
    given = (needs.gpus, closures, lambda: dispatcher.short, needs.clock, config.neighbour_idle_minutes, wake)
    return Neighbours([*comfy, *ollama], *given)


def _build_loop(
    needs: TrainingDependencies,
    parts: _Parts,
    reconciler: Reconciler,
    dispatcher: Dispatcher,
    orphans: Orphans,
    making_room: MakingRoom,
    beside: Sequence[ThreadOwner],
) -> TrainingLoop:
    database, clock, root, execution = needs.database, needs.clock, needs.root, parts.execution
    own_identity = ServerIdentity.own(needs.node, root)
    scope = own_identity.cluster_scope if execution.is_shared else own_identity.scope
    leaderships = _build_leaderships(database, own_identity, scope, FileLock(root / "trainings.lock"), clock)
    unwatched = UnwatchedAttempts(needs.tasks, parts.observed, Leaders(database), clock)
    if execution.slurm is not None:
        beside = (PeriodicThread("cluster", POLL_SECONDS, execution.slurm.executor.poll), *beside)
    return TrainingLoop(reconciler, dispatcher, orphans, unwatched, making_room, leaderships, beside)


def _build_options_check(
    needs: TrainingDependencies, execution: _Execution, samples: _Samples | None = None
) -> OptionsCheck:
    roots = cache_roots(needs.config, execution.environment)
    return OptionsCheck(roots, ChannelStore(needs.database).names, samples)


def _build_checker(needs: TrainingDependencies, parts: _Parts, options: OptionsCheck) -> RequestChecker:
    slurm = parts.execution.slurm
    capacity = CapacityCheck(needs.gpus, needs.storage, None if slurm is None else slurm.cluster_nodes)
    find_runs = MemoryRunStore(needs.database).find
    return RequestChecker(parts.output, capacity, options, needs.datasets, needs.caches, needs.paths, find_runs)


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
        clock,
        TaskStorage(config.storage_root.absolute(), config.min_free_disk_mb, database.require_files),
        quotas,
    )


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
