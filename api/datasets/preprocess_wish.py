"""What is wanted of a preprocessing, and the form in which its task keeps that."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from api.datasets.captions import CaptionsWish, apply_wish
from api.domain.dataset import ManifestItem
from api.domain.media_settings import MediaSettings


class CaptionMode(StrEnum):
    """Whose captions are normalised."""

    EXISTING = "existing"
    ALL = "all"  #: also items without one get prefix, trigger and suffix


@dataclass(frozen=True, slots=True)
class Replacement:
    """A text, or with `is_regex` a pattern of RE2, and what takes its place."""

    sought: str
    put: str = ""
    is_regex: bool = False


@dataclass(frozen=True, slots=True)
class CaptionRules:
    """How captions are normalised: replaced first, then the trigger, then prefix and suffix."""

    mode: CaptionMode = CaptionMode.EXISTING
    prefix: str | None = None
    suffix: str | None = None
    trigger: str | None = None  #: put first where a caption does not have it yet
    replace: tuple[Replacement, ...] = ()

    def apply(self, items: Sequence[ManifestItem]) -> list[ManifestItem]:
        """The items with their captions normalised; doing it twice changes nothing more. Raises Invalid,
        InvalidPattern.
        """
        changed = list(items)
        if self.mode is CaptionMode.ALL:
            changed = [item if item.caption is not None else replace(item, caption="") for item in changed]
        for each in self.replace:
            wish = CaptionsWish(replace_from=each.sought, replace_to=each.put, is_regex=each.is_regex)
            changed, _ = apply_wish(changed, wish)
        if self.trigger:
            changed = [self._with_trigger(item, self.trigger) for item in changed]
        changed, _ = apply_wish(changed, CaptionsWish(prefix=self.prefix, suffix=self.suffix))
        return changed

    @staticmethod
    def _with_trigger(item: ManifestItem, trigger: str) -> ManifestItem:
        if item.caption is None or trigger in item.caption:
            return item
        return replace(item, caption=f"{trigger}, {item.caption}" if item.caption else trigger)


@dataclass(frozen=True, slots=True)
class PreprocessWish:
    """What is to be done to a version of a dataset, and where the result goes."""

    dataset: str  #: name, name@3, name@sha256:…
    into: str | None = None  #: the dataset that gets the new version; None: the same
    media: MediaSettings = field(default_factory=MediaSettings)
    captions: CaptionRules | None = None
    model_type: str | None = None
    keeps_rate: bool = False  #: videos are not re-timed to the rate of the model type
    resolutions: tuple[Any, ...] = ()  #: for dataset.toml
    frame_buckets: tuple[int, ...] = ()
    num_repeats: int | None = None
    name: str | None = None
    description: str | None = None
    priority: int = 0
    paths: tuple[str, ...] = ()  #: the items that are worked on, others stay as they are; none: all

    def chooses(self, path: str) -> bool:
        """Whether the item with this path is worked on."""
        return not self.paths or path in self.paths

    def as_config(self) -> dict[str, Any]:
        """What the task keeps, which `from_config` reads."""
        return {**asdict(self), "media": self.media.as_json()}

    @classmethod
    def from_config(cls, kept: Mapping[str, Any]) -> "PreprocessWish":
        """The wish of a task. Raises TypeError, ValueError, KeyError."""
        captions = kept.get("captions")
        return cls(
            **{
                **kept,
                "media": MediaSettings.from_json(kept["media"]),
                "captions": None if captions is None else _read_rules(captions),
                "paths": tuple(kept.get("paths", ())),
                "resolutions": tuple(kept["resolutions"]),
                "frame_buckets": tuple(kept["frame_buckets"]),
            }
        )


def _read_rules(kept: Mapping[str, Any]) -> CaptionRules:
    replacements = tuple(Replacement(**each) for each in kept["replace"])
    return CaptionRules(**{**kept, "mode": CaptionMode(kept["mode"]), "replace": replacements})
