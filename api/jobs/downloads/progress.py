"""How far a download is, by its files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.jobs.downloads.fetch import RemoteFile
from api.jobs.downloads.transfer_progress import COMPLETED, TransferProgress


class DownloadProgress(TransferProgress):
    """Counts the bytes of files that come."""

    def __init__(self, files: Sequence[RemoteFile], state: Path) -> None:
        super().__init__(len(files), state)
        self._files = files
        self._paths: list[str | None] = [None] * len(files)

    @property
    def total(self) -> int | None:
        """The bytes of all files; None while a size is not known."""
        sizes = [file.size for file in self._files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def tell(self, at: int, there: int, doing: str) -> None:
        """Takes how many bytes of a file are there."""
        if doing == "downloading" and self._doing[at] == "downloading":
            self._moved += max(0, there - self._done[at])
        has_changed = self._doing[at] != doing
        self._done[at], self._doing[at] = max(there, 0), doing
        self.say(always=has_changed)

    def finish(self, at: int, path: str) -> None:
        """Takes that a file is whole, and where."""
        self._done[at] = self._files[at].size or self._done[at]
        self._paths[at], self._doing[at] = path, COMPLETED
        self.say(always=True)

    def _describe(self) -> dict[str, Any]:
        files = [
            {
                "name": file.name,
                "directory": file.directory,
                "size": file.size,
                "downloaded": there,
                "path": path,
                "status": doing,
                "part": file.key,
            }
            for file, there, path, doing in zip(self._files, self._done, self._paths, self._doing, strict=True)
        ]
        return {"files": files}
