"""Pages of lists: by offset, or by a cursor that stays stable while rows arrive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

DEFAULT_LIMIT = 50
MAX_LIMIT = 500  #: a larger limit is taken as this one

#: What a cursor looks like.
CURSOR = r"^[0-9]{1,9}~[A-Za-z0-9_.\-]{0,128}$"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pagination:
    """Where in the list a page is; `next_cursor` leads to the page after it."""

    total: int
    limit: int
    offset: int | None
    has_more: bool
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list."""

    rows: tuple[T, ...]
    pagination: Pagination


def paginate(rows: Sequence[T], key: Callable[[T], str], limit: int, offset: int | None, cursor: str | None) -> Page[T]:
    """A page of rows; `cursor` (of the form CURSOR) goes before `offset`.

    A cursor names the last row that was seen, by its key, and how many there were before it for when it has gone.
    """
    limit = min(limit, MAX_LIMIT)
    start = _after(rows, key, cursor) if cursor is not None else offset or 0
    page = tuple(rows[start : start + limit])
    has_more = start + limit < len(rows)
    return Page(
        rows=page,
        pagination=Pagination(
            total=len(rows),
            limit=limit,
            offset=None if cursor is not None else start,
            has_more=has_more,
            next_cursor=_cursor(start + limit, key(page[-1])) if has_more and page else None,
        ),
    )


def _cursor(position: int, key: str) -> str:
    return f"{position}~{key}"


def _after(rows: Sequence[T], key: Callable[[T], str], cursor: str) -> int:
    position, _, last = cursor.partition("~")
    found = next((index for index, row in enumerate(rows) if key(row) == last), None)
    return int(position) if found is None else found + 1
