"""The planned evaluations, saved models and checkpoints, and their disk space."""

from pathlib import Path
from typing import Any

import pytest

from api.domain.tasks.training import PlannedOutputs
from tests.unit.trainers.diffusion_pipe.builders import Case

#: 4 images make 4 steps per epoch.
EPOCHS = 3


def outputs(case: Case, **config: Any) -> tuple[PlannedOutputs | None, PlannedOutputs | None, PlannedOutputs | None]:
    case.config.update({"epochs": EPOCHS, **config})
    plan = case.check().plan
    assert plan is not None
    return plan.evaluations, plan.saved_models, plan.checkpoints


def with_evaluation(case: Case, **keys: Any) -> dict[str, Any]:
    file = case.tmp_path / "eval.toml"
    file.write_text(f"resolutions = [512]\n[[directory]]\npath = '{case.images}'\n")
    return {"eval": {"datasets": [{"name": "e", "config": str(file)}], **keys}}


@pytest.mark.parametrize(
    ("keys", "steps"),
    [
        ({"every_n_epochs": 1}, (0, 4, 8, 12)),
        ({"every_n_epochs": 2}, (0, 8)),
        ({"every_n_steps": 6, "every_n_epochs": 1}, (0, 4, 6, 8, 12)),
        ({"every_n_steps": 1.5}, (0, 3, 6, 9, 12)),
        ({"every_n_examples": 5}, (0, 5, 10)),
        ({"every_n_epochs": 1, "before_first_step": False}, (4, 8, 12)),
    ],
)
def test_evaluations_are_listed_by_step(case: Case, keys: dict[str, Any], steps: tuple[int, ...]):
    evaluations, _, _ = outputs(case, **with_evaluation(case, **keys))
    assert evaluations is not None
    assert evaluations.steps == steps
    assert evaluations.count == len(steps)


def test_training_without_evaluation_plans_none(case: Case):
    assert outputs(case)[0] is None


@pytest.mark.parametrize(
    ("keys", "max_steps", "steps"),
    [
        ({"every_n_epochs": 1}, None, (4, 8, 12)),
        ({"every_n_epochs": 2}, None, (8, 12)),
        ({"every_n_steps": 5}, None, (5, 10, 12)),
        ({"every_n_steps": 4}, None, (4, 8, 12)),
        ({"every_n_epochs": 1}, 6, (4, 6)),
        ({"every_n_epochs": 1}, 8, (4, 8, 8)),
    ],
)
def test_saved_models_are_listed_by_step(
    case: Case, keys: dict[str, Any], max_steps: int | None, steps: tuple[int, ...]
):
    limit = {} if max_steps is None else {"max_steps": max_steps}
    _, saved, _ = outputs(case, save={**keys, "checkpoint_every_n_epochs": 1}, **limit)
    assert saved is not None
    assert saved.steps == steps
    assert saved.count == len(steps)


def test_checkpoints_by_epoch_are_counted_and_those_by_time_are_not(case: Case):
    _, _, checkpoints = outputs(case, save={"every_n_epochs": 1, "checkpoint_every_n_epochs": 2})
    assert checkpoints is not None
    assert (checkpoints.count, checkpoints.steps) == (2, (8, 12))
    _, _, checkpoints = outputs(case, save={"every_n_epochs": 1, "checkpoint_every_n_minutes": 30})
    assert checkpoints is not None
    assert (checkpoints.count, checkpoints.steps) == (None, (12,))


def test_many_events_are_counted_but_not_listed(case: Case):
    case.dataset["directories"][0]["num_repeats"] = 1000
    _, saved, _ = outputs(case, epochs=1000, save={"every_n_steps": 1, "checkpoint_every_n_epochs": 1})
    assert saved is not None
    assert saved.count == 4_000_000
    assert len(saved.steps) == 100


def test_size_of_a_lora_follows_from_the_weights(tmp_path: Path):
    case = Case(tmp_path, "wan")
    _, saved, checkpoints = outputs(case, save={"every_n_epochs": 1, "checkpoint_every_n_epochs": 1})
    assert saved is not None
    assert checkpoints is not None
    assert saved.each_bytes is not None
    assert saved.total_bytes == 3 * saved.each_bytes
    # With the states of an Adam optimizer with compensation.
    assert checkpoints.each_bytes == 4 * saved.each_bytes
    case.config["adapter"]["rank"] *= 2
    doubled = outputs(case)[1]
    assert doubled is not None
    assert doubled.each_bytes == 2 * saved.each_bytes


def test_plan_remains_visible_with_an_error(case: Case):
    case.config["adapter"]["alpha"] = 1
    found = case.check()
    assert found.errors
    assert found.plan is not None
    assert found.plan.total_steps == 40
    assert found.plan.saved_models is not None
    assert (dict(found.plan.files), found.plan.command) == ({}, ())


def test_error_in_the_dataset_leaves_the_memory_visible(case: Case):
    case.dataset["directories"][0]["path"] = "/nowhere"
    plan = case.check().plan
    assert plan is not None
    assert plan.total_steps is None
    assert plan.estimated_memory_mb is not None
