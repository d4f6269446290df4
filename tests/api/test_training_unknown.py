"""An unobserved attempt is neither ended nor restarted, and keeps its GPUs."""

import errno

from api.executors.fake import outcome
from tests.api.conftest import World

WHY = "it was started on elsewhere, and this is here"


def test_unobserved_training_shows_no_speed_and_no_remaining_time(world: World):
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


def test_supervisor_with_a_temporary_start_error_is_retried(world: World):
    task_id = world.run()
    world.end(task_id, outcome("could_not_start", exit_code=None, error="[Errno 5] I/O", error_number=errno.EIO))
    assert world.get(task_id)["status"] == "queued"
    other = world.run()
    world.end(other, outcome("could_not_start", exit_code=None, error="[Errno 2] missing", error_number=errno.ENOENT))
    assert world.get(other)["status"] == "failed"
