"""What the trainer computes of a dataset before its first step, made ahead: a cache, and what it depends on. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.reason import ReasonCode


class CacheState(StrEnum):
    """What can be said of a cache."""

    NONE = "none"  #: nobody has made it
    BUILDING = "building"  #: a task that waits or runs makes it
    COMPLETE = "complete"  #: it is whole, and nothing that it depends on has changed
    CHANGED = "changed"  #: the model, the trainer or its own files are others since: it is not used
    MISSING = "missing"  #: its files are not on this machine
    FAILED = "failed"  #: the task that should have made it has failed or was stopped


@dataclass(frozen=True, slots=True)
class PlannedCache:
    """What a request has to do with a cache made ahead."""

    state: CacheState
    key: str | None  #: names everything that the cache depends on; null: none can be made ahead, `reason` says why
    task_id: str | None = None  #: the task that has made it, or makes it
    reason: str | None = None
    is_made: bool = False  #: this very task makes it
    counts_items: bool = True  #: whether the trainer's bars count media files; else batches of them


@dataclass(frozen=True, slots=True)
class BuiltCache:
    """What is kept of a cache that was made: by its files it is seen whether it is still the same."""

    key: str
    digest: str  #: SHA-256 over path, size and time of change of each file
    files: int
    size_bytes: int  #: of what the trainer has computed
    built_at: str
    settings: Mapping[str, Any]  #: what bears on it, for people

    @classmethod
    def from_json(cls, kept: Mapping[str, Any] | None) -> "BuiltCache | None":
        """What was kept with its task; None where nothing was."""
        if not kept or "digest" not in kept:
            return None
        return cls(**{each.name: kept[each.name] for each in fields(cls)})


@dataclass(frozen=True, slots=True)
class DatasetCacheView:
    """A cache of a dataset in a list."""

    key: str
    task_id: str  #: GET /training/{task_id} tells the rest of it, DELETE removes it
    state: CacheState
    reason: str | None  #: why it is not used
    reason_code: ReasonCode | None
    dataset: str
    version: int
    manifest: str
    model_type: str
    trainer: str
    owner: str | None
    settings: Mapping[str, Any]
    size_bytes: int | None  #: null while it is not complete
    files: int | None
    created_at: datetime
    built_at: datetime | None
    used_by: tuple[str, ...]  #: tasks that have not finished and train on it
