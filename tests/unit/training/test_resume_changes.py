import tomllib
from typing import Any

import pytest

from api.domain.training import TrainingRequest
from api.errors import Invalid
from api.training.resume_changes import change_request

TEXT = "# mine\nepochs = 3\n[toy]\nseed = 1\n"
STRUCTURED = TrainingRequest("toy", config={"epochs": 3})
BY_TEXT = TrainingRequest("toy", config_toml=TEXT, dataset_toml="")


def test_json_configuration_is_replaced():
    changed = change_request(STRUCTURED, {"config": {"epochs": 5}, "priority": 2})
    assert (changed.config, changed.priority, changed.config_toml) == ({"epochs": 5}, 2, None)


def test_values_are_set_in_the_text_with_its_comments():
    changed = change_request(BY_TEXT, {"config": {"epochs": 5, "toy": {"seed": 2}}, "priority": 2})
    assert changed.config == {}
    assert "# mine" in (changed.config_toml or "")
    assert tomllib.loads(changed.config_toml or "") == {"epochs": 5, "toy": {"seed": 2}}
    assert changed.priority == 2


def test_null_removes_a_top_level_value():
    changed = change_request(BY_TEXT, {"config": {"epochs": None}})
    assert tomllib.loads(changed.config_toml or "") == {"toy": {"seed": 1}}


def test_new_text_replaces_the_old():
    changed = change_request(BY_TEXT, {"config_toml": "epochs = 9\n", "config": {}})
    assert changed.config_toml == "epochs = 9\n"


@pytest.mark.parametrize(
    ("config", "pointer"), [({"toy": {"seed": None}}, "/config/toy/seed"), ({"nothing": {"seed": 1}}, "/config")]
)
def test_value_that_cannot_be_set_in_the_text_is_rejected_with_its_pointer(config: dict[str, Any], pointer: str):
    with pytest.raises(Invalid) as refused:
        change_request(BY_TEXT, {"config": config})
    assert [mistake.pointer for mistake in refused.value.mistakes] == [pointer]
