from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import create_engine, insert, select

from api.db.alert_tables import holds
from api.db.rows import clean, dump, dump_fields, dump_message, read_code, read_fields, select_page, to_seconds, to_time
from api.domain.machines.hold import Hold, HoldKind
from api.domain.reason import Reason
from api.util.http.pagination import PageRequest


def test_times_are_exact_to_the_microsecond():
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    assert to_time(to_seconds(moment)) == moment


@pytest.mark.parametrize(("text", "kept"), [("a\0b", "a\ufffdb"), ("\ud800", "?"), ("é\n", "é\n")])
def test_characters_that_databases_reject_are_replaced(text: str, kept: str):
    assert clean(text) == kept


def test_messages_are_stored_with_their_code_and_plain_ones_without():
    reason = Reason.of("it needs {count}", "needs", count=3)
    kept = dump_message(reason, "message")
    assert kept["message"] == "it needs 3"
    assert read_code(kept["message_code"]) == reason.said
    assert dump_message("plain", "message") == {"message": "plain", "message_code": None}
    assert dump_message(None, "message") == {"message": None, "message_code": None}


def test_nested_values_of_a_code_are_cleaned():
    kept = dump_message(Reason.of("{name}", "x", name="a\0", deep=[{"b": "c\0"}]), "message")
    assert "\0" not in str(kept)


@pytest.mark.parametrize("value", [None])
def test_none_stays_none(value: Any):
    assert (dump(value), read_code(value)) == (value, value)


PAUSE = Hold(
    "h1",
    HoldKind.PAUSE,
    "GPU-0",
    "fan",
    "ann",
    None,
    datetime(2026, 1, 2, tzinfo=UTC),
    datetime(2026, 1, 3, tzinfo=UTC),
)


def test_dataclass_comes_back_from_its_row():
    with create_engine("sqlite://").begin() as connection:
        holds.create(connection)
        endless = replace(PAUSE, hold_id="h2", kind=HoldKind.GPU, expires_at=None, memory_mb=100)
        connection.execute(insert(holds), [dump_fields(each, holds) for each in (PAUSE, endless)])
        rows = connection.execute(select(holds).order_by(holds.c.hold_id)).all()
    assert [read_fields(Hold, row) for row in rows] == [PAUSE, endless]
    assert read_fields(Hold, rows[0], reason="cooling").reason == "cooling"


def test_texts_of_a_dataclass_are_cleaned():
    assert dump_fields(replace(PAUSE, reason="a\0"), holds, made_by="x")["reason"] == "a\ufffd"


def test_page_of_a_query_continues_after_its_cursor():
    with create_engine("sqlite://").begin() as connection:
        holds.create(connection)
        connection.execute(insert(holds), [dump_fields(replace(PAUSE, hold_id=f"h{n}"), holds) for n in range(3)])
        first, second = PageRequest(2), PageRequest(2, cursor="2")
        pages = [
            select_page(connection, select(holds), holds.c.serial, each, lambda row: row.hold_id)
            for each in (first, second)
        ]
    assert [page.rows for page in pages] == [("h2", "h1"), ("h0",)]
    assert [(page.pagination.total, page.pagination.next_cursor) for page in pages] == [(3, "2"), (3, None)]
