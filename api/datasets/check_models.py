"""Results of a dataset check."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatasetFindingView:
    """A finding about a version, like those of trainings, with its items."""

    pointer: str
    message: str
    remedy: str | None
    items: int  #: number of affected items; 0: not about single items
    item_ids: tuple[str, ...]  #: ids of the first 10,000 affected items


@dataclass(frozen=True, slots=True)
class BucketView:
    """Files that are trained on in one size, with the first hundred ids.

    `dropped` is the number of examples that no step of an epoch uses; `reason` explains it.
    """

    width: int
    height: int
    frames: int
    items: int
    examples: int
    batch_size: int
    batches: int
    dropped: int
    reason: str | None
    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ItemsView:
    """Items with something in common, with the first 10,000 of their ids."""

    reason: str
    items: int
    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DuplicatesView:
    """Groups of items by id: byte-identical files, and pictures that look alike (of videos the first frames).

    Each group starts with the item to keep. `exact_extra` and `near_extra` list the other items of all groups, up to
    10,000.
    """

    exact: tuple[tuple[str, ...], ...] = ()
    near: tuple[tuple[str, ...], ...] = ()
    exact_groups: int = 0
    near_groups: int = 0
    near_is_whole: bool = True  #: false: too many similar pictures to compare them all
    exact_extra: tuple[str, ...] = ()
    near_extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """The result of a check of a version. Unknown values are null.

    `unexamined` files have not been examined yet: repeat the request to continue.
    """

    dataset: str
    version: int
    manifest_sha256: str
    model_type: str | None
    valid: bool
    items: int  #: excluded items are not counted
    excluded: int
    unexamined: int
    errors: tuple[DatasetFindingView, ...]
    warnings: tuple[DatasetFindingView, ...]
    notes: tuple[str, ...]
    problems: tuple[ItemsView, ...]
    duplicates: DuplicatesView
    buckets: tuple[BucketView, ...]
    skipped: tuple[ItemsView, ...]
    trained_items: int | None
    steps_per_epoch: int | None


@dataclass(frozen=True, slots=True)
class RecipeView:
    """How the trainer makes the pixels of an item. `shown` has the positions in `frames` of the frames in the strip."""

    model_type: str
    width: int
    height: int
    box: tuple[float, ...]  #: left, top, right, bottom in pixels of the original
    frames: tuple[int, ...]
    fps: float | None
    is_video: bool
    shown: tuple[int, ...]
