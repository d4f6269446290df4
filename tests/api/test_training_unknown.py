"""What cannot be seen is neither ended nor started again, and its GPUs stay with it."""

import errno
import os

import pytest

from api.executors.fake import outcome
from api.services.attempts.reconciler import SUBMISSIONS
from tests.api.conftest import World

WHY = "it was started on elsewhere, and this is here"


def test_training_that_cannot_be_seen_keeps_its_status_and_its_gpus(world: World):
    task_id = world.run(gpu_ids=[0])
    submitted = len(world.executor.submissions)
    world.executor.is_unknown(world.uid(task_id), WHY, age=3600.0)
    for _ in range(3):
        world.train()
    task = world.get(task_id)
    assert task["status"] == "running"
    assert WHY in task["warning"]
    assert len(world.executor.submissions) == submitted
    waiting = world.start(gpu_ids=[0])
    world.train()
    assert world.get(waiting)["status"] == "queued"


def test_training_that_cannot_be_seen_shows_no_speed_and_no_time_left(world: World):
    task_id = world.run()
    steps = "".join(f"steps: {n} loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n" for n in (1, 2, 3))
    world.prints(task_id, steps)
    world.note_progress()
    assert world.get(task_id)["speed"]["steps_per_second"] == 1.0
    world.executor.is_unknown(world.uid(task_id), WHY, age=3600.0)
    world.note_progress()
    world.sweep()
    (row,) = world.client.data("/api/v1/training/list")["tasks"]
    (held,) = [gpu["current_task"] for gpu in world.client.data("/api/v1/gpu/status")["gpus"] if gpu["current_task"]]
    assert held["estimated_remaining_time"] is None
    for shown in (world.get(task_id), row):
        assert (set(shown["speed"].values()), shown["progress"]["eta_seconds"]) == ({None}, None)


def test_warning_goes_when_the_training_is_seen_again(world: World):
    task_id = world.run()
    world.executor.is_unknown(world.uid(task_id), WHY, age=3600.0)
    world.train()
    world.executor.runs(world.uid(task_id))
    world.train()
    assert world.get(task_id)["warning"] is None


def test_short_blindness_is_no_news(world: World):
    task_id = world.run()
    world.executor.is_unknown(world.uid(task_id), WHY, age=1.0)
    world.train()
    assert world.get(task_id)["warning"] is None


def test_training_that_was_seen_running_is_never_submitted_as_a_new_one(world: World):
    task_id = world.run()
    world.executor.is_absent(world.uid(task_id), "it was never started")
    world.train()
    assert [submission.has_run for submission in world.executor.submissions] == [False, True]


def test_disk_that_refuses_a_start_once_does_not_fail_the_training(world: World):
    task_id = world.start()
    world.executor.refusal = OSError(28, "No space left on device")
    world.train()
    world.executor.refusal = None
    world.train()
    assert world.get(task_id)["status"] in ("starting", "running")
    assert len(world.executor.submissions) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_fault_that_passes_is_tried_again_later_and_not_for_ever(world: World, number: int):
    task_id = world.start()
    world.executor.refusal = OSError(number, os.strerror(number))
    for _ in range(SUBMISSIONS + 2):
        world.train()
    assert world.get(task_id)["status"] == "queued"
    assert len(world.get(task_id)["attempts"]) == 1


def test_supervisor_that_cannot_start_its_trainer_for_now_is_tried_again(world: World):
    task_id = world.run()
    world.end(task_id, outcome("could_not_start", exit_code=None, error="[Errno 5] I/O", error_number=errno.EIO))
    assert world.get(task_id)["status"] == "queued"
    other = world.run()
    world.end(other, outcome("could_not_start", exit_code=None, error="[Errno 2] missing", error_number=errno.ENOENT))
    assert world.get(other)["status"] == "failed"
