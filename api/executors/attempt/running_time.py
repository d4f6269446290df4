"""How long a trainer has run, by a clock that nobody sets: the wall clock is for people."""

from __future__ import annotations

import time

from .files import number


def steady_seconds() -> float:
    """Seconds since the machine was started, its sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RunningTime:
    """The trainer's running time, kept in a record so that a later supervisor can go on with it."""

    def __init__(self) -> None:
        self.started_at: float | None = None  #: Unix seconds
        self._started_steady: float | None = None

    def begin(self) -> None:
        """Starts counting: the trainer is started now."""
        self.started_at, self._started_steady = time.time(), steady_seconds()

    def restore(self, record: dict[str, object], is_same_boot: bool) -> None:
        """Goes on with what an earlier supervisor recorded; its steady clock ended with its run of the machine."""
        self.started_at = number(record.get("started_at"))
        self._started_steady = number(record.get("started_steady")) if is_same_boot else None

    def as_json(self) -> dict[str, object]:
        """What `restore` reads."""
        return {"started_at": self.started_at, "started_steady": self._started_steady}

    def seconds(self, ended_at: float) -> float | None:
        """Seconds that the trainer has run; by the wall clock when it began before a restart of the machine."""
        if self._started_steady is not None:
            return max(0.0, steady_seconds() - self._started_steady)
        return None if self.started_at is None else max(0.0, ended_at - self.started_at)
