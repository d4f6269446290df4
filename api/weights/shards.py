"""Models that come in several files: which of them are not there."""

import json
import os
import re
from collections.abc import Iterable
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
    """The files that an index names; none when it cannot be read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return set()
    try:
        found: Any = json.loads(os.pread(handle, _MOST_INDEX_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return set()
    finally:
        os.close(handle)
    weights = found.get("weight_map") if isinstance(found, dict) else None
    names = weights.values() if isinstance(weights, dict) else ()
    plain = (name for name in names if isinstance(name, str) and "/" not in name and 0 < len(name) < 256)
    found_names: set[str] = set()
    for name in plain:
        found_names.add(name)
        if len(found_names) == _MOST_SHARDS:
            break
    return found_names
