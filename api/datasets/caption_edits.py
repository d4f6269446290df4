"""Edit captions: of some items, or the same edit for many. Each edit makes a new version."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import re2

from api.datasets.retrying import edit_newest
from api.datasets.service import DatasetService, Derived, require_own_files
from api.datasets.views import CaptionDifference, CaptionEdit, VersionView
from api.domain.datasets.dataset import MAX_CAPTION, Dataset, ManifestItem
from api.domain.finding import make_finding
from api.errors import Finding, FindingText, Invalid, InvalidPattern, ItemNotFound
from api.util.http.validation import MAX_MISTAKES, capped

#: Most differences in one response.
MOST_SHOWN = 200

#: Memory limit of one compiled pattern in bytes; larger patterns are rejected.
_PATTERN_MEMORY = 4 * 2**20

#: Text up to the next group reference, or a group reference.
_GROUP = re.compile(r"((?:[^\\]|\\\\|\\(?![0-9\\]))+)|\\([0-9])", re.DOTALL)

_Rewrite = Callable[[str], str]


class _TooLong(Exception):
    """A caption would exceed the maximum length."""


@dataclass(frozen=True, slots=True)
class CaptionEditRequest:
    """An edit of captions: those in `changes`, or the same edit for many."""

    changes: Mapping[str, str | None] | None = None  #: new captions by item id; None removes the caption
    caption: str | None = None  #: caption for each, before the other edits; None: its own
    only_missing: bool = False  #: only items with no or an empty caption
    prefix: str | None = None  #: put before captions that do not start with it
    suffix: str | None = None
    replace_from: str | None = None
    replace_to: str = ""
    is_regex: bool = False  #: `replace_from` is an RE2 pattern; \1 in `replace_to` is its group
    item_ids: frozenset[str] | None = None  #: only these items
    search: str | None = None  #: only items whose path or caption contains this text
    expected_version: int | None = None  #: expected newest version; None: any
    message: str | None = None


class CaptionEditor:
    """Edits captions."""

    def __init__(self, datasets: DatasetService) -> None:
        self._datasets = datasets

    def edit(self, name: str, request: CaptionEditRequest, actor: str, *, dry_run: bool) -> CaptionEdit:
        """Make the edit in a new version, or with `dry_run` only return its differences.

        Raises DatasetNotFound, VersionNotFound, ItemNotFound, DatasetChanged, DatasetIsRegistered, Invalid.
        """
        return edit_newest(request.expected_version, lambda: self._edit(name, request, actor, dry_run=dry_run))

    def _edit(self, name: str, request: CaptionEditRequest, actor: str, *, dry_run: bool) -> CaptionEdit:
        dataset = self._datasets.find(name)
        require_own_files(dataset)
        latest = self._datasets.find_latest(dataset, request.expected_version)
        items = list(self._datasets.read_items(latest.manifest_sha256))
        edited, differences = apply_edit(items, request)
        shown = differences[:MOST_SHOWN]
        if dry_run or not differences:
            return CaptionEdit(dry_run, len(differences), shown, None)
        # An edit with its own message stays a separate version.
        run = None if request.message else self._datasets.find_run(dataset, latest, actor)
        base, changed = latest.ordinal, len(differences)
        if run is not None and latest.origin is not None:
            base = int(latest.origin["edited"])
            changed = self._count_changed(dataset, base, edited)
        made = self._datasets.add_version(
            dataset,
            edited,
            actor,
            request.message or _describe(request if run is None else CaptionEditRequest(), changed),
            expected_latest=latest.ordinal,
            origin={"edited": base, "captions": changed},
            derived=Derived.of(latest.manifest_sha256, items, edited),
            run=run or not request.message,
        )
        return CaptionEdit(dry_run, len(differences), shown, VersionView.of(made))

    def _count_changed(self, dataset: Dataset, base: int, edited: Sequence[ManifestItem]) -> int:
        """Return the number of captions that differ from the version before the run of edits."""
        before = self._datasets.find_version(dataset, str(base))
        items = self._datasets.read_items(before.manifest_sha256)
        return sum(old.caption != new.caption for old, new in zip(items, edited, strict=True))


def apply_edit(
    items: Sequence[ManifestItem], request: CaptionEditRequest
) -> tuple[list[ManifestItem], list[CaptionDifference]]:
    """Return the items with their new captions, and the differences. Raises ItemNotFound, InvalidPattern, Invalid."""
    after_of = _chooser(items, request)
    edited: list[ManifestItem] = []
    differences: list[CaptionDifference] = []
    mistakes: list[Finding] = []
    for item in items:
        try:
            after = after_of(item)
        except _TooLong:
            mistakes.append(
                make_finding(
                    "",
                    FindingText(
                        "caption_would_be_long",
                        "The caption of {path} would have more than {most} characters.",
                        "Shorten it, or leave the item out.",
                    ),
                    path=item.path[:200],
                    most=f"{MAX_CAPTION:,}",
                )
            )
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


def _chooser(items: Iterable[ManifestItem], request: CaptionEditRequest) -> Callable[[ManifestItem], str | None]:
    named = request.changes if request.changes is not None else request.item_ids
    paths = None if named is None else find_named(items, named)
    if request.changes is not None and paths is not None:
        changes = {path: request.changes[item_id] for path, item_id in paths.items()}
        return lambda item: changes.get(item.path, item.caption)
    rewrite = _rewriter(request)

    def after(item: ManifestItem) -> str | None:
        before = item.caption if request.caption is None else request.caption
        is_chosen = (paths is None or item.path in paths) and _is_sought(item, request)
        # Without a caption there is nothing to edit.
        return item.caption if before is None or not is_chosen else rewrite(before)

    return after


def find_named(items: Iterable[ManifestItem], named: Collection[str]) -> dict[str, str]:
    """Return the ids of the named items by path. Raises ItemNotFound with all unknown ids."""
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


def _is_sought(item: ManifestItem, request: CaptionEditRequest) -> bool:
    if request.only_missing and item.caption_problem is None:
        return False
    if not request.search:
        return True
    sought = request.search.lower()
    return sought in item.path.lower() or sought in (item.caption or "").lower()


def _rewriter(request: CaptionEditRequest) -> _Rewrite:
    replacing = _replacing(request)

    def rewrite(caption: str) -> str:
        caption = replacing(caption)
        # Never added twice, so repeating an edit changes nothing.
        if request.prefix and not caption.startswith(request.prefix):
            caption = request.prefix + caption
        if request.suffix and not caption.endswith(request.suffix):
            caption += request.suffix
        return _bounded(caption)

    return rewrite


def _replacing(request: CaptionEditRequest) -> _Rewrite:
    sought, put = request.replace_from, request.replace_to
    if not sought:
        return lambda caption: caption
    if not request.is_regex:
        return lambda caption: _replace_text(caption, sought, put)
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        pattern = re2.compile(sought, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it is not a regular expression"
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidPattern(f"RE2 rejects the pattern: {shown}.") from None
    parts = _parse_replacement(put, pattern.groups)
    numbers = {part for part in parts if isinstance(part, int)}

    def rewrite(caption: str) -> str:
        length = 0

        def fill(match: Any) -> str:
            nonlocal length
            groups = {part: match.group(part) or "" for part in numbers}
            filled = [part if isinstance(part, str) else groups[part] for part in parts]
            # Check the length before joining, to bound memory.
            length += sum(map(len, filled))
            if length > MAX_CAPTION:
                raise _TooLong
            return "".join(filled)

        return str(pattern.sub(fill, caption))

    return rewrite


def _replace_text(caption: str, sought: str, put: str) -> str:
    # Check the length before replacing: the result may be as large as caption length times replacement length.
    if caption.count(sought) * len(put) > MAX_CAPTION:
        raise _TooLong
    return caption.replace(sought, put)


def _bounded(caption: str) -> str:
    if len(caption) > MAX_CAPTION:
        raise _TooLong
    return caption


def _parse_replacement(text: str, groups: int) -> list[str | int]:
    r"""Split a replacement into texts and group numbers (written \1 to \9).

    Raises InvalidPattern for a group that the pattern does not have.
    """
    parts: list[str | int] = []
    for literal, number in _GROUP.findall(text):
        if number and int(number) > groups:
            raise InvalidPattern(f"\\{number} refers to a group, but the number of groups in the pattern is {groups}.")
        parts.append(int(number) if number else literal.replace("\\\\", "\\"))
    return parts


def _describe(request: CaptionEditRequest, changed: int) -> str:
    what = "1 caption" if changed == 1 else f"{changed:,} captions"
    ways = []
    if request.caption is not None:
        ways.append("added where missing" if request.only_missing else "same for all")
    if request.replace_from:
        ways.append(f"{'pattern' if request.is_regex else 'text'} replaced")
    if request.prefix:
        ways.append("prefix")
    if request.suffix:
        ways.append("suffix")
    return f"{what} changed" + (f": {', '.join(ways)}" if ways else "")
