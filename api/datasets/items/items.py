"""Read the items of a version: single ones, pages, and their media files."""

import errno
import os
from collections.abc import Sequence

from api.datasets.items.media import DatasetMedia
from api.datasets.records.item_store import DatasetItemStore
from api.datasets.service import DatasetService
from api.datasets.views import ItemView
from api.domain.datasets.dataset import Dataset, DatasetItem, DatasetVersion, ItemFilter
from api.errors import BlobMissing
from api.training.output.artifacts import OpenFile
from api.util.files.foreign_files import open_plain
from api.util.http.pagination import Page, PageRequest, paginate_by_position, read_page


class DatasetItems:
    """Reads items from their rows."""

    def __init__(self, datasets: DatasetService, items: DatasetItemStore) -> None:
        self._datasets = datasets
        self._items = items

    def get_page(self, name: str, version: str | None, wanted: ItemFilter, page: PageRequest) -> Page[ItemView]:
        """Return a page of items by path. Raises DatasetNotFound, VersionNotFound."""
        dataset = self._datasets.find(name)
        if version is None and dataset.latest is None:
            return paginate_by_position((), page)
        found = self._datasets.find_version(dataset, version)

        def read(limit: int, offset: int, cursor: int | None) -> tuple[Sequence[DatasetItem], int]:
            rows, total = self._datasets.read_rows(
                found.manifest_sha256, lambda serial: self._items.page(serial, wanted, limit, offset, cursor)
            )
            return rows, found.items if total is None else total

        return read_page(read, lambda row: row.position, page).map(ItemView.of)

    def get(self, name: str, item_id: str, version: str | None = None) -> ItemView:
        """Return one item. Raises DatasetNotFound, VersionNotFound, ItemNotFound."""
        return ItemView.of(self.find(name, item_id, version)[2])

    def find(self, name: str, item_id: str, version: str | None = None) -> tuple[Dataset, DatasetVersion, DatasetItem]:
        """Return an item with its dataset and version. Raises DatasetNotFound, VersionNotFound, ItemNotFound."""
        dataset = self._datasets.find(name)
        found = self._datasets.find_version(dataset, version)
        read = self._datasets.read_rows(found.manifest_sha256, lambda serial: self._items.get(serial, item_id))
        return dataset, found, read


class ItemFiles:
    """Opens the files of items."""

    def __init__(self, items: DatasetItems, media: DatasetMedia) -> None:
        self._items = items
        self._media = media

    def open(self, name: str, item_id: str, version: str | None = None) -> OpenFile:
        """Open the file of an item; the caller must close it.

        Raises DatasetNotFound, VersionNotFound, ItemNotFound, BlobMissing, DatasetChanged.
        """
        dataset, version_, found = self._items.find(name, item_id, version)
        path = self._media.source_of(dataset, found.item).path
        # Other programs write to a registered directory: no part of a file's path there may be a link.
        levels = 1 if dataset.directory is None else len(path.relative_to(dataset.directory).parts) - 1
        try:
            descriptor = open_plain(str(path), levels)
        except OSError as error:
            raise BlobMissing(f"{found.item.path[:200]}: {os.strerror(error.errno or errno.ENOENT)}.") from None
        status = os.fstat(descriptor)
        # The modification time of a stored file is a mark, not its time.
        modified_at = status.st_mtime if dataset.directory is not None else version_.created_at.timestamp()
        return OpenFile(descriptor, found.item.path.rsplit("/", 1)[-1], status.st_size, modified_at)
