from typing import Any

import pytest

from api.domain.reason import fill
from api.errors import Finding
from api.util.http.validation import MAX_MISTAKES, MORE_FINDINGS, capped, excess, forget_absent


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
def test_exceeded_limit_is_named(values: Any, found: str | None):
    assert excess(values, depth=3, count=10, characters=20) == found


def test_texts_without_a_limit_are_not_counted():
    assert excess(["x" * 1000], depth=3, count=10) is None


@pytest.mark.parametrize("values", [["y", "x" * 21], {"x" * 21: 1}, {"a": [{"b": "x" * 21}]}])
def test_texts_and_keys_have_a_maximum_length(values: Any):
    assert excess(values, depth=3, count=10, longest=21) is None
    assert excess(values, depth=3, count=10, longest=20) == "A text in it has 21 characters, and the most is 20."


def test_findings_above_the_limit_are_counted():
    mistakes = [Finding(f"/{index}", "wrong") for index in range(MAX_MISTAKES + 3)]
    shown = capped(mistakes, dropped=2)
    assert shown[:-1] == mistakes[:MAX_MISTAKES]
    assert shown[-1].message == "There are 5 more findings than these."
    assert (shown[-1].message, shown[-1].remedy) == (
        fill(MORE_FINDINGS.message, shown[-1].params or {}),
        MORE_FINDINGS.remedy,
    )


def test_few_findings_are_shown_as_they_are():
    assert capped([Finding("/a", "wrong")]) == [Finding("/a", "wrong")]
    assert capped([Finding("/a", "wrong")], dropped=1)[-1].message == "There is 1 more finding than these."


def test_entries_of_absent_keys_are_dropped_above_a_spare():
    known = dict.fromkeys(range(10))
    forget_absent(known, {1, 2}, spare=8)
    assert len(known) == 10
    forget_absent(known, {1, 2}, spare=7)
    assert set(known) == {1, 2}
