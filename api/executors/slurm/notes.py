"""Store data about an attempt's job in the attempt's directory, so that another server can continue."""

import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from api.executors.attempt.small_files import parse_json, write_json
from api.util.files.foreign_files import ForeignFile, read

#: The file that marks an attempt as Slurm's and contains its job's number.
NOTE = "slurm.json"

#: The maximum length of a stored sentence, in characters.
_MOST_TEXT = 500


@dataclass(frozen=True, slots=True)
class JobNote:
    """The stored data of an attempt's jobs."""

    job_id: int | None = None  #: None: the job is being submitted, or may have been
    lost: int = 0  #: number of its jobs that ended before they started anything
    leaves: str | None = None  #: why it was ordered to save and end: preempted or time_limit
    said: str = ""  #: Slurm's message about that


class JobNotes:
    """The notes of all attempts, each read once."""

    def __init__(self) -> None:
        self._known: dict[Path, JobNote] = {}

    def get(self, directory: Path) -> JobNote | None:
        """Return the note of an attempt, or None if it is not Slurm's.

        Raises OSError if the disk fails.
        """
        if directory not in self._known:
            found = _read(str(directory / NOTE))
            if found is None:
                return None
            self._known[directory] = found
        return self._known[directory]

    def numbers(self) -> Collection[int]:
        """Return the known job numbers of the attempts that have not ended."""
        return {note.job_id for note in list(self._known.values()) if note.job_id is not None}

    def note_job(self, directory: Path, job_id: int | None) -> None:
        """Store the number of its job; None before it is submitted.

        Raises OSError.
        """
        self._store(directory, replace(self.get(directory) or JobNote(), job_id=job_id))

    def note_loss(self, directory: Path) -> None:
        """Record that its job ended before it started anything, so that it is submitted again.

        Raises OSError.
        """
        known = self.get(directory) or JobNote()
        self._store(directory, replace(known, job_id=None, lost=known.lost + 1))

    def note_leave(self, directory: Path, why: str, message: str) -> None:
        """Store why it is ordered to end, as Slurm may have forgotten that by then.

        Raises OSError.
        """
        known = self.get(directory) or JobNote()
        if known.leaves is None:
            self._store(directory, replace(known, leaves=why, said=message[:_MOST_TEXT]))

    def _store(self, directory: Path, note: JobNote) -> None:
        write_json(str(directory / NOTE), asdict(note))
        self._known[directory] = note

    def forget(self, directory: Path) -> None:
        """Drop an ended attempt from memory; its file stays."""
        self._known.pop(directory, None)


def _read(path: str) -> JobNote | None:
    try:
        content = parse_json(read(path)) or {}
    except (FileNotFoundError, ForeignFile):
        return None
    leaves = content.get("leaves")
    return JobNote(
        job_id=_number(content, "job_id"),
        lost=_number(content, "lost") or 0,
        leaves=leaves if leaves in ("preempted", "time_limit") else None,
        said=str(content.get("said") or "")[:_MOST_TEXT],
    )


def _number(content: dict[str, Any], name: str) -> int | None:
    value = content.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def has_no_output(directory: Path) -> bool:
    """Return whether a job's program has printed nothing, so that it may never have started.

    Lines of slurmstepd do not count: they only report the end.
    """
    try:
        lines = read(str(directory / "supervisor.log"), 2**20).splitlines()
    except (OSError, ForeignFile):
        return not os.path.lexists(directory / "runner.json")
    return not any(line.strip() and not line.startswith(b"slurmstepd:") for line in lines)
