"""What is kept of an attempt's job in the attempt's own directory: whoever looks after it next goes on from there."""

import os
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from api.executors.attempt.files import parse_json, write_json
from api.util.foreign_files import ForeignFile, read

#: The file in an attempt's directory that says that it is, or was, Slurm's, and by which number.
NOTE = "slurm.json"

#: The most characters that are kept of a sentence.
_MOST_SAID = 500


@dataclass(frozen=True, slots=True)
class JobNote:
    """What is known of an attempt's jobs."""

    job_id: int | None = None  #: None: it is being handed over, and perhaps was
    lost: int = 0  #: how many jobs of it were over before they had begun anything
    leaves: str | None = None  #: why it was told to save and leave: preempted or time_limit
    said: str = ""  #: what Slurm said of that


class JobNotes:
    """The notes of all attempts, each read once."""

    def __init__(self) -> None:
        self._known: dict[Path, JobNote] = {}

    def get(self, directory: Path) -> JobNote | None:
        """The note of an attempt; None for one that is not Slurm's. Raises OSError where the disk hides it."""
        if directory not in self._known:
            found = _read(str(directory / NOTE))
            if found is None:
                return None
            self._known[directory] = found
        return self._known[directory]

    def numbers(self) -> Collection[int]:
        """The numbers of the jobs of the attempts that go on, as far as they are known."""
        return {note.job_id for note in list(self._known.values()) if note.job_id is not None}

    def note_job(self, directory: Path, job_id: int | None) -> None:
        """Keeps the number of its job; None before it is handed over. Raises OSError."""
        self._keep(directory, replace(self.get(directory) or JobNote(), job_id=job_id))

    def note_loss(self, directory: Path) -> None:
        """Keeps that its job was over before it had begun anything, so that it is handed over anew. Raises OSError."""
        known = self.get(directory) or JobNote()
        self._keep(directory, replace(known, job_id=None, lost=known.lost + 1))

    def note_leave(self, directory: Path, why: str, said: str) -> None:
        """Keeps why it is told to leave: Slurm may have forgotten that when it has ended. Raises OSError."""
        known = self.get(directory) or JobNote()
        if known.leaves is None:
            self._keep(directory, replace(known, leaves=why, said=said[:_MOST_SAID]))

    def _keep(self, directory: Path, note: JobNote) -> None:
        write_json(str(directory / NOTE), asdict(note))
        self._known[directory] = note

    def forget(self, directory: Path) -> None:
        """Leaves an attempt that has ended to its file."""
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
        said=str(content.get("said") or "")[:_MOST_SAID],
    )


def _number(content: dict[str, Any], name: str) -> int | None:
    value = content.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def left_no_word(directory: Path) -> bool:
    """Whether what a job executed has printed nothing, so that perhaps it was never begun; Slurm's own lines only say
    that it was ended.
    """
    try:
        lines = read(str(directory / "supervisor.log"), 2**20).splitlines()
    except (OSError, ForeignFile):
        return not os.path.lexists(directory / "runner.json")
    return not any(line.strip() and not line.startswith(b"slurmstepd:") for line in lines)
