"""Count the steps of an epoch from size buckets, as the trainer does."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from api.trainers.diffusion_pipe.config.document import MAX_COUNT
from api.trainers.diffusion_pipe.dataset.batches import Batches
from api.trainers.diffusion_pipe.dataset.buckets import Bucket, Bucketing

#: Most examples of a size bucket whose order is computed, which takes a second.
_MOST_SHUFFLED = 1_000_000


class Mixed(Enum):
    """What happens in steps that combine files with and without a control image."""

    NEVER = 0  #: there are no such steps
    DROPS = 1  #: the first file of each has no control image, so the others' are not used; or unknown
    FAILS = 2  #: the first file of one has a control image, which a later one lacks


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
    directory: int = 0  #: index of the directory
    is_controlled: bool = False  #: whether each file has a control image


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


def find_mixed_steps(
    shares: Sequence[Share], batches: Batches, require_time: Callable[[], None] = lambda: None
) -> Mixed:
    """Order the examples as the trainer does, and return the worst that happens in an epoch's steps."""
    buckets: defaultdict[Bucket, list[tuple[bool, int]]] = defaultdict(list)
    for share in shares:
        for bucket, count in _count_captions(share, require_time).items():
            buckets[bucket].append((share.is_controlled, int(count * share.num_repeats)))
    worst = Mixed.NEVER
    for bucket, parts in buckets.items():
        require_time()
        width, height, frames = (int(part) for part in bucket[-3:])
        step = batches.size_for(width, height, frames)
        if len({is_controlled for is_controlled, count in parts if count}) < 2 or step == batches.replicas:
            continue
        total = sum(count for _, count in parts)
        if total > _MOST_SHUFFLED:
            worst = Mixed.DROPS
            continue
        order = [is_controlled for is_controlled, count in parts for _ in range(count)]
        random.Random(0).shuffle(order)  # noqa: S311 - the trainer's order, for which it seeds with 0
        # A GPU loads all of its micro batches of a step at once.
        size = step // batches.replicas
        for start in range(0, total - total % step, size):
            part = order[start : start + size]
            if part[0] and not all(part):
                return Mixed.FAILS
            if any(part) and not part[0]:
                worst = Mixed.DROPS
    return worst
