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

    side: int  #: in pixels
    frames: int  #: 1 for images
    batch: int  #: examples per GPU and step

    def covers(self, other: "MemorySize") -> bool:
        """Return whether it needs at least as much memory as the other."""
        return self.side >= other.side and self.frames >= other.frames and self.batch >= other.batch


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What the GPU memory of a training depends on. Trainings with equal facts need equal memory.

    Trainings are comparable only if `variant` and `settings` are equal.
    """

    model_type: str  #: as in the request
    variant: str | None  #: which weights; null: unknown, so nothing is compared
    settings: Mapping[str, Any] = field(default_factory=dict)  #: the other settings on which memory depends, by name
    sizes: tuple[MemorySize, ...] = ()  #: sizes of which none covers another
    rank: int | None = None  #: rank of an adapter
    blocks_to_swap: int = 0  #: transformer blocks that are moved to the host's memory; 0: none

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

    facts: MemoryFacts  #: the facts that were compared
    origin: MemoryOrigin = MemoryOrigin.ESTIMATED  #: how the figures were found
    runs: int = 0  #: number of measured trainings behind the figures; 0 if none is comparable
    median_mb: int | None = None  #: median of the runs with equal facts; null unless `measured`
    most_mb: int | None = None  #: maximum of the runs with equal facts; null unless `measured`
    at_most_mb: int | None = None  #: it needs at most this; null unless `at_most`
    at_least_mb: int | None = None  #: it needs at least this; null if no run shows it


def drop_covered_sizes(sizes: "list[MemorySize]") -> tuple[MemorySize, ...]:
    """Return the sizes that no other size covers, sorted."""
    found = sorted(set(sizes), key=lambda each: (each.side, each.frames, each.batch))
    return tuple(each for each in found if not any(other.covers(each) for other in found if other != each))
