import datetime as dt
import math

import pytest

from api.trainers.toml_edit import edit, reads_as, same

TEXT = """\
# mine
b = 1  # kept
a = 2

[table]   # as in the paper
key = 'x'
"""


def test_a_value_is_changed_and_comments_and_order_are_kept():
    edited = edit(TEXT, {("a",): 3, ("table", "key"): "y"})
    assert edited == TEXT.replace("a = 2", "a = 3").replace("'x'", '"y"')


def test_a_new_key_is_added_and_another_removed():
    edited = edit(TEXT, {("c",): "new"}, removed=("b", "nothing"))
    assert edited is not None
    assert reads_as(edited, {"a": 2, "c": "new", "table": {"key": "x"}})


@pytest.mark.parametrize("text", ["a = ", "a = 1\na = 2", "x = " + "[" * 5000])
def test_what_is_no_toml_cannot_be_edited(text: str):
    assert edit(text, {("a",): 1}) is None


def test_a_table_that_is_not_there_is_not_made():
    assert edit(TEXT, {("nothing", "key"): 1}) is None


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        (1, 1, True),
        (1, 1.0, False),
        (True, 1, False),
        (math.nan, math.nan, True),
        ([1, {"a": "x"}], [1, {"a": "x"}], True),
        ([1], [1, 2], False),
        ({"a": 1}, {"b": 1}, False),
        (dt.date(2026, 1, 1), dt.date(2026, 1, 2), True),
        (dt.date(2026, 1, 1), "2026-01-01", False),
        (None, None, False),
    ],
)
def test_values_are_the_same_when_two_parsers_read_them_alike(one: object, other: object, are_same: bool):
    assert same(one, other) is are_same
