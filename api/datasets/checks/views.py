"""Results of a dataset check."""

from dataclasses import dataclass

from api.domain.reason import ReasonCode


@dataclass(frozen=True, slots=True)
class DatasetFindingView:
    """A finding about a version, like those of trainings, with its items."""

    pointer: str  #: the setting that it is about
    message: str  #: what is wrong
    remedy: str | None
    items: int  #: number of affected items; 0: not about single items
    item_ids: tuple[str, ...]  #: ids of the first 10,000 affected items
    message_code: ReasonCode | None = None  #: code of the message
    remedy_code: ReasonCode | None = None  #: code of the remedy


@dataclass(frozen=True, slots=True)
class BucketView:
    """Files that are trained on in one size, with the first hundred ids.

    `dropped` is the number of examples that no step of an epoch uses; `reason` explains it.
    """

    width: int
    height: int
    frames: int  #: 1 for pictures
    items: int  #: number of files
    examples: int  #: number of examples per epoch, with repeats
    batch_size: int  #: examples per step
    batches: int  #: steps per epoch
    dropped: int  #: examples that no step uses
    reason: str | None  #: why they are dropped; null if none are
    item_ids: tuple[str, ...]  #: the first hundred


@dataclass(frozen=True, slots=True)
class ItemsView:
    """Items with something in common, with the first 10,000 of their ids."""

    reason: str  #: what they have in common
    items: int  #: their number
    item_ids: tuple[str, ...]  #: the first 10,000


@dataclass(frozen=True, slots=True)
class DuplicatesView:
    """Groups of items by id: byte-identical files, and pictures that look alike (of videos the first frames).

    Each group starts with the item to keep. `exact_extra` and `near_extra` list the other items of all groups, up to
    10,000.
    """

    exact: tuple[tuple[str, ...], ...] = ()  #: groups of byte-identical files
    near: tuple[tuple[str, ...], ...] = ()  #: groups of pictures that look alike
    exact_groups: int = 0  #: number of all such groups
    near_groups: int = 0  #: number of all such groups
    near_is_whole: bool = True  #: false: too many similar pictures to compare them all
    exact_extra: tuple[str, ...] = ()  #: items that could be removed
    near_extra: tuple[str, ...] = ()  #: items that could be removed


@dataclass(frozen=True, slots=True)
class DatasetCheck:
    """The result of a check of a version. Unknown values are null.

    `unexamined` files have not been examined yet: repeat the request to continue.
    """

    dataset: str  #: name of the dataset
    version: int  #: number of the version
    manifest_sha256: str  #: hash of the version's list of items
    model_type: str | None  #: model type that it was checked for; null if none was named
    valid: bool  #: whether a training could use it
    items: int  #: excluded items are not counted
    excluded: int  #: number of excluded items
    unexamined: int  #: number of items that are still to be examined
    errors: tuple[DatasetFindingView, ...]  #: each prevents a training
    warnings: tuple[DatasetFindingView, ...]  #: do not prevent a training
    notes: tuple[str, ...]  #: what could not be determined
    note_codes: tuple[ReasonCode, ...]  #: code and parameters of each note, for programs and translations
    problems: tuple[ItemsView, ...]  #: items by problem
    duplicates: DuplicatesView  #: equal and similar items
    buckets: tuple[BucketView, ...]  #: sizes into which the trainer sorts the items
    skipped: tuple[ItemsView, ...]  #: items that the trainer leaves out, by reason
    trained_items: int | None  #: number of items that are trained on
    steps_per_epoch: int | None  #: null if unknown


@dataclass(frozen=True, slots=True)
class RecipeView:
    """How the trainer makes the pixels of an item. `shown` has the positions in `frames` of the frames in the strip."""

    model_type: str
    width: int
    height: int
    box: tuple[float, ...]  #: left, top, right, bottom in pixels of the original
    frames: tuple[int, ...]  #: the frames of the original that are used, from 0
    fps: float | None
    is_video: bool  #: whether it is trained on as a video
    shown: tuple[int, ...]  #: positions in `frames` of the frames in the strip
