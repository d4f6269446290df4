"""The parts that trainings need, put together; a part of the composition root."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from api.config import Config, cache_roots, child_environment
from api.executors.executor import Executor
from api.executors.local import LocalExecutor
from api.executors.trainer_user import TrainerUser
from api.hardware import host
from api.models.task import TaskType
from api.services.attempts.checks import AttemptChecks
from api.services.attempts.ending import AttemptEnding
from api.services.attempts.hangs import HangLimits
from api.services.attempts.harvest import Harvester
from api.services.attempts.reconciler import Reconciler, StopTimes
from api.services.attempts.starter import AttemptStarter
from api.services.attempts.stop_wishes import StopWishes
from api.services.attempts.strays import Strays
from api.services.attempts.unwatched_attempts import UnwatchedAttempts
from api.services.attempts.updates import TrainingNews
from api.services.datasets.references import DatasetReferences
from api.services.gpus.events import GPUEvents
from api.services.gpus.offers import list_pids, name_gpus
from api.services.gpus.service import GPUService
from api.services.logs.lost_output import LostOutput
from api.services.server_identity import ServerIdentity
from api.services.training.cache_use import CacheUse
from api.services.training.checkpoint_saving import CheckpointSaving
from api.services.training.dispatcher import Dispatcher
from api.services.training.forecast import QueueForecast
from api.services.training.holds import Holds
from api.services.training.intake import Intake
from api.services.training.loop import TrainingLoop
from api.services.training.owners import TaskOwners
from api.services.training.quotas import Quotas
from api.services.training.request_check import RequestChecker
from api.services.training.service import TrainingService
from api.services.training.task_progress import ProgressAnswers
from api.services.training.task_stops import TaskStops
from api.storage.attempts import AttemptStore
from api.storage.channels import ChannelStore
from api.storage.database import Database
from api.storage.disk import DiskReserve
from api.storage.file_lock import FileLock
from api.storage.holds import HoldStore
from api.storage.leadership import Leaders, Leadership
from api.storage.strays import StrayStore
from api.storage.tasks import TaskStore
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.toy.trainer import Toy
from api.trainers.trainer import Trainer
from api.utils.clock import Clock


@dataclass(frozen=True, slots=True)
class TrainingParts:
    """The use cases, the loop behind them, and the trainers by name."""

    service: TrainingService
    saving: CheckpointSaving
    progress: ProgressAnswers
    stops: TaskStops
    intake: Intake
    dispatcher: Dispatcher
    loop: TrainingLoop
    strays: Strays
    trainers: Mapping[str, Trainer]
    executor: Executor
    owners: TaskOwners
    holds: Holds
    is_watched_here: Callable[[str], bool]  #: whether this server watches the attempt of a task


@dataclass(frozen=True, slots=True)
class TaskKinds:
    """Tasks of other kinds than trainings: who executes them, and who takes up what they have made."""

    trainers: tuple[Trainer, ...] = ()
    harvesters: Mapping[TaskType, Harvester] = field(default_factory=dict)

    def with_trainers(self, *trainers: Trainer) -> "TaskKinds":
        """These kinds and more, whose results nobody takes up."""
        return replace(self, trainers=(*self.trainers, *trainers))


def build_trainers(config: Config) -> tuple[Trainer, ...]:
    """Those that train."""
    real = DiffusionPipe(
        config.diffusion_pipe_root,
        config.diffusion_pipe_python,
        allow_pickled_weights=config.allow_pickled_weights,
    )
    return real, Toy(sys.executable)


def build_training(
    config: Config,
    tasks: TaskStore,
    attempts: AttemptStore,
    gpus: GPUService,
    clock: Clock,
    node: str,
    news: TrainingNews,
    reserve: DiskReserve,
    executor: Executor | None = None,
    trainer_user: TrainerUser | None = None,
    *,
    database: Database,
    events: GPUEvents,
    quotas: Quotas | None = None,
    datasets: DatasetReferences | None = None,
    kinds: TaskKinds | None = None,
    known: tuple[Trainer, ...] = (),
    caches: CacheUse | None = None,
) -> TrainingParts:
    """Builds every part once; starts nothing. Unless an executor is given, attempts run on this machine. Without
    `quotas` tasks belong to nobody. `kinds` are those of tasks besides trainings; `known` the trainers.
    """
    kinds = kinds or TaskKinds()
    root = config.storage_root.absolute()
    trainers = {trainer.name: trainer for trainer in (*(known or build_trainers(config)), *kinds.trainers)}
    environment = child_environment()
    own = {name: environment[name] for name in ("LD_LIBRARY_PATH",) if name in environment}
    if trainer_user is not None:
        environment |= trainer_user.environment(root / "caches")
    executor = executor or LocalExecutor(
        sys.executable,
        node,
        own,
        pids_by_gpu=lambda: list_pids(gpus.state, host.has_own_pid_namespace()),
        trainer_user=trainer_user,
    )
    starter = AttemptStarter(
        executor, root, environment, config.log_max_bytes, lambda uuids: name_gpus(gpus.state, uuids), datasets
    )
    stop_times = StopTimes(config.stop_checkpoint_seconds, config.stop_terminate_seconds)
    wishes = StopWishes(reserve)
    reconciler = Reconciler(
        tasks,
        attempts,
        starter,
        executor,
        trainers,
        AttemptChecks(tasks, attempts, gpus, clock, HangLimits(config.hang_step_seconds, config.hang_quiet_seconds)),
        AttemptEnding(tasks, attempts, gpus, starter, executor, clock, node, root, kinds.harvesters),
        clock,
        node,
        root,
        stop_times,
        news,
        wishes,
    )
    found = Strays(StrayStore(database), executor, trainers, gpus, events, clock, node, root, stop_times)
    dispatcher = Dispatcher(
        tasks,
        attempts,
        gpus,
        trainers,
        executor,
        clock,
        root,
        node=node,
        max_concurrent=config.max_concurrent_tasks,
        parallel=config.preprocess_parallel or max(1, (os.cpu_count() or 1) // 2),
        min_free_mb=config.min_free_disk_mb,
        quotas=quotas,
        holds=HoldStore(database),
    )
    unwatched = UnwatchedAttempts(tasks, attempts, Leaders(database), clock, node, root)
    lock = FileLock(root / "trainings.lock")
    watching, leading = _build_leaderships(database, ServerIdentity.own(node, root), lock, clock)
    loop = TrainingLoop(reconciler, dispatcher, found, unwatched, attempts.has_work, watching, leading, lock)
    checker = RequestChecker(
        trainers,
        gpus,
        attempts,
        root,
        config.min_free_disk_mb,
        cache_roots(config, environment),
        datasets,
        ChannelStore(database).names,
        caches,
    )
    trainings = TaskStore(database, TaskType.TRAINING, TaskType.CACHE)
    own_attempts = AttemptStore(database, TaskType.TRAINING, TaskType.CACHE)
    service = TrainingService(
        trainings,
        own_attempts,
        checker,
        dispatcher,
        reconciler,
        trainers,
        gpus,
        clock,
        root,
        loop.wake,
        wishes,
        LostOutput(executor, root),
        quotas,
    )
    saving = CheckpointSaving(service, trainings, own_attempts, trainers, clock)
    progress = ProgressAnswers(attempts, dispatcher, reconciler, clock)
    stops = TaskStops(tasks, attempts, progress, reconciler, clock, wishes, loop.wake)
    owners = TaskOwners(tasks, reconciler.find_watch)
    intake = Intake(tasks, dispatcher, gpus, QueueForecast(tasks, gpus, clock, quotas), clock, quotas)
    holds = Holds(HoldStore(database), gpus, clock, loop.wake)
    return TrainingParts(
        service,
        saving,
        progress,
        stops,
        intake,
        dispatcher,
        loop,
        found,
        trainers,
        executor,
        owners,
        holds,
        lambda task_id: reconciler.find_watch(task_id) is not None,
    )


def _build_leaderships(
    database: Database, own: ServerIdentity, lock: FileLock, clock: Clock
) -> tuple[Leadership, Leadership]:
    """Who leads over the attempts of this machine and storage, and over the queue of all servers on the database."""

    def name() -> str:
        return own.as_leader(_has(lock))

    def is_gone(holder: str) -> bool:
        return own.knows_gone(holder, lambda: _has(lock))

    watching, leading = (Leadership(database, scope, name, clock, is_gone) for scope in (own.scope, "queue"))
    return watching, leading


def _has(lock: FileLock) -> bool:
    """Whether this process has the lock; False on a file system without locks, where nobody can tell."""
    try:
        return lock.acquire()
    except OSError:
        return False
