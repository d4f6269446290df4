import datetime as dt
import math

import pytest

from api.trainers.toml_text import edit, reads_as, same

TEXT = """\
# mine
b = 1  # kept
a = 2

[table]   # as in the paper
key = 'x'
"""


def test_edit_changes_a_value_and_preserves_comments_and_order():
    edited = edit(TEXT, {("a",): 3, ("table", "key"): "y"})
    assert edited == TEXT.replace("a = 2", "a = 3").replace("'x'", '"y"')


def test_edit_adds_and_removes_keys():
    edited = edit(TEXT, {("c",): "new"}, removed=("b", "nothing"))
    assert edited is not None
    assert reads_as(edited, {"a": 2, "c": "new", "table": {"key": "x"}})


@pytest.mark.parametrize("text", ["a = ", "a = 1\na = 2", "x = " + "[" * 5000])
def test_invalid_toml_cannot_be_edited(text: str):
    assert edit(text, {("a",): 1}) is None


def test_edit_does_not_create_missing_tables():
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
def test_values_of_two_parsers_are_compared_by_type_and_value(one: object, other: object, are_same: bool):
    assert same(one, other) is are_same
