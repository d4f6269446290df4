"""What cannot be seen is neither ended nor started again, and its GPUs stay with it."""

import errno

from api.executors.fake import outcome
from tests.api.conftest import World

WHY = "it was started on elsewhere, and this is here"


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


def test_supervisor_that_cannot_start_its_trainer_for_now_is_tried_again(world: World):
    task_id = world.run()
    world.end(task_id, outcome("could_not_start", exit_code=None, error="[Errno 5] I/O", error_number=errno.EIO))
    assert world.get(task_id)["status"] == "queued"
    other = world.run()
    world.end(other, outcome("could_not_start", exit_code=None, error="[Errno 2] missing", error_number=errno.ENOENT))
    assert world.get(other)["status"] == "failed"
