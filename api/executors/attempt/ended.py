"""Whether an attempt has ended, and how long its trainer has run, by a clock that cannot be set."""

from __future__ import annotations

import time

from api.util.files.foreign_files import ForeignFile, read, status_of

from .processes import boot_id, is_alive
from .small_files import identity_of, number, parse_json


def has_outcome(directory: str) -> bool:
    """Return whether the outcome file exists, valid or not."""
    try:
        status_of(f"{directory}/exit.json")
    except OSError:
        return False
    return True


def has_ended(directory: str) -> bool:
    """Return whether the existing outcome is credible. Call it only when no supervisor lives.

    A supervisor writes the outcome with its own fence, after all processes have ended. An outcome beside a living
    trainer, or with the fence of an earlier supervisor, was therefore written by another program. An outcome that
    cannot be parsed is damaged and counts as an end. A trainer of the same user that kills its supervisor and forges a
    complete record is believed, as no file could expose it; it harms only its own task.

    Raises OSError.
    """
    runner = _object(f"{directory}/runner.json") or {}
    trainer = identity_of(runner.get("trainer"))
    if trainer is not None and runner.get("boot_id") == boot_id() and is_alive(*trainer):
        return False
    outcome = _object(f"{directory}/exit.json")
    if outcome is None:
        return has_outcome(directory)
    fence = number(outcome.get("fence"))
    return fence is None or fence >= max(number(runner.get("fence")) or 0, _fence(directory))


def _object(path: str) -> dict[str, object] | None:
    try:
        return parse_json(read(path))
    except (FileNotFoundError, ForeignFile):
        return None


def _fence(directory: str) -> int:
    try:
        return int(read(f"{directory}/fence", 64))
    except (OSError, ValueError):
        return 0


def steady_seconds() -> float:
    """Return the seconds since boot, including suspension."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RunningTime:
    """The trainer's running time, stored in a record so that a later supervisor can continue it."""

    def __init__(self) -> None:
        self.started_at: float | None = None  #: Unix seconds
        self._started_steady: float | None = None

    def begin(self) -> None:
        """Start measuring, when the trainer starts."""
        self.started_at, self._started_steady = time.time(), steady_seconds()

    def restore(self, record: dict[str, object], is_same_boot: bool) -> None:
        """Continue an earlier supervisor's record. Its steady clock is valid only for the same boot."""
        self.started_at = number(record.get("started_at"))
        self._started_steady = number(record.get("started_steady")) if is_same_boot else None

    def as_json(self) -> dict[str, object]:
        """Return the values that `restore` reads."""
        return {"started_at": self.started_at, "started_steady": self._started_steady}

    def seconds(self, ended_at: float) -> float | None:
        """Return the trainer's running time in seconds; by the wall clock if it started before a reboot."""
        if self._started_steady is not None:
            return max(0.0, steady_seconds() - self._started_steady)
        return None if self.started_at is None else max(0.0, ended_at - self.started_at)
