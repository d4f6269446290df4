"""The parts that answer about models, put together; a part of the composition root."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from api.access.readable_paths import ReadablePaths
from api.catalog.comfyui import ComfyLinks
from api.catalog.download_wish import DownloadRules
from api.catalog.downloads import DownloadService
from api.catalog.links import LinkedVersions
from api.catalog.pushes import PushRules, PushService
from api.catalog.registry import Registry
from api.catalog.sample_store import RegistrySampleStore
from api.catalog.samples import RequireStorage, Samples
from api.catalog.service import CatalogService, FindMemory
from api.catalog.settings import SettingsService
from api.catalog.store import RegistryStore
from api.catalog.transfers import Transfers
from api.composition.roots import models_root, registry_root
from api.composition.training import TrainingParts, task_means
from api.config import Config
from api.db.database import Database
from api.domain.measured_memory import PlannedMemory
from api.domain.media import Decoder
from api.domain.task import TaskType
from api.files.blobs import BlobStore
from api.files.disk import require_room
from api.files.thumbnails import ThumbnailStore
from api.files.weights.scan import LocalModels
from api.jobs.downloads.trainer import DOWNLOADS
from api.jobs.pushes.trainer import PUSHES
from api.trainers.diffusion_pipe.catalog.presets import PRESETS
from api.trainers.diffusion_pipe.catalog.table import CATALOG
from api.trainers.diffusion_pipe.forms import convert_forms
from api.trainers.diffusion_pipe.memory_facts import memory_facts_of
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.place_check import check_place
from api.trainers.diffusion_pipe.settings import describe_settings
from api.training.measured_memory import judge_memory
from api.training.memory_runs import MemoryRunStore
from api.training.quotas import Quotas
from api.training.service import TrainingService
from api.util.clock import Clock
from api.util.periodic import PeriodicThread

#: Seconds between two collections of the registry's files, and for how long a file is nobody's before it goes.
_COLLECT_SECONDS, _KEPT_SECONDS = 3600.0, 3600.0


def build_catalog(
    config: Config, find_upload: Callable[[str], Path], database: Database, paths: ReadablePaths
) -> CatalogService:
    """Builds it; looks at nothing yet. `find_upload` tells where an upload lies that whoever asks may see."""
    root = models_root(config)
    trainer = config.diffusion_pipe_root
    return CatalogService(
        LocalModels((root, *config.models_directories)),
        CATALOG,
        PRESETS,
        {name: facts.encoder_type for name, facts in MODELS.items()},
        root,
        paths.find_examined,
        None if trainer is None else trainer.absolute() / "examples" / "main_example.toml",
        find_upload,
        _memory_finder(MemoryRunStore(database)),
        partial(check_place, accepts_pickles=config.allow_pickled_weights),
    )


def _memory_finder(runs: MemoryRunStore) -> FindMemory:
    """Tells what trainings used here that can be compared with a request."""

    def find(model_type: str, config: Mapping[str, Any], dataset: Mapping[str, Any]) -> PlannedMemory | None:
        facts = memory_facts_of(model_type, config, dataset)
        found = judge_memory(facts, runs.find(facts.model_type, facts.variant))
        return found if found.runs else None

    return find


def build_settings() -> SettingsService:
    """Builds what tells the trainer's keys."""
    return SettingsService(MODELS, describe_settings, convert_forms)


def _build_transfers(
    config: Config, database: Database, training: TrainingParts, clock: Clock, kind: TaskType, trainer: str
) -> Transfers:
    return Transfers(task_means(config, database, training, clock, kind), kind, trainer)


def build_pushes(
    config: Config, database: Database, training: TrainingParts, registry: "RegistryParts", clock: Clock
) -> PushService:
    """Builds the use cases of pushes, whose tasks the training loop executes."""
    transfers = _build_transfers(config, database, training, clock, TaskType.PUSH, PUSHES)
    rules = PushRules(config.hf_endpoint.rstrip("/"), config.private_hosts_allowed)
    return PushService(transfers, registry.service, registry.samples, CATALOG, rules)


def build_downloads(
    config: Config,
    database: Database,
    training: TrainingParts,
    clock: Clock,
    trainers_group: int | None,
    quotas: Quotas | None = None,
) -> DownloadService:
    """Builds the use cases of downloads, whose tasks the training loop executes."""
    transfers = _build_transfers(config, database, training, clock, TaskType.DOWNLOAD, DOWNLOADS)
    rules = DownloadRules(
        models_root(config),
        config.hf_endpoint.rstrip("/"),
        config.private_hosts_allowed,
        config.allow_pickled_weights,
        config.min_free_disk_mb,
        trainers_group,
    )
    return DownloadService(transfers, CATALOG, rules, (lambda owner: None) if quotas is None else quotas.storage_left)


class RegistryParts:
    """The use cases of registered models, and the loop that removes what no version needs any more."""

    def __init__(
        self,
        config: Config,
        database: Database,
        training: TrainingService,
        clock: Clock,
        decoder: Decoder,
        require_storage: RequireStorage = lambda owner, more_bytes: None,
    ) -> None:
        """`require_storage` says what an owner may keep; without it there are no quotas."""
        self.blobs = blobs = BlobStore(registry_root(config))
        self.store = RegistryStore(database)
        loras = config.comfyui_loras
        links = None if loras is None else ComfyLinks(loras.absolute(), blobs, LinkedVersions(database))
        room = partial(require_room, blobs.root, config.min_free_disk_mb)
        self.service = Registry(self.store, blobs, training, clock, links, room)
        samples, pictures = RegistrySampleStore(database), ThumbnailStore(blobs.root / "thumbnails")
        self.samples = Samples(self.service, samples, blobs, decoder, pictures, require_storage, clock)
        self._loop = PeriodicThread("registry-collector", _COLLECT_SECONDS, self._collect)

    def _collect(self) -> None:
        self.service.collect(_KEPT_SECONDS)
        self.samples.collect(self.store.needed, _KEPT_SECONDS)

    def start(self) -> None:
        """Starts the loop."""
        self._loop.start()

    def stop(self) -> None:
        """Stops the loop."""
        self._loop.stop()
