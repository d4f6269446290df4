from datetime import UTC, datetime
from typing import Any

import pytest

from api.db.rows import clean, dump, dump_message, read_code, to_seconds, to_time
from api.domain.reason import Reason


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
