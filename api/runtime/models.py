"""The parts that answer about models, put together; a part of the composition root."""

from collections.abc import Callable
from pathlib import Path

from api.config import Config
from api.models.task import TaskType
from api.runtime.training import TrainingParts
from api.services.catalog.comfyui import ComfyLinks
from api.services.catalog.download_wish import DownloadRules
from api.services.catalog.downloads import DownloadService
from api.services.catalog.pushes import PushRules, PushService
from api.services.catalog.registry import Registry
from api.services.catalog.service import CatalogService
from api.services.catalog.settings import SettingsService
from api.services.catalog.transfers import TransferMeans, Transfers
from api.services.training.service import TrainingService
from api.storage.attempts import AttemptStore
from api.storage.blobs import BlobStore
from api.storage.database import Database
from api.storage.registry import RegistryStore
from api.storage.tasks import TaskStore
from api.trainers.diffusion_pipe.catalog.presets import PRESETS
from api.trainers.diffusion_pipe.catalog.table import CATALOG
from api.trainers.diffusion_pipe.forms import convert_forms
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.settings import describe_settings
from api.trainers.downloads.trainer import DOWNLOADS, Downloader
from api.trainers.pushes.trainer import PUSHES, Pusher
from api.utils.clock import Clock
from api.utils.periodic import PeriodicThread
from api.weights.scan import LocalModels

#: Seconds between two collections of the registry's files, and for how long a file is nobody's before it goes.
_COLLECT_SECONDS, _KEPT_SECONDS = 3600.0, 3600.0


def models_root(config: Config) -> Path:
    """Where models are downloaded to, and looked for first."""
    return (config.models_root or config.storage_root / "models").absolute()


def build_catalog(config: Config, find_upload: Callable[[str], Path]) -> CatalogService:
    """Builds it; looks at nothing yet. `find_upload` tells where an upload lies that whoever asks may see."""
    root = models_root(config)
    trainer = config.diffusion_pipe_root
    return CatalogService(
        LocalModels((root, *config.models_directories)),
        CATALOG,
        PRESETS,
        {name: facts.encoder_type for name, facts in MODELS.items()},
        root,
        config.storage_root.absolute(),
        None if trainer is None else trainer.absolute() / "examples" / "main_example.toml",
        find_upload,
    )


def build_settings() -> SettingsService:
    """Builds what tells the trainer's keys."""
    return SettingsService(MODELS, describe_settings, convert_forms)


#: What executes downloads and pushes.
TRANSFERERS = (Downloader(), Pusher())


def _build_transfers(
    config: Config, database: Database, training: TrainingParts, clock: Clock, kind: TaskType, trainer: str
) -> Transfers:
    means = TransferMeans(
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
        kind,
        trainer,
    )
    return Transfers(means)


def build_pushes(
    config: Config, database: Database, training: TrainingParts, registry: Registry, clock: Clock
) -> PushService:
    """Builds the use cases of pushes, whose tasks the training loop executes."""
    transfers = _build_transfers(config, database, training, clock, TaskType.PUSH, PUSHES)
    rules = PushRules(config.hf_endpoint.rstrip("/"), config.private_hosts_allowed)
    return PushService(transfers, registry, CATALOG, rules)


def build_downloads(config: Config, database: Database, training: TrainingParts, clock: Clock) -> DownloadService:
    """Builds the use cases of downloads, whose tasks the training loop executes."""
    transfers = _build_transfers(config, database, training, clock, TaskType.DOWNLOAD, DOWNLOADS)
    rules = DownloadRules(
        models_root(config),
        config.hf_endpoint.rstrip("/"),
        config.private_hosts_allowed,
        config.allow_pickled_weights,
        config.min_free_disk_mb,
    )
    return DownloadService(transfers, CATALOG, rules)


class RegistryParts:
    """The use cases of registered models, and the loop that removes what no version needs any more."""

    def __init__(self, config: Config, database: Database, training: TrainingService, clock: Clock) -> None:
        self.blobs = blobs = BlobStore(config.storage_root.absolute() / "registry")
        self.store = RegistryStore(database)
        links = None if config.comfyui_loras is None else ComfyLinks(config.comfyui_loras.absolute(), blobs)
        self.service = Registry(self.store, blobs, training, clock, links)
        self._loop = PeriodicThread("registry-collector", _COLLECT_SECONDS, self._collect)

    def _collect(self) -> None:
        self.service.collect(_KEPT_SECONDS)

    def start(self) -> None:
        """Starts the loop."""
        self._loop.start()

    def stop(self) -> None:
        """Stops the loop."""
        self._loop.stop()
