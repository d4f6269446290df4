"""Long lists in parts, as a statement, a lock or a look should not be about all of one at once."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in their order, so many at a time; nothing of none."""
    return (items[start : start + size] for start in range(0, len(items), size))
