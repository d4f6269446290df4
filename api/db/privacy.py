"""File permissions: only the service's user may read requests, logs and the database."""

import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

#: The umask of the process, so that files of the service and its trainings are private to their user.
UMASK = 0o077

#: Suffixes of SQLite's files, starting with the database itself.
SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")

#: Modes of directories in STORAGE_ROOT that the trainers' user may enter, or write to.
_SHARED = {"tasks": 0o710, "caches": 0o2770}

#: System directories whose permissions are never changed, even if one is configured as the storage.
_SYSTEM = {"", "bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "run", "sbin", "srv", "usr", "var"}


def make_private_directory(path: Path) -> None:
    """Create a directory that only its owner can enter, or restrict an existing one. Raises OSError."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    _tighten(path, path.stat())


def make_passable_storage(root: Path, group: int) -> None:
    """Create a storage for trainings that run as another user. Raises OSError.

    Members of its group can pass through to tasks that are opened to them, and use `caches`. Everything else is private
    to the owner.
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
    # The group is unchanged: systemd would reset the ownership of a state directory if it differed.
    root.chmod(0o710 if root.stat().st_gid == group else 0o711)


def _close_tasks(tasks: Path) -> None:
    """Restrict task directories that an older version left open, when other users could not reach them."""
    for task in tasks.iterdir():
        status = task.lstat()
        if stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) not in (0o700, 0o710):
            _tighten(task, status)


def tighten_sqlite(path: Path) -> None:
    """Remove the permissions of group and others from a database's files, which an older version may have set."""
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
        logger.warning("%s is accessible to other users: %s", path, why)
        return
    try:
        path.chmod(mode & ~UMASK)
    except OSError as error:
        logger.warning("%s is accessible to other users, and its mode cannot be changed (%s)", path, error.strerror)
        return
    logger.warning("%s was accessible to other users (mode %04o); access is now restricted to its owner", path, mode)


def _why_not_ours(path: Path, found: os.stat_result) -> str | None:
    if found.st_uid != os.geteuid():
        return f"it belongs to another user, who can restrict it with `chmod go= {path}`"
    real = path.resolve()
    if found.st_mode & stat.S_ISVTX or (real.parent == Path("/") and real.name in _SYSTEM):
        # Restricting /tmp or /var would lock out all other users.
        return "it is a shared system directory; choose another directory"
    return None
