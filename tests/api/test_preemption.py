"""Priority classes, earliest starts, and trainings that make room for urgent ones and go on by themselves."""

from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

import pytest

from api.domain.tasks.training import StopRung
from api.executors.fake import outcome
from api.util.clock import FakeClock
from tests.api.conftest import TOY, TRAINING, MakeWorld, World
from tests.databases import BACKENDS, fresh_postgres

STOPPED = outcome(phrases=["Manually quitting"], exit_code=0, stop_rung=StopRung.CHECKPOINT)
BACKGROUND, URGENT = {"priority_class": "background"}, {"priority_class": "urgent"}


@pytest.fixture
def world(make_world: MakeWorld, clock: FakeClock) -> World:
    return make_world(clock=clock)


def work(world: World, **fields: Any) -> str:
    """Start a training and let it make steps, so that it can save a checkpoint."""
    task_id = world.run(**fields)
    world.make_checkpoints(task_id, 1)
    world.prints(task_id, "steps: 2 loss: 1.0\n")
    world.train()
    return task_id


def change(world: World, task_id: str, **fields: Any) -> Any:
    answer = world.client.patch(f"{TRAINING}/{task_id}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def leave(world: World, task_id: str, clock: FakeClock, seconds: float = 8) -> None:
    """Let the stopping attempt end with a checkpoint after this time."""
    assert world.get(task_id)["status"] == "stopping"
    world.prints(task_id, "steps: 4 loss: 1.0\n")
    clock.advance(seconds)
    world.end(task_id, STOPPED)
    clock.advance(3)
    world.free_gpus()


@pytest.mark.parametrize("backend", BACKENDS)
def test_urgent_training_takes_the_gpu_of_a_background_training(
    make_world: MakeWorld, clock: FakeClock, backend: str
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(fresh_postgres()) if backend == "postgresql" else None
        preempt(make_world(clock=clock, **({} if url is None else {"database_url": url})), clock)


def preempt(world: World, clock: FakeClock) -> None:
    victim = work(world, gpu_ids=[0], **BACKGROUND)
    assert world.client.post("/api/v1/gpu/0/pause", json={"seconds": 1}).json()["data"]["stop_seconds"] is None
    world.client.post("/api/v1/gpu/0/unpause")
    urgent = world.start(gpu_ids=[0], name="portrait", **URGENT)
    allowed_at = clock.now() + timedelta(seconds=600)
    expected = datetime.fromisoformat(world.get(urgent)["estimated_start"])
    assert abs((expected - allowed_at).total_seconds()) < 30
    clock.advance(599)
    world.train()
    assert world.get(victim)["status"] == "running"
    clock.advance(2)
    world.train()
    leave(world, victim, clock)
    world.train()
    assert world.get(urgent)["status"] == "starting"
    waits = world.get(victim)
    assert (waits["status"], waits["failure"]) == ("queued", None)
    assert waits["attempts"][0]["failure"]["code"] == "urgent_task"
    assert waits["waiting_reason_code"] == {"code": "preempted", "params": {"task_id": urgent, "name": "portrait"}}
    world.run(urgent)
    world.end(urgent)
    clock.advance(3)
    world.free_gpus()
    again = world.get(victim)
    assert (again["status"], again["attempts"][-1]["resumed_from"]) == ("starting", "global_step4")
    assert world.get(world.run(victim))["stop_seconds"] == 8.0
    assert world.client.post("/api/v1/gpu/0/pause", json={"seconds": 9}).json()["data"]["stop_seconds"] == 8.0


def test_stop_takes_as_long_as_that_of_a_similar_training(world: World, clock: FakeClock) -> None:
    first = world.run(gpu_ids=[1])
    world.client.post(f"{TRAINING}/{first}/stop")
    leave(world, first, clock, seconds=20)
    assert world.get(first)["stop_seconds"] is None
    assert world.get(world.run(gpu_ids=[0]))["stop_seconds"] == 20.0


def test_training_that_becomes_urgent_takes_a_gpu(world: World, clock: FakeClock) -> None:
    victim = work(world, gpu_ids=[0])
    waits = world.start(gpu_ids=[0])
    clock.advance(601)
    change(world, waits, **URGENT)
    world.train()
    assert world.get(victim)["status"] == "running"
    assert change(world, victim, **BACKGROUND)["priority_class"] == "background"
    world.train()
    assert world.get(victim)["status"] == "stopping"


def test_loading_training_is_spared(world: World, clock: FakeClock) -> None:
    loads = world.run(gpu_ids=[0], **BACKGROUND)
    world.start(gpu_ids=[0], **URGENT)
    clock.advance(601)
    world.train()
    assert world.get(loads)["status"] == "running"


def test_cancelled_urgent_training_lets_the_other_go_on(world: World, clock: FakeClock) -> None:
    victim = work(world, gpu_ids=[0], **BACKGROUND)
    clock.advance(601)
    urgent = world.start(gpu_ids=[0], **URGENT)
    world.train()
    world.client.post(f"{TRAINING}/{urgent}/stop")
    leave(world, victim, clock)
    world.train()
    assert world.get(victim)["status"] == "starting"


def test_training_waits_for_its_requested_time(world: World, clock: FakeClock) -> None:
    at = "2031-01-01T10:00:00+02:00"
    task_id = world.start(not_before=at)
    world.train()
    waits = world.get(task_id)
    assert waits["status"] == "queued"
    assert waits["waiting_reason_code"] == {"code": "not_before", "params": {"until": "2031-01-01T08:00:00Z"}}
    assert (waits["not_before"], waits["estimated_start"]) == ("2031-01-01T08:00:00Z",) * 2
    assert waits["request"]["not_before"] == "2031-01-01T08:00:00Z"
    assert change(world, task_id, not_before=None)["not_before"] is None
    world.train()
    assert world.get(task_id)["status"] == "starting"
    events = world.client.data(f"{TRAINING}/{task_id}/events")["events"]
    assert "it may start at any time" in [event["message"] for event in events]


@pytest.mark.parametrize(
    ("field", "value"), [("not_before", "2031-01-01T10:00:00"), ("not_before", 5), ("priority_class", "high")]
)
def test_invalid_order_is_rejected(world: World, field: str, value: object) -> None:
    answer = world.client.post(f"{TRAINING}/start", json={**TOY, field: value})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["error"]["errors"]] == [f"/{field}"]


def test_reason_hides_the_training_of_another_user(make_world: MakeWorld, clock: FakeClock) -> None:
    world = make_world(clock=clock, auth="required", visibility="own")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    victim = work(ann, gpu_ids=[0], **BACKGROUND)
    bob.start(gpu_ids=[0], name="secret", **URGENT)
    clock.advance(601)
    world.runtime.access.ring.refresh()
    world.train()
    ann.prints(victim, "steps: 4 loss: 1.0\n")
    ann.end(victim, STOPPED)
    clock.advance(3)
    world.free_gpus()
    shown = ann.get(victim)
    assert shown["waiting_reason_code"] == {"code": "preempted", "params": {"task_id": None, "name": None}}
    assert "secret" not in str(shown)
