"""How many steps an epoch has: the trainer's own counting over its size buckets."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.trainers.diffusion_pipe.batches import Batches
from api.trainers.diffusion_pipe.buckets import Bucket, Bucketing


@dataclass(frozen=True, slots=True)
class Item:
    """A file that is trained on: its size in pixels, its frames at the model's rate, its number of captions."""

    width: int
    height: int
    frames: int = 1
    captions: int = 1


@dataclass(frozen=True, slots=True)
class Share:
    """What one directory brings in."""

    bucketing: Bucketing
    items: Sequence[Item]
    num_repeats: float = 1


@dataclass(frozen=True, slots=True)
class Totals:
    """The steps of an epoch, and the size buckets that are too small for a single one."""

    steps_per_epoch: int
    dropped: tuple[Bucket, ...]


def count_steps(
    shares: Sequence[Share],
    batches: Batches,
    subsample_ratio: float | None = None,
    require_time: Callable[[], None] = lambda: None,
) -> Totals:
    """Counts: a bucket's items, repeated, of all directories together, in whole steps; what remains is dropped.

    `require_time` raises when it has taken too long.
    """
    sizes: defaultdict[Bucket, int] = defaultdict(int)
    for share in shares:
        for bucket, count in _count_captions(share, require_time).items():
            sizes[bucket] += int(count * share.num_repeats)
    steps, dropped = 0, []
    for bucket, size in sizes.items():
        require_time()
        width, height, frames = (int(part) for part in bucket[-3:])
        whole_steps = size // batches.size_for(width, height, frames)
        steps += whole_steps
        if whole_steps == 0:
            dropped.append(bucket)
    if subsample_ratio:
        steps = int(steps * subsample_ratio)
    return Totals(steps, tuple(dropped))


def _count_captions(share: Share, require_time: Callable[[], None]) -> dict[Bucket, int]:
    counts: defaultdict[Bucket, int] = defaultdict(int)
    shapes: defaultdict[tuple[int, int, int], int] = defaultdict(int)
    for item in share.items:
        shapes[item.width, item.height, item.frames] += item.captions
    for shape, captions in shapes.items():
        require_time()
        for bucket in share.bucketing.sort(*shape):
            counts[bucket] += captions
    return counts
