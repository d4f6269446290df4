"""Pages of lists: by offset, or by a cursor that stays stable while rows arrive."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from api.errors import Invalid, Mistake

DEFAULT_LIMIT = 50
MAX_LIMIT = 500  #: a larger limit is taken as this one

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
    """A page of rows. The cursor names the last row that was seen, by its key, or how many were when it has gone."""
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
            next_cursor=_encode(start + limit, key(page[-1])) if has_more and page else None,
        ),
    )


def _encode(position: int, key: str) -> str:
    return base64.urlsafe_b64encode(f"{position}:{key}".encode()).decode().rstrip("=")


def _after(rows: Sequence[T], key: Callable[[T], str], cursor: str) -> int:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        position, _, last = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        fallback = int(position)
    except (binascii.Error, ValueError):
        raise Invalid(mistakes=[Mistake("/cursor", "is not a cursor that this service gave out")]) from None
    found = next((index for index, row in enumerate(rows) if key(row) == last), None)
    return fallback if found is None else found + 1
