from typing import Any

import pytest

from api.errors import Mistake
from api.util.bounds import MAX_MISTAKES, capped, excess, forget_absent


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"a": [1, {"b": 2}]}, None),
        ([[[[1]]]], "This is nested more than 3 levels deep."),
        ([1] * 10, "These are more than 10 values."),
        ({str(i): 1 for i in range(100_000)}, "These are more than 10 values."),
        ([[1] * 5, [1] * 5], "These are more than 10 values."),
        ({"a": "x" * 15, "b": ["y" * 5]}, "The texts in it are longer than 20 characters together."),
        ({"x" * 21: 1}, "The texts in it are longer than 20 characters together."),
    ],
)
def test_what_is_too_much_is_said(values: Any, found: str | None):
    assert excess(values, depth=3, count=10, characters=20) == found


def test_texts_are_not_counted_where_they_have_no_bound():
    assert excess(["x" * 1000], depth=3, count=10) is None


@pytest.mark.parametrize("values", [["y", "x" * 21], {"x" * 21: 1}, {"a": [{"b": "x" * 21}]}])
def test_no_text_and_no_key_is_longer_than_the_longest(values: Any):
    assert excess(values, depth=3, count=10, longest=21) is None
    assert excess(values, depth=3, count=10, longest=20) == "A text in it has 21 characters, and the most is 20."


def test_findings_beyond_the_bound_are_counted():
    mistakes = [Mistake(f"/{index}", "wrong") for index in range(MAX_MISTAKES + 3)]
    shown = capped(mistakes, dropped=2)
    assert shown[:-1] == mistakes[:MAX_MISTAKES]
    assert shown[-1].message == "There are 5 more findings than these."


def test_few_findings_are_shown_as_they_are():
    assert capped([Mistake("/a", "wrong")]) == [Mistake("/a", "wrong")]
    assert capped([Mistake("/a", "wrong")], dropped=1)[-1].message == "There is 1 more finding than these."


def test_what_is_remembered_of_absent_things_is_dropped_beyond_a_spare():
    known = dict.fromkeys(range(10))
    forget_absent(known, {1, 2}, spare=8)
    assert len(known) == 10
    forget_absent(known, {1, 2}, spare=7)
    assert set(known) == {1, 2}
