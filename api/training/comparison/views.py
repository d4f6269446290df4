"""Comparisons of trainings as the API shows them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.datasets.dataset import PinnedDataset
from api.domain.tasks.training import TaskStatus


class ComparisonAxis(StrEnum):
    """The x-axis that all series of a comparison share."""

    STEP = "step"
    EPOCH = "epoch"  #: with fractions: 1.5 is the middle of the second epoch
    IMAGES = "images"  #: images and videos that were trained on, each as often as it was
    TIME = "time"  #: seconds that the training ran, without the time between its attempts


@dataclass(frozen=True, slots=True)
class ComparedLoss:
    """The last and the lowest value of a loss."""

    metric: str  #: `loss`, or the tag of an evaluation
    last: float | None  #: of the latest step at which it was a number; null if there is none
    lowest: float | None  #: null like `last`
    lowest_step: int | None  #: step of the lowest value; null like `last`


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedTraining:
    """The summary of one training."""

    task_id: str
    name: str | None
    owner: str | None  #: the user that owns it; null if the service has no keys
    model_type: str
    status: TaskStatus  #: what happens to it now
    step: int | None  #: its latest step; null before the first one
    total_steps: int | None  #: planned number; null if unknown
    steps_per_epoch: int | None  #: null if unknown
    global_batch_size: int | None  #: examples per step over all GPUs; null if unknown
    duration: float | None  #: seconds that all attempts have run; null before the first start
    seconds_per_step: float | None  #: median of the latest steps; null if unknown
    losses: tuple[ComparedLoss, ...]  #: the training loss, then those of evaluations
    gpu_count: int  #: number of GPUs that it requested
    gpu_names: tuple[str | None, ...]  #: of the GPUs of its latest attempt; null for one that is not there any more
    datasets: tuple[PinnedDataset, ...]  #: versions of named datasets that it uses
    chosen: str | None  #: the saved model that a user has chosen; null if none
    created_at: datetime
    started_at: datetime | None  #: start of its first attempt; null until then
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ComparedSeries:
    """A metric of one training. `x` and `values` have the same length, at most `limit`."""

    task_id: str
    metric: str  #: its name or tag
    x: tuple[float, ...]  #: positions on the axis, ascending
    values: tuple[float | None, ...]  #: null for NaN
    total: int  #: number of values before they were thinned out
    nan_count: int  #: values that were not numbers
    is_downsampled: bool  #: whether values are left out
    is_placed: bool  #: false if its positions are unknown, for lack of steps per epoch, for example: it has no values


@dataclass(frozen=True, slots=True)
class ComparedSetting:
    """One setting of all trainings."""

    pointer: str  #: JSON pointer: below `/config`, `/dataset` or `/environment`, or `/model_type` or `/base_model`
    values: tuple[Any, ...]  #: in the order of the trainings; null where it is not set, or unknown
    differs: bool  #: whether the values are not all equal


@dataclass(frozen=True, slots=True)
class ComparedSample:
    """The newest sample of a prompt and a saved model."""

    sample_id: str
    checkpoint: str | None  #: the saved model (epoch2, step500); null: the base model without a LoRA
    x: float | None  #: position of the saved model on the axis; 0 for the base model, null if unknown
    url: str | None  #: the file; null if there is none, see `problem`
    thumbnail: str | None  #: a small picture of it; null if there is none
    frames: int | None  #: number of frames; null if unknown
    rating: int | None  #: 1 to 5, or 0 for a rejected one; null: not rated
    problem: str | None  #: why there is no picture; null if there is one


@dataclass(frozen=True, slots=True)
class CommonPrompt:
    """A prompt with which at least two of the trainings were sampled with the same seed."""

    prompt: str  #: its text
    seed: int  #: of the noise
    samples: tuple[tuple[ComparedSample, ...], ...]  #: of each training, in their order, by their positions


@dataclass(frozen=True, slots=True)
class ComparedTrainings:
    """Trainings side by side. All lists about trainings have the order of the request."""

    axis: ComparisonAxis  #: of all series and samples
    trainings: tuple[ComparedTraining, ...]  #: in the order of the request
    series: tuple[ComparedSeries, ...]  #: by metric, then training; without those that have no values at all
    available: tuple[str, ...]  #: names of all metrics of these trainings
    settings: tuple[ComparedSetting, ...]  #: those that differ, or all; at most 2000
    settings_total: int  #: number of these settings
    prompts: tuple[CommonPrompt, ...]  #: those sampled last, at most 24
    prompts_total: int  #: number of common prompts
