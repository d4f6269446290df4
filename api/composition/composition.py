"""The composition root: builds every part once, starts them, and stops them in reverse order."""

import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from api.alerts.records.channel_store import ChannelStore
from api.catalog.registry.store import RegistryStore
from api.catalog.transfers.download_allowances import find_downloaded, write_allowances
from api.composition.access import AccessParts, build_readable_paths
from api.composition.alerts import AlertParts, AlertSources
from api.composition.datasets import DatasetParts
from api.composition.execution import TrainingDependencies, build_trainers
from api.composition.fleet import build_nodes, build_servers
from api.composition.gpu_source import create_source
from api.composition.installation import build_installation_check, needs_of
from api.composition.library import DatasetMediaParts, Library, LibraryParts, WorkParts
from api.composition.live import Live, TaskSources
from api.composition.observability.process_metrics import ProcessMetrics
from api.composition.observability.tracing import Tracing
from api.composition.preprocessing import PreprocessingParts
from api.composition.roots import model_directories, models_root
from api.composition.run_time_settings import ChangeableParts, browse_roots, build_run_time_settings
from api.composition.services import GPUServices, NodeServices, Services, SystemServices
from api.composition.storage_root import name_machine, require_database, usable
from api.composition.training import build_training
from api.config import LOOPBACK_NAMES, Config, cache_roots, child_environment
from api.datasets.records.dataset_store import DatasetFilter, DatasetStore
from api.db.database import Database, sqlite_url
from api.domain.access.principal import Quota
from api.domain.access.read_scope import ReadScope
from api.domain.machines.gpu_event import GPUEvent
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus
from api.executors.attempt.log import LogWriter
from api.executors.executor import Executor
from api.executors.log_files import LogFiles
from api.executors.spec import LOG_SEGMENT_BYTES
from api.executors.trainer_user import TrainerUser, find_trainer_user
from api.files.disk import DiskReserve
from api.files.task_files import write_private
from api.gpus.documents import MetricsOptions
from api.gpus.fatal_xids import FatalXids
from api.gpus.health.events import GPUEvents
from api.gpus.health.xid_store import GPUXidStore
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.gpus.sources import host
from api.logs.server_log import ServerLog
from api.logs.service import LogService
from api.nodes.server_store import ServerStore
from api.nodes.store import NodeStore
from api.system.files_service import FileBrowser
from api.system.service import SystemService, TrainingSetup
from api.system.settings_service import RunTimeSettings
from api.system.setup_service import SetupService, SetupSources
from api.system.storage_watch import StorageWatch
from api.trainers.diffusion_pipe.trainer import DiffusionPipe
from api.trainers.trainer import Trainer
from api.training.attempts.watch.updates import NewsDesk
from api.training.output.storage_meter import StorageMeter
from api.training.queue.quotas import Quotas
from api.training.records.attempt_store import AttemptStore, TaskStores
from api.training.records.task_store import TaskStore
from api.training.records.usage_store import UsageStore
from api.util.clock import Clock, SystemClock
from api.util.http.pagination import PageRequest
from api.web.access_log import AccessLog, HTTPMetrics
from api.web.guard import HostPolicy, host_name
from api.web.idempotency import DatabaseIdempotencyStore
from api.web.operations import ResourceKind

logger = logging.getLogger(__name__)

#: Seconds that the start waits for the first sweep, so that the first response includes GPUs.
FIRST_SWEEP_SECONDS = 1.0


def prepare_trainer_user(config: Config) -> TrainerUser | None:
    """Return the user of trainings, or None without TRAINER_USER.

    Raises ConfigError if this process may not start programs as that user.
    """
    if not config.trainer_user:
        return None
    user = find_trainer_user(config.trainer_user)
    user.check()
    user.join_group()
    return user


def check_paths(user: TrainerUser, config: Config, database: Database) -> None:
    """Raise ConfigError if file permissions undo the separation of users; log paths that trainings cannot use."""
    closed = [path for path in (Path(".env"), config.admin_key_file) if path is not None]
    if database.is_sqlite and database.url.database is not None:
        closed.append(Path(database.url.database))
    user.check_paths(config.storage_root.absolute() / "tasks", closed)
    for what, path in _needed(user, config):
        if os.path.exists(path) and not user.may(what, path):
            verb = {"-w": "write to", "-r": "read", "-x": "execute"}[what]
            logger.warning("trainings run as %s, who cannot %s %s", user.name, verb, path)


def _needed(user: TrainerUser, config: Config) -> list[tuple[str, Path]]:
    environment = child_environment() | user.environment(config.storage_root.absolute() / "caches")
    needed = [("-w", path) for path in cache_roots(config, environment)]
    programs = [Path(sys.executable)]
    if config.diffusion_pipe_python is not None and "/" in config.diffusion_pipe_python:
        programs.append(Path(config.diffusion_pipe_python))
    needed += [("-x", program) for program in programs]
    if config.diffusion_pipe_root is not None:
        needed.append(("-r", config.diffusion_pipe_root / "train.py"))
    return needed


class Runtime:
    """The parts of one server. The constructor starts nothing."""

    def __init__(self, config: Config, clock: Clock | None = None, executor: Executor | None = None) -> None:
        """Raise ConfigError, DatabaseError or StorageError if a part cannot be built."""
        self.config = config
        self._clock = clock or SystemClock()
        self._root = config.storage_root.absolute()
        self._trainer_user = prepare_trainer_user(config)
        self._trainers_group = None if self._trainer_user is None else self._trainer_user.gid
        self._node = name_machine(self._root, config.node_name, self._trainer_user)
        self.tracing = Tracing(config, self._node.name)
        http_metrics = HTTPMetrics()
        self.server_log = _open_server_log(self._root / "server-log", config)
        self.access_log = AccessLog(http_metrics, config.log_level, config.logs_json, copy=self.server_log.write)
        self._open_database()
        process_metrics = ProcessMetrics(http_metrics, self.database, self._clock)
        self._build_gpus(process_metrics)
        self.quotas = self._create_quotas() if config.needs_keys else None
        trainers = diffusion_pipe, _ = build_trainers(config)
        self._build_datasets(trainers)
        # Set afterwards, because the media parts are built from the trainers.
        diffusion_pipe.examiner = self._media.by_path
        self.work = WorkParts(config, self.datasets, self._preprocessing, self._clock, self._wake_training)
        self.installation = build_installation_check(
            config, self._clock, lambda: needs_of(self._gpus.state), self._trainer_user
        )
        if config.trainer_check:
            diffusion_pipe.installation = self.installation
        self._build_training(trainers, executor)
        self.library = self._build_library()
        self._build_access()
        self._build_streams()
        self._build_system()
        self._build_alerts()
        process_metrics.add(self.live, self._system, self.alerts.exposition)
        self.settings = self._build_settings(diffusion_pipe)
        self.services = self._build_services()
        self.policy = HostPolicy(allowed_names(config), config.cors_origins)

    def _open_database(self) -> None:
        url = self.config.database_url or sqlite_url(self._root / "database.sqlite")
        self.database = Database(url, self._root, self.config.database_pool_size)
        if self._trainer_user is not None:
            check_paths(self._trainer_user, self.config, self.database)
        self._reserve = DiskReserve(self._root / "reserve")
        self.storage_watch = StorageWatch(self.database, self._reserve)
        self._paths = build_readable_paths(self.config, self.database, self._scope_of_owner)
        self._tasks, self._attempts = TaskStore(self.database), AttemptStore(self.database)

    def _build_gpus(self, process_metrics: ProcessMetrics) -> None:
        config, clock = self.config, self._clock
        self.source = create_source(config, clock)
        self._events = GPUEvents(self._publish_source_event)
        self._gpus = GPUService(
            self.source,
            DatabaseRegistrations(self.database, self._node.name, clock),
            clock,
            interval=config.gpu_monitor_interval,
            max_age=config.gpu_status_check_timeout,
            metrics=MetricsOptions(process_metrics.render, socket.gethostname() if config.dcgm_aliases else None),
            events=self._events,
        )
        self._fatal_xids = FatalXids(GPUXidStore(self.database), self._gpus)
        self.nodes = build_nodes(config, self.database, self._gpus, clock, self._node)
        self.servers = build_servers(config, self.database, clock, self._node)

    def _build_datasets(self, trainers: tuple[Trainer, ...]) -> None:
        config, database, clock, quotas, paths = self.config, self.database, self._clock, self.quotas, self._paths
        self.datasets = DatasetParts(config, database, clock, quotas, self._trainers_group, trainers, paths)
        self._media = DatasetMediaParts(database, clock, self.datasets, trainers, paths)
        self._preprocessing = PreprocessingParts(config, database, self.datasets, clock, quotas)

    def _build_training(self, trainers: tuple[Trainer, ...], executor: Executor | None) -> None:
        self._desk = NewsDesk()
        needs = TrainingDependencies(
            self.config,
            self.database,
            self._tasks,
            self._attempts,
            self._gpus,
            self._clock,
            self._node.name,
            self._desk,
            self._reserve,
            self._events,
            quotas=self.quotas,
            datasets=self.datasets.references,
            caches=self.datasets.caches,
            paths=self._paths,
            kinds=self.work.kinds,
            trainers=trainers,
            trainer_user=self._trainer_user,
            decoder=self._media.decoder,
        )
        self._training = build_training(needs, executor)
        self.training_loop = self._training.loop
        self.nodes.show_engine(self._training.cluster)

    def _build_library(self) -> Library:
        parts = LibraryParts(
            training=self._training,
            datasets=self.datasets,
            media=self._media,
            preprocessing=self._preprocessing,
            paths=self._paths,
        )
        return Library(self.config, self.database, parts, self._clock, self.quotas, self._trainers_group)

    def _build_access(self) -> None:
        owners = {
            ResourceKind.TASK: self._training.owners.of,
            ResourceKind.REGISTRATION: self._gpus.tasks.owner_of,
            ResourceKind.DATASET: self.datasets.service.owner_of,
            ResourceKind.MODEL: self.library.registry.service.owner_of,
        }
        usage_of = None if self.quotas is None else self.quotas.usage_of
        self.access = AccessParts(self.config, self.database, owners, self._clock, usage_of)

    def _build_streams(self) -> None:
        training, clock = self._training, self._clock
        stores = TaskStores(self._tasks, self._attempts)
        self._logs = LogService(stores, training.output, training.executor, self.server_log.source, clock)
        sources = TaskSources(
            desk=self._desk,
            progress=training.progress,
            logs=self._logs,
            is_loop_here=lambda: training.loop.is_here,
        )
        self.live: Live = Live(self.config, self.database, sources, clock, self.access.authority)
        self._gpus.subscribe(self.live.publish_snapshot)

    def _build_system(self) -> None:
        training = self._training
        self._system: SystemService = SystemService(
            self._gpus,
            training.services.lists,
            self._clock,
            self.config.storage_root,
            lambda: self.storage_watch.trouble,
            TrainingSetup(tuple(training.output.trainers.values()), training.cluster_nodes, self.installation),
        )
        self._gpus.subscribe(self._system.note_state)

    def _build_alerts(self) -> None:
        sources = AlertSources(
            gpus=self._gpus,
            watch=self.storage_watch,
            access=self.access,
            quotas=self.quotas,
            training=self._training,
            library=self.library,
        )
        self.alerts: AlertParts = AlertParts(
            self.config, self.database, self._node.name, self._clock, sources, self.live.broker.publish
        )

    def _build_settings(self, diffusion_pipe: DiffusionPipe) -> RunTimeSettings:
        parts = ChangeableParts(
            environment=self.config,
            database=self.database,
            paths=self._paths,
            diffusion_pipe=diffusion_pipe,
            installation=self.installation,
            datasets=self.datasets,
            library=self.library,
            training=self._training,
            alerts=self.alerts,
        )
        settings = build_run_time_settings(parts, self._clock)
        self.nodes.settings_for_nodes = settings.for_nodes
        return settings

    def _setup_sources(self) -> SetupSources:
        datasets, channels, access = self.datasets.store, ChannelStore(self.database), self.access
        trainings = TaskStore(self.database, TaskType.TRAINING)
        local = self.library.catalog.service.local
        return SetupSources(
            config=lambda: self.settings.current,
            settings=lambda: self.settings.list().settings,
            installation=lambda: self.installation.last,
            count_weights=lambda: len(local.scan().files),
            model_directories=lambda: model_directories(self.settings.current),
            count_datasets=lambda: datasets.page(DatasetFilter(), PageRequest(1)).pagination.total,
            has_read_data=trainings.has_read_data,
            count_completed=lambda: trainings.count_by_status(None).get(TaskStatus.COMPLETED, 0),
            channels=channels.names,
            count_keys=access.count_valid_keys,
            can_sign_in=access.oidc is not None,
        )

    def _build_idempotency(self) -> DatabaseIdempotencyStore:
        node = self._node.name
        owner = host.own_identity(node)
        return DatabaseIdempotencyStore(self.database, self._clock, owner, lambda other: host.is_alive(other, node))

    def _build_services(self) -> Services:
        return Services(
            training=self._training.services,
            samples=self._training.samples,
            gpus=GPUServices(self._gpus, self._training.power_limits),
            datasets=self.library.datasets,
            catalog=self.library.catalog,
            presets=self.library.presets,
            logs=self._logs,
            system=SystemServices(
                service=self._system,
                settings=self.settings,
                files=FileBrowser(self._paths, lambda is_admin: browse_roots(self.settings, is_admin), self._root),
                setup=SetupService(self._setup_sources(), self._clock),
            ),
            nodes=NodeServices(self.nodes, self.servers),
            access=self.access.services(),
            alerts=self.alerts.services(),
            idempotency=self._build_idempotency(),
            clock=self._clock,
        )

    def _create_quotas(self) -> Quotas:
        usage = UsageStore(self.database)
        datasets, models = DatasetStore(self.database), RegistryStore(self.database)
        meter = StorageMeter(
            usage.owned_tasks,
            self._root,
            self._clock,
            lambda: Counter(datasets.stored_by()) + Counter(models.stored_by()),
            partial(find_downloaded, self._root, models_root(self.config)),
        )
        quotas = Quotas(usage, self._quota_of, meter, self._clock)
        meter.on_measured = lambda: write_allowances(self._root, meter.active_downloads(), quotas.storage_left)
        return quotas

    def _quota_of(self, user_id: str) -> Quota:
        return self.access.ring.quota_of(user_id)

    def _scope_of_owner(self, owner: str | None) -> ReadScope:
        return self.access.authority.scope_of_owner(owner)

    def _wake_training(self) -> None:
        self.training_loop.wake()

    def _publish_source_event(self, event: GPUEvent) -> None:
        self.live.publish_source_event(event)

    def prepare(self) -> None:
        """Migrate the database to this version. Raises DatabaseError, StorageError."""
        if self.database.is_sqlite and self.database.url.database is not None:
            require_database(self._root, Path(self.database.url.database))
        self.database.migrate()
        NodeStore(self.database).register(self._node, self._root)
        self.settings.reread()
        if steady := ServerStore(self.database).last_steady(self._node.name):
            self._clock.steady.resume(steady)
        # Written last, after all data of the machine's former name has been renamed.
        if not self._node.is_known:
            # The file was written earlier if the disk is full today.
            with usable(self._root):
                write_private(self._root / "node", self._node.record, levels=0)

    def start(self) -> None:
        """Start every loop, and wait a moment for the first sweep."""
        self.tracing.start()
        self.server_log.start()
        self.access_log.start()
        self.storage_watch.start()
        self.access.start()
        self.settings.start()
        if self.quotas is not None:
            self.quotas.meter.start()
        self.installation.start()
        self._fatal_xids.start()
        self.services.gpus.service.start_monitoring()
        self.services.gpus.service.wait_for_first_sweep(FIRST_SWEEP_SECONDS)
        self.nodes.start()
        self.servers.start()
        self.live.start()
        self.work.recorder.start()
        self.training_loop.start()
        self._training.automatic.thread.start()
        self._training.linked_models.start()
        for sender in self._training.trackers:
            sender.start()
        self._training.power_limits.thread.start()
        self._training.energy.thread.start()
        self.library.start()
        self.alerts.start()

    def stop(self) -> None:
        """Stop every loop in reverse order. Trainings continue."""
        self.alerts.stop()
        self._training.energy.thread.stop()
        self._training.power_limits.thread.stop()
        for sender in self._training.trackers:
            sender.stop()
        self._training.linked_models.stop()
        self._training.automatic.thread.stop()
        self.training_loop.stop()
        self.work.recorder.stop()
        self.library.stop()
        self.live.stop()
        self.servers.stop()
        self.nodes.stop()
        self._fatal_xids.stop()
        self.installation.stop()
        self.services.gpus.service.stop_monitoring()
        if self.quotas is not None:
            self.quotas.meter.stop()
        self.settings.stop()
        self.access.stop()
        self.storage_watch.stop()
        self.access_log.stop()
        self.server_log.stop()
        self.database.close()
        self.tracing.stop()


def allowed_names(config: Config) -> Iterable[str]:
    """Return the accepted host names: loopback, the configured ones, and the machine's own unless bound to loopback."""
    names = {*LOOPBACK_NAMES, *(host_name(name) or name for name in config.allowed_hosts)}
    if not config.is_loopback:
        own = host.own_addresses() | {config.host.lower()}
        names.update(f"[{name}]" if ":" in name and not name.startswith("[") else name for name in own)
    return names


def _open_server_log(directory: Path, config: Config) -> ServerLog:
    """Open the server's own log, which has the format of a task's log, and therefore the same readers."""
    sink = LogWriter(str(directory), config.server_log_max_bytes, LOG_SEGMENT_BYTES)
    return ServerLog(LogFiles(directory), sink, config.logs_json)
