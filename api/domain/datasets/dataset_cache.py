"""Caches that a task computes for a dataset before training, and what they depend on. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.reason import ReasonCode


class CacheState(StrEnum):
    """The state of a cache."""

    NONE = "none"  #: not built
    BUILDING = "building"  #: a queued or running task builds it
    COMPLETE = "complete"  #: complete and still valid
    CHANGED = "changed"  #: the model, the trainer or the cache's files have changed: it is not used
    MISSING = "missing"  #: its files are not on this machine
    FAILED = "failed"  #: the task that should have built it failed or was stopped


@dataclass(frozen=True, slots=True)
class PlannedCache:
    """How a request relates to a prebuilt cache."""

    state: CacheState  #: whether the cache exists and is still valid
    key: str | None  #: identifies everything that the cache depends on; null if no cache can be prebuilt, see `reason`
    task_id: str | None = None  #: the task that built or builds it
    reason: str | None = None  #: why no cache can be built or used; null if one can
    reason_code: ReasonCode | None = None  #: code and parameters of the reason, for programs and translations
    is_made: bool = False  #: this task itself builds it
    counts_items: bool = True  #: whether the trainer's progress bars count media files instead of batches


@dataclass(frozen=True, slots=True)
class BuiltCache:
    """The record of a built cache. Its digest shows whether the files have changed."""

    key: str
    digest: str  #: SHA-256 over path, size and modification time of each file
    files: int
    size_bytes: int  #: size of the computed files
    built_at: str
    settings: Mapping[str, Any]  #: settings that affect the cache, for display

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | None) -> "BuiltCache | None":
        """Return the record stored with a task, or None if there is none."""
        if not stored or "digest" not in stored:
            return None
        return cls(**{each.name: stored[each.name] for each in fields(cls)})


@dataclass(frozen=True, slots=True)
class DatasetCacheView:
    """A cache of a dataset in a list."""

    key: str  #: identifies everything that the cache depends on
    task_id: str  #: GET /training/{task_id} returns its details, DELETE removes the cache
    state: CacheState
    reason: str | None  #: why it is not used
    reason_code: ReasonCode | None
    dataset: str  #: name of the dataset
    version: int  #: number of the version
    manifest: str  #: sha256:…
    model_type: str
    trainer: str  #: trainer that reads it
    owner: str | None
    settings: Mapping[str, Any]  #: settings on which it depends
    size_bytes: int | None  #: null until it is complete
    files: int | None  #: number of files; null until it is complete
    created_at: datetime
    built_at: datetime | None  #: null until it is complete
    used_by: tuple[str, ...]  #: unfinished tasks that train with it
