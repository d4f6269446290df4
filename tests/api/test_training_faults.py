"""Temporary disk errors: unreadable files do not count as missing, and nothing is lost."""

import errno

import pytest

from api.training.attempts.ending import TEMPORARY_SECONDS
from api.util.clock import FakeClock
from tests.api.client import failure_of
from tests.api.conftest import COMPLETED, TRAINING, MakeWorld, World
from tests.faults import Faults


def step(number: int) -> str:
    return f"steps: {number} loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n"


@pytest.mark.parametrize("path", ["", "/checkpoints", "/artifacts"])
def test_unreadable_checkpoints_are_not_reported_as_missing(world: World, faults: Faults, path: str):
    task_id = world.finish()
    hidden = faults.strike("scandir", "/output")
    answer = world.client.get(f"{TRAINING}/{task_id}{path}")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    hidden.end()
    assert world.client.get(f"{TRAINING}/{task_id}{path}").status_code == 200


def test_resume_with_unreadable_checkpoints_is_not_rejected_as_no_checkpoint(world: World, faults: Faults):
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    world.end(task_id, COMPLETED)
    hidden = faults.strike("scandir", "/output")
    body = {"config": {"epochs": 9}}
    assert world.client.post(f"{TRAINING}/resume/{task_id}", json=body).status_code == 503
    hidden.end()
    assert world.client.post(f"{TRAINING}/resume/{task_id}", json=body).status_code == 202


def test_resume_waits_for_its_checkpoints_instead_of_starting_from_scratch(world: World, faults: Faults):
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    world.end(task_id)
    assert world.client.post(f"{TRAINING}/resume/{task_id}", json={"config": {"epochs": 9}}).status_code == 202
    hidden = faults.strike("scandir", "/output")
    world.train()
    hidden.end()
    assert world.get(task_id)["attempt_count"] == 1
    world.train()
    assert [attempt["resumed_from"] for attempt in world.get(task_id)["attempts"]] == [None, "global_step10"]


def test_start_succeeds_despite_disk_errors_with_checkpoints(world: World, faults: Faults):
    faults.strike("scandir", "/output")
    faults.strike("open", "/output")
    assert world.start()


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_completed_training_is_not_judged_while_the_disk_fails(make_world: MakeWorld, faults: Faults, error: int):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run()
    world.prints(task_id, step(1))
    hidden = faults.strike("scandir", "/output", error)
    world.executor.ends(f"{task_id}.1", world.outcome_with_checkpoint(task_id, COMPLETED))
    for _ in range(10):
        clock.advance(TEMPORARY_SECONDS / 20)
        world.train()
    hidden.end()
    assert world.get(task_id)["status"] == "running"
    world.train()
    assert world.get(task_id)["status"] == "completed"


def test_permanent_disk_error_does_not_prevent_the_end(make_world: MakeWorld, faults: Faults):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run()
    hidden = faults.strike("scandir", "/output")
    world.executor.ends(f"{task_id}.1", world.outcome_with_checkpoint(task_id, COMPLETED))
    for _ in range(5):
        clock.advance(TEMPORARY_SECONDS / 2)
        world.train()
    hidden.end()
    assert world.get(task_id)["failure"]["code"] == "did_not_train"


def test_points_are_buffered_while_the_disk_fails(world: World, faults: Faults):
    task_id = world.run()
    refused = faults.strike("open", "/series", errno.ENOSPC)
    world.prints(task_id, step(1))
    world.train()
    world.prints(task_id, step(2))
    world.train()
    refused.end()
    world.prints(task_id, step(3))
    world.train()
    assert refused.hits >= 2
    shown = world.client.data(f"{TRAINING}/{task_id}/metrics")["data"]
    assert [point["step"] for point in shown] == [1, 2, 3]


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES])
def test_disk_error_does_not_restart_a_watch(world: World, faults: Faults, error: int):
    task_id = world.run()
    world.prints(task_id, step(1))
    world.train()
    watches = world.runtime.training_loop._reconciler._watches
    watch = watches.get(f"{task_id}.1")
    faults.strike("scandir", "/output", error, times=1)
    world.train()
    assert watches.get(f"{task_id}.1") is watch


def test_undeleted_files_are_not_reported_as_deleted(world: World, faults: Faults):
    task_id = world.finish()
    faults.strike("unlink", "state.json", times=1)
    answer = world.client.delete(f"{TRAINING}/{task_id}?files=true").json()["data"]
    assert (answer["files_deleted"], answer["directory"]) == (False, str(world.storage / "tasks" / task_id))
