"""Small pictures of items: made when they are first wanted, kept by content."""

import logging

from api.datasets.items import DatasetItems
from api.datasets.media import DatasetMedia
from api.domain.dataset import Dataset, ManifestItem
from api.domain.media import Decoder
from api.errors import NoPicture
from api.files.thumbnails import ThumbnailStore, side_for

logger = logging.getLogger(__name__)


class Thumbnails:
    """Thumbnails of items."""

    def __init__(self, items: DatasetItems, media: DatasetMedia, decoder: Decoder, kept: ThumbnailStore) -> None:
        self._items = items
        self._media = media
        self._decoder = decoder
        self._kept = kept

    def find(self, name: str, item_id: str, version: str | None) -> tuple[Dataset, ManifestItem]:
        """The item whose picture is wanted. Raises DatasetNotFound, VersionNotFound, ItemNotFound."""
        dataset, _, found = self._items.find(name, item_id, version)
        return dataset, found.item

    def draw(self, dataset: Dataset, item: ManifestItem, size: int) -> bytes:
        """A JPEG of an item. Raises NoPicture, DecoderBusy."""
        side = side_for(size)
        kept = self._kept.get(item.sha256, side)
        if kept is None:
            kept = self._decoder.thumbnail(self._media.source_of(dataset, item), side) or b""
            self._keep(item.sha256, side, kept)
        if not kept:
            raise NoPicture(f"No picture can be made of {item.path[:200]}.")
        return kept

    def _keep(self, sha256: str, side: int, picture: bytes) -> None:
        try:
            self._kept.put(sha256, side, picture)
        except OSError as error:
            # It is made anew next time.
            logger.warning("a thumbnail was not kept: %s", error.strerror)
