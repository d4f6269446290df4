from datetime import UTC, datetime
from typing import Any

import pytest

from api.db.rows import clean, dump, dump_words, read_code, to_seconds, to_time
from api.domain.reason import Reason


def test_times_come_back_to_the_microsecond():
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    assert to_time(to_seconds(moment)) == moment


@pytest.mark.parametrize(("text", "kept"), [("a\0b", "a\ufffdb"), ("\ud800", "?"), ("é\n", "é\n")])
def test_what_no_database_takes_is_replaced(text: str, kept: str):
    assert clean(text) == kept


def test_words_are_kept_with_their_code_and_plain_ones_without():
    reason = Reason.of("it needs {count}", "needs", count=3)
    kept = dump_words(reason, "message")
    assert kept["message"] == "it needs 3"
    assert read_code(kept["message_code"]) == reason.said
    assert dump_words("plain", "message") == {"message": "plain", "message_code": None}
    assert dump_words(None, "message") == {"message": None, "message_code": None}


def test_what_a_code_holds_is_cleaned_at_every_depth():
    kept = dump_words(Reason.of("{name}", "x", name="a\0", deep=[{"b": "c\0"}]), "message")
    assert "\0" not in str(kept)


@pytest.mark.parametrize("value", [None])
def test_nothing_stays_nothing(value: Any):
    assert (dump(value), read_code(value)) == (value, value)
