"""Pages of rows that are read together with their serial numbers."""

from collections.abc import Callable
from typing import TypeVar

from api.util import pagination
from api.util.pagination import Page, PageRequest

T = TypeVar("T")

#: Reads rows with their serial numbers, and counts all rows. Parameters: limit, offset, and cursor (the rows below this
#: serial number).
ReadRows = Callable[[int, int, int | None], tuple[list[tuple[int, T]], int]]


def read_page(read: ReadRows[T], request: PageRequest) -> Page[T]:
    """Return the requested page, newest first."""
    return pagination.read_page(read, lambda row: row[0], request).map(lambda row: row[1])
