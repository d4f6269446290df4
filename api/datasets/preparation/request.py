"""A request for preprocessing, and the form in which its task stores it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from api.datasets.caption_edits import CaptionEditRequest, apply_edit
from api.domain.datasets.dataset import ManifestItem
from api.domain.datasets.media_settings import MediaSettings


class CaptionMode(StrEnum):
    """Which captions are normalised."""

    EXISTING = "existing"
    ALL = "all"  #: items without a caption get prefix, trigger and suffix, too


@dataclass(frozen=True, slots=True)
class Replacement:
    """A text, or with `is_regex` an RE2 pattern, and its replacement."""

    sought: str
    put: str = ""
    is_regex: bool = False


@dataclass(frozen=True, slots=True)
class CaptionRules:
    """How captions are normalised: replacements first, then the trigger, then prefix and suffix."""

    mode: CaptionMode = CaptionMode.EXISTING
    prefix: str | None = None
    suffix: str | None = None
    trigger: str | None = None  #: put in front of captions that do not contain it
    replace: tuple[Replacement, ...] = ()

    def apply(self, items: Sequence[ManifestItem]) -> list[ManifestItem]:
        """Return the items with normalised captions; a second call changes nothing. Raises Invalid, InvalidPattern."""
        changed = list(items)
        if self.mode is CaptionMode.ALL:
            changed = [item if item.caption is not None else replace(item, caption="") for item in changed]
        for each in self.replace:
            edit = CaptionEditRequest(replace_from=each.sought, replace_to=each.put, is_regex=each.is_regex)
            changed, _ = apply_edit(changed, edit)
        if self.trigger:
            changed = [self._with_trigger(item, self.trigger) for item in changed]
        changed, _ = apply_edit(changed, CaptionEditRequest(prefix=self.prefix, suffix=self.suffix))
        return changed

    @staticmethod
    def _with_trigger(item: ManifestItem, trigger: str) -> ManifestItem:
        if item.caption is None or trigger in item.caption:
            return item
        return replace(item, caption=f"{trigger}, {item.caption}" if item.caption else trigger)


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
