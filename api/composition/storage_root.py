"""STORAGE_ROOT when the service begins: made, its owner's alone, and the home of the machine's name."""

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

#: The file with the machine's name, which the first start makes.
NODE = "node"


class StorageError(Exception):
    """STORAGE_ROOT cannot be used: why, and what to do."""


def name_machine(root: Path, given: str, trainer_user: TrainerUser | None) -> Node:
    """Makes the directory; returns the name of this machine. Raises StorageError when nothing can be written there."""
    with usable(root):
        make_private_directory(root) if trainer_user is None else make_passable_storage(root, trainer_user.gid)
        if not os.access(root, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        remove_abandoned(root)
        return name_node(root / NODE, given)


@contextmanager
def usable(root: Path) -> Iterator[None]:
    """Raises StorageError for what the disk refuses."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"STORAGE_ROOT={root} cannot be used ({error.strerror}): make it writable, or choose another"
        ) from error


def require_database(root: Path, file: Path) -> None:
    """Close the SQLite file to others; refuse an emptied one where STORAGE_ROOT was used before, and log a missing one.

    Whoever removed it wants to begin anew; whoever lost it learns that the new one is empty. Raise DatabaseError.
    """
    tighten_sqlite(file)
    if not (root / NODE).exists():
        return
    if not file.exists():
        logger.warning("STORAGE_ROOT was used before, and its database is missing: an empty one is made: %s", file)
    elif file.stat().st_size == 0:
        raise DatabaseError(f"the database {file} is empty: {describe_rescue(file)}; remove it to begin anew")
