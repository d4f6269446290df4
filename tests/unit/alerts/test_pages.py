from api.alerts.pages import read_page
from api.util.pagination import MAX_LIMIT, PageRequest

ROWS = [(number, f"row {number}") for number in range(9, 0, -1)]


def read(limit: int, offset: int, cursor: int | None) -> tuple[list[tuple[int, str]], int]:
    rows = ROWS[offset:] if cursor is None else [row for row in ROWS if row[0] < cursor]
    return rows[:limit], len(ROWS)


def test_pages_follow_each_other_by_cursor_without_a_gap():
    seen, cursor = [], None
    while True:
        page = read_page(read, PageRequest(limit=4, cursor=cursor))
        seen += page.rows
        cursor = page.pagination.next_cursor
        if cursor is None:
            break
    assert seen == [text for _, text in ROWS]


def test_offset_skips_rows_and_a_large_limit_is_reduced():
    page = read_page(read, PageRequest(limit=10**6, offset=7))
    assert (page.rows, page.pagination.limit, page.pagination.offset) == (("row 2", "row 1"), MAX_LIMIT, 7)
