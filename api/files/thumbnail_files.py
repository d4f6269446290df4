"""Store thumbnails by the hash of the original. All datasets share them; `files/media/picture.py` makes them."""

import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from api.domain.datasets.dataset import SHA256
from api.util.batches import in_batches

_NAME = re.compile(rf"({SHA256})-(\d+)\.jpg")
_BATCH = 500

#: Returns those of these hashes that are needed.
FindNeeded = Callable[[Sequence[str]], set[str]]

#: Longest sides of stored thumbnails in pixels.
SIDES = (128, 256, 512)


def side_for(size: int) -> int:
    """Return the stored side for a requested size: the next larger one, or the largest."""
    return next((side for side in SIDES if side >= size), SIDES[-1])


class ThumbnailStore:
    """Thumbnails below one directory; an empty file means that no thumbnail can be made."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def get(self, sha256: str, side: int) -> bytes | None:
        """Return the thumbnail, empty if none can be made; None if it was not made yet."""
        try:
            return self._path(sha256, side).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, sha256: str, side: int, picture: bytes) -> None:
        """Store a thumbnail atomically. Raises OSError."""
        path = self._path(sha256, side)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f".{secrets.token_hex(8)}")
        try:
            new.write_bytes(picture)
            os.replace(new, path)
        finally:
            new.unlink(missing_ok=True)

    def sweep(self, find_needed: FindNeeded, retention_seconds: float) -> int:
        """Remove unneeded thumbnails that are older than this, and return their number. Raises OSError."""
        removed, now = 0, time.time()
        for directory in self._directories():
            found = {path: match[1] for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))}
            paths = {
                path: sha256 for path, sha256 in found.items() if abs(now - path.lstat().st_mtime) >= retention_seconds
            }
            hashes = sorted(set(paths.values()))
            for batch in in_batches(hashes, _BATCH):
                unneeded = set(batch) - find_needed(batch)
                for path in [path for path, sha256 in paths.items() if sha256 in unneeded]:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _directories(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            yield from (path for path in sorted(self._root.iterdir()) if path.is_dir())

    def _path(self, sha256: str, side: int) -> Path:
        return self._root / sha256[:2] / f"{sha256}-{side}.jpg"
