"""Open the media files of items for download."""

import errno
import os

from api.datasets.items import DatasetItems
from api.datasets.media import DatasetMedia
from api.errors import BlobMissing
from api.training.artifacts import OpenFile
from api.util.foreign_files import open_plain


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
