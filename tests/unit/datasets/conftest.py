"""Datasets in a separate database and blob store."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from api.datasets.caption_edits import CaptionEditor
from api.datasets.items.items import DatasetItems
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.item_store import DatasetItemStore
from api.datasets.service import DatasetService, NoQuota
from api.db.database import Database, sqlite_url
from api.domain.access.principal import LOCAL, Principal
from api.domain.datasets.dataset import Dataset, DatasetVersion, ManifestItem
from api.files.blobs import BlobStore
from api.util.clock import FakeClock
from tests.databases import hurry

ANN = replace(LOCAL, user_id="ann")


@dataclass
class Shelf:
    """The objects under test, and shortcuts to fill them."""

    database: Database
    store: DatasetStore
    holds: DatasetHolds
    rows: DatasetItemStore
    blobs: BlobStore
    clock: FakeClock
    service: DatasetService

    @property
    def items(self) -> DatasetItems:
        return DatasetItems(self.service, self.rows)

    @property
    def captions(self) -> CaptionEditor:
        return CaptionEditor(self.service)

    def make(self, name: str = "cats", principal: Principal = ANN, **fields: Any) -> Dataset:
        self.service.create(name, principal, fields)
        return self.store.get(name)

    def blob(self, content: bytes) -> str:
        with self.blobs.begin() as writer:
            writer.write(content)
            return writer.commit().sha256

    def item(self, path: str, content: bytes | None = None, caption: str | None = "a cat", **more: Any) -> ManifestItem:
        content = path.encode() if content is None else content
        return ManifestItem(path, self.blob(content), len(content), caption, **more)

    def version(self, *items: ManifestItem, name: str = "cats") -> DatasetVersion:
        dataset = self.store.get(name)
        return self.service.add_version(dataset, items, "ann", "test", expected_latest=dataset.latest)


@pytest.fixture
def sqlite(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    path = tmp_path / "database.sqlite"
    path.write_bytes(migrated_file.read_bytes())
    made = Database(sqlite_url(path))
    hurry(made)
    yield made
    made.close()


@pytest.fixture
def shelf(sqlite: Database, tmp_path: Path, clock: FakeClock) -> Shelf:
    store, rows = DatasetStore(sqlite), DatasetItemStore(sqlite)
    blobs = BlobStore(tmp_path / "datasets")
    holds = DatasetHolds(sqlite)
    service = DatasetService(store, holds, rows, blobs, clock, NoQuota())
    return Shelf(sqlite, store, holds, rows, blobs, clock, service)
