"""Rehearsals: a few steps of a training on two of its items, and what they show about the whole of it. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from api.domain.tasks.cause import Cause


@dataclass(frozen=True, slots=True)
class RehearsedItem:
    """A file of the dataset on which a rehearsal trains."""

    directory: int  #: index of its directory in the request
    name: str  #: file name
    num_repeats: float = 1.0  #: how often it is repeated to fill the steps


@dataclass(frozen=True, slots=True)
class PlannedRehearsal:
    """What a rehearsal trains on, and the training that it stands for. Unknown is None."""

    #: files that it trains on, first one of the largest size bucket; empty if the trainer draws its own data
    items: tuple[RehearsedItem, ...] = ()
    total_steps: int | None = None  #: steps of the whole training
    dataset_items: int | None = None  #: images and videos of the whole training
    saved_models: int | None = None  #: models that the whole training saves
    checkpoints: int | None = None  #: checkpoints that it saves
    stored_checkpoints: int | None = None  #: checkpoints that remain at its end
    checkpoint_minutes: float | None = None  #: minutes between two checkpoints by time; null: it saves none by time
    #: steps between two other checkpoints; at the latest the last step is followed by one
    checkpoint_steps: int | None = None
    is_cached: bool = False  #: whether a prebuilt cache has its dataset
    #: weight of the first item's steps in the mean step of the training; null if all rehearsed steps count alike
    first_weight: float | None = None
    is_uniform: bool = True  #: whether its steps take about equally long


@dataclass(frozen=True, slots=True)
class RehearsalResult:
    """What a rehearsal measured, and its figures for the whole training. Unknown is null."""

    steps: int | None = None  #: steps that it made
    seconds_per_step: float | None = None  #: expected mean of the whole training
    #: highest used memory of each GPU by UUID, as the driver reported it; null if no reading showed it
    peak_memory_mb: Mapping[str, int | None] = field(default_factory=dict)
    loading_seconds: float | None = None  #: until the first step, without caching
    caching_seconds: float | None = None  #: for the whole dataset; 0 with a prebuilt cache
    saving_seconds: float | None = None  #: of one saved model and one checkpoint
    saved_model_bytes: int | None = None  #: size of one saved model
    checkpoint_bytes: int | None = None  #: size of one checkpoint
    cache_bytes: int | None = None  #: size of the cache of the whole dataset; 0 with a prebuilt cache
    total_steps: int | None = None  #: planned steps of the whole training
    estimated_duration: float | None = None  #: seconds of the whole training, without evaluations
    disk_mb: int | None = None  #: saved models, remaining checkpoints and cache of the whole training
    problem: Cause | None = None  #: why it failed, with the remedy; as `failure` of the task

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], problem: Cause | None) -> "RehearsalResult":
        """Return a stored result of any version. Missing fields are unknown."""
        known = {each.name: stored[each.name] for each in fields(cls) if each.name in stored}
        return cls(**known | {"problem": problem})
