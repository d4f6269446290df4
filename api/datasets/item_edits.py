"""Remove, exclude and include items of a dataset. Each edit makes a new version."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from api.datasets.caption_edits import find_named
from api.datasets.retrying import edit_newest
from api.datasets.service import DatasetService, Derived
from api.datasets.views import ItemsEdit, VersionView
from api.domain.datasets.dataset import ManifestItem, included_items
from api.domain.finding import make_finding
from api.errors import FindingText, Invalid


@dataclass(frozen=True, slots=True)
class ItemChanges:
    """The ids of items to remove, exclude and include; no id is in two of the sets."""

    remove: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()
    expected_version: int | None = None  #: expected newest version; None: any
    message: str | None = None


class ItemEditor:
    """Removes, excludes and includes items. Files of a registered directory are not changed."""

    def __init__(self, datasets: DatasetService) -> None:
        self._datasets = datasets

    def edit(self, name: str, changes: ItemChanges, actor: str, *, dry_run: bool) -> ItemsEdit:
        """Make the new version, or with `dry_run` only count what would change.

        Raises DatasetNotFound, VersionNotFound, ItemNotFound, DatasetChanged, Invalid.
        """
        return edit_newest(changes.expected_version, lambda: self._edit(name, changes, actor, dry_run=dry_run))

    def _edit(self, name: str, changes: ItemChanges, actor: str, *, dry_run: bool) -> ItemsEdit:
        dataset = self._datasets.find(name)
        latest = self._datasets.find_latest(dataset, changes.expected_version)
        items = list(self._datasets.read_items(latest.manifest_sha256))
        ids = find_named(items, changes.remove | changes.exclude | changes.include)
        left = [item for item in items if ids.get(item.path) not in changes.remove]
        edited = [_mark(item, ids.get(item.path), changes) for item in left]
        require_some_left(items, edited)
        pairs = [(old, new) for old, new in zip(left, edited, strict=True) if old != new]
        excluded = sum(new.excluded for _, new in pairs)
        result = ItemsEdit(
            dry_run=dry_run,
            removed=len(items) - len(left),
            excluded=excluded,
            included=len(pairs) - excluded,
            items=len(edited),
            trained=len(included_items(edited)),
            previous=latest.ordinal,
            version=None,
        )
        if dry_run or not (pairs or result.removed):
            return result
        made = self._datasets.add_version(
            dataset,
            edited,
            actor,
            changes.message or _describe(result),
            expected_latest=latest.ordinal,
            origin={"edited": latest.ordinal, **_counts(result)},
            derived=None if result.removed else Derived.of(latest.manifest_sha256, items, edited),
        )
        return replace(result, version=VersionView.of(made))


def require_some_left(before: Sequence[ManifestItem], after: Sequence[ManifestItem]) -> None:
    """Raise Invalid if nothing would be left to train on."""
    if not after:
        raise Invalid(
            mistakes=[
                make_finding(
                    "",
                    FindingText(
                        "no_item_left",
                        "The dataset would have no items left.",
                        "Keep at least one item, or delete the dataset.",
                    ),
                )
            ]
        )
    if included_items(before) and not included_items(after):
        raise Invalid(
            mistakes=[
                make_finding(
                    "",
                    FindingText(
                        "no_item_included",
                        "Every remaining item would be excluded, so nothing would be trained on.",
                        "Keep at least one item included.",
                    ),
                )
            ]
        )


def _mark(item: ManifestItem, item_id: str | None, changes: ItemChanges) -> ManifestItem:
    if item_id is None or item.excluded == (item_id in changes.exclude):
        return item
    return replace(item, excluded=not item.excluded)


def _counts(edit: ItemsEdit) -> dict[str, int]:
    counts = {"removed": edit.removed, "excluded": edit.excluded, "included": edit.included}
    return {name: count for name, count in counts.items() if count}


def _describe(edit: ItemsEdit) -> str:
    return ", ".join(f"{count_items(count)} {what}" for what, count in _counts(edit).items())


def count_items(count: int) -> str:
    """Return the count with its noun: "1 item", "2 items"."""
    return "1 item" if count == 1 else f"{count:,} items"
