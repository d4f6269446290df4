"""A request for preprocessing, and the form in which its task stores it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from api.datasets.preparation.caption_rules import CaptionMode, CaptionRules, Replacement
from api.domain.datasets.media_settings import MediaSettings


@dataclass(frozen=True, slots=True)
class PreprocessRequest:
    """The processing of a dataset version, and the target of the result."""

    dataset: str  #: name, name@3, name@sha256:…
    into: str | None = None  #: the dataset that gets the new version; None: the same
    media: MediaSettings = field(default_factory=MediaSettings)
    captions: CaptionRules | None = None
    model_type: str | None = None
    keeps_rate: bool = False  #: videos are not re-timed to the rate of the model type
    resolutions: tuple[Any, ...] = ()  #: of dataset.toml
    frame_buckets: tuple[int, ...] = ()
    num_repeats: int | None = None
    name: str | None = None
    description: str | None = None
    priority: int = 0
    paths: tuple[str, ...] = ()  #: the items to process, others stay unchanged; empty: all

    def chooses(self, path: str) -> bool:
        """Return whether the item with this path is processed."""
        return not self.paths or path in self.paths

    def as_config(self) -> dict[str, Any]:
        """Return the form that the task stores and `from_config` reads."""
        return {**asdict(self), "media": self.media.as_json()}

    @classmethod
    def from_config(cls, fields: Mapping[str, Any]) -> "PreprocessRequest":
        """Return the request of a task. Raises TypeError, ValueError, KeyError."""
        captions = fields.get("captions")
        return cls(
            **{
                **fields,
                "media": MediaSettings.from_json(fields["media"]),
                "captions": None if captions is None else _read_rules(captions),
                "paths": tuple(fields.get("paths", ())),
                "resolutions": tuple(fields["resolutions"]),
                "frame_buckets": tuple(fields["frame_buckets"]),
            }
        )


def _read_rules(fields: Mapping[str, Any]) -> CaptionRules:
    replacements = tuple(Replacement(**each) for each in fields["replace"])
    return CaptionRules(**{**fields, "mode": CaptionMode(fields["mode"]), "replace": replacements})
