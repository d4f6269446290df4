"""Build the parts of datasets."""

from api.access.readable_paths import ReadablePaths
from api.composition.roots import datasets_root
from api.config import Config
from api.datasets.caches.listing import DatasetCacheList
from api.datasets.caches.results import CacheResultRecorder
from api.datasets.caches.service import DatasetCaches
from api.datasets.caption_edits import CaptionEditor
from api.datasets.collect import DatasetCollector
from api.datasets.item_edits import ItemEditor
from api.datasets.items.items import DatasetItems
from api.datasets.materials import DatasetDirectories
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.item_store import DatasetItemStore
from api.datasets.records.split_store import DatasetSplitStore
from api.datasets.registered.directories import RegisteredDirectories
from api.datasets.registered.known_files import RegisteredFileStore
from api.datasets.service import DatasetService, StorageQuota
from api.datasets.versions.references import DatasetReferences
from api.datasets.versions.splitting import DatasetSplitter
from api.db.database import Database
from api.domain.reason import Reason
from api.domain.tasks.training import EventKind
from api.files.blobs import BlobStore
from api.files.thumbnail_files import ThumbnailStore
from api.trainers.trainer import Trainer
from api.training.records.dataset_cache_store import DatasetCacheStore
from api.training.records.task_store import TaskStore
from api.util.clock import Clock


class DatasetParts:
    """The services and stores of datasets. The constructor starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        clock: Clock,
        bound: StorageQuota | None = None,
        trainers_group: int | None = None,
        trainers: tuple[Trainer, ...] = (),
        paths: ReadablePaths | None = None,
    ) -> None:
        """`bound` checks quotas; None: no quotas.

        `trainers_group` is the group of the trainers' user, if that is another. `trainers` are those that train.
        `paths` decides which directories may be registered, in addition to the setting; None: all.
        """
        self.trainers = trainers
        self.store, self.holds = DatasetStore(database), DatasetHolds(database)
        self.item_rows, self.blobs = DatasetItemStore(database), BlobStore(datasets_root(config))
        self.service = DatasetService(self.store, self.holds, self.item_rows, self.blobs, clock, bound)
        self.items = DatasetItems(self.service, self.item_rows)
        self.captions, self.item_edits = CaptionEditor(self.service), ItemEditor(self.service)
        self.splits = DatasetSplitter(self.service, self.store, DatasetSplitStore(database), clock, bound)
        files, roots = RegisteredFileStore(database), config.dataset_directories
        self.registered = RegisteredDirectories(self.service, self.store, files, roots, clock, paths)
        self.registered.set_roots(roots, config.browse_roots)
        locator = self.registered.locator
        materials = DatasetDirectories(self.service, self.store, self.blobs, locator, trainers_group)
        self.views = materials.views
        root, tasks = config.storage_root.absolute(), TaskStore(database)
        by_name = {each.name: each for each in trainers}
        cached = DatasetCacheStore(database)
        self.caches = DatasetCaches(cached, by_name, root, are_apart=trainers_group is not None)

        def add_event(task_id: str, message: Reason) -> None:
            tasks.add_event(task_id, EventKind.CHANGE, clock.now(), "service", message, None)

        self.references = DatasetReferences(self.service, self.store, materials, root, self.caches, add_event)
        self.cache_results = CacheResultRecorder(self.caches, self.references, by_name, root, clock)
        self.cache_list = DatasetCacheList(cached, tasks, self.caches, self.references, self.service, root, clock)
        self.pictures = ThumbnailStore(datasets_root(config) / "thumbnails")
        self.collector = DatasetCollector(
            self.blobs, self.holds, self.item_rows, materials.views, self.pictures, clock, self.cache_list.collect
        )

    def start(self) -> None:
        """Start watching registered directories and collecting unused blobs."""
        self.registered.start()
        self.collector.start()

    def stop(self) -> None:
        """Stop both loops."""
        self.collector.stop()
        self.registered.stop()
