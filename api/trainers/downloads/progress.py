"""How far a download is: what the program prints of it, and the file that the service reads."""

# ruff: noqa: T201 - it speaks by what it prints

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from api.trainers.downloads.fetch import RemoteFile
from api.trainers.downloads.words import step_line

#: Seconds between two looks that are told, and over which the speed is measured.
SAY_SECONDS, SPEED_SECONDS = 1.0, 10.0


class DownloadProgress:
    """Counts bytes. What was there before counts as done, and says nothing about the speed."""

    def __init__(self, files: Sequence[RemoteFile], state: Path) -> None:
        self._files = files
        self._state = state
        self._done = [0] * len(files)
        self._paths: list[str | None] = [None] * len(files)
        self._doing = ["queued"] * len(files)
        self._said_at = float("-inf")
        self._samples: list[tuple[float, int]] = []
        self._came = 0  #: bytes that came over the network in this run

    @property
    def total(self) -> int | None:
        """The bytes of all files; None while a size is not known."""
        sizes = [file.size for file in self._files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def tell(self, at: int, there: int, doing: str) -> None:
        """Takes how many bytes of a file are there."""
        if doing == "downloading" and self._doing[at] == "downloading":
            self._came += max(0, there - self._done[at])
        has_changed = self._doing[at] != doing
        self._done[at], self._doing[at] = max(there, 0), doing
        self.say(always=has_changed)

    def finish(self, at: int, path: str) -> None:
        """Takes that a file is whole, and where."""
        self._done[at] = self._files[at].size or self._done[at]
        self._paths[at], self._doing[at] = path, "completed"
        self.say(always=True)

    def say(self, *, always: bool = False) -> None:
        """Prints how far it is, and writes it for the service, once a second at most."""
        now = time.monotonic()
        if not always and now - self._said_at < SAY_SECONDS:
            return
        self._said_at = now
        speed, done, total = self._speed(now), sum(self._done), self.total
        left = None if not speed or total is None else (total - done) / speed
        percent = 0.0 if not total else min(100.0, 100.0 * done / total)
        print(step_line(sum(path is not None for path in self._paths), len(self._files), percent, left), flush=True)
        self._write(speed, done, total, left)

    def _speed(self, now: float) -> float | None:
        self._samples = [each for each in self._samples if now - each[0] <= SPEED_SECONDS] + [(now, self._came)]
        (since, before), (until, after) = self._samples[0], self._samples[-1]
        return (after - before) / (until - since) if until - since >= SAY_SECONDS / 2 else None

    def _write(self, speed: float | None, done: int, total: int | None, left: float | None) -> None:
        files = [
            {
                "name": file.name,
                "directory": file.directory,
                "size": file.size,
                "downloaded": there,
                "path": path,
                "status": doing,
            }
            for file, there, path, doing in zip(self._files, self._done, self._paths, self._doing, strict=True)
        ]
        told = {"files": files, "bytes_total": total, "bytes_done": done, "bytes_per_second": speed, "eta": left}
        draft = self._state.with_name(f".{self._state.name}")
        draft.write_text(json.dumps(told))
        os.replace(draft, self._state)
