"""Pages of rows that come with their numbers."""

from collections.abc import Callable
from typing import TypeVar

from api.util import pagination
from api.util.pagination import Page, PageRequest

T = TypeVar("T")

#: Reads up to so many rows with their serial numbers, after so many or below that number, and counts all of them.
ReadRows = Callable[[int, int, int | None], tuple[list[tuple[int, T]], int]]


def read_page(read: ReadRows[T], request: PageRequest) -> Page[T]:
    """The page that is asked for, newest first."""
    return pagination.read_page(read, lambda row: row[0], request).map(lambda row: row[1])
