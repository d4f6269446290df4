"""A service's places with files of two users, below one directory."""

import os
from pathlib import Path

from api.access.readable_paths import PathOwners, PathRule, PlaceKind, ReadablePaths
from api.domain.sight import WHOLE, Sight
from api.errors import TaskNotFound

ANN, BOB = (Sight(name, sees_all=False) for name in ("ann", "bob"))

#: The hash of Bob's registered model.
HASH = "b" * 64


def paths_of(root: Path) -> ReadablePaths:
    """Paths of a service whose STORAGE_ROOT is `storage` below `root`. Tasks are called as their owners."""
    storage = root / "storage"
    places = [
        PathRule(storage, PlaceKind.SHUT),
        PathRule(root / "secret.key", PlaceKind.SHUT),
        PathRule(storage / "tasks", PlaceKind.TASKS),
        PathRule(storage / "registry" / "blobs", PlaceKind.REGISTERED),
        PathRule(root / "loras", PlaceKind.LINKED),
        PathRule(storage / "models", PlaceKind.MODELS),
        PathRule(storage / "caches", PlaceKind.OPEN),
    ]
    owners = PathOwners(_owner_of_task, lambda sha256: ["bob"] if sha256 == HASH else [], _hash_of_link, lambda: [
        (str(root / "registered" / "bob"), "bob")
    ])  # fmt: skip
    return ReadablePaths(places, owners, lambda owner: WHOLE if owner is None else Sight(owner, sees_all=False))


def make_files(root: Path) -> None:
    """A trainer's checkout, and files of both users in every place."""
    for name in ("ann", "bob"):
        for place in ("output/20260101_00-00-00/epoch1", "attempts/1", "log", "datasets/cats"):
            (root / "storage" / "tasks" / name / place).mkdir(parents=True)
    for place in (
        "pipe/configs",
        "registered/bob/deep",
        "storage/models",
        f"storage/registry/blobs/{HASH[:2]}",
        "loras",
    ):
        (root / place).mkdir(parents=True)
    os.link(_touch(root / "storage" / "registry" / "blobs" / HASH[:2] / HASH), root / "loras" / "hers.safetensors")
    _touch(root / "loras" / "other.safetensors")
    _touch(root / "secret.key")
    _touch(root / "storage" / "database.sqlite")


def _touch(path: Path) -> Path:
    path.write_bytes(b"x")
    return path


def _owner_of_task(task_id: str) -> str:
    if task_id not in ("ann", "bob"):
        raise TaskNotFound
    return task_id


def _hash_of_link(path: Path) -> str | None:
    return HASH if path.name == "hers.safetensors" else None
