"""Working directories of `backup` and `restore`; those of killed commands are removed later."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BACKUP, RESTORE = ".backup-", ".restore-"  #: prefixes of their names


@contextmanager
def work_directory(prefix: str, parent: Path) -> Iterator[Path]:
    """Make a directory that is removed at the end of the block, and remove those of commands that were killed."""
    remove_abandoned(parent)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        with _locked(work):
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove directories that no command uses any more: they contain copies of the database."""
    for prefix in (BACKUP, RESTORE):
        for left in parent.glob(f"{prefix}*"):
            with suppress(OSError), _locked(left):
                shutil.rmtree(left)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the lock that marks a directory as used. Raise BlockingIOError if another process holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
