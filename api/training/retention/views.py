"""Retention as the API shows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reason import ReasonCode


class SavedKind(StrEnum):
    """What a training saves."""

    MODEL = "model"  #: a LoRA or a fine-tuned model (epoch2, step500)
    CHECKPOINT = "checkpoint"  #: state from which the training resumes (global_step100)


class RetentionSource(StrEnum):
    """Where a rule comes from."""

    TASK = "task"  #: set for this training
    DEFAULT = "default"  #: from the settings
    REQUEST = "request"  #: `keep_last_checkpoints` of the request, which concerns checkpoints only
    NONE = "none"  #: there is none: everything stays


@dataclass(frozen=True, slots=True)
class RetentionView:
    """Which saved models and checkpoints of a training stay. Without any value, everything does."""

    task_id: str  #: the training
    keep_last: int | None  #: newest models and checkpoints that stay; null: the newest model, all checkpoints
    keep_every: int | None  #: models whose epoch or step is a multiple of this stay; null: none for that reason
    keep_rated: int | None  #: models with a sample of at least this rating stay; null: none for that reason
    keep_last_checkpoints: int | None  #: newest checkpoints that stay; null: all
    source: RetentionSource  #: where the rule comes from; further values may be added


@dataclass(frozen=True, slots=True)
class RetainedItem:
    """A saved model or checkpoint, and why it stays or goes."""

    name: str  #: epoch2, step500 or global_step100
    kind: SavedKind  #: a model, or a checkpoint to resume from
    size_bytes: int  #: of all its files
    created_at: datetime  #: when it was last written
    reason: str  #: why it stays or goes
    reason_code: ReasonCode  #: the same as a code with parameters


@dataclass(frozen=True, slots=True)
class RetentionPreview:
    """What stays and what goes with a rule."""

    keep: tuple[RetainedItem, ...]  #: newest first
    delete: tuple[RetainedItem, ...]  #: newest first
    freed_mb: float  #: MB that the deletion frees


@dataclass(frozen=True, slots=True)
class AppliedRetention:
    """A rule that was stored, and what it has deleted."""

    retention: RetentionView  #: the rule as it counts now
    deleted: tuple[RetainedItem, ...]  #: newest first
    freed_mb: float  #: MB that the deletion has freed
