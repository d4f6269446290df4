"""Thumbnails of items: made on first use, stored by content."""

import logging

from api.datasets.items.items import DatasetItems
from api.datasets.items.media import DatasetMedia
from api.domain.datasets.dataset import Dataset, ManifestItem
from api.domain.datasets.media import Decoder
from api.errors import NoPicture
from api.files.thumbnail_files import ThumbnailStore, side_for

logger = logging.getLogger(__name__)


class Thumbnails:
    """Use cases of thumbnails."""

    def __init__(self, items: DatasetItems, media: DatasetMedia, decoder: Decoder, store: ThumbnailStore) -> None:
        self._items = items
        self._media = media
        self._decoder = decoder
        self._store = store

    def find(self, name: str, item_id: str, version: str | None) -> tuple[Dataset, ManifestItem]:
        """Return an item and its dataset. Raises DatasetNotFound, VersionNotFound, ItemNotFound."""
        dataset, _, found = self._items.find(name, item_id, version)
        return dataset, found.item

    def draw(self, dataset: Dataset, item: ManifestItem, size: int) -> bytes:
        """Return a JPEG of an item. Raises NoPicture, DecoderBusy."""
        side = side_for(size)
        picture = self._store.get(item.sha256, side)
        if picture is None:
            picture = self._decoder.thumbnail(self._media.source_of(dataset, item), side) or b""
            self._save(item.sha256, side, picture)
        if not picture:
            raise NoPicture(f"No picture can be made of {item.path[:200]}.")
        return picture

    def _save(self, sha256: str, side: int, picture: bytes) -> None:
        try:
            self._store.put(sha256, side, picture)
        except OSError as error:
            # It is made again next time.
            logger.warning("a thumbnail cannot be stored: %s", error.strerror)
