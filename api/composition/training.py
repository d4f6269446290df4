"""Build the parts of trainings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.alerts.records.channel_store import ChannelStore
from api.composition.execution import (
    AttemptParts,
    Execution,
    TrainingDependencies,
    build_attempt_parts,
    build_loop,
    build_queue,
    build_reconciler,
    choose_execution,
    hang_limits,
)
from api.composition.sampling import (
    CheckedSamples,
    SampleServices,
    build_automatic_samples,
    build_rendering,
    build_samples,
    sampler_settings,
)
from api.config import Config, ConfigError, cache_roots, tracker_environment
from api.db.database import Database
from api.domain.tasks.retention import RetentionRule
from api.domain.tasks.task import TaskType
from api.executors.executor import Executor, NodeState
from api.files.task_files import TaskStorage
from api.gpus.power.energy import EnergyBook, EnergyMeter, EnergyStore
from api.gpus.power.service import PowerLimits
from api.gpus.power.store import PowerLimitStore
from api.gpus.sharing.neighbour import Neighbour
from api.gpus.sources import host
from api.jobs.kinds import EXPORTS
from api.samples.automatic import AutomaticSamples
from api.samples.links.training_links import ComfyModels, LinkedModels
from api.samples.service import TrainingSamples
from api.samples.sets.service import SampleSetService, WorkflowService
from api.samples.sets.store import SampleSetStore, WorkflowStore
from api.training.after_end import AfterEnd
from api.training.attempts.checks import AttemptChecks
from api.training.attempts.ending import AttemptEnding
from api.training.attempts.export_delivery import ExportDelivery
from api.training.attempts.orphans import Orphans
from api.training.attempts.stop_delivery import AttemptStopping
from api.training.attempts.watch.watches import Watches
from api.training.capacity_check import CapacityCheck
from api.training.changes import TrainingChanges
from api.training.check import OptionsCheck, RequestChecker
from api.training.cluster import ClusterNodes
from api.training.comparison.service import TrainingComparison
from api.training.details import TaskLists, TrainingDetails, TrainingPages
from api.training.intake import Intake
from api.training.measured_memory import MemoryRunStore
from api.training.output.checkpoint_saving import CheckpointSaving
from api.training.output.exports import Exports
from api.training.output.follow_up_tasks import FollowUpTasks
from api.training.output.trainer_exports import TrainerExports
from api.training.output.training_files import TrainingFiles
from api.training.output.written import TrainingOutput
from api.training.queue.closures import Closures
from api.training.queue.dispatcher import Dispatcher
from api.training.queue.holds import Holds
from api.training.queue.loop import TrainingLoop
from api.training.queue.making_room import MakingRoom
from api.training.queue.neighbour_rule import Neighbours
from api.training.queue.planner import PassPlanner
from api.training.queue.quotas import Quotas
from api.training.records.attempt_store import AttemptStore, TaskStores
from api.training.records.automatic_sample_store import SampleOrderStore
from api.training.records.orphan_store import OrphanStore
from api.training.records.sample_store import TrainingSampleStore
from api.training.records.task_store import TaskStore
from api.training.retention.rehearsal_files import RehearsalFiles
from api.training.retention.service import Retention
from api.training.retention.store import RetentionStore
from api.training.schedule.service import ScheduleService
from api.training.service import TrainingService
from api.training.stops import TaskStops, TrainingStops
from api.training.sweeps.rule import SweepRule
from api.training.sweeps.service import Sweeps
from api.training.sweeps.store import SweepStore
from api.training.task_answers import LostOutput, ProgressAnswers, TaskOwners
from api.training.task_resources import TaskResources
from api.training.trackers.sender import TrackerSender
from api.training.trackers.store import TrackerStore
from api.training.trackers.tracker_process import TrackerProcess
from api.util.clock import Clock
from api.util.extras import describe_missing


@dataclass(frozen=True, slots=True)
class TrainingServices:
    """The services of trainings that routes call."""

    service: TrainingService
    lists: TrainingPages
    details: TrainingDetails
    changes: TrainingChanges
    stops: TrainingStops
    files: TrainingFiles
    saving: CheckpointSaving
    exports: Exports
    comparison: TrainingComparison
    sweeps: Sweeps
    retention: Retention
    orphans: Orphans
    holds: Holds
    schedule: ScheduleService


@dataclass(frozen=True, slots=True)
class TrainingParts:
    """The services of trainings and of their samples, and their loop."""

    services: TrainingServices
    samples: SampleServices
    progress: ProgressAnswers
    stops: TaskStops
    intake: Intake
    linked_models: LinkedModels
    automatic: AutomaticSamples
    trackers: tuple[TrackerSender, ...]
    planner: PassPlanner
    dispatcher: Dispatcher
    watches: Watches
    stopping: AttemptStopping
    checks: AttemptChecks
    loop: TrainingLoop
    output: TrainingOutput
    executor: Executor
    owners: TaskOwners
    closures: Closures
    neighbours: Neighbours
    power_limits: PowerLimits
    energy: EnergyMeter
    cluster: Callable[[], Sequence[NodeState]]  #: the machines as the cluster knows them; empty without one
    cluster_nodes: ClusterNodes | None  #: the cluster options of requests; None: trainings run on this machine


def build_training(
    needs: TrainingDependencies, executor: Executor | None = None, *, is_shared: bool = False
) -> TrainingParts:
    """Build every part once, without starting any. Without `executor` the setting EXECUTOR decides.

    `is_shared`: every server with this storage observes what the given executor runs.
    """
    tasks, attempts, gpus, clock = needs.tasks, needs.attempts, needs.gpus, needs.clock
    trainers, execution = needs.trainers_by_name(), choose_execution(needs, executor, is_shared)
    parts = build_attempt_parts(needs, trainers, execution)
    output, watches, stopping = parts.output, parts.watches, parts.stopping
    wake = lambda: loop.wake()  # noqa: E731, PLW0108 - the loop is built last
    queue = build_queue(needs, parts, wake)
    closures, dispatcher, forecast, intake = queue.closures, queue.dispatcher, queue.forecast, queue.intake
    # Otherwise removed files could count towards their owner's quota for a day.
    forget_files = (lambda task_id: None) if needs.quotas is None else needs.quotas.forget_files
    rehearsals = RehearsalFiles(needs.database, needs.root, forget_files)
    # Exports have no automatic samples.
    plain_checker = _build_checker(needs, parts, _build_options_check(needs, execution))
    exports = _build_exports(needs, output, plain_checker, intake, dispatcher)
    linked = LinkedModels(sampler_settings(needs.config).addresses(0), needs.root, needs.database.require_files)
    retention = Retention(
        RetentionStore(needs.database),
        output,
        clock,
        retention_default(needs.config),
        forget_files,
        linked.remove_soon,
    )
    samples, rendering = build_samples(needs), build_rendering(needs, intake, exports)
    workflows = WorkflowService(WorkflowStore(needs.database), clock)
    sets = SampleSetService(SampleSetStore(needs.database), workflows, clock)
    ending = _build_ending(needs, exports, samples, rehearsals, retention)
    has_own_pids = host.has_own_pid_namespace()
    checks = AttemptChecks(tasks, attempts, gpus, clock, hang_limits(needs.config), has_own_pids, retention.apply)
    reconciler = build_reconciler(needs, parts, ending, checks)
    orphan_store = OrphanStore(needs.database)
    orphans = Orphans(orphan_store, execution.executor, output, gpus, needs.events, stopping, clock)
    sweep_store = SweepStore(needs.database)
    rule = SweepRule(sweep_store, attempts, clock, wake)
    making_room = MakingRoom(tasks, attempts, gpus, closures, clock)
    neighbours = _build_neighbours(needs, closures, dispatcher, wake)
    beside = (rehearsals.thread, rule.thread, retention.thread, neighbours)
    loop: TrainingLoop = build_loop(
        needs,
        parts,
        reconciler,
        dispatcher,
        orphans,
        making_room,
        closures,
        beside,
    )
    # The tasks that training requests may name; tasks of other kinds have services of their own.
    shown = (TaskType.TRAINING, TaskType.CACHE, TaskType.EXPORT, TaskType.REHEARSAL, TaskType.SAMPLE)
    shown_stores = TaskStores.of(needs.database, *shown)
    trainings = shown_stores.tasks
    orders, chosen = SampleOrderStore(needs.database), CheckedSamples(sets, rendering)
    options = _build_options_check(needs, execution, chosen)
    checker = _build_checker(needs, parts, options)
    lost = LostOutput(execution.executor, needs.root)
    progress = ProgressAnswers(attempts, dispatcher, forecast, watches, stopping, lost, clock)
    shown_progress = ProgressAnswers(shown_stores.attempts, dispatcher, forecast, watches, stopping, lost, clock)
    energy = EnergyBook(EnergyStore(needs.database), needs.config.price_per_kwh, needs.config.price_currency)
    details = TrainingDetails(shown_stores, orders, output, shown_progress, gpus, energy, clock)
    lists = TrainingPages(trainings, TaskLists(trainings, needs.quotas), gpus, shown_progress, forecast, energy)
    find_trigger = TrainingSampleStore(needs.database).find_trigger
    files = TrainingFiles(trainings, output, exports, clock, find_trigger, forget_files, linked.remove_soon)
    own_stops = TaskStops(shown_stores, shown_progress, stopping, clock, wake)
    compared = AttemptStore(needs.database, TaskType.TRAINING)
    slurm = execution.slurm
    links = ComfyModels(
        files,
        samples,
        linked,
        lambda task_id, name, file, is_linked, actor: trainings.record_link(
            task_id, name, file, is_linked, clock.now(), actor
        ),
    )
    services = TrainingServices(
        service=TrainingService(trainings, checker, intake, output, details, clock),
        lists=lists,
        details=details,
        changes=TrainingChanges(trainings, options, output, forecast, details, clock, wake),
        stops=TrainingStops(trainings, own_stops, exports, details),
        files=files,
        saving=CheckpointSaving(details, shown_stores, trainers, clock),
        exports=exports,
        comparison=TrainingComparison(compared, progress, samples, gpus, clock, needs.database.require_files),
        sweeps=Sweeps(sweep_store, lists, checker, intake, clock, needs.storage, wake),
        retention=retention,
        orphans=orphans,
        holds=Holds(
            queue.holds, gpus, clock, loop.wake, lambda task_id: attempts.stop_seconds(tasks.get_summary(task_id))
        ),
        schedule=ScheduleService(queue.schedules, gpus, clock, loop.wake),
    )
    return TrainingParts(
        services=services,
        samples=SampleServices(samples, rendering, links, sets, workflows),
        progress=progress,
        stops=TaskStops(needs.stores, progress, stopping, clock, wake),
        intake=intake,
        linked_models=linked,
        automatic=build_automatic_samples(needs, orders, rendering, lambda: loop.is_here),
        trackers=_build_trackers(needs, lambda: loop.is_here),
        planner=queue.planner,
        dispatcher=dispatcher,
        watches=watches,
        stopping=stopping,
        checks=checks,
        loop=loop,
        output=output,
        executor=execution.executor,
        owners=TaskOwners(tasks, watches),
        closures=closures,
        neighbours=neighbours,
        power_limits=PowerLimits(PowerLimitStore(needs.database), gpus, clock),
        energy=EnergyMeter(EnergyStore(needs.database), gpus, clock),
        cluster=tuple if slurm is None else slurm.executor.known_nodes,
        cluster_nodes=None if slurm is None else slurm.cluster_nodes,
    )


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


def _build_neighbours(
    needs: TrainingDependencies, closures: Closures, dispatcher: Dispatcher, wake: Callable[[], None]
) -> Neighbours:
    config, clock, short = needs.config, needs.clock, lambda: dispatcher.reasons.short
    return Neighbours(_open_neighbours(config), needs.gpus, closures, short, clock, config.neighbour_idle_minutes, wake)


def _open_neighbours(config: Config) -> list[Neighbour]:
    comfy = [url for url in config.comfyui_url.split(",") if url and host.is_here(url)]
    ollama = [url for url in (config.ollama_url,) if url and host.is_here(url)]
    if not comfy and not ollama:
        return []
    # httpx takes 6 MB and 30 ms, which most servers would spend for nothing.
    from api.gpus.sharing.neighbour_clients import ComfyNeighbour, OllamaNeighbour  # noqa: PLC0415

    return [*map(ComfyNeighbour, comfy), *map(OllamaNeighbour, ollama)]


def _build_options_check(
    needs: TrainingDependencies, execution: Execution, samples: CheckedSamples | None = None
) -> OptionsCheck:
    roots = cache_roots(needs.config, execution.environment)
    return OptionsCheck(roots, ChannelStore(needs.database).names, samples)


def _build_checker(needs: TrainingDependencies, parts: AttemptParts, options: OptionsCheck) -> RequestChecker:
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
