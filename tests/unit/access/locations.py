"""Directories of a service with files of two users."""

import os
from pathlib import Path

from api.access.readable_paths import PathAccess, PathOwners, PathRule, ReadablePaths
from api.domain.access.read_scope import WHOLE, ReadScope
from api.errors import TaskNotFound

ANN, BOB = (ReadScope(name, sees_all=False) for name in ("ann", "bob"))

#: The hash of Bob's registered model.
HASH = "b" * 64


def paths_of(root: Path) -> ReadablePaths:
    """Return the rules of a service with STORAGE_ROOT `storage` below `root`. Task ids start with an owner."""
    storage = root / "storage"
    rules = [
        PathRule(storage, PathAccess.CLOSED),
        PathRule(root / "secret.key", PathAccess.CLOSED),
        PathRule(storage / "tasks", PathAccess.TASKS),
        PathRule(storage / "registry" / "blobs", PathAccess.REGISTERED),
        PathRule(root / "loras", PathAccess.LINKED),
        PathRule(storage / "models", PathAccess.MODELS),
        PathRule(storage / "caches", PathAccess.OPEN),
    ]
    owners = PathOwners(_owner_of_task, lambda sha256: ["bob"] if sha256 == HASH else [], _hash_of_link, lambda: [
        (str(root / "registered" / "bob"), "bob")
    ])  # fmt: skip
    return ReadablePaths(rules, owners, lambda owner: WHOLE if owner is None else ReadScope(owner, sees_all=False))


def make_files(root: Path) -> None:
    """Create a trainer's checkout, and files of both users in every directory."""
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
