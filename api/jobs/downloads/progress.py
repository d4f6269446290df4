"""Progress of a download or a push: messages in the output, and the state file that the service reads."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.jobs.messages import report_progress

#: Seconds between two reports, and seconds over which the speed is measured.
REPORT_SECONDS, SPEED_SECONDS = 1.0, 10.0

COMPLETED = "completed"


class TransferProgress:
    """Counts the bytes of files. Bytes that were already there count as done, but not for the speed."""

    def __init__(self, files: Sequence[Mapping[str, Any]], state: Path, done_key: str, moving: str) -> None:
        """`files` are the entries of the state file, each with its size in bytes, or None if that is unknown.

        `done_key` is the key of the bytes that are done, `moving` the status in which bytes go over the network.
        """
        self._files: list[dict[str, Any]] = [{**file, done_key: 0, "status": "queued"} for file in files]
        self._state = state
        self._done_key = done_key
        self._moving = moving
        self._result: Mapping[str, Any] = {}
        self._reported_at = float("-inf")
        self._samples: list[tuple[float, int]] = []
        self.moved = 0  #: bytes that went over the network in this run

    @property
    def total(self) -> int | None:
        """The bytes of all files; None while a size is unknown."""
        sizes = [file["size"] for file in self._files]
        return None if None in sizes else sum(sizes)

    def update(self, index: int, done: int, status: str) -> None:
        """Record how many bytes of a file are done. The first update in a status counts nothing as moved."""
        file = self._files[index]
        has_changed = file["status"] != status
        if status == self._moving and not has_changed:
            self.moved += max(0, done - file[self._done_key])
        file.update({self._done_key: max(done, 0), "status": status})
        self.report(always=has_changed)

    def finish(self, index: int, **facts: Any) -> None:
        """Record that a file is complete, with further fields of its entry."""
        file = self._files[index]
        file.update({self._done_key: file["size"] or file[self._done_key], "status": COMPLETED, **facts})
        self.report(always=True)

    def finish_all(self, **result: Any) -> None:
        """Record that every file is complete, with further fields of the state file."""
        self._result = result
        for file in self._files:
            file.update({self._done_key: file["size"], "status": COMPLETED})
        self.report(always=True)

    def report(self, *, always: bool = False) -> None:
        """Print the progress and write the state file, at most once a second unless `always` is set."""
        now = time.monotonic()
        if not always and now - self._reported_at < REPORT_SECONDS:
            return
        self._reported_at = now
        speed, total = self._measure_speed(now), self.total
        done = sum(file[self._done_key] for file in self._files)
        left = None if not speed or total is None else (total - done) / speed
        percent = 0.0 if not total else min(100.0, 100.0 * done / total)
        completed = sum(file["status"] == COMPLETED for file in self._files)
        report_progress("files", completed, len(self._files), percent, left)
        figures = {"bytes_total": total, "bytes_done": done, "bytes_per_second": speed, "eta": left}
        draft = self._state.with_name(f".{self._state.name}")
        draft.write_text(json.dumps({**figures, "files": self._files, **self._result}))
        os.replace(draft, self._state)

    def _measure_speed(self, now: float) -> float | None:
        self._samples = [each for each in self._samples if now - each[0] <= SPEED_SECONDS] + [(now, self.moved)]
        (since, before), (until, after) = self._samples[0], self._samples[-1]
        return (after - before) / (until - since) if until - since >= REPORT_SECONDS / 2 else None
