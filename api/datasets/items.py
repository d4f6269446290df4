"""Read the items of a version: single ones, and pages."""

from collections.abc import Sequence

from api.datasets.item_store import DatasetItemStore
from api.datasets.service import DatasetService
from api.datasets.views import ItemView
from api.domain.dataset import Dataset, DatasetItem, DatasetVersion, ItemFilter
from api.util.pagination import Page, PageRequest, read_page


class DatasetItems:
    """Reads items from their rows."""

    def __init__(self, datasets: DatasetService, items: DatasetItemStore) -> None:
        self._datasets = datasets
        self._items = items

    def get_page(self, name: str, version: str | None, wanted: ItemFilter, page: PageRequest) -> Page[ItemView]:
        """Return a page of items by path. Raises DatasetNotFound, VersionNotFound."""
        dataset = self._datasets.find(name)
        if version is None and dataset.latest is None:
            return read_page(lambda *cut: ((), 0), lambda row: 0, page)
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
