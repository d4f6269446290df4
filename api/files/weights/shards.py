"""Models that come in several files: which of them are not there."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_SHARD = re.compile(r"(.{1,200})-([0-9]{5})-of-([0-9]{5})(\.safetensors)", re.DOTALL)
_INDEX_END = ".safetensors.index.json"

#: Bytes of an index that are read, and shards that a model can have; the largest known has 64.
_MOST_INDEX_BYTES = 8 * 2**20
_MOST_SHARDS = 1_000


def missing_shards(directory: Path, names: Iterable[str]) -> list[str]:
    """The files that are missing of the models in a directory with these names in it: by their numbers, and by an index
    where there is one, and no other weights in its place.
    """
    there = set(names)
    missing = {name for given in there for name in _siblings(given)} - there
    whole = {name for name in there if name.endswith(".safetensors")}
    for name in there:
        if name.endswith(_INDEX_END) and not whole - {each for each in whole if _SHARD.fullmatch(each)}:
            missing |= _indexed(directory / name) - there
    return sorted(missing)


def find_outside(directory: Path, names: Iterable[str]) -> str | None:
    """A file outside of a directory with these names that an index in it names: whoever loads the model opens it."""
    for name in names:
        if name.endswith(".index.json"):
            outside = next((each for each in _named_in(directory / name) if "/" in each), None)
            if outside is not None:
                return outside
    return None


def is_shard(name: str) -> bool:
    """Whether a name is that of one file of several."""
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
    """The files that an index names beside itself."""
    plain = (name for name in _named_in(path) if "/" not in name and 0 < len(name) < 256)
    found: set[str] = set()
    for name in plain:
        found.add(name)
        if len(found) == _MOST_SHARDS:
            break
    return found


def _named_in(path: Path) -> Iterator[str]:
    """The files that an index names, as often as it names them; none when it cannot be read."""
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
