"""Find missing files of models that consist of several files."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_SHARD = re.compile(r"(.{1,200})-([0-9]{5})-of-([0-9]{5})(\.safetensors)", re.DOTALL)
_INDEX_END = ".safetensors.index.json"

#: Most bytes of an index that are read, and most shards of a model; the largest known model has 64.
_MOST_INDEX_BYTES = 8 * 2**20
_MOST_SHARDS = 1_000


def missing_shards(directory: Path, names: Iterable[str]) -> list[str]:
    """Return the missing files of the models in a directory with these names.

    Files are missing by the numbers in the names, and by an index if no other weights replace those in it.
    """
    present = set(names)
    missing = {name for given in present for name in _siblings(given)} - present
    complete = {name for name in present if name.endswith(".safetensors")}
    for name in present:
        if name.endswith(_INDEX_END) and not complete - {each for each in complete if _SHARD.fullmatch(each)}:
            missing |= _indexed(directory / name) - present
    return sorted(missing)


def find_outside(directory: Path, names: Iterable[str]) -> str | None:
    """Return a file outside of a directory that an index in it names, or None: a loader of the model would open it."""
    for name in names:
        if name.endswith(".index.json"):
            outside = next((each for each in _named_in(directory / name) if "/" in each), None)
            if outside is not None:
                return outside
    return None


def is_shard(name: str) -> bool:
    """Return whether a name is that of one shard of several."""
    found = _SHARD.fullmatch(name)
    return found is not None and int(found[3]) > 1


def _siblings(name: str) -> Iterable[str]:
    found = _SHARD.fullmatch(name)
    if found is None:
        return ()
    count = int(found[3])
    if not 0 < int(found[2]) <= count <= _MOST_SHARDS:
        return ()
    return (f"{found[1]}-{number:05}-of-{found[3]}{found[4]}" for number in range(1, count + 1))


def _indexed(path: Path) -> set[str]:
    """Return the files in the same directory that an index names."""
    plain = (name for name in _named_in(path) if "/" not in name and 0 < len(name) < 256)
    found: set[str] = set()
    for name in plain:
        found.add(name)
        if len(found) == _MOST_SHARDS:
            break
    return found


def _named_in(path: Path) -> Iterator[str]:
    """Yield the files that an index names, with repetitions; none if it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        found: Any = json.loads(os.pread(handle, _MOST_INDEX_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return
    finally:
        os.close(handle)
    weights = found.get("weight_map") if isinstance(found, dict) else None
    names = weights.values() if isinstance(weights, dict) else ()
    yield from (name for name in names if isinstance(name, str))
