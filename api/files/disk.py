"""Check the free disk space, hold a reserve of it, and recognise file systems of other machines."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Protocol

import psutil

from api.domain.reason import Reason
from api.errors import InsufficientStorage

logger = logging.getLogger(__name__)

MB = 1024 * 1024

#: Size of the reserve in bytes: many times what the database and a stop order need.
RESERVE_BYTES = 4 * MB

#: The reserve is only filled if this many times its size is free, so that it does not fill the disk itself.
MARGIN = 4


#: File systems that other machines can write to, by the first part of their type.
_SHARED = frozenset(
    (
        *(
            "9p",
            "afs",
            "beegfs",
            "beegfs_nodev",
            "ceph",
            "cifs",
            "fuse",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
            "ncpfs",
        ),
        *("nfs", "nfs4", "ocfs2", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "virtiofs", "weka", "wekafs"),
    )
)


def describe_shortage(directory: Path, min_free_mb: int) -> Reason | None:
    """Return a description of missing disk space; None if enough is free, or the free space is unknown."""
    try:
        free = shutil.disk_usage(directory).free // MB
    except OSError:
        return None
    if free >= min_free_mb:
        return None
    return Reason.of(
        "only {free} MB are free under {directory}; MIN_FREE_DISK_MB requires {wanted}",
        "disk_full",
        free=f"{free:,}",
        directory=str(directory),
        wanted=f"{min_free_mb:,}",
    )


def find_free_bytes(directory: Path, min_free_mb: int) -> int | None:
    """Return the free bytes above the minimum, at least 0; None if they are unknown."""
    try:
        return max(0, shutil.disk_usage(directory).free - min_free_mb * MB)
    except OSError:
        return None


def require_free_space(directory: Path, min_free_mb: int, size: int) -> None:
    """Raise InsufficientStorage if this many more bytes would leave too little free.

    Unknown free space counts as enough.
    """
    free = find_free_bytes(directory, min_free_mb)
    if free is not None and size > free:
        raise InsufficientStorage(
            f"The disk has {free:,} usable bytes free, and this needs {size:,}: free disk space first.",
            data={"available_bytes": free},
        )


def find_shortage(directory: Path, min_free_mb: int) -> InsufficientStorage | None:
    """Return the error for operations that need disk space; None if enough is free."""
    shortage = describe_shortage(directory, min_free_mb)
    if shortage is None:
        return None
    return InsufficientStorage(
        Reason.of("There is too little disk space: {shortage}.", "too_little_disk", shortage=shortage)
    )


class DiskReserve:
    """Disk space held back for the time when the disk is full, so that tasks that fill it can be stopped."""

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size

    def fill(self) -> bool:
        """Reserve the space if enough is free, and return whether it is reserved. Never raises."""
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
        """Release the reserved space. Never raises."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
            logger.warning("the disk is full: its reserve is released", extra={"reserve": str(self._path)})


class Mount(Protocol):
    """A mounted file system, as psutil describes it."""

    mountpoint: str
    fstype: str


def is_on_network(path: Path, mounts: Iterable[Mount] | None = None) -> bool:
    """Return whether other machines may write at this path, unnoticed by this kernel.

    Links in the path are followed, so the call hangs if their file server does not answer. Returns False if the kernel
    has no list.
    """
    try:
        real = PurePath(os.path.realpath(path))
        known = psutil.disk_partitions(all=True) if mounts is None else mounts
    except OSError:
        return False
    # A later mount on the same path hides the earlier one.
    deepest = max(
        enumerate(mount for mount in known if real.is_relative_to(mount.mountpoint)),
        key=lambda numbered: (len(PurePath(numbered[1].mountpoint).parts), numbered[0]),
        default=None,
    )
    return deepest is not None and deepest[1].fstype.split(".", 1)[0] in _SHARED
