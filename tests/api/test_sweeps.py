"""Sweeps: planned, queued as a group or not at all, shown from their trainings, stopped together."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.domain.tasks.progress import Point
from api.executors.fake import outcome
from api.training.attempts.watch.series import append_points
from api.util.periodic import PeriodicThread
from tests.api.client import failure_of
from tests.api.conftest import TRAINING, World, open_world
from tests.api.datasets import add_version, refusal_of
from tests.api.test_retries_after_a_kill import lose_answers
from tests.databases import BACKENDS, fresh_postgres

Values = dict[str, list[Any]]

SWEEPS = "/api/v1/sweeps"
LR, BATCH = "/config/optimizer/lr", "/config/micro_batch_size_per_gpu"
REQUEST: dict[str, Any] = {
    "model_type": "toy",
    "name": "cats",
    "config": {"epochs": 2, "optimizer": {"type": "adam", "lr": 0.002}, "toy": {"steps_per_epoch": 50}},
}
VALUES: Values = {LR: [1e-4, 5e-5], BATCH: [8, 16, 32]}


#: Where nothing is stored, one database is enough.
on_sqlite = pytest.mark.parametrize("world", ["sqlite"], indirect=True)


@pytest.fixture(params=BACKENDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A server without keys, on either database."""
    with ExitStack() as stack:
        url = stack.enter_context(fresh_postgres()) if request.param == "postgresql" else None
        yield open_world(stack, tmp_path / "storage", **({} if url is None else {"database_url": url}))


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[World]:
    """A server that requires keys."""
    with ExitStack() as stack:
        yield open_world(stack, tmp_path / "storage", auth="required", rate_limits=(), visibility="own")


def ask(world: World, values: Values | None = None, key: str | None = None, **more: Any) -> httpx.Response:
    body = {"request": REQUEST, "values": VALUES if values is None else values, **more}
    return world.client.post(SWEEPS, json=body, headers={} if key is None else {"Idempotency-Key": key})


def plan(world: World, values: Values | None = None, **more: Any) -> dict[str, Any]:
    answer = ask(world, values, plan_only=True, **more)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["sweep"] is None
    found: dict[str, Any] = answer.json()["data"]["plan"]
    return found


def create(world: World, values: Values | None = None, **more: Any) -> dict[str, Any]:
    answer = ask(world, values, **more)
    assert answer.status_code == 201, answer.text
    assert answer.json()["data"]["plan"] is None
    found: dict[str, Any] = answer.json()["data"]["sweep"]
    assert answer.headers["location"] == f"{SWEEPS}/{found['sweep_id']}"
    return found


def errors_of(answer: httpx.Response) -> dict[str, str]:
    assert refusal_of(answer) == (422, "validation_failed"), answer.text
    return {each["pointer"]: each["message"] for each in answer.json()["error"]["errors"]}


def ids(sweep: dict[str, Any]) -> list[str]:
    return [each["task_id"] for each in sweep["trainings"]]


def listed(world: World, query: str = "") -> list[str]:
    return [row["task_id"] for row in world.client.data(f"{TRAINING}/list{query}")["tasks"]]


@on_sqlite
def test_plan_shows_every_combination_and_creates_nothing(world: World):
    found = plan(world)
    assert (found["valid"], found["errors"], found["total"]) == (True, [], 6)
    assert [each["name"] for each in found["trainings"]] == [
        *("cats-lr1e-4-batch8", "cats-lr1e-4-batch16"),
        *("cats-lr1e-4-batch32", "cats-lr5e-5-batch8"),
        *("cats-lr5e-5-batch16", "cats-lr5e-5-batch32"),
    ]
    assert found["trainings"][1]["values"] == {LR: 1e-4, BATCH: 16}
    assert {each["total_steps"] for each in found["trainings"]} == {100}
    # No training has completed yet, so that the time is unknown.
    assert (found["total_duration"], found["gpu_hours"], found["early_stop"]) == (None, None, None)
    assert listed(world) == []
    assert world.client.data(SWEEPS)["sweeps"] == []
    assert not list((world.storage / "tasks").glob("train_*"))


@on_sqlite
def test_plan_has_time_and_gpu_hours_of_all_trainings(world: World):
    task_id = world.run(**REQUEST)
    world.prints(
        task_id, "".join(f"steps: {step} loss: 0.5 iter time (s): 2.0 samples/sec: 4.0\n" for step in range(101))
    )
    world.train()
    world.note_progress()
    world.end(task_id)
    found = plan(world, {LR: [1e-4, 5e-5]})
    each = found["trainings"][0]["estimated_duration"]
    assert each is not None
    assert found["total_duration"] == pytest.approx(2 * each)
    assert found["gpu_hours"] == pytest.approx(2 * each / 3600)


def test_sweep_queues_all_trainings_with_their_values(world: World):
    single = world.start()
    made = create(world, name="dogs")
    assert (made["name"], made["status"], made["total"]) == ("dogs", "queued", 6)
    assert made["counts"] | {"queued": 6} == made["counts"]
    assert made["varied"] == [
        {"pointer": LR, "label": "lr", "values": [1e-4, 5e-5]},
        {"pointer": BATCH, "label": "batch", "values": [8, 16, 32]},
    ]
    assert [each["sweep_values"] for each in made["trainings"]][:2] == [{LR: 1e-4, BATCH: 8}, {LR: 1e-4, BATCH: 16}]
    shown = world.get(ids(made)[3])
    assert (shown["sweep_id"], shown["sweep_values"]) == (made["sweep_id"], {LR: 5e-5, BATCH: 8})
    assert (shown["config"]["optimizer"]["lr"], shown["config"]["micro_batch_size_per_gpu"]) == (5e-5, 8)
    assert shown["name"] == "dogs-lr5e-5-batch8"
    assert listed(world, f"?sweep={made['sweep_id']}") == ids(made)[::-1]
    assert listed(world) == [*ids(made)[::-1], single]
    assert (world.get(single)["sweep_id"], world.get(single)["sweep_values"]) == (None, None)
    [row] = world.client.data(SWEEPS)["sweeps"]
    assert row == {name: value for name, value in made.items() if name != "trainings"}
    assert [each["message"] for each in world.client.data(f"{TRAINING}/{ids(made)[0]}/events")["events"]] == ["queued"]


def test_version_of_a_dataset_can_vary(world: World):
    world.client.post("/api/v1/datasets", json={"name": "cats"})
    for caption in ("one", "two"):
        add_version(world, {"a.png": caption})
    pointer = "/dataset/directories/0/dataset"
    body = {**REQUEST, "dataset": {"directories": [{"dataset": "cats"}]}}
    made = create(world, {pointer: ["cats@1", "cats@2"]}, request=body)
    assert [each["name"] for each in made["trainings"]] == ["cats-cats@1", "cats-cats@2"]
    assert [world.get(each)["plan"]["datasets"][0]["version"] for each in ids(made)] == [1, 2]


@on_sqlite
def test_setting_varies_in_the_trainers_own_text(world: World):
    body = {"model_type": "toy", "config_toml": "epochs = 2 # two\n[optimizer]\ntype = 'adam'\nlr = 0.1\n"}
    made = create(world, {LR: [0.01, 0.02]}, request=body)
    assert [world.get(each)["config"]["optimizer"]["lr"] for each in ids(made)] == [0.01, 0.02]
    assert "# two" in world.get(ids(made)[0])["request"]["config_toml"]


@on_sqlite
def test_error_names_the_combination_and_the_setting(world: World):
    answer = ask(world, {LR: [1e-4, 7], BATCH: [8, 16]})
    assert errors_of(answer) == {f"/request{LR}": errors_of(answer)[f"/request{LR}"]}
    assert errors_of(answer)[f"/request{LR}"].startswith("lr = 7, batch = 8 and 1 other: ")
    found = plan(world, {LR: [1e-4, 7], BATCH: [8, 16]})
    assert (found["valid"], [each["valid"] for each in found["trainings"]]) == (False, [True, True, False, False])
    assert listed(world) == []
    everywhere = {**REQUEST, "config": {"epochs": "x"}}
    assert errors_of(ask(world, request=everywhere)).keys() == {"/request/config/epochs"}
    assert not errors_of(ask(world, request=everywhere))["/request/config/epochs"].startswith("lr")


@on_sqlite
@pytest.mark.parametrize(
    ("values", "more", "pointer"),
    [
        ({LR: [n / 1000 for n in range(1, 14)], BATCH: [1, 2, 3, 4, 5]}, {}, "/values"),
        ({"/env/HF_TOKEN": ["a", "b"]}, {}, "/values/~1env~1HF_TOKEN"),
        ({"/name": ["a", "b"]}, {}, "/values/~1name"),
        ({"lr": [1, 2]}, {}, "/values/lr"),
        ({"": [1, 2]}, {}, "/values/"),
        ({"/config": [{}], "/config/epochs": [1]}, {}, "/values/~1config~1epochs"),
        ({LR: [1e-4, 1e-4]}, {}, "/values/~1config~1optimizer~1lr"),
        ({BATCH: [1, 1.0]}, {}, "/values/~1config~1micro_batch_size_per_gpu"),
        ({LR: [1e-4]}, {"request": {**REQUEST, "queue": False}}, "/request/queue"),
        ({LR: []}, {}, "/values/~1config~1optimizer~1lr"),
        ({}, {}, "/values"),
        ({"/config/epochs/x": [1, 2]}, {}, "/request/config/epochs/x"),
        ({"/dataset/directories/7/dataset": ["a"]}, {}, "/request/dataset/directories"),
        ({"/gpu_ids/²": ["a"]}, {"request": {**REQUEST, "gpu_ids": [0, 1, 2, 3]}}, "/request/gpu_ids"),
        ({"/gpu_ids/٣": ["a"]}, {"request": {**REQUEST, "gpu_ids": [0, 1, 2, 3]}}, "/request/gpu_ids/٣"),
        ({f"/gpu_ids/{'1' * 5000}": ["a"]}, {"request": {**REQUEST, "gpu_ids": [0, 1]}}, "/request/gpu_ids"),
        ({LR: [1e-4]}, {"request": {"config": {"epochs": 1}}}, "/request/model_type"),
        ({LR: [1e-4]}, {"request": {**REQUEST, "surprise": 1}}, "/request/surprise"),
        ({LR: [1e-4]}, {"early_stop": {"margin": -1}}, "/early_stop/margin"),
    ],
)
def test_values_that_cannot_vary_are_named(world: World, values: Values, more: Any, pointer: str):
    found = errors_of(ask(world, values, **more))
    assert any(each.startswith(pointer) for each in found), found
    assert listed(world) == []


@on_sqlite
def test_plan_reports_values_that_cannot_vary(world: World):
    found = plan(world, {"/name": ["a", "b"]})
    assert (found["valid"], found["trainings"], found["total_duration"]) == (False, [], None)
    assert [each["pointer"] for each in found["errors"]] == ["/values/~1name"]


def test_group_is_queued_once_by_its_key(world: World):
    first = ask(world, key="k-1").json()["data"]["sweep"]
    assert ids(ask(world, key="k-1").json()["data"]["sweep"]) == ids(first)
    assert refusal_of(ask(world, {LR: [1e-4]}, key="k-1")) == (422, "idempotency_key_reused")
    assert len(listed(world)) == 6


def test_retry_after_a_kill_returns_the_sweep(world: World):
    first = ask(world, key="k-1").json()["data"]["sweep"]
    lose_answers(world)
    again = ask(world, key="k-1")
    assert (again.status_code, ids(again.json()["data"]["sweep"])) == (201, ids(first))
    assert len(listed(world)) == 6


def test_status_follows_from_the_trainings(world: World):
    made = create(world, {LR: [1e-4, 5e-5]})
    address = f"{SWEEPS}/{made['sweep_id']}"
    first, second = ids(made)
    world.run(first)
    assert world.client.data(address)["status"] == "running"
    world.end(first)
    world.run(second)
    world.end(second)
    world.free_gpus()
    found = world.client.data(address)
    assert (found["status"], found["counts"]["completed"]) == ("finished", 2)
    assert world.client.delete(f"{TRAINING}/{first}").status_code == 200
    assert (world.client.data(address)["total"], ids(world.client.data(address))) == (1, [second])
    assert world.client.delete(f"{TRAINING}/{second}").status_code == 200
    assert refusal_of(world.client.get(address)) == (404, "sweep_not_found")
    assert world.client.data(SWEEPS)["pagination"]["total"] == 0


def test_stop_cancels_queued_trainings_and_stops_running_ones_with_a_checkpoint(world: World):
    made = create(world, {LR: [1e-4, 5e-5, 1e-5]}, request={**REQUEST, "gpu_id": 0})
    first, second, third = ids(made)
    world.end(world.run(first))
    world.run(second)
    answer = world.client.post(f"{SWEEPS}/{made['sweep_id']}/stop")
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "stopping")
    assert [world.get(each)["status"] for each in (first, second, third)] == ["completed", "stopping", "stopped"]
    stop = world.get(second)["stop"]
    assert (stop["force"], stop["reason"]) == (False, None)
    again = world.client.post(f"{SWEEPS}/{made['sweep_id']}/stop")
    assert (again.status_code, again.json()["data"]["counts"]) == (202, answer.json()["data"]["counts"])
    assert refusal_of(world.client.post(f"{SWEEPS}/sweep_20260101_00000000/stop")) == (404, "sweep_not_found")


def test_restart_of_a_training_is_not_in_the_sweep(world: World):
    made = create(world, {LR: [1e-4]})
    world.end(world.run(ids(made)[0]))
    again = world.client.post(f"{TRAINING}/restart/{ids(made)[0]}").json()["data"]
    assert again["sweep_id"] is None
    assert world.client.data(f"{SWEEPS}/{made['sweep_id']}")["total"] == 1


def test_list_is_paged(world: World):
    made = [create(world, {LR: [1e-4]}, name=f"s{number}")["sweep_id"] for number in range(3)]
    page = world.client.data(f"{SWEEPS}?limit=2")
    assert [each["sweep_id"] for each in page["sweeps"]] == made[:0:-1]
    rest = world.client.data(f"{SWEEPS}?cursor={page['pagination']['next_cursor']}")
    assert ([each["sweep_id"] for each in rest["sweeps"]], rest["pagination"]["total"]) == (made[:1], 3)


def test_sweep_is_visible_and_stoppable_like_its_trainings(guarded: World):
    ann, bob = guarded.signed_in("ann"), guarded.signed_in("bob")
    viewer, admin = guarded.signed_in("eve", "viewer"), guarded.signed_in("root", "admin")
    made = create(ann, {LR: [1e-4, 5e-5]})
    address = f"{SWEEPS}/{made['sweep_id']}"
    for answer in (bob.client.get(address), bob.client.post(f"{address}/stop")):
        assert refusal_of(answer) == (404, "sweep_not_found")
    assert bob.client.data(SWEEPS)["sweeps"] == []
    assert listed(bob, f"?sweep={made['sweep_id']}") == []
    assert refusal_of(ask(viewer)) == (403, "forbidden")
    assert admin.client.data(address)["total"] == 2
    assert admin.client.post(f"{address}/stop").json()["data"]["status"] == "finished"


def test_only_its_owner_and_administrators_stop_a_visible_sweep(tmp_path: Path):
    with ExitStack() as stack:
        shared = open_world(stack, tmp_path / "storage", auth="required", rate_limits=())
        ann, bob = shared.signed_in("ann"), shared.signed_in("bob")
        address = f"{SWEEPS}/{create(ann, {LR: [1e-4]})['sweep_id']}"
        assert bob.client.data(address)["status"] == "queued"
        assert refusal_of(bob.client.post(f"{address}/stop")) == (403, "not_yours")
        assert ann.client.post(f"{address}/stop").status_code == 202


def test_quota_of_queued_tasks_rejects_the_whole_sweep(guarded: World):
    ann, admin = guarded.signed_in("ann"), guarded.signed_in("root", "admin")
    changed = admin.client.patch("/api/v1/auth/users/ann", json={"quota": {"queued_tasks": 5}})
    assert changed.status_code == 200, changed.text
    expected = "These are 6 tasks, and ann may queue 5 more, as the maximum is 5: queue fewer at once."
    rejected = ask(ann)
    assert refusal_of(rejected) == (409, "quota_exceeded")
    assert expected in rejected.text
    found = plan(ann)
    assert (found["valid"], [each["pointer"] for each in found["errors"]]) == (False, [""])
    assert expected in found["errors"][0]["message"]
    assert listed(ann) == ann.client.data(SWEEPS)["sweeps"] == []
    assert not list((guarded.storage / "tasks").glob("train_*"))
    assert create(ann, {LR: [1e-4, 5e-5, 1e-5, 2e-5, 3e-5]})["total"] == 5
    assert "already has 5 tasks in the queue" in ask(ann).text


@on_sqlite
@pytest.mark.parametrize(
    ("pointer", "values"),
    [
        ("/config/monitoring/wandb_api_key", ["secret-one", "secret-two"]),
        ("/config/monitoring", [{"wandb_api_key": "secret-one"}, {"wandb_api_key": "secret-two"}]),
    ],
)
def test_secret_cannot_vary_and_is_not_shown(world: World, pointer: str, values: list[Any]):
    answer = ask(world, {pointer: values}, request={"model_type": "flux", "config": {"epochs": 1}})
    assert "A secret cannot vary." in answer.text
    assert "secret-" not in answer.text


@on_sqlite
def test_secret_in_a_value_or_name_is_not_in_the_names_of_a_plan(world: World):
    key = "hf_" + "a1" * 17
    values = {"/config/model/path": [key, f"{'x' * 30}/{key}"]}
    found = plan(world, values, request={"model_type": "flux", "config": {"epochs": 1}}, name=f"sw-{key}")
    names = [each["name"] for each in found["trainings"]]
    assert len(set(names)) == 2
    assert not any("hf_" in name for name in names)


@on_sqlite
def test_name_is_checked_like_that_of_a_start(world: World):
    for name in ("x" * 201, 5, "two\nlines"):
        assert "/request/name" in errors_of(ask(world, {LR: [1e-4]}, request={**REQUEST, "name": name}))
    made = create(world, {LR: [1e-4]}, request={**REQUEST, "name": "x" * 200})
    assert [len(each["name"]) <= 200 and each["name"].endswith("-lr1e-4") for each in made["trainings"]] == [True]


# -- the rule ------------------------------------------------------------------------------------------------------


def compare(world: World) -> None:
    """Compare all trainings once, as the loop of the rule does."""
    loop = next(part for part in world.runtime.training_loop._beside if getattr(part, "name", None) == "sweep-rule")
    assert isinstance(loop, PeriodicThread)
    loop._body()


def train(world: World, task_id: str, loss: float, until: int = 50) -> None:
    """Run a training up to a step, with this loss at each step."""
    world.run(task_id)
    lines = (f"steps: {step} loss: {loss} iter time (s): 1.0 samples/sec: 8.0\n" for step in range(1, until + 1))
    world.prints(task_id, "".join(lines))
    world.train()
    world.note_progress()


def test_unpromising_training_is_stopped_with_figures_and_not_again_after_a_resume(world: World):
    made = create(world, {LR: [1e-4, 5e-5, 1e-5]}, early_stop={})
    assert made["early_stop"]["rule"].startswith("After 30 % of its steps, a training is stopped with a checkpoint")
    good, fair, bad = ids(made)
    for task_id, loss in ((good, 0.1), (fair, 0.2)):
        train(world, task_id, loss)
        compare(world)
        assert world.get(task_id)["status"] == "running", "there are too few others to compare with"
        world.end(task_id)
    train(world, bad, 0.3)
    compare(world)
    found = world.get(bad)
    assert (found["status"], found["stop"]["actor"], found["stop"]["force"]) == ("stopping", "service", False)
    assert found["stop"]["reason"] == (
        "stopped by the rule of its sweep: at step 50 of 100, its mean training loss was 0.3, more than 10 % above"
        " 0.15, the median of 2 other trainings"
    )
    assert found["stop"]["reason_code"]["code"] == "sweep_unpromising"
    world.make_checkpoints(bad, 50)
    world.end(bad, outcome(phrases=["Manually quitting"], last_step=50))
    found = world.get(bad)
    assert (found["status"], found["failure"]) == ("stopped", None)
    assert found["stop"]["reason"] is not None
    assert world.client.post(f"{TRAINING}/resume/{bad}").status_code == 202
    world.run(bad)
    compare(world)
    assert world.get(bad)["status"] == "running"


def test_training_near_the_median_continues(world: World):
    made = create(world, {LR: [1e-4, 5e-5, 1e-5]}, early_stop={"margin": 1.5})
    for task_id, loss in zip(ids(made), (0.1, 0.2, 0.3), strict=True):
        train(world, task_id, loss)
        compare(world)
        assert world.get(task_id)["status"] == "running"
        world.end(task_id)


def test_no_training_is_stopped_without_the_rule_or_before_the_share(world: World):
    for more, until in (({}, 50), ({"early_stop": {"after_share": 0.6}}, 50)):
        made = create(world, {LR: [1e-4, 5e-5, 1e-5]}, **more)
        for task_id, loss in zip(ids(made), (0.1, 0.1, 9.0), strict=True):
            train(world, task_id, loss, until)
            compare(world)
            assert world.get(task_id)["status"] == "running"
            world.end(task_id)


def test_evaluation_loss_counts_where_there_is_one(world: World):
    made = create(world, {LR: [1e-4, 5e-5, 1e-5]}, early_stop={})
    for task_id, loss in zip(ids(made), (0.1, 0.2, 0.9), strict=True):
        train(world, task_id, 0.5)
        [attempt] = world.get(task_id)["attempts"]
        directory = world.storage / "tasks" / task_id / "attempts" / "1" / "series"
        append_points(directory, [Point("eval_cats/loss", 40, loss, 1.0), Point("eval_cats/loss", 45, loss, 2.0)])
        compare(world)
        if loss < 0.9:
            assert attempt["status"] == "running"
            world.end(task_id)
    stopped = world.get(ids(made)[2])
    assert stopped["status"] == "stopping"
    assert "at step 45 of 100, its evaluation loss was 0.9" in stopped["stop"]["reason"]


@on_sqlite
def test_failure_of_a_sweep_has_the_usual_envelope(world: World):
    assert failure_of(ask(world, {LR: [9]}))["error"]["code"] == "validation_failed"
