"""The output and the files of a trainer that only caches a dataset.

Such a run prints no final phrase and creates no run directory. Only exit code 0 and the cache files show success.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.domain.tasks.progress import Point, Stage
from api.domain.tasks.training import TrainingPlan
from api.trainers.protocol.error_lines import find_errors
from api.trainers.protocol.output import OutputReader
from api.trainers.protocol.phrases import CACHING, CACHING_LOGGED, COMPLETED, STOPPED
from api.util.files.foreign_trees import walk

#: After the first line, bars count media files; after the second, captions.
_PIXELS = "caching latents: "
_TEXTS = "caching text embeddings: "

#: A progress bar without a title is the trainer's own.
_BAR = re.compile(r" {0,3}\d{1,3}%\|[^|]{0,200}\| (\d{1,9})/(\d{1,9}) \[", re.ASCII)

#: Signs that a dataset is still being cached.
_PROGRESS = (CACHING, CACHING_LOGGED)
_ANY_BAR = "%|"

#: Depth of a cache path below its task's directory: datasets, dataset, media, cache.
_LEVELS = 5

#: Most cache files that are listed; a shard has 10 GB.
_MAX_FILES = 200_000


class CacheReader(OutputReader):
    """Reads lines like `OutputReader`, and counts the cached media files."""

    def __init__(self, plan: TrainingPlan) -> None:
        super().__init__(plan, COMPLETED, STOPPED)
        self.progress.only_caches = True
        self._counts = plan.cache is None or plan.cache.counts_items
        self._is_of_pixels = False
        self._before = 0  #: files counted by finished bars
        self._latest = 0  #: files counted by the current bar

    def read(self, line: str, at: float) -> Point | None:
        """Read the next line. Step lines are ignored."""
        if line.startswith((_PIXELS, _TEXTS)):
            self._before, self._latest = self._before + self._latest, 0
            self._is_of_pixels = line.startswith(_PIXELS)
        elif self._is_of_pixels and self._counts and line[:1] in " 0123456789":
            self._read_bar(line, at)
        super().read("" if line.startswith("steps: ") else line, at)
        return None

    def _read_bar(self, line: str, at: float) -> None:
        found = _BAR.match(line)
        if found is None:
            return
        done = int(found[1])
        if done < self._latest:
            self._before += self._latest
        self._latest = done
        self._enter(Stage.CACHING, at)
        self.progress.items_cached = self._before + done

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {**super().save(), "bars": [self._is_of_pixels, self._before, self._latest]}

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that `save` returned."""
        super().restore(saved)
        is_of_pixels, before, latest = saved.get("bars", (False, 0, 0))
        self._is_of_pixels, self._before, self._latest = bool(is_of_pixels), int(before), int(latest)


def has_ended_caching(lines: Sequence[str]) -> bool:
    """Return whether an exception has ended the caching, according to the last lines of a trainer that prints no more.

    torch marks what ends a rank. Its caching process may still print some progress after that. Other exceptions count
    if no progress is later.
    """
    progress = max((at for at, line in enumerate(lines) if line.startswith(_PROGRESS) or _ANY_BAR in line), default=-1)
    errors = [error for error in find_errors(lines) if error.traceback and not error.is_bare]
    return any(error.rank is not None or error.position > progress for error in errors)


def find_gap(directories: Sequence[Path]) -> str | None:
    """Return which part of the cache is missing in these media directories, or None. Raise OSError."""
    for directory in directories:
        names = [name for name, _ in walk(str(directory / "cache"), _LEVELS, _MAX_FILES)]
        if not any(name.endswith("/metadata/grouping_keys.json") for name in names):
            return f"the cache has no list of sizes for {directory.parent.name}"
        if not any(name.endswith("/latents/metadata.db") for name in names):
            return f"the cache has no latents for {directory.parent.name}"
        if not any("/latents/shard_" in name for name in names):
            return f"the cache has no latents for {directory.parent.name}"
    return None
