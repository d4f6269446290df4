"""Pages of lists: by offset, or by a cursor that stays stable while rows are added."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

DEFAULT_LIMIT = 50
MAX_LIMIT = 500  #: a larger limit is reduced to this

#: The pattern of a cursor: the number of a row.
CURSOR = r"^[0-9]{1,18}$"

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The requested page. A cursor takes precedence over an offset."""

    limit: int = DEFAULT_LIMIT
    offset: int | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Pagination:
    """The position of a page in the list. `next_cursor` leads to the next page."""

    total: int  #: number of all entries that match the query
    limit: int  #: maximum number of entries of a page
    offset: int | None  #: number of entries before this page; null if the page was requested by cursor
    has_more: bool  #: whether entries follow this page
    next_cursor: str | None  #: send it as `cursor` for the next page; null on the last page


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list."""

    rows: tuple[T, ...]
    pagination: Pagination

    def map(self, show: Callable[[T], U]) -> "Page[U]":
        """Return the page with `show` applied to each row."""
        return Page(tuple(map(show, self.rows)), self.pagination)


#: Reads rows and counts all rows. Parameters: limit, offset, and cursor (the number of the row before the first one).
ReadRows = Callable[[int, int, int | None], tuple[Sequence[T], int]]


def read_page(read: ReadRows[T], number: Callable[[T], int], request: PageRequest) -> Page[T]:
    """Return the requested page of rows that a store reads.

    One more row is read than shown, to find out whether there are more.
    """
    limit, cursor = min(request.limit, MAX_LIMIT), None if request.cursor is None else int(request.cursor)
    offset = request.offset or 0
    rows, total = read(limit + 1, offset, cursor)
    has_more, shown = len(rows) > limit, tuple(rows[:limit])
    next_cursor = str(number(shown[-1])) if has_more else None
    return Page(shown, Pagination(total, limit, offset if cursor is None else None, has_more, next_cursor))


def paginate_by_position(rows: Sequence[T], request: PageRequest) -> Page[T]:
    """Return the requested page of a list; a cursor is the position of a row."""
    return paginate(list(enumerate(rows, start=1)), lambda row: row[0], request).map(lambda row: row[1])


def paginate(rows: Sequence[T], number: Callable[[T], int], request: PageRequest, descending: bool = False) -> Page[T]:
    """Return the requested page of rows that are sorted by `number`.

    A cursor is the number of the last row of the previous page. So no row is skipped or repeated when rows are added or
    deleted.
    """
    limit = min(request.limit, MAX_LIMIT)
    start = request.offset or 0
    if request.cursor is not None:
        sign = -1 if descending else 1
        start = bisect_right(rows, sign * int(request.cursor), key=lambda row: sign * number(row))
    page = tuple(rows[start : start + limit])
    has_more = start + limit < len(rows)
    return Page(
        rows=page,
        pagination=Pagination(
            total=len(rows),
            limit=limit,
            offset=None if request.cursor is not None else start,
            has_more=has_more,
            next_cursor=str(number(page[-1])) if has_more else None,
        ),
    )
