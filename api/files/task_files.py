"""Where the files of a task lie under STORAGE_ROOT."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from api.util.foreign_files import OWN_LEVELS, make_directory, read, write

#: Parts of a path entered without following a link: the task's own directory. Those above are the administrator's.
_ROOT_LEVELS = 1


@dataclass(frozen=True, slots=True)
class TaskFiles:
    """The directories of one task."""

    root: Path

    @property
    def output(self) -> Path:
        """The trainer's output_dir: run directories appear in it."""
        return self.root / "output"

    @property
    def attempts(self) -> Path:
        """The directory that holds one directory for each attempt, named by its number."""
        return self.root / "attempts"

    @property
    def log(self) -> Path:
        """The directory of the log, which all attempts share."""
        return self.root / "log"

    @property
    def datasets(self) -> Path:
        """The directory that holds one directory for each named dataset that it trains on."""
        return self.root / "datasets"

    @property
    def secrets(self) -> Path:
        """The file of the secret environment variables; no answer and no other file shows them."""
        return self.root / "secrets.json"

    def keep_secrets(self, values: Mapping[str, str]) -> None:
        """Writes the secret variables into a file that only its owner can read. Raises OSError."""
        if values:
            make_directory(str(self.root), _ROOT_LEVELS)
            write_private(self.secrets, orjson.dumps(dict(values)), _ROOT_LEVELS)

    def read_secrets(self) -> dict[str, str]:
        """The secret variables that were kept; empty when there are none."""
        try:
            kept = orjson.loads(read(str(self.secrets), levels=_ROOT_LEVELS))
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}
        if not isinstance(kept, dict):
            return {}
        return {str(name): str(value) for name, value in kept.items()}


def tasks_directory(storage_root: Path) -> Path:
    """The directory that holds one directory for each task, named by its id."""
    return storage_root.absolute() / "tasks"


def task_files(storage_root: Path, task_id: str) -> TaskFiles:
    """The files of a task; its id has been made by this service or checked against the database."""
    return TaskFiles(tasks_directory(storage_root) / task_id)


def write_private(path: Path, content: bytes, levels: int = OWN_LEVELS) -> None:
    """Writes a whole file, for its owner only, or leaves what was there. Raises OSError."""
    write(str(path), content, levels)
