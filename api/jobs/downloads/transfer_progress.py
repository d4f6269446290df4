"""How far a download or a push is: what the program prints of it, and the file that the service reads."""

# ruff: noqa: T201 - it speaks by what it prints

import json
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from api.jobs.downloads.words import step_line

#: Seconds between two looks that are told, and over which the speed is measured.
SAY_SECONDS, SPEED_SECONDS = 1.0, 10.0

COMPLETED = "completed"


class TransferProgress(ABC):
    """Counts bytes. What was there before counts as done, and says nothing about the speed."""

    def __init__(self, count: int, state: Path) -> None:
        """`count` files are moved; `state` is the file that the service reads."""
        self._state = state
        self._done = [0] * count  #: bytes of each file
        self._doing = ["queued"] * count
        self._moved = 0  #: bytes that went over the network in this run
        self._said_at = float("-inf")
        self._samples: list[tuple[float, int]] = []

    @property
    @abstractmethod
    def total(self) -> int | None:
        """The bytes of all files; None while a size is not known."""

    @property
    def moved(self) -> int:
        """The bytes that went over the network in this run."""
        return self._moved

    @abstractmethod
    def _describe(self) -> dict[str, Any]:
        """What the service is told besides the figures, such as of each file."""

    def say(self, *, always: bool = False) -> None:
        """Prints how far it is, and writes it for the service, once a second at most."""
        now = time.monotonic()
        if not always and now - self._said_at < SAY_SECONDS:
            return
        self._said_at = now
        speed, done, total = self._speed(now), sum(self._done), self.total
        left = None if not speed or total is None else (total - done) / speed
        percent = 0.0 if not total else min(100.0, 100.0 * done / total)
        print(step_line(self._doing.count(COMPLETED), len(self._doing), percent, left), flush=True)
        figures = {"bytes_total": total, "bytes_done": done, "bytes_per_second": speed, "eta": left}
        draft = self._state.with_name(f".{self._state.name}")
        draft.write_text(json.dumps({**figures, **self._describe()}))
        os.replace(draft, self._state)

    def _speed(self, now: float) -> float | None:
        self._samples = [each for each in self._samples if now - each[0] <= SPEED_SECONDS] + [(now, self._moved)]
        (since, before), (until, after) = self._samples[0], self._samples[-1]
        return (after - before) / (until - since) if until - since >= SAY_SECONDS / 2 else None
