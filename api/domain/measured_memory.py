"""How much GPU memory trainings have used here, and what bears on it. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class MemoryOrigin(StrEnum):
    """Where a figure of GPU memory is from."""

    MEASURED = "measured"  #: trainings with the same facts ran here
    AT_MOST = "at_most"  #: trainings that need as much or more ran here
    AT_LEAST = "at_least"  #: trainings that need as much or less ran here
    ESTIMATED = "estimated"  #: nothing comparable ran here: a table tells
    UNKNOWN = "unknown"  #: nothing tells


@dataclass(frozen=True, slots=True)
class MemorySize:
    """What a GPU works on at a time: the side of a square of as many pixels, frames, and how many of them."""

    side: int
    frames: int
    batch: int

    def covers(self, other: "MemorySize") -> bool:
        """Whether it needs as much memory as another, or more."""
        return self.side >= other.side and self.frames >= other.frames and self.batch >= other.batch


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What bears on the GPU memory of a training; with the same facts it needs the same.

    Trainings are compared only where `variant` and `settings` are the same.
    """

    model_type: str
    variant: str | None  #: which weights; null: it cannot be told, and nothing is compared
    settings: Mapping[str, Any] = field(default_factory=dict)
    sizes: tuple[MemorySize, ...] = ()  #: none of them covers another
    rank: int | None = None  #: of an adapter
    blocks_to_swap: int = 0

    def covers(self, other: "MemoryFacts") -> bool:
        """Whether it needs as much memory as another of the same variant and settings, or more."""
        return (
            (self.rank or 0) >= (other.rank or 0)
            and self.blocks_to_swap <= other.blocks_to_swap
            and all(any(size.covers(each) for size in self.sizes) for each in other.sizes)
        )


@dataclass(frozen=True, slots=True)
class MemoryRun:
    """MB that the fullest GPU of one training used at most, by the driver."""

    facts: MemoryFacts
    peak_mb: int


@dataclass(frozen=True, slots=True)
class PlannedMemory:
    """What is known of the memory that a training needs: MB of its fullest GPU. `runs` is how many trainings the figure
    rests on.
    """

    facts: MemoryFacts
    origin: MemoryOrigin = MemoryOrigin.ESTIMATED
    runs: int = 0
    median_mb: int | None = None
    most_mb: int | None = None
    at_most_mb: int | None = None
    at_least_mb: int | None = None


def outermost(sizes: "list[MemorySize]") -> tuple[MemorySize, ...]:
    """The sizes that no other one covers, in order."""
    found = sorted(set(sizes), key=lambda each: (each.side, each.frames, each.batch))
    return tuple(each for each in found if not any(other.covers(each) for other in found if other != each))
