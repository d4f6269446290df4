"""Which file system a path lies on, by the kernel's list of mounts: none is touched, as it may not answer."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Protocol

import psutil

#: File systems that other machines write to as well, by the first part of their names.
_OF_MANY = frozenset(
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


class Mount(Protocol):
    """A mounted file system, as psutil has it."""

    mountpoint: str
    fstype: str


def lies_on_network(path: Path, mounts: Iterable[Mount] | None = None) -> bool:
    """Whether other machines may write where this path is, of which the kernel here tells nobody. Links in the path are
    followed, so that a file server that is away holds the caller; False where the kernel has no list.
    """
    try:
        place = PurePath(os.path.realpath(path))
        known = psutil.disk_partitions(all=True) if mounts is None else mounts
    except OSError:
        return False
    # What is mounted last on a place covers what was there.
    deepest = max(
        enumerate(mount for mount in known if place.is_relative_to(mount.mountpoint)),
        key=lambda numbered: (len(PurePath(numbered[1].mountpoint).parts), numbered[0]),
        default=None,
    )
    return deepest is not None and deepest[1].fstype.split(".", 1)[0] in _OF_MANY
