import math
import tomllib
from typing import Any

import pytest

from api.errors import Finding
from api.trainers.toml_text import write
from api.trainers.toy.settings import (
    COUNT,
    FLAG,
    SECONDS,
    Setting,
    check,
    flatten,
    read_values,
    with_defaults,
)


def mistakes_in(config: dict[str, Any]) -> list[Finding]:
    return check(flatten(config), "/config")


def test_all_mistakes_are_reported_with_pointers():
    mistakes = mistakes_in(
        {
            "epochs": 0,
            "epoch": 1,
            "save": {"every_n_epochs": "x"},
            "optimizer": {"lr": True},
            "model": 3,
            "toy": {"step_seconds": -1, "fail_with": "oom", "a/b~c": 1},
        }
    )
    assert [mistake.pointer for mistake in mistakes] == [
        "/config/epochs",
        "/config/epoch",
        "/config/save/every_n_epochs",
        "/config/optimizer/lr",
        "/config/model",
        "/config/toy/step_seconds",
        "/config/toy/fail_with",
        "/config/toy/a~1b~0c",
    ]
    assert all(mistake.remedy for mistake in mistakes)


@pytest.mark.parametrize(
    ("config", "remedy"),
    [
        ({"epochs": 1, "max_step": 3}, "Did you mean `max_steps`?"),
        ({"epochs": 1, "steps_per_epoch": 3}, "Did you mean `toy.steps_per_epoch`?"),
        ({"epochs": 1, "toy": {"step_second": 3}}, "Did you mean `step_seconds`?"),
    ],
)
def test_unknown_setting_gets_a_suggestion(config: dict[str, Any], remedy: str):
    (mistake,) = mistakes_in(config)
    assert mistake.remedy == remedy


def test_missing_epochs_are_an_error():
    assert [mistake.pointer for mistake in mistakes_in({})] == ["/config/epochs"]


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        (COUNT, [1, 1_000_000], [0, 1_000_001, 1.0, True, "1", None]),
        (SECONDS, [0, 0.5, 3600], [-1, 3601, math.nan, False]),
        (FLAG, [True, False], [0, 1, "true"]),
        (Setting(str, choices=("a", "b")), ["a"], ["c", 1, None]),
    ],
)
def test_setting_permits_its_kind_within_its_bounds(setting: Setting, good: list[Any], bad: list[Any]):
    assert all(setting.allows(value) for value in good)
    assert not any(setting.allows(value) for value in bad)


def test_model_and_checkpoint_are_saved_after_every_epoch_by_default():
    every_epoch = {"save_every_n_epochs": 1, "checkpoint_every_n_epochs": 1}
    assert with_defaults({"epochs": 2}) == {"epochs": 2} | every_epoch
    chosen = {"save_every_n_steps": 5, "toy": {"checkpoint_every_n_steps": 3}}
    assert with_defaults(chosen) == chosen


def test_written_values_are_read_back_unchanged():
    values = {"epochs": 2, "name": 'é "\x7f\n', "toy": {"seed": 1, "fail_once": True}, "after": 0.5}
    assert tomllib.loads(write(values)) == values


def test_values_are_read_from_either_form():
    assert read_values({"epochs": 2}, None) == {"epochs": 2}
    assert read_values({}, "epochs = 2\n[toy]\nseed = 1") == {"epochs": 2, "toy": {"seed": 1}}


@pytest.mark.parametrize("text", ["epochs = = 2", "x = " + "[" * 100_000, "a = '" + "x" * 3_000_000 + "'"])
def test_unreadable_text_is_reported_in_a_sentence(text: str):
    with pytest.raises(ValueError, match=r"\.$"):
        read_values({}, text)


def test_values_above_the_limits_are_rejected():
    with pytest.raises(ValueError, match=r"\.$"):
        read_values({"text": "x" * 10_000_000}, None)
