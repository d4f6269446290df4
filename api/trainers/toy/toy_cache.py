"""The toy's cache of a dataset, at the paths of the real trainer's: written in advance, then only read."""

import hashlib
import json
from pathlib import Path

import numpy as np
import toy_files  # type: ignore[import-not-found]


def find(dataset: Path, size: int, *, trusts: bool) -> toy_files.Array | None:
    """Return the cached pictures of a dataset file's directories, or None unless all are cached.

    With `trusts`, do not check whether the pictures have changed.
    """
    found = []
    for directory in toy_files.list_directories(dataset):
        path = _cache_path(directory, size)
        if not (path / "metadata.db").is_file():
            return None
        stored = json.loads((path / "metadata.db").read_text(encoding="utf-8"))
        print(f"[CACHE] Existing cache has fingerprint {stored['fingerprint']}")  # noqa: T201 - like the real trainer
        if not trusts and stored["fingerprint"] != _fingerprint(directory, size):
            return None
        pictures = np.load(path / "shard_0.bin", allow_pickle=False)
        print(f"[CACHE] Existing cache length: {len(pictures)}")  # noqa: T201
        found.append(pictures)
    return np.concatenate(found) if found else None


def write(dataset: Path, size: int) -> None:
    """Cache the pictures of each directory; the file that marks them as cached is written last."""
    for directory in toy_files.list_directories(dataset):
        path = _cache_path(directory, size)
        path.mkdir(parents=True, exist_ok=True)
        with (path / "shard_0.bin").open("wb") as file:
            # Unreadable pictures were reported when they were first read.
            rows = toy_files.read_directory(directory, size, lambda text: None)
            np.save(file, np.asarray(rows, dtype=np.float32).reshape(len(rows), size**2))
        stored = {"fingerprint": _fingerprint(directory, size)}
        (path / "metadata.db").write_text(json.dumps(stored), encoding="utf-8")
        lists = directory / "cache" / "toy" / "metadata"
        lists.mkdir(exist_ok=True)
        (lists / "grouping_keys.json").write_text(json.dumps([[1.0, 1]]), encoding="utf-8")


def _cache_path(directory: Path, size: int) -> Path:
    return directory / "cache" / "toy" / f"cache_1.000x{size}x{size}x1" / "latents"


def _fingerprint(directory: Path, size: int) -> str:
    named = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in toy_files.list_media(directory)]
    return hashlib.sha256(json.dumps([size, named]).encode()).hexdigest()[:16]
