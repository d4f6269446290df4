"""Split long lists, so that no statement, lock or read covers all items together."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def in_batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in order, in batches of this size; nothing for an empty list."""
    return (items[start : start + size] for start in range(0, len(items), size))
