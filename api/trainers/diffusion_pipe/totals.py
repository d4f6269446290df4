"""Counts the steps of an epoch from size buckets, as the trainer does."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.trainers.diffusion_pipe.batches import Batches
from api.trainers.diffusion_pipe.buckets import Bucket, Bucketing
from api.trainers.diffusion_pipe.document import MAX_COUNT


@dataclass(frozen=True, slots=True)
class Item:
    """A file that is trained on: size in pixels, frames at the model's rate, captions, name."""

    width: int
    height: int
    frames: int = 1
    captions: int = 1
    name: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """The contribution of one directory."""

    bucketing: Bucketing
    items: Sequence[Item]
    num_repeats: float = 1


@dataclass(frozen=True, slots=True)
class BucketCount:
    """A size bucket: its examples (captions times repeats), examples per step, and complete steps."""

    bucket: Bucket
    examples: int
    batch_size: int
    steps: int

    @property
    def left_over(self) -> int:
        """The number of its examples that are in no step."""
        return self.examples - self.steps * self.batch_size


@dataclass(frozen=True, slots=True)
class Totals:
    """The steps of an epoch, and the size buckets."""

    steps_per_epoch: int
    counts: tuple[BucketCount, ...]

    @property
    def dropped(self) -> tuple[Bucket, ...]:
        """The size buckets that are too small for one step."""
        return tuple(count.bucket for count in self.counts if count.steps == 0)


def count_steps(
    shares: Sequence[Share],
    batches: Batches,
    subsample_ratio: float | None = None,
    require_time: Callable[[], None] = lambda: None,
) -> Totals:
    """Count the complete steps per size bucket over all directories; remaining examples are dropped.

    `require_time` raises if the count takes too long.
    """
    sizes: defaultdict[Bucket, int] = defaultdict(int)
    for share in shares:
        for bucket, count in _count_captions(share, require_time).items():
            sizes[bucket] += int(count * share.num_repeats)
    counts = []
    for bucket, size in sizes.items():
        require_time()
        width, height, frames = (int(part) for part in bucket[-3:])
        batch_size = batches.size_for(width, height, frames)
        counts.append(BucketCount(bucket, size, batch_size, size // batch_size))
    steps = sum(count.steps for count in counts)
    if subsample_ratio:
        steps = int(min(steps * subsample_ratio, MAX_COUNT))
    return Totals(steps, tuple(counts))


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
