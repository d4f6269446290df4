"""A disk that stumbles for a moment: what cannot be read is not taken for absent, and nothing is lost by it."""

import errno

import pytest

from api.training.attempts.ending import PASSING_SECONDS
from api.util.clock import FakeClock
from tests.api.client import failure_of
from tests.api.conftest import COMPLETED, TRAINING, MakeWorld, World
from tests.faults import Faults


def step(number: int) -> str:
    return f"steps: {number} loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n"


@pytest.mark.parametrize("path", ["", "/checkpoints", "/artifacts"])
def test_checkpoints_that_cannot_be_read_are_not_told_to_be_absent(world: World, faults: Faults, path: str):
    task_id = world.finish()
    hidden = faults.strike("scandir", "/output")
    answer = world.client.get(f"{TRAINING}/{task_id}{path}")
    assert (answer.status_code, failure_of(answer)["error"]["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    hidden.end()
    assert world.client.get(f"{TRAINING}/{task_id}{path}").status_code == 200


def test_a_resume_whose_checkpoints_cannot_be_read_is_not_refused_for_want_of_them(world: World, faults: Faults):
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    world.end(task_id, COMPLETED)
    hidden = faults.strike("scandir", "/output")
    body = {"config": {"epochs": 9}}
    assert world.client.post(f"{TRAINING}/resume/{task_id}", json=body).status_code == 503
    hidden.end()
    assert world.client.post(f"{TRAINING}/resume/{task_id}", json=body).status_code == 202


def test_a_resume_waits_for_its_checkpoints_instead_of_beginning_anew(world: World, faults: Faults):
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


def test_a_start_is_acknowledged_whatever_the_disk_says_of_its_checkpoints(world: World, faults: Faults):
    faults.strike("scandir", "/output")
    faults.strike("open", "/output")
    assert world.start()


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_training_that_completed_is_not_judged_by_what_the_disk_hides(
    make_world: MakeWorld, faults: Faults, error: int
):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run()
    world.prints(task_id, step(1))
    hidden = faults.strike("scandir", "/output", error)
    world.executor.ends(f"{task_id}.1", world.bear_out(task_id, COMPLETED))
    for _ in range(10):
        clock.advance(PASSING_SECONDS / 20)
        world.train()
    hidden.end()
    assert world.get(task_id)["status"] == "running"
    world.train()
    assert world.get(task_id)["status"] == "completed"


def test_a_disk_that_stays_in_trouble_keeps_no_attempt_from_ending(make_world: MakeWorld, faults: Faults):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run()
    hidden = faults.strike("scandir", "/output")
    world.executor.ends(f"{task_id}.1", world.bear_out(task_id, COMPLETED))
    for _ in range(5):
        clock.advance(PASSING_SECONDS / 2)
        world.train()
    hidden.end()
    assert world.get(task_id)["failure"]["code"] == "did_not_train"


def test_points_of_the_curves_wait_for_a_disk_that_refuses_them(world: World, faults: Faults):
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
def test_a_disk_in_trouble_does_not_make_a_watch_begin_anew(world: World, faults: Faults, error: int):
    task_id = world.run()
    world.prints(task_id, step(1))
    world.train()
    reconciler = world.runtime.training_loop._reconciler
    watch = reconciler.get_watch(f"{task_id}.1")
    faults.strike("scandir", "/output", error, times=1)
    world.train()
    assert reconciler.get_watch(f"{task_id}.1") is watch


def test_files_that_could_not_be_deleted_are_not_told_to_be(world: World, faults: Faults):
    task_id = world.finish()
    faults.strike("unlink", "state.json", times=1)
    answer = world.client.delete(f"{TRAINING}/{task_id}?files=true").json()["data"]
    assert (answer["files_deleted"], answer["directory"]) == (False, str(world.storage / "tasks" / task_id))
