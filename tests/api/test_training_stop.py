"""Stopping a training in any state."""

from typing import Any

import pytest

from api.domain.tasks.training import StopRung
from api.executors.fake import outcome
from tests.api.client import failure_of
from tests.api.conftest import TRAINING, World

ADDRESSES = [f"{TRAINING}/stop/{{}}", f"{TRAINING}/{{}}/stop"]


def stop(world: World, task_id: str, body: dict[str, Any] | None = None, address: str = ADDRESSES[0]) -> dict[str, Any]:
    answer = world.client.post(address.format(task_id), json=body)
    assert answer.headers["location"] == f"{TRAINING}/{task_id}"
    task: dict[str, Any] = answer.json()["data"]
    assert answer.status_code == (200 if task["status"] == "stopped" else 202), answer.text
    return task


def rejected(world: World, task_id: str) -> dict[str, Any]:
    answer = world.client.post(f"{TRAINING}/stop/{task_id}")
    assert answer.status_code == 409
    return failure_of(answer)


def run_with_steps(world: World) -> str:
    task_id = world.run()
    world.prints(task_id, "steps: 1 loss: 0.5 iter time (s): 1.0 samples/sec: 64.0\n")
    world.make_checkpoints(task_id, 1)
    world.note_progress()
    return task_id


@pytest.fixture
def training(world: World) -> str:
    return run_with_steps(world)


@pytest.fixture(scope="module")
def shared_training(shared_world: World) -> str:
    return run_with_steps(shared_world)


@pytest.mark.parametrize("address", ADDRESSES)
def test_stop_requests_a_checkpoint_first(world: World, training: str, address: str):
    task = stop(world, training, address=address)
    assert (task["status"], task["stop"]["rung"], task["stop"]["force"]) == ("stopping", "checkpoint", False)
    assert task["stop"]["actor"] == "api"
    world.train()
    ((ref, order),) = world.executor.orders
    assert ref.uid == f"{training}.1"
    assert order.signal_file.name == "save_quit"
    assert order.checkpoint_seconds == 300


def test_forced_stop_skips_the_checkpoint(world: World, training: str):
    task = stop(world, training, {"force": True})
    assert (task["status"], task["stop"]["rung"], task["stop"]["force"]) == ("stopping", "terminate", True)
    world.train()
    ((_, order),) = world.executor.orders
    assert (order.signal_file, order.checkpoint_seconds) == (None, 0)


def test_time_for_the_checkpoint_can_be_set(world: World, training: str):
    stop(world, training, {"timeout_seconds": 7.5})
    world.train()
    assert world.executor.orders[0][1].checkpoint_seconds == 7.5


def test_loading_training_is_terminated(world: World):
    loading = world.run()
    assert stop(world, loading)["stop"]["rung"] == "terminate"
    world.train()
    assert world.executor.orders[0][1].signal_file is None


def test_stop_returns_the_known_results(world: World, training: str):
    task = stop(world, training)
    assert (task["stopped_at"], task["checkpoint_saved"], task["last_checkpoint"]) == (None, None, "global_step1")
    assert task["training_time"] is not None


@pytest.mark.parametrize("saves", [True, False])
def test_stop_of_a_stopped_training_returns_200_with_its_end(world: World, training: str, saves: bool):
    stop(world, training, {"force": not saves})
    if saves:
        world.make_checkpoints(training, 2)
    rung = StopRung.CHECKPOINT if saves else StopRung.TERMINATE
    world.end(training, outcome(exit_code=0, stop_rung=rung, phrases=frozenset({"Manually quitting"})))
    answer = world.client.post(f"{TRAINING}/stop/{training}")
    task = answer.json()["data"]
    assert (answer.status_code, task["status"]) == (200, "stopped")
    assert task["stopped_at"] == task["finished_at"] is not None
    assert (task["checkpoint_saved"], task["last_checkpoint"]) == (saves, "global_step2" if saves else "global_step1")


def test_queued_training_returns_200_as_stopped(world: World):
    world.run(gpu_count=4)
    answer = world.client.post(f"{TRAINING}/{world.start()}/stop")
    assert (answer.status_code, answer.json()["data"]["checkpoint_saved"]) == (200, False)


@pytest.mark.parametrize(("wait", "status"), [(0, 202), (0.2, 202), (61, 422), (-1, 422), ("x", 422)])
def test_stop_answers_after_the_maximum_wait(world: World, training: str, wait: Any, status: int):
    assert world.client.post(f"{TRAINING}/stop/{training}?wait={wait}").status_code == status


def test_repeated_stop_returns_the_same_answer(world: World, training: str):
    first = stop(world, training)
    world.train()
    again = stop(world, training, address=ADDRESSES[1])
    assert (again["status"], again["stop"]) == (first["status"], first["stop"])
    world.train()
    assert len(world.executor.orders) == 1


def test_repeated_forced_stop_becomes_harder(world: World, training: str):
    stop(world, training)
    world.train()
    assert stop(world, training, {"force": True})["stop"]["force"] is True
    world.train()
    assert [order.signal_file is None for _, order in world.executor.orders] == [False, True]


def test_stop_never_becomes_softer(world: World, training: str):
    stop(world, training, {"force": True})
    assert stop(world, training)["stop"]["force"] is True
    world.train()
    world.train()
    assert len(world.executor.orders) == 1


def test_current_step_of_a_stop_is_shown(world: World, training: str):
    stop(world, training)
    world.train()
    for rung in StopRung:
        world.executor.is_stopping(world.uid(training), rung)
        world.train()
        assert world.get(training)["stop"]["rung"] == rung


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (outcome(phrases=["Manually quitting"], stop_rung=StopRung.CHECKPOINT), "with a checkpoint"),
        (outcome(exit_code=None, signal=15, stop_rung=StopRung.TERMINATE), "SIGTERM"),
        (outcome(exit_code=None, signal=9, stop_rung=StopRung.KILL), "SIGKILL"),
    ],
)
def test_stopped_training_is_stopped_and_frees_its_gpu(world: World, training: str, how: Any, message: str):
    stop(world, training)
    world.end(training, how)
    task = world.get(training)
    assert (task["status"], task["failure"], task["progress"]["stage"]) == ("stopped", None, None)
    assert task["finished_at"] is not None
    last = world.client.data(f"{TRAINING}/{training}/events")["events"][-1]
    assert message in last["message"]
    assert world.client.data("/api/v1/gpu/0")["is_available"]


def test_training_that_completes_while_it_is_stopped_has_completed(world: World, training: str):
    stop(world, training)
    world.end(training)
    assert world.get(training)["status"] == "completed"


def test_waiting_training_stops_immediately(world: World):
    task_id = world.start()
    assert stop(world, task_id)["status"] == "stopped"
    world.train()
    assert world.executor.submissions == []


def test_claimed_training_that_is_stopped_is_never_started(world: World):
    task_id = world.start(queue=False)
    assert stop(world, task_id)["status"] == "stopping"
    world.train()
    assert world.get(task_id)["status"] == "stopped"
    assert world.executor.submissions == []
    world.free_gpus()
    assert world.client.data("/api/v1/gpu/0")["is_available"]


@pytest.mark.parametrize(
    ("how", "status"),
    [(outcome(phrases=["TRAINING COMPLETE!"]), "completed"), (outcome(exit_code=1), "failed")],
)
def test_finished_training_cannot_be_stopped(world: World, how: Any, status: str):
    task_id = world.finish(how)
    envelope = rejected(world, task_id)
    assert (envelope["error"]["code"], envelope["data"]["status"]) == ("task_finished", status)
    assert world.get(task_id)["status"] == status


def test_training_that_waits_for_a_retry_stops_immediately(world: World):
    task_id = world.finish(outcome(exit_code=1), max_retries=3)
    task = world.get(task_id)
    assert (task["status"], task["retries"]) == ("queued", 1)
    assert "retries in" in task["waiting_reason"]
    assert stop(world, task_id)["status"] == "stopped"


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}])
@pytest.mark.parametrize("address", ADDRESSES)
def test_body_is_optional(world: World, training: str, address: str, headers: dict[str, str]):
    answer = world.client.post(address.format(training), headers=headers)
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"force=true", "application/x-www-form-urlencoded", 415),
        (b"[]", "application/json", 422),
        (b'{"force": "yes"}', "application/json", 422),
        (b'{"force": 1}', "application/json", 422),
        (b'{"timeout_seconds": -1}', "application/json", 422),
        (b'{"timeout_seconds": 1e9}', "application/json", 422),
        (b'{"timeout_seconds": NaN}', "application/json", 400),
        (b'{"now": true}', "application/json", 422),
    ],
)
@pytest.mark.parametrize("address", ADDRESSES)
def test_invalid_body_stops_nothing(
    shared_world: World, shared_training: str, address: str, content: bytes, content_type: str, status: int
):
    headers = {"Content-Type": content_type}
    answer = shared_world.client.post(address.format(shared_training), content=content, headers=headers)
    assert answer.status_code == status
    failure_of(answer)
    assert shared_world.get(shared_training)["status"] == "running"


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("task_id", ["train_20260101_00000000", "x", "..", "a%00b", "é", "x" * 500, "-"])
def test_unknown_training_cannot_be_stopped(shared_world: World, address: str, task_id: str):
    answer = shared_world.client.post(address.format(task_id))
    assert answer.status_code == 404
    assert failure_of(answer)["error"]["code"] in ("task_not_found", "not_found")
