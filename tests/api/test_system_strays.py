"""After the database was lost, occupied GPUs are not assigned again."""

import pytest

from api.domain.tasks.task import ProcessIdentity
from api.executors.executor import AttemptRef, LivingAttempt
from tests.api.conftest import World

STRAYS = "/api/v1/system/strays"


def living(world: World, task_id: str, *gpus: int, number: int = 1, supervisor: bool = True) -> LivingAttempt:
    root = world.storage.absolute() / "tasks" / task_id
    status = world.client.data("/api/v1/gpu/status")
    uuids = tuple(gpu["uuid"] for gpu in status["gpus"] if gpu["gpu_id"] in gpus)
    ref = AttemptRef(f"{task_id}.{number}", root / "attempts" / str(number), root / "log")
    return LivingAttempt(ref, uuids, ProcessIdentity(50, 1.0) if supervisor else None, (ProcessIdentity(51, 1.0),))


def look(world: World) -> None:
    world.runtime.services.training.orphans.check_soon()
    world.train()


def gpu(world: World, index: int) -> dict[str, object]:
    found: dict[str, object] = world.client.data(f"/api/v1/gpu/{index}")
    return found


def test_gpus_of_an_orphan_are_busy_and_explain_how_to_stop_it(world: World):
    world.executor.finds(living(world, "train_x", 0, 1))
    look(world)
    for index in (0, 1):
        shown = gpu(world, index)
        assert shown["status"] == "busy"
        assert f"POST {STRAYS}/train_x.1/stop" in str(shown["status_reason"])
    assert gpu(world, 2)["status"] == "available"
    events = world.client.data("/api/v1/gpu/events")["events"]
    assert sum("train_x.1" in event["message"] and event["type"] == "task" for event in events) == 1


def test_gpus_are_free_when_no_process_of_the_orphan_is_left(world: World):
    world.executor.finds(living(world, "train_x", 0))
    look(world)
    world.executor.finds()
    look(world)
    world.sweep()
    look(world)
    assert gpu(world, 0)["status"] == "available"
    assert world.client.data(STRAYS) == {"strays": []}


def test_attempt_of_a_queued_task_is_adopted_again(world: World):
    task_id = world.start(gpu_ids=[3])
    world.executor.finds(living(world, task_id, 3))
    world.executor.runs(f"{task_id}.1", ProcessIdentity(51, 1.0))
    look(world)
    task = world.get(task_id)
    assert (task["status"], task["attempt_count"], task["attempts"][0]["gpu_ids"]) == ("running", 1, [3])
    assert world.executor.submissions == []
    assert world.client.data(STRAYS) == {"strays": []}


def test_orphan_is_shown_with_its_processes(world: World):
    world.executor.finds(living(world, "train_x", 1))
    shown = world.client.data(STRAYS)["strays"]
    assert [(s["attempt"], s["gpu_ids"], s["supervisor_pid"], s["pids"]) for s in shown] == [
        ("train_x.1", [1], 50, [51])
    ]


@pytest.mark.parametrize("force", [False, True])
def test_stop_requests_a_checkpoint_unless_forced(world: World, force: bool):
    world.executor.finds(living(world, "train_x", 1))
    world.make_checkpoints("train_x", 10)
    answer = world.client.post(f"{STRAYS}/train_x.1/stop", json={"force": force})
    assert answer.status_code == 202, answer.text
    ref, order = world.executor.orders[-1]
    assert ref.uid == "train_x.1"
    assert (order.signal_file is None, order.checkpoint_seconds == 0.0) == (force, force)


def test_orphan_without_a_supervisor_gets_one_before_it_is_stopped(world: World):
    world.executor.finds(living(world, "train_x", 1, supervisor=False))
    assert world.client.post(f"{STRAYS}/train_x.1/stop").status_code == 202
    assert [submission.has_run for submission in world.executor.submissions] == [True]
    assert len(world.executor.orders) == 1


def test_stop_of_an_unknown_orphan_is_not_found(world: World):
    task_id = world.run()
    answer = world.client.post(f"{STRAYS}/{task_id}.1/stop", json={"force": True})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "stray_not_found")
    assert world.executor.orders == []
