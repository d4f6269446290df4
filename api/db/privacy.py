"""Keeps what the service stores to its own user: requests, logs and the database are nobody else's."""

import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

#: The umask of the process: files that it and its trainings make are for their user only.
UMASK = 0o077

#: Endings of the files that SQLite keeps, beginning with the database itself.
SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")

#: What the user that trainings run as may enter under STORAGE_ROOT: passing through, and writing.
_SHARED = {"tasks": 0o710, "caches": 0o2770}

#: Directories of the system itself, whose permissions stay even if somebody names one as the storage.
_SYSTEM = {"", "bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "run", "sbin", "srv", "usr", "var"}


def make_private_directory(path: Path) -> None:
    """Makes a directory that only its owner can enter, or makes one that is there so. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _tighten(path, path.stat())


def make_passable_storage(root: Path, group: int) -> None:
    """Makes a storage whose trainings run as another user: the members of its group can pass through to tasks that are
    opened to them, and use `caches`; whatever else there is is its owner's alone. Raises OSError.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for entry in root.iterdir():
        status = entry.lstat()
        if entry.name not in _SHARED and (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            _tighten(entry, status)
    for name, mode in _SHARED.items():
        shared = root / name
        shared.mkdir(mode=0o700, exist_ok=True)
        if name == "tasks":
            _close_tasks(shared)
        os.chown(shared, -1, group)
        shared.chmod(mode)
    # Its group is left as it is: systemd gives all of a state directory anew to its user when that has changed.
    root.chmod(0o710 if root.stat().st_gid == group else 0o711)


def _close_tasks(tasks: Path) -> None:
    """Closes what an older version may have left open, as others could not come here then."""
    for task in tasks.iterdir():
        status = task.lstat()
        if stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) not in (0o700, 0o710):
            _tighten(task, status)


def tighten_sqlite(path: Path) -> None:
    """Removes the permissions of group and others from a database's files, which an older version may have left."""
    for suffix in SQLITE_SUFFIXES:
        file = path.with_name(path.name + suffix)
        try:
            found = file.lstat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode):
            _tighten(file, found)


def _tighten(path: Path, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not mode & UMASK:
        return
    why = _why_not_ours(path, found)
    if why is not None:
        logger.warning("%s can be entered or read by other users, and %s: `chmod go= %s`", path, why, path)
        return
    try:
        path.chmod(mode & ~UMASK)
    except OSError as error:
        logger.warning("%s can be entered or read by other users (%s)", path, error.strerror)
        return
    logger.warning("%s could be entered or read by other users (mode %04o); now only by its owner", path, mode)


def _why_not_ours(path: Path, found: os.stat_result) -> str | None:
    if found.st_uid != os.geteuid():
        return "it belongs to another user"
    real = path.resolve()
    if found.st_mode & stat.S_ISVTX or (real.parent == Path("/") and real.name in _SYSTEM):
        # Closing /tmp or /var would lock out everybody else.
        return "it is a place that all share"
    return None
