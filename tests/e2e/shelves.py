"""Datasets that are put straight into a server's store: thousands of items in the time of one upload."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from api.composition.datasets import DatasetParts
from api.config import Config
from api.db.database import Database, sqlite_url
from api.domain.access import LOCAL
from api.domain.dataset import ManifestItem
from api.util.clock import SystemClock
from tests.unit.files.media.samples import picture


class Shelf:
    """The store of a server that runs, beside it."""

    def __init__(self, root: Path) -> None:
        """`root` is the server's STORAGE_ROOT."""
        self._database = Database(sqlite_url(root / "database.sqlite"), root, 1)
        config = replace(Config(), storage_root=root)
        self._parts = DatasetParts(config, self._database, SystemClock())

    def close(self) -> None:
        self._database.close()

    def keep(self, path: str, content: bytes, caption: str | None) -> ManifestItem:
        """An item of this content."""
        with self._parts.blobs.begin() as writer:
            writer.write(content)
            blob = writer.commit()
        return ManifestItem(path, blob.sha256, blob.size_bytes, caption)

    def put(self, name: str, items: Sequence[ManifestItem], **fields: object) -> None:
        """A dataset with these items."""
        dataset = self._parts.service.make(name, LOCAL.owner, fields)
        self._parts.service.add_version(dataset, items, LOCAL.actor, "put there", expected_latest=None)


def png(seed: int, size: tuple[int, int] = (96, 64)) -> bytes:
    """A picture that differs with the seed."""
    written = io.BytesIO()
    picture(size, seed).save(written, "PNG")
    return written.getvalue()


def many(shelf: Shelf, count: int, captions: Mapping[int, str | None]) -> list[ManifestItem]:
    """So many items of one picture, by name; those in `captions` have these."""
    first = shelf.keep("0.png", png(0), None)
    return [
        replace(first, path=f"{index:05}.png", caption=captions.get(index, f"a cat, number {index}"))
        for index in range(count)
    ]
