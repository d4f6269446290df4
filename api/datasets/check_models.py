"""What a check of a dataset version finds, as its answer has it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DatasetFindingView:
    """A finding about a version, in the form of a training's, with the items that it is about."""

    pointer: str
    message: str
    remedy: str | None
    items: int  #: how many items it is about; 0: it is not about single items
    item_ids: tuple[str, ...]  #: the ids of the first 10,000 of them


@dataclass(frozen=True, slots=True)
class BucketView:
    """Files that are trained on in one size, with the first hundred of their ids: `dropped` of its examples are in
    no step of an epoch, and why.
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
    """Items that have one thing in common, with the first 10,000 of their ids."""

    reason: str
    items: int
    item_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DuplicatesView:
    """Groups of items by their ids: of the same bytes, and of pictures that look alike (videos: the first).

    Each group begins with the item to keep. `exact_extra` and `near_extra` have the others of all groups, up to 10,000.
    """

    exact: tuple[tuple[str, ...], ...] = ()
    near: tuple[tuple[str, ...], ...] = ()
    exact_groups: int = 0
    near_groups: int = 0
    near_is_whole: bool = True  #: false: too many look too much alike for all to be compared
    exact_extra: tuple[str, ...] = ()
    near_extra: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """Everything that can be said of a version before it is trained on. Unknown is null.

    `unexamined` files have not been looked into yet: the same request goes on with them.
    """

    dataset: str
    version: int
    manifest_sha256: str
    model_type: str | None
    valid: bool
    items: int  #: without excluded ones
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
    """How the trainer makes the pixels of an item; `shown` are the positions in `frames` of those in the strip."""

    model_type: str
    width: int
    height: int
    box: tuple[float, ...]  #: left, top, right, bottom in pixels of the file
    frames: tuple[int, ...]
    fps: float | None
    is_video: bool
    shown: tuple[int, ...]
