"""How preprocessing changes captions: replacements, the trigger word, prefix and suffix."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from api.datasets.caption_edits import CaptionEditRequest, apply_edit
from api.domain.datasets.dataset import ManifestItem


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
