"""Whether there is room for a training."""

import contextlib
import logging
import os
import shutil
from pathlib import Path

from api.domain.reason import Reason
from api.errors import InsufficientStorage

logger = logging.getLogger(__name__)

MB = 1024 * 1024

#: Bytes held back: many times what the database and an order to stop need.
RESERVE_BYTES = 4 * MB

#: The reserve is taken only when this many times its size is free, lest it fills the disk itself.
MARGIN = 4


def describe_shortage(directory: Path, min_free_mb: int) -> Reason | None:
    """What is missing on the disk of this directory, in words; None when enough is free, or nothing is known."""
    try:
        free = shutil.disk_usage(directory).free // MB
    except OSError:
        return None
    if free >= min_free_mb:
        return None
    return Reason.of(
        "only {free} MB are free under {directory}; MIN_FREE_DISK_MB asks for {wanted}",
        "disk_full",
        free=f"{free:,}",
        directory=str(directory),
        wanted=f"{min_free_mb:,}",
    )


def require_room(directory: Path, min_free_mb: int, size: int) -> None:
    """Raises InsufficientStorage when so many bytes more would leave less free. Not known is taken as room."""
    try:
        free = shutil.disk_usage(directory).free - min_free_mb * MB
    except OSError:
        return
    if size > free:
        raise InsufficientStorage(
            f"The disk has room for {max(0, free):,} bytes more, and this takes {size:,}: make room first.",
            data={"available_bytes": max(0, free)},
        )


def find_shortage(directory: Path, min_free_mb: int) -> InsufficientStorage | None:
    """The refusal of whatever needs room on the disk of this directory; None when enough is free."""
    shortage = describe_shortage(directory, min_free_mb)
    return None if shortage is None else InsufficientStorage(f"There is too little disk space: {shortage.text}.")


class DiskReserve:
    """Room that is held back for when the disk is full: for the stop of what fills it."""

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size

    def fill(self) -> bool:
        """Takes the room, unless it is held already or the disk has too little; whether it is held. Never raises."""
        try:
            if self._is_full():
                return True
            if shutil.disk_usage(self._path.parent).free < MARGIN * self._size:
                return False
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(handle, 0, self._size)
            finally:
                os.close(handle)
        except OSError:
            return False
        return True

    def _is_full(self) -> bool:
        try:
            return os.stat(self._path, follow_symlinks=False).st_blocks * 512 >= self._size
        except FileNotFoundError:
            return False

    def give_up(self) -> None:
        """Gives the room back. Never raises."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
            logger.warning("the disk is full: its reserve is given up", extra={"reserve": str(self._path)})
