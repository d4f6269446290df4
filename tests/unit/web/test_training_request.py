from typing import Any

import pytest

from api.training.routes import MAX_VALUES, read_start


def pointers(body: Any) -> list[str]:
    return [mistake.pointer for mistake in read_start(body)[1]]


def test_valid_body_is_a_request():
    request, mistakes = read_start({"model_type": "toy", "gpu_ids": [1, 2], "config": {"epochs": 1}})
    assert mistakes == []
    assert request is not None
    assert (request.model_type, request.gpus.references, request.config) == ("toy", (1, 2), {"epochs": 1})


def test_valid_parts_beside_a_mistake_are_checked():
    request, mistakes = read_start({"model_type": "toy", "priority": "high", "name": 3, "config": {"epochs": 0}})
    assert {mistake.pointer for mistake in mistakes} == {"/priority", "/name"}
    assert request is not None
    assert request.config == {"epochs": 0}


def test_contradiction_about_gpus_hides_no_other_mistake():
    body = {"model_type": "toy", "gpu_ids": [0], "gpu_count": 2, "priority": "high", "config": {"epochs": 1}}
    request, mistakes = read_start(body)
    assert request is not None
    assert "/priority" in {mistake.pointer for mistake in mistakes}
    assert len(mistakes) >= 2


@pytest.mark.parametrize("body", [{}, {"model_type": 3}, [], "text", 3, None])
def test_without_a_model_type_nothing_else_is_checked(body: Any):
    request, mistakes = read_start(body)
    assert request is None
    assert mistakes


def test_body_with_too_many_values_is_not_examined():
    request, (mistake,) = read_start({"model_type": "toy", "config": {"a": [0] * (MAX_VALUES + 1)}})
    assert (request, mistake.pointer) == (None, "")
    assert pointers({"model_type": "toy", "config": {}}) == []
