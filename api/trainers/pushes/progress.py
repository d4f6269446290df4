"""How far a push is: what the program prints of it, and the file that the service reads."""

# ruff: noqa: T201 - it speaks by what it prints

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from api.trainers.downloads.progress import SAY_SECONDS, SPEED_SECONDS
from api.trainers.downloads.words import step_line
from api.trainers.pushes.wish import PushedFile


class PushProgress:
    """Counts bytes that were sent. What the hub had already counts as done, and says nothing about the speed."""

    def __init__(self, files: Sequence[PushedFile], state: Path) -> None:
        self._files = files
        self._state = state
        self._sent = [0] * len(files)
        self._doing = ["queued"] * len(files)
        self._said_at = float("-inf")
        self._samples: list[tuple[float, int]] = []
        self._went = 0
        self._result: dict[str, object] = {}

    def tell(self, at: int, sent: int, doing: str) -> None:
        """Takes how many bytes of a file were sent."""
        if doing == "pushing":
            self._went += max(0, sent - self._sent[at])
        has_changed = self._doing[at] != doing
        self._sent[at], self._doing[at] = sent, doing
        self.say(always=has_changed)

    def finish(self, commit: str | None, url: str, *, is_new: bool) -> None:
        """Notes that the push is complete, by which commit, and whether that is a new one."""
        self._result = {"commit": commit, "url": url, "is_new": is_new}
        self._sent = [file.size for file in self._files]
        self._doing = ["completed"] * len(self._files)
        self.say(always=True)

    def say(self, *, always: bool = False) -> None:
        """Prints how far it is, and writes it for the service, once a second at most."""
        now = time.monotonic()
        if not always and now - self._said_at < SAY_SECONDS:
            return
        self._said_at = now
        total, sent, speed = sum(file.size for file in self._files), sum(self._sent), self._speed(now)
        left = (total - sent) / speed if speed else None
        done = sum(doing == "completed" for doing in self._doing)
        percent = 0.0 if not total else min(100.0, 100.0 * sent / total)
        print(step_line(done, len(self._files), percent, left), flush=True)
        self._write(speed, sent, total, left)

    def _speed(self, now: float) -> float | None:
        self._samples = [each for each in self._samples if now - each[0] <= SPEED_SECONDS] + [(now, self._went)]
        (since, before), (until, after) = self._samples[0], self._samples[-1]
        return (after - before) / (until - since) if until - since >= SAY_SECONDS / 2 else None

    def _write(self, speed: float | None, sent: int, total: int, left: float | None) -> None:
        files = [
            {"name": file.path, "size": file.size, "sent": there, "status": doing}
            for file, there, doing in zip(self._files, self._sent, self._doing, strict=True)
        ]
        told = {"files": files, "bytes_total": total, "bytes_done": sent, "bytes_per_second": speed, "eta": left}
        draft = self._state.with_name(f".{self._state.name}")
        draft.write_text(json.dumps({**told, **self._result}))
        os.replace(draft, self._state)
