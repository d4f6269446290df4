"""The paths of a task's files under STORAGE_ROOT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from api.domain.reason import Reason
from api.errors import InsufficientStorage
from api.files.disk import describe_shortage, find_free_bytes, find_shortage
from api.util.files.foreign_files import OWN_LEVELS, make_directory, read, write
from api.util.files.foreign_trees import remove_tree

#: Number of path levels in which links are not followed: the task's own directory. The administrator owns the others.
_ROOT_LEVELS = 1


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """The directories of one task."""

    root: Path

    @property
    def output(self) -> Path:
        """The trainer's output_dir, which contains its run directories."""
        return self.root / "output"

    @property
    def attempts(self) -> Path:
        """The directory with one directory for each attempt, named by its number."""
        return self.root / "attempts"

    @property
    def log(self) -> Path:
        """The directory of the log, which all attempts share."""
        return self.root / "log"

    @property
    def datasets(self) -> Path:
        """The directory with one directory for each dataset that the task trains on."""
        return self.root / "datasets"

    @property
    def secrets(self) -> Path:
        """The file with the secret environment variables, which no response and no other file contains."""
        return self.root / "secrets.json"

    def store_secrets(self, values: Mapping[str, str]) -> None:
        """Write the secret variables to a file that only its owner can read. Raises OSError."""
        if values:
            make_directory(str(self.root), _ROOT_LEVELS)
            write_private(self.secrets, orjson.dumps(dict(values)), _ROOT_LEVELS)

    def read_secrets(self) -> dict[str, str]:
        """Return the stored secret variables; empty if there are none."""
        try:
            stored = orjson.loads(read(str(self.secrets), levels=_ROOT_LEVELS))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}
        if not isinstance(stored, dict):
            return {}
        return {str(name): str(value) for name, value in stored.items()}

    def remove(self) -> None:
        """Delete all of them. What cannot be deleted stays."""
        remove_tree(str(self.root), levels=0)


@dataclass(frozen=True, slots=True)
class TaskStorage:
    """The storage directory: the files of tasks, and the free space for them."""

    root: Path
    min_free_mb: int = 0  #: MIN_FREE_DISK_MB
    require: Callable[[], object] = lambda: None  #: raises StorageGone if the storage is unavailable

    def files(self, task_id: str) -> TaskFiles:
        """Return the paths of a task's files; the id must come from this service or from the database."""
        return task_files(self.root, task_id)

    def describe_shortage(self) -> Reason | None:
        """Return a description of missing disk space; None if enough is free, or the free space is unknown."""
        return describe_shortage(self.root, self.min_free_mb)

    def find_shortage(self) -> InsufficientStorage | None:
        """Return the error for operations that need disk space; None if enough is free."""
        return find_shortage(self.root, self.min_free_mb)

    def find_free_bytes(self) -> int | None:
        """Return the free bytes above the minimum, at least 0; None if they are unknown."""
        return find_free_bytes(self.root, self.min_free_mb)


def tasks_directory(storage_root: Path) -> Path:
    """Return the directory with one directory for each task, named by its id."""
    return storage_root.absolute() / "tasks"


def task_files(storage_root: Path, task_id: str) -> TaskFiles:
    """Return the paths of a task's files; the id must come from this service or from the database."""
    return TaskFiles(tasks_directory(storage_root) / task_id)


def write_private(path: Path, content: bytes, levels: int = OWN_LEVELS) -> None:
    """Write a complete file that only its owner can read, or leave the old one. Raises OSError."""
    write(str(path), content, levels)
