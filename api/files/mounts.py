"""Find the file system of a path in the kernel's list of mounts, without accessing one that may hang."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Protocol

import psutil

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
