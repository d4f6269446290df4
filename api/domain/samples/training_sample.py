"""Samples of a training's saved models, and what is rendered automatically. No I/O."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.reason import ReasonCode


@dataclass(frozen=True, slots=True)
class SampledModels:
    """What a task of the kind `sample` renders."""

    task_id: str  #: the training
    checkpoints: tuple[str, ...]  #: its saved models
    seeds: tuple[int, ...]  #: the seed of each prompt, in the order of the request
    strength: float  #: of the LoRA; 1 is the trained strength


@dataclass(frozen=True, slots=True)
class AutomaticSamplesView:
    """The samples that are rendered after saved models of a training."""

    sample_set: str  #: its name when it was chosen; later changes of the set do not count
    version: int  #: of the set
    every: int  #: 2: every second saved model
    trigger: str | None  #: replaces {trigger}; null: the training's own, or that of all captions
    problem: str | None  #: why samples are late, and what to do; null: they are not
    problem_code: ReasonCode | None  #: code and parameters of the problem, for programs and translations


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSample:
    """A picture or clip of one prompt, made with one saved model."""

    sample_id: str  #: stays the same when the sample is rendered again
    task_id: str  #: the training
    sampling_id: str  #: id of the task that rendered it
    checkpoint: str | None  #: the saved model (epoch2, step500); null: the base model without a LoRA
    prompt: str  #: its text
    prompt_index: int  #: position of the prompt in the request
    negative: str | None  #: the negative prompt; null if none was given
    seed: int  #: of the noise
    strength: float  #: of the LoRA; 0 for the base model
    settings: str  #: hash of prompt, seed, requested size, steps and workflow: equal for samples to compare
    url: str | None  #: the file; null if there is none, see `problem`
    thumbnail: str | None  #: a small picture of it, whose address changes with the file; null if there is none
    media_type: str | None  #: of the file: image/png, video/mp4; null if there is none
    width: int | None  #: pixels; null if unknown
    height: int | None  #: pixels; null if unknown
    frames: int | None  #: number of frames; null if unknown
    sha256: str | None  #: hash of the file; null if there is none
    rating: int | None  #: 1 to 5, or 0 for a rejected one; null: not rated
    keys_missing: int | None  #: keys of the LoRA that ComfyUI did not load; null if unknown
    comfyui_version: str | None  #: null if unknown
    workflow_hash: str | None  #: hash of the workflow without prompt, seed and size
    problem: str | None  #: why there is no picture; null if there is one
    created_at: datetime  #: when the service recorded it
