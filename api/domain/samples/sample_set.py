"""Sample sets: prompts and settings with which samples of a training's saved models are rendered."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

#: Stands in prompts for the trigger word of the training.
TRIGGER = "{trigger}"


@dataclass(frozen=True, slots=True)
class SetPrompt:
    """A prompt of a set."""

    text: str  #: what the picture shows
    negative: str | None = None  #: null: the workflow's own text
    seed: int | None = None  #: null: that of the set


@dataclass(frozen=True, slots=True)
class SetSettings:
    """The prompts and settings of a set. None leaves the workflow's own value."""

    prompts: tuple[SetPrompt, ...]
    seed: int | None = None  #: of prompts without their own; None: random ones
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None
    strength: float = 1.0

    @property
    def uses_trigger(self) -> bool:
        """Whether a prompt contains the placeholder of the trigger word."""
        return any(TRIGGER in text for each in self.prompts for text in (each.text, each.negative or ""))


@dataclass(frozen=True, slots=True)
class SamplingSpec:
    """Everything that a rendering needs besides the models, as it was when it was requested."""

    settings: SetSettings
    graph: Mapping[str, Any] | None = None  #: a workflow in ComfyUI's API format; None: the built-in one
    places: Mapping[str, Any] | None = None  #: its inputs; None: they are found
    workflow_type: str | None = None  #: the model type of a registered workflow; None: any

    def as_json(self) -> dict[str, Any]:
        """Return the mapping that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "SamplingSpec":
        """Return the spec of a mapping. Raise TypeError or KeyError if it has another form."""
        settings = dict(stored["settings"])
        prompts = tuple(SetPrompt(**each) for each in settings.pop("prompts"))
        return cls(SetSettings(prompts, **settings), stored["graph"], stored["places"], stored["workflow_type"])


@dataclass(frozen=True, slots=True)
class RequestedSamples:
    """Automatic samples that a request asks for."""

    sample_set: str  #: name, or name@version
    every: int = 1  #: of so many saved models, the last one is rendered
    trigger: str | None = None  #: replaces {trigger}; None: the training's, or the one in front of captions


@dataclass(frozen=True, slots=True)
class SampleOrder:
    """Automatic samples of a training. They stay as they are when the set changes or is deleted."""

    sample_set: str
    version: int
    every: int
    trigger: str | None
    spec: SamplingSpec

    @property
    def request(self) -> RequestedSamples:
        """The request for the same samples."""
        return RequestedSamples(f"{self.sample_set}@{self.version}", self.every, self.trigger)


@dataclass(frozen=True, slots=True)
class SampleSet:
    """One version of a set that users save. A version never changes."""

    name: str  #: unique among the sets of its owner, and among the shared ones
    version: int  #: from 1
    latest: int  #: the newest version
    prompts: tuple[SetPrompt, ...]  #: the columns of the grid
    seed: int  #: of prompts without their own
    workflow: str | None  #: id of a registered workflow; null: the built-in one of the model type
    width: int | None  #: pixels; null: the workflow's
    height: int | None  #: pixels; null: the workflow's
    frames: int | None  #: frames of a clip; null: the workflow's
    steps: int | None  #: sampling steps; null: the workflow's
    strength: float  #: of the LoRA; 1 is the trained strength
    shared: bool  #: whether all users see it; only its owner and administrators may change it
    owner: str | None  #: null if the service had no keys
    created_at: datetime  #: of the set
    updated_at: datetime  #: when this version was made

    @property
    def settings(self) -> SetSettings:
        """Its prompts and settings."""
        return SetSettings(self.prompts, self.seed, self.width, self.height, self.frames, self.steps, self.strength)
