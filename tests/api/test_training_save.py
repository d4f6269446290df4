"""A checkpoint now: the trainer is asked by its signal file, and goes on."""

import os
from pathlib import Path

import pytest

from api.executors.fake import outcome
from tests.api.client import failure_of
from tests.api.conftest import RUN_DIR, TRAINING, World

STEP = "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n"


@pytest.fixture
def training(world: World) -> str:
    """One that trains."""
    task_id = world.run()
    (world.output(task_id) / RUN_DIR).mkdir()
    world.prints(task_id, STEP)
    world.train()
    return task_id


def place(world: World, task_id: str) -> Path:
    return world.output(task_id) / RUN_DIR / "save"


def save(world: World, task_id: str) -> int:
    return world.client.post(f"{TRAINING}/{task_id}/save").status_code


def told(world: World, task_id: str) -> list[str]:
    return [event["message"] for event in world.client.data(f"{TRAINING}/{task_id}/events")["events"]]


def test_trainer_is_asked_by_its_file_and_goes_on(world: World, training: str):
    answer = world.client.post(f"{TRAINING}/{training}/save")
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "running")
    assert place(world, training).read_bytes() == b""
    assert "asked to save a checkpoint now" in told(world, training)


def test_event_tells_when_the_checkpoint_is_there(world: World, training: str):
    save(world, training)
    world.make_checkpoints(training, 7)
    world.end(training)
    assert "global_step7 is complete" in told(world, training)


def test_asked_again_before_it_is_done_changes_nothing(world: World, training: str):
    assert [save(world, training) for _ in range(3)] == [202, 202, 202]
    assert told(world, training).count("asked to save a checkpoint now") == 1
    place(world, training).unlink()
    save(world, training)
    assert told(world, training).count("asked to save a checkpoint now") == 2


def test_what_does_not_train_saves_nothing(world: World):
    loading, ended = world.run(gpu_ids=[0]), world.finish(outcome(exit_code=1), gpu_ids=[1])
    waiting = world.start(gpu_ids=[0, 1, 2, 3])
    for task_id in (waiting, loading, ended):
        answer = world.client.post(f"{TRAINING}/{task_id}/save")
        assert (answer.status_code, failure_of(answer)["error"]["code"]) == (409, "not_training")
        assert not list(world.output(task_id).rglob("save"))
    assert save(world, "train_20260101_00000000") == 404


def test_nothing_is_written_where_a_link_leads(world: World, training: str, tmp_path: Path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    place(world, training).symlink_to(target / "made")
    assert save(world, training) == 202
    assert list(target.iterdir()) == []
    run_dir = place(world, training).parent
    os.rename(run_dir, run_dir.with_name("aside"))
    run_dir.symlink_to(target)
    assert save(world, training) == 503
    assert list(target.iterdir()) == []
