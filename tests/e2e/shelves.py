"""Datasets that are written directly to a server's store: thousands of items in the time of one upload."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from api.composition.datasets import DatasetParts
from api.config import Config
from api.db.database import Database, sqlite_url
from api.domain.access.principal import LOCAL
from api.domain.datasets.dataset import ManifestItem
from api.util.clock import SystemClock
from tests.unit.files.media.samples import picture


class Shelf:
    """The store of a running server, accessed beside it."""

    def __init__(self, root: Path) -> None:
        """Open the store; `root` is the server's STORAGE_ROOT."""
        self._database = Database(sqlite_url(root / "database.sqlite"), root, 1)
        config = replace(Config(), storage_root=root)
        self._parts = DatasetParts(config, self._database, SystemClock())

    def close(self) -> None:
        self._database.close()

    def store(self, path: str, content: bytes, caption: str | None) -> ManifestItem:
        """Store this content and return its item."""
        with self._parts.blobs.begin() as writer:
            writer.write(content)
            blob = writer.commit()
        return ManifestItem(path, blob.sha256, blob.size_bytes, caption)

    def put(self, name: str, items: Sequence[ManifestItem], **fields: object) -> None:
        """Create a dataset with these items."""
        dataset = self._parts.service.make(name, LOCAL.owner, fields)
        self._parts.service.add_version(dataset, items, LOCAL.actor, "put there", expected_latest=None)


def png(seed: int, size: tuple[int, int] = (96, 64)) -> bytes:
    """Return a picture that depends on the seed."""
    written = io.BytesIO()
    picture(size, seed).save(written, "PNG")
    return written.getvalue()


def many(shelf: Shelf, count: int, captions: Mapping[int, str | None]) -> list[ManifestItem]:
    """Return `count` named items of one picture, with the captions in `captions`."""
    first = shelf.store("0.png", png(0), None)
    return [
        replace(first, path=f"{index:05}.png", caption=captions.get(index, f"a cat, number {index}"))
        for index in range(count)
    ]
