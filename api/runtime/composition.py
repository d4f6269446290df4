"""The composition root: builds every part once, starts them, stops them in reverse."""

import errno
import logging
import os
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from api.config import LOOPBACK_NAMES, Config, ConfigError
from api.executors.attempt.log import LogWriter
from api.executors.executor import Executor
from api.executors.log_files import LogFiles
from api.executors.spec import LOG_SEGMENT_BYTES
from api.executors.trainer_user import TrainerUser
from api.hardware import host
from api.hardware.auto import AutoSource
from api.hardware.boards import parse_boards
from api.hardware.nvml_library import library_is_absent
from api.hardware.simulated import SimulatedSource
from api.hardware.simulated_events import parse_events
from api.hardware.source import GPUSource
from api.models.access import Quota
from api.models.event import GPUEvent
from api.runtime.access import AccessParts
from api.runtime.alerts import AlertParts
from api.runtime.dataset_media import DatasetMediaParts
from api.runtime.datasets import DatasetParts
from api.runtime.live import Live
from api.runtime.measuring import create_registry, register_all, render
from api.runtime.models import (
    TRANSFERERS,
    RegistryParts,
    build_catalog,
    build_downloads,
    build_pushes,
    build_settings,
)
from api.runtime.preprocessing import PreprocessingParts
from api.runtime.tracing import Tracing
from api.runtime.trainer_user import check_places, prepare_trainer_user
from api.runtime.training import build_trainers, build_training
from api.runtime.uploads import UploadParts
from api.services.access.operations import Belonging
from api.services.attempts.updates import NewsDesk
from api.services.container import Services
from api.services.datasets.follow_up import UploadFollowUp
from api.services.gpus.events import GPUEvents
from api.services.gpus.service import GPUService
from api.services.logs.server_log import ServerLog
from api.services.logs.service import LogService
from api.services.storage_watch import StorageWatch
from api.services.system import SystemService
from api.services.training.quotas import Quotas
from api.services.training.storage_meter import StorageMeter
from api.shell.access_log import AccessLog, HTTPMetrics
from api.shell.guard import HostPolicy, host_name
from api.storage.attempts import AttemptStore
from api.storage.database import Database, sqlite_url
from api.storage.datasets import DatasetStore
from api.storage.disk import DiskReserve
from api.storage.kept_answers import DatabaseIdempotencyStore
from api.storage.nodes import Node, NodeStore, name_node
from api.storage.privacy import make_passable_storage, make_private_directory, tighten_sqlite
from api.storage.registrations import DatabaseRegistrations
from api.storage.registry import RegistryStore
from api.storage.task_files import write_private
from api.storage.tasks import TaskStore
from api.storage.usage import UsageStore
from api.utils.clock import Clock, SystemClock

logger = logging.getLogger(__name__)

#: Seconds that the start waits for the first sweep, so that the first answer is already about GPUs.
FIRST_SWEEP_SECONDS = 1.0


class StorageError(Exception):
    """STORAGE_ROOT cannot be used: why, and what to do."""


class Runtime:
    """The parts of one server. Building it starts nothing."""

    def __init__(self, config: Config, clock: Clock | None = None, executor: Executor | None = None) -> None:
        """Raises ConfigError, DatabaseError or StorageError when a part cannot be built."""
        self.config = config
        clock = clock or SystemClock()
        root = config.storage_root.absolute()
        trainer_user = prepare_trainer_user(config)
        self._node = _name_node(root, config.node_name, trainer_user)
        node = self._node.name
        self.tracing = Tracing(config, node)
        http_metrics = HTTPMetrics()
        self.server_log = _open_server_log(root / "server-log", config)
        self.access_log = AccessLog(http_metrics, config.log_level, config.logs_json, copy=self.server_log.write)
        url = config.database_url or sqlite_url(root / "database.sqlite")
        self.database = Database(url, root, config.database_pool_size)
        if trainer_user is not None:
            check_places(trainer_user, config, self.database)
        reserve = DiskReserve(root / "reserve")
        self.storage_watch = StorageWatch(self.database, reserve)
        tasks, attempts = TaskStore(self.database), AttemptStore(self.database)
        registry = create_registry(http_metrics, self.database, clock)
        self.source = create_source(config, clock)
        events = GPUEvents(self._tell_source)
        gpus = GPUService(
            self.source,
            DatabaseRegistrations(self.database, node, clock),
            clock,
            interval=config.gpu_monitor_interval,
            max_age=config.gpu_status_check_timeout,
            process_metrics=lambda is_open: render(registry, is_open),
            dcgm_hostname=socket.gethostname() if config.dcgm_aliases else None,
            events=events,
        )
        desk = NewsDesk()
        self.quotas = self._create_quotas(clock) if config.needs_keys else None
        trainers_group = None if trainer_user is None else trainer_user.gid
        self.datasets = DatasetParts(config, self.database, clock, self.quotas, trainers_group, build_trainers(config))
        self.preprocessing = PreprocessingParts(
            config,
            self.database,
            self.datasets,
            clock,
            self._wake_training,
            self.quotas,
            [trainer.name for trainer in self.datasets.trainers],
        )
        training = build_training(
            config,
            tasks,
            attempts,
            gpus,
            clock,
            node,
            desk,
            reserve,
            executor,
            trainer_user,
            database=self.database,
            events=events,
            quotas=self.quotas,
            datasets=self.datasets.references,
            kinds=self.preprocessing.kinds.with_trainers(*TRANSFERERS),
            known=self.datasets.trainers,
            caches=self.datasets.caches,
        )
        self.training_loop = training.loop
        logs = LogService(tasks, attempts, training.trainers, root, clock, self.server_log.source, training.executor)
        usage_of = None if self.quotas is None else self.quotas.usage_of
        self.registry = RegistryParts(config, self.database, training.service, clock)
        self.dataset_media = DatasetMediaParts(self.database, clock, self.datasets, training.trainers.values())
        decoder = self.dataset_media.decoder
        self.uploads = UploadParts(config, self.database, self.datasets, decoder, clock, self.quotas, self.registry)
        owners = {
            Belonging.TASK: training.owners.of,
            Belonging.REGISTRATION: gpus.owner_of_task,
            Belonging.DATASET: self.datasets.service.owner_of,
            Belonging.MODEL: self.registry.service.owner_of,
        }
        self.access = AccessParts(config, self.database, owners, clock, usage_of)
        authority = self.access.authority
        self.live = Live(
            config, self.database, desk, training.progress, logs, lambda: training.loop.is_here, clock, authority
        )
        gpus.subscribe(self.live.publish_snapshot)
        owner = host.own_identity(node)
        system = SystemService(
            gpus,
            training.service,
            clock,
            config.storage_root,
            node,
            lambda: self.storage_watch.trouble,
            tuple(training.trainers.values()),
        )
        gpus.subscribe(system.note_state)
        self.alerts = AlertParts(
            config,
            self.database,
            gpus,
            self.storage_watch,
            self.access,
            self.quotas,
            node,
            self.live.broker.publish,
            clock,
            training,
        )
        register_all(registry, self.live, system, self.alerts.exposition)
        preprocessing = self.preprocessing.service(training, self.uploads.forms.get)
        self.uploads.intake.follow_with(UploadFollowUp(preprocessing.start).go_on)
        self.services = Services(
            gpus=gpus,
            training=training.service,
            saving=training.saving,
            datasets=self.datasets.service,
            registered=self.datasets.registered,
            items=self.datasets.items,
            captions=self.datasets.captions,
            caches=self.datasets.cache_list,
            uploads=self.uploads.service,
            forms=self.uploads.forms,
            export=self.dataset_media.export,
            checker=self.dataset_media.checker,
            thumbnails=self.dataset_media.thumbnails,
            item_files=self.dataset_media.item_files,
            as_trained=self.dataset_media.as_trained,
            preprocessing=preprocessing,
            captioning=self.preprocessing.captioning(training, preprocessing),
            logs=logs,
            models=build_catalog(config, self.uploads.service.find_file),
            settings=build_settings(),
            registry=self.registry.service,
            downloads=build_downloads(config, self.database, training, clock),
            pushes=build_pushes(config, self.database, training, self.registry.service, clock),
            system=system,
            strays=training.strays,
            holds=training.holds,
            access=self.access.service,
            oidc=self.access.oidc,
            idempotency=DatabaseIdempotencyStore(self.database, clock, owner, lambda other: host.is_alive(other, node)),
            audit=self.access.audit,
            alerts=self.alerts.service,
            rules=self.alerts.rules,
            channels=self.alerts.channels,
            clock=clock,
        )
        self.policy = HostPolicy(allowed_names(config), config.cors_origins)

    def _create_quotas(self, clock: Clock) -> Quotas:
        usage = UsageStore(self.database)
        datasets, models = DatasetStore(self.database), RegistryStore(self.database)
        meter = StorageMeter(
            usage.owned_tasks,
            self.config.storage_root.absolute(),
            clock,
            lambda: Counter(datasets.stored_by()) + Counter(models.stored_by()),
        )
        return Quotas(usage, self._quota_of, meter, clock)

    def _quota_of(self, user_id: str) -> Quota:
        return self.access.ring.quota_of(user_id)

    def _wake_training(self) -> None:
        self.training_loop.wake()

    def _tell_source(self, event: GPUEvent) -> None:
        self.live.tell_source(event)

    def prepare(self) -> None:
        """Brings the database to this version. Raises DatabaseError, StorageError."""
        if self.database.is_sqlite and self.database.url.database is not None:
            tighten_sqlite(Path(self.database.url.database))
        self.database.migrate()
        root = self.config.storage_root.absolute()
        NodeStore(self.database).register(self._node, root)
        # Only now: the name is this machine's, and everything has come along from its former one.
        if not self._node.is_known:
            # A disk that is full today has the name already.
            with _usable(root):
                write_private(root / "node", self._node.record, levels=0)

    def start(self) -> None:
        """Starts every loop, and gives the first sweep a moment to end."""
        self.tracing.start()
        self.server_log.start()
        self.access_log.start()
        self.storage_watch.start()
        self.access.start()
        if self.quotas is not None:
            self.quotas.start()
        self.services.gpus.start_monitoring()
        self.services.gpus.wait_for_first_sweep(FIRST_SWEEP_SECONDS)
        self.live.start()
        self.datasets.start()
        self.preprocessing.harvester.start()
        self.training_loop.start()
        self.uploads.intake.start()
        self.registry.start()
        self.alerts.start()

    def stop(self) -> None:
        """Stops every loop, in reverse order. Trainings go on."""
        self.alerts.stop()
        self.registry.stop()
        self.uploads.intake.stop()
        self.training_loop.stop()
        self.datasets.stop()
        self.preprocessing.harvester.stop()
        self.live.stop()
        self.dataset_media.stop()
        self.services.gpus.stop_monitoring()
        if self.quotas is not None:
            self.quotas.stop()
        self.access.stop()
        self.storage_watch.stop()
        self.access_log.stop()
        self.server_log.stop()
        self.database.close()
        self.tracing.stop()


def _name_node(root: Path, given: str, trainer_user: TrainerUser | None) -> Node:
    """The name of this machine. Raises StorageError when the storage cannot be written to."""
    with _usable(root):
        if trainer_user is None:
            make_private_directory(root)
        else:
            make_passable_storage(root, trainer_user.gid)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return name_node(root / "node", given)


@contextmanager
def _usable(root: Path) -> Iterator[None]:
    """Raises StorageError for what the disk refuses."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"STORAGE_ROOT={root} cannot be used ({error.strerror}): make it writable, or choose another"
        ) from error


def create_source(config: Config, clock: Clock) -> GPUSource:
    """The source that GPU_SOURCE names. Raises ConfigError when SIMULATED_GPUS or SIMULATED_EVENTS cannot be read."""
    if config.gpu_source == "nvml":
        return _create_nvml()
    try:
        boards = parse_boards(config.simulated_gpus)
    except ValueError as error:
        raise ConfigError(f'SIMULATED_GPUS="{config.simulated_gpus}": {error}') from error
    try:
        events = parse_events(config.simulated_events)
    except ValueError as error:
        raise ConfigError(f"SIMULATED_EVENTS {error}") from error
    simulated = SimulatedSource(boards, config.simulated_seed, clock, events)
    if config.gpu_source == "simulated":
        return simulated
    return AutoSource(_create_nvml, simulated, library_is_absent)


def _create_nvml() -> GPUSource:
    # Loaded where it is used: 2 MB.
    from api.hardware.nvml import NVMLSource  # noqa: PLC0415

    return NVMLSource()


def allowed_names(config: Config) -> Iterable[str]:
    """The names that requests may address: loopback, those that were allowed, and the machine's own when it listens
    beyond loopback.
    """
    names = {*LOOPBACK_NAMES, *(host_name(name) or name for name in config.allowed_hosts)}
    if not config.is_loopback:
        own = host.own_addresses() | {config.host.lower()}
        names.update(f"[{name}]" if ":" in name and not name.startswith("[") else name for name in own)
    return names


def _open_server_log(directory: Path, config: Config) -> ServerLog:
    """Opens the server's own log, which has the form of a task's, and so the same readers."""
    sink = LogWriter(str(directory), config.server_log_max_bytes, LOG_SEGMENT_BYTES)
    return ServerLog(LogFiles(directory), sink, config.logs_json)
