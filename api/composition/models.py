"""Build the parts of base models, registered models and transfers."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from api.access.readable_paths import ReadablePaths
from api.catalog.base_models.examination import WeightsExaminer
from api.catalog.base_models.service import CatalogService, FindMemory
from api.catalog.registry.sample_store import RegistrySampleStore
from api.catalog.registry.service import Registry
from api.catalog.registry.store import RegistryStore
from api.catalog.transfers.download_request import DownloadRules
from api.catalog.transfers.downloads import DownloadService
from api.catalog.transfers.pushes import PushRules, PushService
from api.composition.roots import model_directories, models_root, registry_root
from api.composition.training import TrainingParts, build_task_resources
from api.config import Config
from api.db.database import Database
from api.domain.datasets.media import Decoder
from api.domain.tasks.measured_memory import PlannedMemory
from api.domain.tasks.task import TaskType
from api.files.blobs import BlobStore
from api.files.disk import require_free_space
from api.files.weights.scan import LocalModels
from api.samples.library.service import RequireStorage, Samples
from api.samples.links.library_links import ComfyLinks
from api.samples.links.store import LinkedVersions
from api.trainers.diffusion_pipe.base_models import CATALOG
from api.trainers.diffusion_pipe.checks.weights_check import check_candidate
from api.trainers.diffusion_pipe.memory_facts import memory_facts_of
from api.trainers.diffusion_pipe.models.registry import MODELS, PRESETS
from api.training.measured_memory import MemoryRunStore, judge_memory
from api.training.queue.quotas import Quotas
from api.util.clock import Clock
from api.util.periodic import LoopOwner, PeriodicThread

#: Seconds between two collections of the registry's files, and the age from which an unused file is deleted.
_COLLECT_SECONDS, _KEPT_SECONDS = 3600.0, 3600.0


def build_examiner(config: Config, find_upload: Callable[[str], Path], paths: ReadablePaths) -> WeightsExaminer:
    """Build the service that examines files. `find_upload` returns the path of an upload in the caller's scope."""
    check = partial(check_candidate, accepts_pickles=config.allow_pickled_weights)
    return WeightsExaminer(CATALOG, paths.find_examined, find_upload, check)


def build_catalog(config: Config, database: Database) -> CatalogService:
    """Build the catalog."""
    root = models_root(config)
    return CatalogService(
        LocalModels(model_directories(config)),
        CATALOG,
        PRESETS,
        {name: facts.encoder_type for name, facts in MODELS.items()},
        root,
        example_of(config),
        _memory_finder(MemoryRunStore(database)),
    )


def example_of(config: Config) -> Path | None:
    """Return the trainer's example of a configuration, which may not exist; None without a trainer."""
    trainer = config.diffusion_pipe_root
    return None if trainer is None else trainer.absolute() / "examples" / "main_example.toml"


def _memory_finder(runs: MemoryRunStore) -> FindMemory:
    """Return a function that finds the measured memory of trainings comparable to a request."""

    def find(model_type: str, config: Mapping[str, Any], dataset: Mapping[str, Any]) -> PlannedMemory | None:
        facts = memory_facts_of(model_type, config, dataset)
        found = judge_memory(facts, runs.find(facts.model_type, facts.variant))
        return found if found.runs else None

    return find


def build_pushes(
    config: Config, database: Database, training: TrainingParts, registry: "RegistryParts", clock: Clock
) -> PushService:
    """Build the service of pushes, whose tasks the training loop executes."""
    resources = build_task_resources(config, database, training, clock, TaskType.PUSH)
    rules = PushRules(config.hf_endpoint.rstrip("/"), config.private_hosts_allowed)
    return PushService(resources, registry.service, registry.samples, CATALOG, rules)


def build_downloads(
    config: Config,
    database: Database,
    training: TrainingParts,
    clock: Clock,
    trainers_group: int | None,
    quotas: Quotas | None = None,
) -> DownloadService:
    """Build the service of downloads, whose tasks the training loop executes."""
    resources = build_task_resources(config, database, training, clock, TaskType.DOWNLOAD)
    rules = DownloadRules(
        models_root(config),
        config.hf_endpoint.rstrip("/"),
        config.private_hosts_allowed,
        config.allow_pickled_weights,
        config.min_free_disk_mb,
        trainers_group,
    )
    return DownloadService(resources, CATALOG, rules, (lambda owner: None) if quotas is None else quotas.storage_left)


class RegistryParts(LoopOwner):
    """The services of registered models, and the loop that deletes unused files."""

    def __init__(
        self,
        config: Config,
        database: Database,
        training: TrainingParts,
        clock: Clock,
        decoder: Decoder,
        require_storage: RequireStorage = lambda owner, more_bytes: None,
    ) -> None:
        """`require_storage` checks an owner's storage quota; by default there are no quotas."""
        self.blobs = blobs = BlobStore(registry_root(config))
        self.store = RegistryStore(database)
        loras = config.comfyui_loras
        links = ComfyLinks(loras[0].absolute(), blobs, LinkedVersions(database)) if loras else None
        room = partial(require_free_space, blobs.root, config.min_free_disk_mb)
        self.service = Registry(
            self.store, blobs, training.services.details, training.services.files, clock, links, room
        )
        samples, rendered = RegistrySampleStore(database), training.samples.trainings.best
        self.samples = Samples(self.service, samples, blobs, decoder, require_storage, clock, rendered)
        self._thread = PeriodicThread("registry-collector", _COLLECT_SECONDS, self._collect)

    def _collect(self) -> None:
        self.service.collect(_KEPT_SECONDS)
        self.samples.collect(self.store.needed, _KEPT_SECONDS)
