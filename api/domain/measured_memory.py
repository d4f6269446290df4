"""The GPU memory that trainings used here, and what it depends on. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class MemoryOrigin(StrEnum):
    """The source of a GPU memory figure."""

    MEASURED = "measured"  #: trainings with the same facts ran here
    AT_MOST = "at_most"  #: trainings that need the same or more ran here
    AT_LEAST = "at_least"  #: trainings that need the same or less ran here
    ESTIMATED = "estimated"  #: no comparable training ran here; the figure is from a table
    UNKNOWN = "unknown"  #: no figure is known


@dataclass(frozen=True, slots=True)
class MemorySize:
    """The size of one batch on a GPU: side of a square of equal area, frames, and examples."""

    side: int
    frames: int
    batch: int

    def covers(self, other: "MemorySize") -> bool:
        """Return whether it needs at least as much memory as the other."""
        return self.side >= other.side and self.frames >= other.frames and self.batch >= other.batch


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What the GPU memory of a training depends on. Trainings with equal facts need equal memory.

    Trainings are comparable only if `variant` and `settings` are equal.
    """

    model_type: str
    variant: str | None  #: which weights; null: unknown, so nothing is compared
    settings: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[MemorySize, ...] = ()  #: sizes of which none covers another
    rank: int | None = None  #: rank of an adapter
    blocks_to_swap: int = 0

    def covers(self, other: "MemoryFacts") -> bool:
        """Return whether it needs at least as much memory as the other, given equal variant and settings."""
        return (
            (self.rank or 0) >= (other.rank or 0)
            and self.blocks_to_swap <= other.blocks_to_swap
            and all(any(size.covers(each) for size in self.sizes) for each in other.sizes)
        )


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """The peak memory of the fullest GPU of one training in MB, as the driver reported it."""

    facts: MemoryFacts
    peak_mb: int


@dataclass(frozen=True, slots=True)
class PlannedMemory:
    """The expected memory of the fullest GPU of a training in MB. `runs` is the number of measured trainings."""

    facts: MemoryFacts
    origin: MemoryOrigin = MemoryOrigin.ESTIMATED
    runs: int = 0
    median_mb: int | None = None
    most_mb: int | None = None
    at_most_mb: int | None = None
    at_least_mb: int | None = None


def drop_covered_sizes(sizes: "list[MemorySize]") -> tuple[MemorySize, ...]:
    """Return the sizes that no other size covers, sorted."""
    found = sorted(set(sizes), key=lambda each: (each.side, each.frames, each.batch))
    return tuple(each for each in found if not any(other.covers(each) for other in found if other != each))
