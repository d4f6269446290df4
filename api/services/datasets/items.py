"""The items of a version: pages of them, and one."""

from api.models.dataset import Dataset, DatasetItem, DatasetVersion, ItemFilter
from api.models.dataset_view import ItemView
from api.services.datasets.service import DatasetService
from api.storage.dataset_items import DatasetItemStore
from api.utils.pagination import MAX_LIMIT, Page, PageRequest, Pagination


class DatasetItems:
    """Reads items by their rows."""

    def __init__(self, datasets: DatasetService, items: DatasetItemStore) -> None:
        self._datasets = datasets
        self._items = items

    def get_page(self, name: str, version: str | None, wanted: ItemFilter, page: PageRequest) -> Page[ItemView]:
        """A page of items by path. Raises DatasetNotFound, VersionNotFound."""
        dataset = self._datasets.find(name)
        limit, cursor = min(page.limit, MAX_LIMIT), None if page.cursor is None else int(page.cursor)
        offset = None if cursor is not None else page.offset or 0
        if version is None and dataset.latest is None:
            return Page((), Pagination(0, limit, offset, has_more=False, next_cursor=None))
        found = self._datasets.find_version(dataset, version)
        manifest = self._datasets.index(found.manifest_sha256)
        rows, total = self._items.page(manifest, wanted, limit + 1, page.offset, cursor)
        has_more, shown = len(rows) > limit, tuple(rows[:limit])
        next_cursor = str(shown[-1].position) if has_more else None
        total = found.items if total is None else total
        return Page(tuple(map(ItemView.of, shown)), Pagination(total, limit, offset, has_more, next_cursor))

    def get(self, name: str, item_id: str, version: str | None = None) -> ItemView:
        """One item. Raises DatasetNotFound, VersionNotFound, ItemNotFound."""
        return ItemView.of(self.find(name, item_id, version)[2])

    def find(self, name: str, item_id: str, version: str | None = None) -> tuple[Dataset, DatasetVersion, DatasetItem]:
        """An item with its dataset and version. Raises DatasetNotFound, VersionNotFound, ItemNotFound."""
        dataset = self._datasets.find(name)
        found = self._datasets.find_version(dataset, version)
        return dataset, found, self._items.get(self._datasets.index(found.manifest_sha256), item_id)
