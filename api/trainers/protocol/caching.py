"""A trainer of diffusion-pipe's kind that only caches: what its lines say, and what it leaves behind.

It prints no phrase at its end and makes no run directory: its exit code 0 and the files of its cache are all there is.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from api.domain.progress import Point, Stage
from api.domain.training import TrainingPlan
from api.trainers.protocol.output import OutputReader
from api.trainers.protocol.phrases import COMPLETED, STOPPED
from api.util.foreign_trees import walk

#: Lines after which bars count media files, and after which they count captions.
_PIXELS = "caching latents: "
_TEXTS = "caching text embeddings: "

#: A bar without a title: the trainer's own.
_BAR = re.compile(r" {0,3}\d{1,3}%\|[^|]{0,200}\| (\d{1,9})/(\d{1,9}) \[", re.ASCII)

#: Parts of the path of a cache below the directory of its task: datasets, the dataset's, media, cache.
_LEVELS = 5

#: The most files of a cache that are looked at: a shard has 10 GB.
_MOST_FILES = 200_000


class CacheReader(OutputReader):
    """Reads lines as `OutputReader` does, and counts the media files that are cached."""

    def __init__(self, plan: TrainingPlan) -> None:
        super().__init__(plan, COMPLETED, STOPPED)
        self.progress.only_caches = True
        self._counts = plan.cache is None or plan.cache.counts_items
        self._is_of_pixels = False
        self._before = 0  #: counted by bars that have ended
        self._latest = 0  #: by the one that runs

    def read(self, line: str, at: float) -> Point | None:
        """Takes the next line. There are no steps, whatever it says."""
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
        """What it has seen, as JSON."""
        return {**super().save(), "bars": [self._is_of_pixels, self._before, self._latest]}

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from what `save` gave."""
        super().restore(saved)
        is_of_pixels, before, latest = saved.get("bars", (False, 0, 0))
        self._is_of_pixels, self._before, self._latest = bool(is_of_pixels), int(before), int(latest)


def find_gap(directories: Sequence[Path]) -> str | None:
    """What is missing of a cache in these directories of media; None when each has one. Raises OSError."""
    for directory in directories:
        names = [name for name, _ in walk(str(directory / "cache"), _LEVELS, _MOST_FILES)]
        if not any(name.endswith("/metadata/grouping_keys.json") for name in names):
            return f"there is no list of sizes for {directory.parent.name}"
        if not any(name.endswith("/latents/metadata.db") for name in names):
            return f"no pixels are cached for {directory.parent.name}"
        if not any("/latents/shard_" in name for name in names):
            return f"no pixels are cached for {directory.parent.name}"
    return None
