"""The parts that datasets need, put together; a part of the composition root."""

from pathlib import Path

from api.config import Config
from api.services.datasets.captions import CaptionEditor
from api.services.datasets.items import DatasetItems
from api.services.datasets.service import DatasetService, StorageBound
from api.storage.blobs import BlobStore
from api.storage.database import Database
from api.storage.dataset_items import DatasetItemStore
from api.storage.datasets import DatasetStore
from api.utils.clock import Clock


class DatasetParts:
    """The use cases of datasets and what they stand on. Building it starts nothing."""

    def __init__(self, config: Config, database: Database, clock: Clock, bound: StorageBound | None) -> None:
        """`bound` None: nobody has a quota."""
        self.store = DatasetStore(database)
        self.item_rows = DatasetItemStore(database)
        self.blobs = BlobStore(datasets_root(config))
        self.service = DatasetService(self.store, self.item_rows, self.blobs, clock, bound)
        self.items = DatasetItems(self.service, self.item_rows)
        self.captions = CaptionEditor(self.service)


def datasets_root(config: Config) -> Path:
    """The directory of the files of datasets."""
    return (config.datasets_root or config.storage_root / "datasets").absolute()
