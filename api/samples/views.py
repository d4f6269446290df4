"""Rankings of saved models by their samples, and links to ComfyUI, as the API shows them."""

from dataclasses import dataclass
from typing import Literal


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
