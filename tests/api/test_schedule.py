"""Weekly hours and pauses: tasks leave a closed GPU with a checkpoint, and go on when it opens again."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from api.domain.access.principal import LOCAL, Role
from api.executors.fake import outcome
from api.util.clock import FakeClock
from tests.api.conftest import TOY, TRAINING, MakeWorld, World
from tests.databases import BACKENDS, fresh_postgres

SCHEDULE = "/api/v1/schedule"
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
STOPPED = outcome(phrases=["Manually quitting"], exit_code=0)


@pytest.fixture
def world(make_world: MakeWorld, clock: FakeClock) -> World:
    return make_world(clock=clock)


def pause(world: World, gpu_id: str = "0", seconds: float = 3600, **headers: str) -> Any:
    answer = world.client.post(f"/api/v1/gpu/{gpu_id}/pause", json={"seconds": seconds}, headers=headers)
    assert answer.status_code == 200, answer.text
    world.sweep()
    return answer.json()["data"]


def close(world: World, gpus: list[str] | None = None) -> None:
    """Leave only the hour that begins in two hours."""
    now = world.runtime.services.clock.now()
    hours = {"begins": f"{(now.hour + 2) % 24:02}:00", "ends": f"{(now.hour + 3) % 24:02}:00"}
    answer = world.client.put(SCHEDULE, json={"windows": [{"days": EVERY_DAY, **hours, "gpus": gpus}]})
    assert answer.status_code == 200, answer.text


def leave(world: World, task_id: str, clock: FakeClock) -> None:
    """Let the stopping attempt end with a checkpoint."""
    world.train()
    assert world.get(task_id)["status"] == "stopping"
    world.prints(task_id, "steps: 4 loss: 1.0\n")
    world.end(task_id, STOPPED)
    # Later than the end of the attempt, so that the GPU counts as free, and than the last forecast.
    clock.advance(3)
    world.free_gpus()


def test_paused_training_waits_and_goes_on_by_itself(world: World, clock: FakeClock) -> None:
    task_id = world.run(gpu_ids=[0])
    until = pause(world)["paused_until"]
    assert world.client.data("/api/v1/gpu/0")["paused_until"] == until
    leave(world, task_id, clock)
    waits = world.get(task_id)
    assert (waits["status"], waits["waiting_reason_code"]["code"]) == ("queued", "gpu_paused")
    assert waits["estimated_start"] == until
    world.train()
    assert world.get(task_id)["status"] == "queued"
    clock.advance(3601)
    world.sweep()
    world.train()
    again = world.get(task_id)
    assert (again["status"], again["attempts"][-1]["resumed_from"] is None) == ("starting", False)
    assert world.client.data("/api/v1/system/holds")["holds"] == []
    assert world.client.data("/api/v1/gpu/0")["paused_until"] is None


def test_unpaused_gpu_is_used_at_once(world: World, clock: FakeClock) -> None:
    task_id = world.run(gpu_ids=[0])
    pause(world)
    leave(world, task_id, clock)
    answer = world.client.post("/api/v1/gpu/0/unpause")
    assert (answer.status_code, answer.json()["data"]["paused_until"]) == (200, None)
    world.train()
    assert world.get(task_id)["status"] == "starting"
    assert world.client.post("/api/v1/gpu/0/unpause").status_code == 200


def test_second_pause_replaces_the_first(world: World) -> None:
    pause(world, seconds=100)
    second = pause(world, seconds=7200)
    holds = world.client.data("/api/v1/system/holds")["holds"]
    assert [(hold["kind"], hold["expires_at"]) for hold in holds] == [("pause", second["paused_until"])]


def test_other_gpus_go_on(world: World) -> None:
    task_id = world.run(gpu_ids=[1])
    pause(world)
    close(world, ["0"])
    world.train()
    assert world.get(task_id)["status"] == "running"


def test_program_may_register_a_paused_gpu(world: World) -> None:
    pause(world)
    made = world.client.post("/api/v1/gpu/tasks", json={"gpu_ids": [0], "task_type": "external", "task_id": "mine"})
    assert made.status_code == 201, made.text


def test_stop_of_a_user_ends_a_training_that_makes_room(world: World) -> None:
    task_id = world.run(gpu_ids=[0])
    pause(world)
    world.train()
    assert world.client.post(f"{TRAINING}/{task_id}/stop").status_code == 202
    world.end(task_id, STOPPED)
    assert world.get(task_id)["status"] == "stopped"


def test_training_that_completes_while_it_makes_room_is_completed(world: World) -> None:
    task_id = world.run(gpu_ids=[0])
    pause(world)
    world.train()
    world.end(task_id)
    assert world.get(task_id)["status"] == "completed"


@pytest.mark.parametrize("backend", BACKENDS)
def test_trainings_run_within_the_hours(make_world: MakeWorld, clock: FakeClock, backend: str) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(fresh_postgres()) if backend == "postgresql" else None
        run_within_hours(make_world(clock=clock, **({} if url is None else {"database_url": url})), clock)


def run_within_hours(world: World, clock: FakeClock) -> None:
    task_id = world.run()
    close(world)
    shown = world.client.data(SCHEDULE)
    assert (shown["is_open"], shown["next_close"]) == (False, None)
    assert {gpu["next_open"] for gpu in shown["gpus"]} == {shown["next_open"]}
    leave(world, task_id, clock)
    waits = world.get(task_id)
    assert (waits["status"], waits["waiting_reason_code"]["code"]) == ("queued", "outside_schedule")
    assert waits["estimated_start"] == shown["next_open"]
    clock.advance(2 * 3600)
    world.sweep()
    world.train()
    assert world.get(task_id)["status"] == "starting"
    assert world.client.data(SCHEDULE)["is_open"]
    assert world.client.put(SCHEDULE, json={"windows": []}).json()["data"]["next_close"] is None


def test_hours_hold_when_the_service_was_down_at_their_changes_and_after_the_clock_was_set(
    world: World, clock: FakeClock
) -> None:
    now = clock.now()
    hours = {"begins": f"{now.hour:02}:00", "ends": f"{(now.hour + 1) % 24:02}:00"}
    assert world.client.put(SCHEDULE, json={"windows": [{"days": EVERY_DAY, **hours}]}).status_code == 200
    task_id = world.run()
    # Without a round, as without a service: the end passes, and then the next begin.
    clock.advance(2 * 3600)
    world.sweep()
    leave(world, task_id, clock)
    assert world.get(task_id)["waiting_reason_code"]["code"] == "outside_schedule"
    assert world.get(task_id)["attempts"][-1]["failure"]["code"] == "outside_schedule"
    clock.advance(22 * 3600)
    world.sweep()
    world.train()
    assert world.get(task_id)["status"] == "starting"
    # An hour too early it must leave, and goes on when the clock is right again.
    world.run(task_id)
    clock.jump(-3600)
    world.sweep()
    leave(world, task_id, clock)
    clock.jump(3600)
    world.sweep()
    world.train()
    assert world.get(task_id)["status"] == "starting"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "windows"),
        ({"windows": [{"days": [], "begins": "22:00", "ends": "07:00"}]}, "/windows/0/days"),
        ({"windows": [{"days": ["monday"], "begins": "22:00", "ends": "07:00"}]}, "/windows/0/days/0"),
        ({"windows": [{"days": ["mon"], "begins": "24:00", "ends": "07:00"}]}, "/windows/0/begins"),
        ({"windows": [{"days": ["mon"], "begins": "22:00", "ends": "7"}]}, "/windows/0/ends"),
        ({"windows": [{"days": ["mon"], "begins": "22:00", "ends": "07:00", "gpus": []}]}, "/windows/0/gpus"),
        ({"time_zone": "Mars/Olympus", "windows": []}, "/time_zone"),
        ({"time_zone": "localtime", "windows": []}, "/time_zone"),
        ({"time_zone": "", "windows": []}, "/time_zone"),
        ({"time_zone": "../../etc/passwd", "windows": []}, None),
    ],
)
def test_invalid_schedule_is_refused(world: World, body: Any, field: str | None) -> None:
    answer = world.client.put(SCHEDULE, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "validation_failed")
    assert field is None or field in answer.text
    assert world.client.data(SCHEDULE)["windows"] == []


@pytest.fixture
def guarded(make_world: MakeWorld) -> World:
    return make_world(auth="required", visibility="own", rate_limits=())


def request_pause(world: World, gpu: str, who: dict[str, str], seconds: float = 60) -> int:
    code: int = world.client.post(f"/api/v1/gpu/{gpu}/pause", json={"seconds": seconds}, headers=who).status_code
    return code


def start_on_first(world: World, who: dict[str, str]) -> None:
    body = {"model_type": "toy", "config": {"epochs": 3}, "gpu_ids": [0]}
    assert world.client.post(f"{TRAINING}/start", json=body, headers=who).status_code == 201
    world.train()
    world.sweep()


def test_trainers_pause_their_own_gpus_only(guarded: World) -> None:
    ann, bob, root = guarded.key("ann"), guarded.key("bob"), guarded.key("root", Role.ADMIN)
    start_on_first(guarded, ann)
    codes = [request_pause(guarded, gpu, who) for gpu, who in (("0", bob), ("1", bob), ("0", ann), ("1", root))]
    assert codes == [403, 403, 200, 200]
    assert request_pause(guarded, "99", root) == 404
    assert guarded.client.put(SCHEDULE, json={"windows": []}, headers=ann).status_code == 403


def test_registration_gives_no_right_to_pause(guarded: World) -> None:
    ann = guarded.key("ann")
    body = {"gpu_ids": [2], "task_type": "training", "task_id": "mine"}
    assert guarded.client.post("/api/v1/gpu/tasks", json=body, headers=ann).status_code == 201
    guarded.sweep()
    assert request_pause(guarded, "2", ann) == 403


def test_pause_of_another_user_is_neither_replaced_nor_ended(guarded: World) -> None:
    ann, root = guarded.key("ann"), guarded.key("root", Role.ADMIN)
    start_on_first(guarded, ann)
    assert request_pause(guarded, "0", root, 3600) == 200
    assert request_pause(guarded, "0", ann, 1) == 403
    assert guarded.client.post("/api/v1/gpu/0/unpause", headers=ann).status_code == 403


def test_own_pause_is_visible_and_can_be_ended_but_not_extended_without_a_training(guarded: World) -> None:
    ann = guarded.key("ann")
    start_on_first(guarded, ann)
    assert request_pause(guarded, "0", ann, 600) == 200
    guarded.sweep()
    assert guarded.client.get("/api/v1/gpu/0", headers=ann).json()["data"]["paused_until"] is not None
    guarded.train()
    (task,) = guarded.client.get(f"{TRAINING}/list", headers=ann).json()["data"]["tasks"]
    guarded.executor.ends(f"{task['task_id']}.1", STOPPED)
    guarded.train()
    guarded.free_gpus()
    guarded.free_gpus()
    assert [request_pause(guarded, "0", ann, seconds) for seconds in (7200, 300)] == [403, 200]
    assert guarded.client.post("/api/v1/gpu/0/unpause", headers=ann).status_code == 200


def test_unknown_gpus_of_windows_are_named(world: World) -> None:
    windows = [{"days": ["mon"], "begins": "22:00", "ends": "07:00", "gpus": ["1", "nonexistent", "99"]}]
    answer = world.client.put(SCHEDULE, json={"windows": windows})
    assert answer.json()["data"]["unknown_gpus"] == ["nonexistent", "99"]


def test_task_that_may_not_wait_is_refused_with_the_reason(world: World) -> None:
    pause(world)
    answer = world.client.post(f"{TRAINING}/start", json={**TOY, "gpu_ids": [0], "queue": False})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "gpu_busy")
    assert "cannot start now: GPU 0 is paused until" in answer.json()["message"]
    assert 0 not in answer.json()["data"]["available_gpus"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_concurrent_changes_leave_one_pause_and_one_schedule(make_world: MakeWorld, backend: str) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(fresh_postgres()) if backend == "postgresql" else None
        world = make_world(**({} if url is None else {"database_url": url}))
        services = world.runtime.services.training
        with ThreadPoolExecutor(8) as threads:
            done = [threads.submit(services.holds.pause, "1", 100 + n, "why", LOCAL) for n in range(8)]
            done += [threads.submit(services.schedule.replace, "UTC", (), "ann") for _ in range(8)]
        assert [each.exception() for each in done] == [None] * 16
        assert len(services.holds.list()) == 1
