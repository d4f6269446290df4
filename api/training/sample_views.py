"""Samples of trainings as the API shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedModel:
    """A saved model in the ranking."""

    rank: int | None = None  #: 1 for the best; equal scores share it; null: not rated
    checkpoint: str | None  #: the saved model; null: the base model without a LoRA
    samples: int  #: number of its pictures, the newest of each prompt
    rated: int = 0  #: number of those that are rated
    rejected: int = 0  #: number of those that are rejected; they count as 0
    mean: float | None = None  #: mean of its ratings, 0 to 5; null: not rated
    #: mean with one imaginary rating spread over the scale, by which models are ordered: one lucky picture does not win
    score: float | None = None
    low: float | None = None  #: lower end of the 95 % interval of the score; null: not rated
    high: float | None = None  #: upper end of it; null: not rated
    #: whether it is certainly worse than the first, by the prompts rated for both; null: the first, or not rated
    is_worse: bool | None = None


@dataclass(frozen=True, slots=True)
class ComfyLink:
    """A saved model in ComfyUI's directory of LoRAs."""

    checkpoint: str  #: the saved model (epoch2, step500)
    file_name: str  #: by which ComfyUI lists it
    preview: str | None  #: file name of the picture beside it; null: it has no samples, or another file has that name
    url: str  #: the ComfyUI to which the directory belongs


@dataclass(frozen=True, slots=True)
class ComfyLinkList:
    """The saved models of a training in ComfyUI's directories."""

    links: tuple[ComfyLink, ...]  #: those that are linked now
    urls: tuple[str, ...]  #: the ComfyUIs into which models can be linked
    previews: tuple[str, ...]  #: the saved models that have a preview


@dataclass(frozen=True, slots=True)
class SampleRanking:
    """The saved models of a training by the ratings of their samples."""

    models: tuple[RankedModel, ...]  #: best first, then those that are not rated
    #: clear: all others are worse than the first; uncertain: some may be as good; too_few: fewer than two are rated
    verdict: Literal["clear", "uncertain", "too_few"]
    summary: str  #: the verdict in words
