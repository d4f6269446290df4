"""Find the weight files below some directories. Nothing is copied or changed, and unchanged files are read once."""

import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.domain.models.base_model import FoundDirectory, FoundFile, LocalWeights
from api.domain.models.weights import WeightsFacts
from api.files.weights.examination import examine
from api.files.weights.model_directories import CONFIG, INDEX, WAN_HALF, find_missing_parts, kind_of, read_json

#: Suffixes of files that are examined.
_ENDINGS = (".safetensors", ".sft", ".pth", ".pt", ".ckpt", ".bin", ".gguf")

#: Most directory entries and levels that are visited, and most files whose facts are cached.
_MOST_ENTRIES, _MOST_LEVELS, _MOST_REMEMBERED = 100_000, 10, 20_000

#: Levels below a model's directory that contain its parts.
_PART_LEVELS = 2

_Version = tuple[int, int, int, int]


@dataclass(slots=True)
class _Walk:
    """The result of one walk: files with their version, and the names in each directory."""

    files: dict[str, tuple[_Version, int]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    configs: dict[str, _Version] = field(default_factory=dict)
    seen: set[tuple[int, int]] = field(default_factory=set)
    entries: int = 0
    is_cut: bool = False


class LocalModels:
    """The weights below the roots. Each scan reads the directories again; concurrent scans wait for each other."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(root.absolute() for root in roots)  #: may change at run time
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[_Version, WeightsFacts | None]] = OrderedDict()
        self._configs: dict[str, tuple[_Version, dict[str, Any] | None]] = {}

    def scan(self) -> LocalWeights:
        """Return all weights below the roots as they are now."""
        with self._lock:
            walk = _Walk()
            for root in self.roots:
                _walk_below(str(root), walk)
            files = [FoundFile(path, facts) for path in sorted(walk.files) if (facts := self._facts(path, walk))]
            broken = {found.path for found in files if found.facts.is_whole is False}
            directories = [found for path in sorted(walk.names) if (found := self._directory(path, walk, broken))]
            return LocalWeights(tuple(files), tuple(directories), walk.is_cut)

    def _facts(self, path: str, walk: _Walk) -> WeightsFacts | None:
        """Return the facts about a file; None if it was deleted meanwhile or cannot be read."""
        version = walk.files[path][0]
        known = self._known.get(path)
        if known is None or known[0] != version:
            try:
                # Metadata can be megabytes per file and is not used here.
                known = (version, replace(examine(Path(path)), metadata={}))
            except OSError:
                known = (version, None)
            self._known[path] = known
            if len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        return known[1]

    def _directory(self, path: str, walk: _Walk, broken: set[str]) -> FoundDirectory | None:
        index, config = (self._config(f"{path}/{name}", walk) for name in (INDEX, CONFIG))
        # Wan 2.2 has its config.json in the directories of its two models.
        kind = kind_of(index, config or self._config(f"{path}/{WAN_HALF}/{CONFIG}", walk))
        if kind is None:
            return None
        present = _below(path, walk)
        inside = [
            f"{path}/{directory}/{name}".replace("//", "/") for directory, names in present.items() for name in names
        ]
        guided = (self._config(f"{path}/transformer/{CONFIG}", walk) or {}).get("guidance_embeds")
        return FoundDirectory(
            path=path,
            kind=kind,
            size_bytes=sum(walk.files[each][1] for each in inside if each in walk.files),
            broken=tuple(each.removeprefix(f"{path}/") for each in inside if each in broken),
            lacking=tuple(find_missing_parts(Path(path), kind, index, present)),
            is_guided=guided if isinstance(guided, bool) else None,
        )

    def _config(self, path: str, walk: _Walk) -> dict[str, Any] | None:
        version = walk.configs.get(path)
        if version is None:
            return None
        known = self._configs.get(path)
        if known is None or known[0] != version:
            known = self._configs[path] = (version, read_json(Path(path)))
        return known[1]


def is_text(name: str) -> bool:
    """Return whether a file's name is valid text; Python represents invalid bytes by lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _below(path: str, walk: _Walk) -> dict[str, list[str]]:
    """Return the names in a directory and in those below it, by relative path."""
    present = {"": walk.names[path]}
    frontier = [("", path)]
    for _ in range(_PART_LEVELS):
        frontier = [
            (f"{directory}/{name}".lstrip("/"), f"{above}/{name}")
            for directory, above in frontier
            for name in walk.names[above]
            if f"{above}/{name}" in walk.names
        ]
        present |= {directory: walk.names[full] for directory, full in frontier}
    return present


def _walk_below(root: str, walk: _Walk) -> None:
    waiting = [(root, 0)]
    while waiting:
        path, level = waiting.pop()
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in walk.seen:  # a link that leads back
                continue
            walk.seen.add(identity)
            with os.scandir(path) as entries:
                below = _read_directory(path, entries, walk)
        except (OSError, ValueError):
            continue
        if level < _MOST_LEVELS:
            waiting.extend((each, level + 1) for each in below)
        elif below:
            walk.is_cut = True


def _read_directory(path: str, entries: Any, walk: _Walk) -> list[str]:
    """Record the content of a directory, and return the directories in it."""
    names = walk.names[path] = []
    below = []
    for entry in entries:
        walk.entries += 1
        if walk.entries > _MOST_ENTRIES:
            walk.is_cut = True
            return []
        name = entry.name
        # A name that is not valid text can be neither returned nor requested.
        if name.startswith(".") or not is_text(name):
            continue
        names.append(name)
        is_weights = name.lower().endswith(_ENDINGS)
        if not is_weights and name not in (INDEX, CONFIG):
            # Hugging Face's cache stores content in "blobs", under names without meaning.
            if entry.is_dir() and name != "blobs":
                below.append(f"{path}/{name}")
            continue
        _note(entry, is_weights, walk)
    return below


def _note(entry: "os.DirEntry[str]", is_weights: bool, walk: _Walk) -> None:
    try:
        status = entry.stat()
    except OSError:  # a broken link
        return
    if not stat.S_ISREG(status.st_mode):
        return
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if is_weights:
        walk.files[entry.path] = (version, status.st_size)
    else:
        walk.configs[entry.path] = version
