"""Measure how long a trainer has run, by a clock that cannot be set; the wall clock is for display."""

from __future__ import annotations

import time

from .files import number


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
