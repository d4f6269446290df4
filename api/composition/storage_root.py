"""Prepare STORAGE_ROOT at the start: create it, restrict its access, and store the machine's name in it."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.db.database_url import DatabaseError
from api.db.privacy import make_passable_storage, make_private_directory, tighten_sqlite
from api.db.sqlite import describe_rescue
from api.executors.trainer_user import TrainerUser
from api.files.work_directory import remove_abandoned
from api.nodes.store import Node, name_node

logger = logging.getLogger(__name__)

#: The file with the machine's name, created at the first start.
NODE = "node"


class StorageError(Exception):
    """STORAGE_ROOT cannot be used; the message has the reason and a remedy."""


def name_machine(root: Path, given: str, trainer_user: TrainerUser | None) -> Node:
    """Create the directory and return the name of this machine. Raises StorageError if it is not writable."""
    with usable(root):
        make_private_directory(root) if trainer_user is None else make_passable_storage(root, trainer_user.gid)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        remove_abandoned(root)
        return name_node(root / NODE, given)


@contextmanager
def usable(root: Path) -> Iterator[None]:
    """Raise StorageError for errors of the file system."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"STORAGE_ROOT={root} cannot be used ({error.strerror}): make it writable, or set it to another directory"
        ) from error


def require_database(root: Path, file: Path) -> None:
    """Restrict access to the SQLite file; check that it was not lost or emptied.

    A missing file in a used STORAGE_ROOT is only logged, since it may have been removed on purpose. Raises
    DatabaseError for an empty one.
    """
    tighten_sqlite(file)
    if not (root / NODE).exists():
        return
    if not file.exists():
        logger.warning("STORAGE_ROOT was used before, but its database is missing; creating an empty one: %s", file)
    elif file.stat().st_size == 0:
        raise DatabaseError(f"the database {file} is empty: {describe_rescue(file)}; remove it to start with a new one")
