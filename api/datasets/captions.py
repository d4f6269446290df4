"""Edits of captions: of some items, or over many at once; each makes a new version."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import re2

from api.datasets.retrying import edit_newest
from api.datasets.service import DatasetService, Derived, require_own_files
from api.datasets.views import CaptionDifference, CaptionEdit, VersionView
from api.domain.dataset import MAX_CAPTION, Dataset, ManifestItem
from api.errors import Invalid, InvalidPattern, ItemNotFound, Mistake
from api.util.bounds import MAX_MISTAKES, capped

#: The most differences that one answer shows.
MOST_SHOWN = 200

#: The memory of one compiled pattern in bytes; what needs more is refused.
_PATTERN_MEMORY = 4 * 2**20

#: Text up to the next group of a match, or a group.
_GROUP = re.compile(r"((?:[^\\]|\\\\|\\(?![0-9\\]))+)|\\([0-9])", re.DOTALL)

_Rewrite = Callable[[str], str]


class _TooLong(Exception):
    """A caption would get longer than any may be; it was not made."""


@dataclass(frozen=True, slots=True)
class CaptionsWish:
    """What is wanted of the captions: those of `changes`, or the same edit over many."""

    changes: Mapping[str, str | None] | None = None  #: the new caption by item; None takes it away
    caption: str | None = None  #: the caption that each gets, before replace, prefix and suffix; None: its own
    only_missing: bool = False  #: only of items without a caption, or with an empty one
    prefix: str | None = None  #: put before captions that do not begin with it
    suffix: str | None = None
    replace_from: str | None = None
    replace_to: str = ""
    is_regex: bool = False  #: whether `replace_from` is a pattern of RE2, and \1 in `replace_to` its group
    item_ids: frozenset[str] | None = None  #: only of these
    search: str | None = None  #: only of items whose path or caption holds this
    expected_version: int | None = None  #: the newest version that the wish was made for; None: whichever it is
    message: str | None = None


class CaptionEditor:
    """Edits captions."""

    def __init__(self, datasets: DatasetService) -> None:
        self._datasets = datasets

    def edit(self, name: str, wish: CaptionsWish, actor: str, *, dry_run: bool) -> CaptionEdit:
        """Does what is wished in a new version, or with `dry_run` only tells what it would do.

        Raises DatasetNotFound, VersionNotFound, ItemNotFound, DatasetChanged, DatasetIsRegistered, Invalid.
        """
        return edit_newest(wish.expected_version, lambda: self._edit(name, wish, actor, dry_run=dry_run))

    def _edit(self, name: str, wish: CaptionsWish, actor: str, *, dry_run: bool) -> CaptionEdit:
        dataset = self._datasets.find(name)
        require_own_files(dataset)
        latest = self._datasets.find_latest(dataset, wish.expected_version)
        items = list(self._datasets.read_items(latest.manifest_sha256))
        edited, differences = apply_wish(items, wish)
        shown = differences[:MOST_SHOWN]
        if dry_run or not differences:
            return CaptionEdit(dry_run, len(differences), shown, None)
        # One with a message of its own stays a version of its own.
        run = None if wish.message else self._datasets.find_run(dataset, latest, actor)
        base, changed = latest.ordinal, len(differences)
        if run is not None and latest.origin is not None:
            base = int(latest.origin["edited"])
            changed = self._count_changed(dataset, base, edited)
        made = self._datasets.add_version(
            dataset,
            edited,
            actor,
            wish.message or _describe(wish if run is None else CaptionsWish(), changed),
            expected_latest=latest.ordinal,
            origin={"edited": base, "captions": changed},
            derived=Derived.of(latest.manifest_sha256, items, edited),
            run=run or not wish.message,
        )
        return CaptionEdit(dry_run, len(differences), shown, VersionView.of(made))

    def _count_changed(self, dataset: Dataset, base: int, edited: Sequence[ManifestItem]) -> int:
        """Return how many captions differ from those of the version before the run of edits."""
        before = self._datasets.find_version(dataset, str(base))
        items = self._datasets.read_items(before.manifest_sha256)
        return sum(old.caption != new.caption for old, new in zip(items, edited, strict=True))


def apply_wish(items: Sequence[ManifestItem], wish: CaptionsWish) -> tuple[list[ManifestItem], list[CaptionDifference]]:
    """The items with their new captions, and every difference. Raises ItemNotFound, InvalidPattern, Invalid."""
    after_of = _chooser(items, wish)
    edited: list[ManifestItem] = []
    differences: list[CaptionDifference] = []
    mistakes: list[Mistake] = []
    for item in items:
        try:
            after = after_of(item)
        except _TooLong:
            what = f"The caption of {item.path[:200]} would have more than {MAX_CAPTION:,} characters."
            mistakes.append(Mistake("", what, "Shorten it, or leave the item out."))
            if len(mistakes) > MAX_MISTAKES:
                break
            continue
        if after == item.caption:
            edited.append(item)
            continue
        edited.append(replace(item, caption=after))
        differences.append(CaptionDifference(item.item_id, item.path, item.caption, after))
    if mistakes:
        raise Invalid(mistakes=capped(mistakes))
    return edited, differences


def _chooser(items: Iterable[ManifestItem], wish: CaptionsWish) -> Callable[[ManifestItem], str | None]:
    named = wish.changes if wish.changes is not None else wish.item_ids
    paths = None if named is None else find_named(items, named)
    if wish.changes is not None and paths is not None:
        changes = {path: wish.changes[item_id] for path, item_id in paths.items()}
        return lambda item: changes.get(item.path, item.caption)
    rewrite = _rewriter(wish)

    def after(item: ManifestItem) -> str | None:
        before = item.caption if wish.caption is None else wish.caption
        is_chosen = (paths is None or item.path in paths) and _is_sought(item, wish)
        # An item without a caption has nothing that could be edited.
        return item.caption if before is None or not is_chosen else rewrite(before)

    return after


def find_named(items: Iterable[ManifestItem], named: Collection[str]) -> dict[str, str]:
    """Return the ids of the named items by their paths. Raises ItemNotFound with all unknown ids."""
    wanted = frozenset(named)
    found = {item.path: item_id for item in items if (item_id := item.item_id) in wanted}
    if len(found) < len(wanted):
        unknown = wanted.difference(found.values())
        some = ", ".join(sorted(unknown)[:5])
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        raise ItemNotFound(
            f"The newest version has no items with these ids: {some}{more}. GET …/items lists the ids.",
            data={"items": len(unknown), "item_ids": sorted(unknown)},
        )
    return found


def _is_sought(item: ManifestItem, wish: CaptionsWish) -> bool:
    if wish.only_missing and item.caption_problem is None:
        return False
    if not wish.search:
        return True
    sought = wish.search.lower()
    return sought in item.path.lower() or sought in (item.caption or "").lower()


def _rewriter(wish: CaptionsWish) -> _Rewrite:
    replacing = _replacing(wish)

    def rewrite(caption: str) -> str:
        caption = replacing(caption)
        # Twice the same prefix is never meant: an edit that is repeated changes nothing.
        if wish.prefix and not caption.startswith(wish.prefix):
            caption = wish.prefix + caption
        if wish.suffix and not caption.endswith(wish.suffix):
            caption += wish.suffix
        return _bounded(caption)

    return rewrite


def _replacing(wish: CaptionsWish) -> _Rewrite:
    sought, put = wish.replace_from, wish.replace_to
    if not sought:
        return lambda caption: caption
    if not wish.is_regex:
        return lambda caption: _replace_text(caption, sought, put)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        pattern = re2.compile(sought, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it is no regular expression"
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidPattern(f"RE2 refuses the pattern: {shown}.") from None
    parts = _parse_replacement(put, pattern.groups)
    numbers = {part for part in parts if isinstance(part, int)}

    def rewrite(caption: str) -> str:
        length = 0

        def fill(match: Any) -> str:
            nonlocal length
            groups = {part: match.group(part) or "" for part in numbers}
            filled = [part if isinstance(part, str) else groups[part] for part in parts]
            # Counted before they are joined.
            length += sum(map(len, filled))
            if length > MAX_CAPTION:
                raise _TooLong
            return "".join(filled)

        return str(pattern.sub(fill, caption))

    return rewrite


def _replace_text(caption: str, sought: str, put: str) -> str:
    # Counted before: what is put in may be as long as a caption, and as often as it has characters.
    if caption.count(sought) * len(put) > MAX_CAPTION:
        raise _TooLong
    return caption.replace(sought, put)


def _bounded(caption: str) -> str:
    if len(caption) > MAX_CAPTION:
        raise _TooLong
    return caption


def _parse_replacement(text: str, groups: int) -> list[str | int]:
    """What replaces a match: texts, and the numbers of groups, which stand there as \\1 to \\9.

    Raises InvalidPattern for a group that the pattern does not have.
    """
    parts: list[str | int] = []
    for literal, number in _GROUP.findall(text):
        if number and int(number) > groups:
            raise InvalidPattern(f"\\{number} names a group, and the pattern has {groups or 'none'}.")
        parts.append(int(number) if number else literal.replace("\\\\", "\\"))
    return parts


def _describe(wish: CaptionsWish, changed: int) -> str:
    what = "1 caption" if changed == 1 else f"{changed:,} captions"
    ways = []
    if wish.caption is not None:
        ways.append("written where there was none" if wish.only_missing else "the same for all")
    if wish.replace_from:
        ways.append(f"{'pattern' if wish.is_regex else 'text'} replaced")
    if wish.prefix:
        ways.append("prefix")
    if wish.suffix:
        ways.append("suffix")
    return f"{what} changed" + (f": {', '.join(ways)}" if ways else "")
