"""The delivery of models that the trainer made for exports."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from api.domain.tasks.task import TaskType
from api.domain.tasks.training import PlannedExport, TrainingTask
from api.jobs.exports.request import MARK
from api.training.attempts.checkpoint_copy import COPIED_RUN
from api.training.attempts.export_delivery import ExportDelivery
from api.training.attempts.task_results import TaskResult
from api.training.retention.service import find_models
from tests.unit.trainings import TrainingMachine

RUN, FILE = "20260101_00-00-00", "adapter_model.safetensors"
PLANNED = PlannedExport("train_1", RUN, "global_step5", "2026-01-01T00:00:00+00:00", 6)
DONE = TaskResult({"file_name": FILE})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A storage with the training's run directory, and with the model that its export has saved."""
    (tmp_path / "tasks" / "train_1" / "output" / RUN).mkdir(parents=True)
    save(made(tmp_path), b"new")
    return tmp_path


@pytest.fixture
def task(machine: TrainingMachine) -> TrainingTask:
    machine.put()
    known = machine.tasks.get("a")
    return replace(known, task_id="export_1", kind=TaskType.EXPORT, plan=replace(known.plan, export=PLANNED))


def save(directory: Path, content: bytes, **mark: str) -> None:
    directory.mkdir(parents=True)
    (directory / FILE).write_bytes(content)
    (directory / "config.toml").write_text("")
    if mark:
        (directory / MARK).write_text(json.dumps(mark))


def made(root: Path, name: str = "step6") -> Path:
    return root / "tasks" / "export_1" / "output" / COPIED_RUN / name


def target(root: Path) -> Path:
    return root / "tasks" / "train_1" / "output" / RUN / "step6"


def collect(root: Path, task: TrainingTask) -> TaskResult:
    return ExportDelivery(root).collect(task, made(root).parents[1])


@pytest.mark.parametrize("name", ["step6", "epoch2"])
def test_model_is_moved_once_under_the_name_of_its_step(root: Path, task: TrainingTask, name: str):
    made(root).rename(made(root, name))
    assert collect(root, task) == DONE
    assert {path.name for path in target(root).iterdir()} == {FILE, MARK, "config.toml"}
    assert json.loads((target(root) / MARK).read_text())["checkpoint"] == "global_step5"
    assert [(each.name, each.is_exported) for each in find_models(target(root).parents[1])] == [("step6", True)]
    # The service may be killed before it records the end.
    assert collect(root, task) == DONE
    assert (target(root) / FILE).read_bytes() == b"new"


def test_model_of_an_earlier_version_of_the_checkpoint_is_replaced(root: Path, task: TrainingTask):
    save(target(root), b"old", checkpoint="global_step5", written_at="2025-12-31T00:00:00+00:00")
    assert collect(root, task) == DONE
    assert (target(root) / FILE).read_bytes() == b"new"
    assert [path.name for path in target(root).parent.iterdir()] == ["step6"]


def test_model_that_the_training_itself_has_saved_stays(root: Path, task: TrainingTask):
    save(target(root), b"its own")
    assert collect(root, task) == DONE
    assert (target(root) / FILE).read_bytes() == b"its own"


def test_failed_delivery_has_a_cause_with_a_remedy(root: Path, task: TrainingTask):
    (made(root) / FILE).unlink()
    nothing = collect(root, task)
    target(root).parent.rmdir()
    gone = collect(root, task)
    causes = [found.cause for found in (nothing, gone)]
    assert [None if cause is None else cause.code for cause in causes] == ["trainer_error", "missing_file"]
    assert all(cause is not None and cause.remedy for cause in causes)
