import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.domain.tasks.training import Checkpoint, TrainingRequest
from api.errors import Invalid, NoCheckpoint
from api.trainers.toy.trainer import Toy
from api.training.output.resume_points import change_request, choose_checkpoint, find_checkpoints, last_complete
from tests.unit.trainings import TrainingMachine

NAMES = ("global_step5", "global_step10", "global_step15")


@pytest.fixture
def saved(machine: TrainingMachine) -> list[Checkpoint]:
    """Three checkpoints, of which the last is incomplete."""
    run_dir = machine.saves(5, 10)
    found = Toy().checkpoints(run_dir)
    return [*found, replace(found[-1], name=NAMES[2], step=15, is_complete=False, is_latest=False)]


def test_checkpoints_of_the_newest_run_directory_are_listed(machine: TrainingMachine):
    assert find_checkpoints(Toy(), machine.files().output).run_dir is None
    run_dir = machine.saves(5, 10)
    found = find_checkpoints(Toy(), machine.files().output)
    assert (found.run_dir, [each.name for each in found.checkpoints]) == (
        str(run_dir),
        ["global_step5", "global_step10"],
    )


def test_unknown_trainer_has_no_checkpoints():
    assert find_checkpoints(None, Path("/nowhere")).checkpoints == ()


def test_last_complete_checkpoint_is_the_default(saved: list[Checkpoint]):
    assert choose_checkpoint("a", saved, None).name == "global_step10"
    assert choose_checkpoint("a", saved, "global_step5").name == "global_step5"


def test_after_a_resume_from_an_older_checkpoint_the_latest_is_not_the_highest_step(saved: list[Checkpoint]):
    went_back = [replace(saved[0], is_latest=True), replace(saved[1], is_latest=False), saved[2]]
    latest = last_complete(went_back)
    assert latest is not None
    assert latest.name == "global_step5"
    unmarked = last_complete([replace(each, is_latest=False) for each in saved])
    assert unmarked is not None
    assert unmarked.name == "global_step10"


@pytest.mark.parametrize("name", ["global_step15", "global_step99"])
def test_incomplete_or_missing_checkpoint_is_rejected_with_a_list(saved: list[Checkpoint], name: str):
    with pytest.raises(NoCheckpoint) as refused:
        choose_checkpoint("a", saved, name)
    assert refused.value.data == {"checkpoints": ["global_step5", "global_step10"]}


def test_resume_without_checkpoints_is_rejected():
    assert last_complete(()) is None
    with pytest.raises(NoCheckpoint, match="has no complete checkpoint; restart it instead"):
        choose_checkpoint("a", (), None)


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
