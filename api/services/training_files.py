"""Where the files of a task lie under STORAGE_ROOT."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson


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
        """One directory an attempt, by its number."""
        return self.root / "attempts"

    @property
    def log(self) -> Path:
        """One log over all attempts, in segments."""
        return self.root / "log"

    @property
    def secrets(self) -> Path:
        """Environment variables that no answer and no other file shows."""
        return self.root / "secrets.json"

    def keep_secrets(self, values: Mapping[str, str]) -> None:
        """Writes them for the owner's eyes only. Raises OSError."""
        if values:
            self.root.mkdir(parents=True, exist_ok=True)
            write_private(self.secrets, orjson.dumps(dict(values)))

    def read_secrets(self) -> dict[str, str]:
        """What was kept; nothing when nothing was."""
        try:
            kept = orjson.loads(self.secrets.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return {}
        return {str(name): str(value) for name, value in kept.items()}


def task_files(storage_root: Path, task_id: str) -> TaskFiles:
    """The files of a task; its id has been made by this service or checked against the database."""
    return TaskFiles(storage_root.absolute() / "tasks" / task_id)


def write_private(path: Path, content: bytes) -> None:
    """Writes a whole file, for its owner only, or leaves what was there. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
