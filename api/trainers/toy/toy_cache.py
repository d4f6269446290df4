"""The toy's cache of a dataset, in the places of the real trainer's: made ahead, and only read afterwards."""

import hashlib
import json
from pathlib import Path

import numpy as np
import toy_files  # type: ignore[import-not-found]


def find(dataset: Path, size: int, *, trusts: bool) -> toy_files.Array | None:
    """The cached pictures of a dataset file's directories; None unless all of them are cached. With `trusts` nobody
    looks whether they are still the same.
    """
    found = []
    for directory in toy_files.list_directories(dataset):
        place = _place(directory, size)
        if not (place / "metadata.db").is_file():
            return None
        kept = json.loads((place / "metadata.db").read_text(encoding="utf-8"))
        print(f"[CACHE] Existing cache has fingerprint {kept['fingerprint']}")  # noqa: T201 - as the real one does
        if not trusts and kept["fingerprint"] != _fingerprint(directory, size):
            return None
        pictures = np.load(place / "shard_0.bin", allow_pickle=False)
        print(f"[CACHE] Existing cache length: {len(pictures)}")  # noqa: T201
        found.append(pictures)
    return np.concatenate(found) if found else None


def write(dataset: Path, size: int) -> None:
    """Caches the pictures of each directory; what says that they are there is written last."""
    for directory in toy_files.list_directories(dataset):
        place = _place(directory, size)
        place.mkdir(parents=True, exist_ok=True)
        with (place / "shard_0.bin").open("wb") as file:
            # What cannot be read was said when the pictures were.
            rows = toy_files.read_directory(directory, size, lambda text: None)
            np.save(file, np.asarray(rows, dtype=np.float32).reshape(len(rows), size**2))
        kept = {"fingerprint": _fingerprint(directory, size)}
        (place / "metadata.db").write_text(json.dumps(kept), encoding="utf-8")
        lists = directory / "cache" / "toy" / "metadata"
        lists.mkdir(exist_ok=True)
        (lists / "grouping_keys.json").write_text(json.dumps([[1.0, 1]]), encoding="utf-8")


def _place(directory: Path, size: int) -> Path:
    return directory / "cache" / "toy" / f"cache_1.000x{size}x{size}x1" / "latents"


def _fingerprint(directory: Path, size: int) -> str:
    named = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in toy_files.list_media(directory)]
    return hashlib.sha256(json.dumps([size, named]).encode()).hexdigest()[:16]
