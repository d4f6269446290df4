import math
from typing import Any

import pytest

from api.trainers.diffusion_pipe.config.document import TrainerDocument, as_integer, count, number, positive


def test_pointer_is_below_the_base_unless_the_key_was_moved():
    document = TrainerDocument({}, "/config", {"save_every_n_epochs": "/config/save/every_n_epochs"})
    assert document.at() == "/config"
    assert document.at("model", "a/b", 0) == "/config/model/a~1b/0"
    assert document.at("save_every_n_epochs", 1) == "/config/save/every_n_epochs/1"


@pytest.mark.parametrize("values", [{}, {"model": 3}, {"model": None}, {"model": []}])
def test_missing_or_invalid_table_is_empty(values: dict[str, Any]):
    assert TrainerDocument(values, "").table("model") == {}
    assert TrainerDocument({"model": {"type": "wan"}}, "").table("model") == {"type": "wan"}


@pytest.mark.parametrize(
    ("value", "expected_integer", "expected_number", "expected_count"),
    [
        (3, 3, 3, 3),
        (-3, -3, -3, 1),
        (2.9, None, 2.9, 2),
        (True, None, None, None),
        ("3", None, None, None),
        (None, None, None, None),
        (math.nan, None, None, None),
        (math.inf, None, None, None),
    ],
)
def test_only_numbers_are_numbers(value: Any, expected_integer: Any, expected_number: Any, expected_count: Any):
    assert (as_integer(value), number(value), count(value)) == (expected_integer, expected_number, expected_count)


def test_default_replaces_values_that_are_not_positive():
    assert [positive(value, 7) for value in (1, 0, -1, True, 1.0, "1", None)] == [1, 7, 7, 7, 7, 7, 7]
