"""Pages of rows that the database has already cut and numbered."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from api.utils.pagination import MAX_LIMIT, Page, PageRequest, Pagination

T = TypeVar("T")

#: Reads up to so many rows with their serial numbers, after so many or below that number, and counts all of them.
ReadRows = Callable[[int, int, int | None], tuple[list[tuple[int, T]], int]]


def read_page(read: ReadRows[T], request: PageRequest) -> Page[T]:
    """The page that is asked for, newest first."""
    limit = min(request.limit, MAX_LIMIT)
    offset = request.offset or 0
    cursor = None if request.cursor is None else int(request.cursor)
    rows, total = read(limit + 1, offset, cursor)
    has_more = len(rows) > limit
    shown: Sequence[tuple[int, T]] = rows[:limit]
    next_cursor = str(shown[-1][0]) if has_more else None
    pagination = Pagination(total, limit, None if cursor is not None else offset, has_more, next_cursor)
    return Page(tuple(row for _, row in shown), pagination)
