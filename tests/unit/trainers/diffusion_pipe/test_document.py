import math
from typing import Any

import pytest

from api.trainers.diffusion_pipe.document import TrainerDocument, count, number, positive, whole


def test_a_value_stands_below_the_base_unless_its_key_was_moved():
    document = TrainerDocument({}, "/config", {"save_every_n_epochs": "/config/save/every_n_epochs"})
    assert document.at() == "/config"
    assert document.at("model", "a/b", 0) == "/config/model/a~1b/0"
    assert document.at("save_every_n_epochs", 1) == "/config/save/every_n_epochs/1"


@pytest.mark.parametrize("values", [{}, {"model": 3}, {"model": None}, {"model": []}])
def test_a_table_that_is_none_is_empty(values: dict[str, Any]):
    assert TrainerDocument(values, "").table("model") == {}
    assert TrainerDocument({"model": {"type": "wan"}}, "").table("model") == {"type": "wan"}


@pytest.mark.parametrize(
    ("value", "as_whole", "as_number", "as_count"),
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
def test_only_what_is_a_number_counts_as_one(value: Any, as_whole: Any, as_number: Any, as_count: Any):
    assert (whole(value), number(value), count(value)) == (as_whole, as_number, as_count)


def test_the_default_stands_for_what_is_not_positive():
    assert [positive(value, 7) for value in (1, 0, -1, True, 1.0, "1", None)] == [1, 7, 7, 7, 7, 7, 7]
