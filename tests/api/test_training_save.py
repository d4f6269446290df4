"""Saving a checkpoint now: the trainer gets a signal file and continues."""

import os
from pathlib import Path

import pytest

from api.executors.fake import outcome
from tests.api.client import failure_of
from tests.api.conftest import RUN_DIR, TRAINING, World

STEP = "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n"


@pytest.fixture
def training(world: World) -> str:
    """A training that makes steps."""
    task_id = world.run()
    (world.output(task_id) / RUN_DIR).mkdir()
    world.prints(task_id, STEP)
    world.train()
    return task_id


def signal_file(world: World, task_id: str) -> Path:
    return world.output(task_id) / RUN_DIR / "save"


def save(world: World, task_id: str) -> int:
    return world.client.post(f"{TRAINING}/{task_id}/save").status_code


def messages(world: World, task_id: str) -> list[str]:
    return [event["message"] for event in world.client.data(f"{TRAINING}/{task_id}/events")["events"]]


def test_save_request_writes_the_signal_file_and_the_training_continues(world: World, training: str):
    answer = world.client.post(f"{TRAINING}/{training}/save")
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "running")
    assert signal_file(world, training).read_bytes() == b""
    assert "a checkpoint was requested" in messages(world, training)


def test_event_reports_the_saved_checkpoint(world: World, training: str):
    save(world, training)
    world.make_checkpoints(training, 7)
    world.end(training)
    assert "global_step7 is complete" in messages(world, training)


def test_repeated_save_request_changes_nothing(world: World, training: str):
    assert [save(world, training) for _ in range(3)] == [202, 202, 202]
    assert messages(world, training).count("a checkpoint was requested") == 1
    signal_file(world, training).unlink()
    save(world, training)
    assert messages(world, training).count("a checkpoint was requested") == 2


def test_task_that_does_not_train_cannot_save(world: World):
    loading, ended = world.run(gpu_ids=[0]), world.finish(outcome(exit_code=1), gpu_ids=[1])
    waiting = world.start(gpu_ids=[0, 1, 2, 3])
    for task_id in (waiting, loading, ended):
        answer = world.client.post(f"{TRAINING}/{task_id}/save")
        assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "not_training")
        assert not list(world.output(task_id).rglob("save"))
    assert save(world, "train_20260101_00000000") == 404


def test_symbolic_link_is_not_written_through(world: World, training: str, tmp_path: Path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    signal_file(world, training).symlink_to(target / "made")
    assert save(world, training) == 202
    assert list(target.iterdir()) == []
    run_dir = signal_file(world, training).parent
    os.rename(run_dir, run_dir.with_name("aside"))
    run_dir.symlink_to(target)
    assert save(world, training) == 503
    assert list(target.iterdir()) == []
