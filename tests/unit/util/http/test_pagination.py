import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.util.http.pagination import CURSOR, DEFAULT_LIMIT, MAX_LIMIT, Page, PageRequest, paginate, read_page

numbers = st.lists(st.integers(1, 10**6), unique=True, max_size=40).map(sorted)


def page_of(
    rows: Sequence[int], limit: int = 2, offset: int | None = None, cursor: str | None = None, descending: bool = False
) -> Page[int]:
    return paginate(rows, int, PageRequest(limit, offset, cursor), descending)


def next_of(page: Page[int]) -> str:
    assert page.pagination.next_cursor is not None
    return page.pagination.next_cursor


def test_first_page_has_more():
    page = page_of([1, 2, 3, 4, 5])
    assert page.rows == (1, 2)
    assert (page.pagination.total, page.pagination.limit, page.pagination.offset) == (5, 2, 0)
    assert page.pagination.has_more


def test_last_page_has_no_next_cursor():
    page = page_of([1, 2, 3, 4, 5], offset=4)
    assert page.rows == (5,)
    assert (page.pagination.has_more, page.pagination.next_cursor) == (False, None)


def test_larger_limit_is_reduced_to_500():
    page = page_of(range(600), limit=10**9)
    assert len(page.rows) == page.pagination.limit == MAX_LIMIT == 500


def test_default_limit():
    assert len(paginate(range(600), int, PageRequest()).rows) == DEFAULT_LIMIT == 50


def test_page_by_cursor_has_no_offset():
    assert page_of([1, 2, 3, 4], cursor=next_of(page_of([1, 2, 3, 4]))).pagination.offset is None


def test_cursor_takes_precedence_over_an_offset():
    assert page_of([1, 2, 3, 4], offset=0, cursor="2").rows == (3, 4)


def test_mapped_page_keeps_its_pagination():
    page = page_of([1, 2, 3])
    assert page.map(str).rows == ("1", "2")
    assert page.map(str).pagination == page.pagination


@given(numbers, st.integers(1, 50), st.booleans())
def test_walk_by_cursor_sees_every_row_once(rows: list[int], limit: int, descending: bool):
    rows = rows[::-1] if descending else rows
    page = page_of(rows, limit, descending=descending)
    seen = list(page.rows)
    while page.pagination.next_cursor is not None:
        page = page_of(rows, limit, cursor=page.pagination.next_cursor, descending=descending)
        seen += page.rows
    assert seen == rows


@given(numbers, st.integers(1, 50), st.integers(0, 60))
def test_offset_page_is_a_slice(rows: list[int], limit: int, offset: int):
    page = page_of(rows, limit, offset)
    assert page.rows == tuple(rows[offset : offset + limit])
    assert page.pagination.has_more == (offset + limit < len(rows))


@given(numbers.filter(lambda rows: len(rows) > 4), st.data())
def test_remaining_rows_are_seen_once_while_others_come_and_go(rows: list[int], data: st.DataObject):
    first = page_of(rows)
    deleted = data.draw(st.sets(st.sampled_from(rows)))
    come = data.draw(st.sets(st.integers(10**6 + 1, 10**6 + 50)))
    later = sorted((set(rows) - deleted) | come)
    seen = list(page_of(later, limit=500, cursor=next_of(first)).rows)
    assert seen == [row for row in later if row not in first.rows]


def test_rows_that_are_added_in_front_do_not_shift_a_descending_walk():
    cursor = next_of(page_of([4, 3, 2, 1], descending=True))
    assert page_of([7, 6, 5, 4, 3, 2, 1], cursor=cursor, descending=True).rows == (2, 1)


def test_descending_walk_continues_if_its_last_row_was_deleted():
    cursor = next_of(page_of([4, 3, 2, 1], descending=True))
    assert page_of([4, 2, 1], cursor=cursor, descending=True).rows == (2, 1)


def test_every_returned_cursor_has_its_form():
    assert re.search(CURSOR, next_of(page_of([10**17, 10**18 - 1, 10**18])))


@pytest.mark.parametrize("text", ["", "-1", "x", "1~a", "1" * 19, "1.5", " 1"])
def test_other_text_does_not_have_the_form_of_a_cursor(text: str):
    assert re.search(CURSOR, text) is None


# -- pages of a store --------------------------------------------------------------------------------------------------


def cut(limit: int, offset: int, cursor: int | None) -> tuple[list[int], int]:
    """The numbers 9 to 1, as a store gives them."""
    rows = [row for row in range(9, 0, -1) if cursor is None or row < cursor]
    return rows[0 if cursor is not None else offset :][:limit], 9


def test_pages_of_a_store_follow_each_other_by_cursor_without_a_gap():
    seen: list[int] = []
    cursor: str | None = None
    while (page := read_page(cut, int, PageRequest(4, None, cursor))).pagination.has_more:
        seen += page.rows
        cursor = page.pagination.next_cursor
    assert [*seen, *page.rows] == list(range(9, 0, -1))
    assert (page.pagination.total, page.pagination.offset, page.pagination.next_cursor) == (9, None, None)


def test_offset_skips_rows_of_a_store_and_a_large_limit_is_reduced():
    page = read_page(cut, int, PageRequest(10**6, 7))
    assert (page.rows, page.pagination.limit, page.pagination.offset) == ((2, 1), MAX_LIMIT, 7)
