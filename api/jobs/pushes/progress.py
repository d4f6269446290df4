"""How far a push is, by its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.jobs.downloads.transfer_progress import COMPLETED, TransferProgress
from api.jobs.pushes.wish import PushedFile


class PushProgress(TransferProgress):
    """Counts the bytes of files that are sent. What the hub had already counts as done."""

    def __init__(self, files: Sequence[PushedFile], state: Path) -> None:
        super().__init__(len(files), state)
        self._files = files
        self._result: dict[str, object] = {}

    @property
    def total(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self._files)

    def tell(self, at: int, sent: int, doing: str) -> None:
        """Takes how many bytes of a file were sent."""
        if doing == "pushing":
            self._moved += max(0, sent - self._done[at])
        has_changed = self._doing[at] != doing
        self._done[at], self._doing[at] = sent, doing
        self.say(always=has_changed)

    def finish(self, commit: str | None, url: str, *, is_new: bool) -> None:
        """Notes that the push is complete, by which commit, and whether that is a new one."""
        self._result = {"commit": commit, "url": url, "is_new": is_new}
        self._done = [file.size for file in self._files]
        self._doing = [COMPLETED] * len(self._files)
        self.say(always=True)

    def _describe(self) -> dict[str, Any]:
        files = [
            {"name": file.path, "size": file.size, "sent": there, "status": doing}
            for file, there, doing in zip(self._files, self._done, self._doing, strict=True)
        ]
        return {"files": files, **self._result}
