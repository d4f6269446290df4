"""Progress, metrics and checkpoints of a training."""

import math
from typing import Any

import pytest

from api.domain.tasks.progress import Point
from api.executors.fake import outcome
from api.training.attempts.watch.series import append_points
from api.util.clock import FakeClock
from tests.api.client import Client, failure_of
from tests.api.conftest import TRAINING, MakeWorld, World

PROGRESS = {
    "stage", "current_epoch", "total_epochs", "current_step", "total_steps", "steps_per_epoch", "epoch_progress",
    "overall_progress", "eta_seconds", "eta_formatted", "training_time", "training_time_formatted", "activity",
    "items_cached",
}  # fmt: skip
METRICS = {"current_loss", "best_loss", "learning_rate", "grad_norm", "epoch_loss", "best_epoch", "nan_steps"}
SPEED = {"steps_per_second", "samples_per_second", "time_per_step"}

Curve = dict[int, float]


def step_line(step: int, loss: float) -> str:
    return f"steps: {step} loss: {loss:.4f} iter time (s): 0.500 samples/sec: 128.0\n"


def writes_series(world: World, task_id: str, tag: str, curve: Curve, attempt: int = 1) -> None:
    """Write a series as the watch of the attempt does."""
    directory = world.storage / "tasks" / task_id / "attempts" / str(attempt) / "series"
    append_points(directory, [Point(tag, step, value, 1000.0 + step) for step, value in curve.items()])


def metrics(client: Client, task_id: str, **query: Any) -> dict[str, Any]:
    data: dict[str, Any] = client.data(f"{TRAINING}/{task_id}/metrics", params=query)
    return data


def curve_of(series: dict[str, Any]) -> dict[int, float | None]:
    return {point[series["type"]]: point["value"] for point in series["data"]}


# -- progress ------------------------------------------------------------------------------------------------------


def test_progress_follows_the_output(make_world: MakeWorld, clock: FakeClock):
    world = make_world(clock=clock)
    task_id = world.run(config={"epochs": 3, "toy": {"steps_per_epoch": 10}})
    clock.advance(60)
    world.prints(task_id, "".join(step_line(step, 1 / step) for step in range(1, 6)))
    world.train()
    shown = world.client.data(f"{TRAINING}/{task_id}/progress")
    progress = shown["progress"]
    assert (set(progress), set(shown["metrics"]), set(shown["speed"])) == (PROGRESS, METRICS, SPEED)
    assert (progress["stage"], progress["current_step"], progress["total_steps"]) == ("training", 5, 30)
    assert (progress["current_epoch"], progress["total_epochs"], progress["epoch_progress"]) == (1, 3, 50.0)
    assert (progress["overall_progress"], progress["eta_seconds"], progress["eta_formatted"]) == (16.67, 12.5, "12s")
    assert (progress["training_time"], progress["training_time_formatted"]) == (60.0, "1m 00s")
    assert (shown["metrics"]["current_loss"], shown["metrics"]["best_loss"]) == (0.2, 0.2)
    assert shown["speed"] == {"steps_per_second": 2.0, "samples_per_second": 128.0, "time_per_step": 0.5}
    gpu = world.client.data("/api/v1/gpu/0")["current_task"]
    assert gpu["task_id"] == task_id


def test_stages_of_a_training_are_recorded_once(world: World):
    task_id = world.run(config={"epochs": 3, "toy": {"steps_per_epoch": 10}})
    for step in (1, 2):
        world.prints(task_id, step_line(step, 0.5) + "Running eval\n")
        world.train()
    listed = world.client.data(f"{TRAINING}/{task_id}/events")["events"]
    stages = [(event["previous"], event["current"]) for event in listed if event["type"] == "stage"]
    assert stages == [(None, "loading"), ("loading", "training")]


def test_progress_of_a_queued_training_has_its_reason(world: World):
    holder = world.run(gpu_id=0)
    task_id = world.start(gpu_id=0)
    world.train()
    shown = world.client.data(f"{TRAINING}/{task_id}/progress")
    assert shown["progress"].pop("overall_progress") == 0
    assert (shown["status"], set(shown["progress"].values())) == ("queued", {None})
    assert holder in shown["waiting_reason"]


def test_nan_loss_is_null_and_counted(world: World):
    task_id = world.run()
    world.prints(task_id, step_line(1, 0.5) + "steps: 2 loss: nan iter time (s): 1.0 samples/sec: 1.0\n")
    world.train()
    shown = world.client.data(f"{TRAINING}/{task_id}/progress")["metrics"]
    assert (shown["current_loss"], shown["best_loss"], shown["nan_steps"]) == (None, 0.5, 1)


def test_finished_training_has_no_remaining_time(world: World):
    task_id = world.run()
    world.prints(task_id, step_line(1, 0.5))
    world.end(task_id)
    progress = world.client.data(f"{TRAINING}/{task_id}/progress")["progress"]
    assert (progress["current_step"], progress["stage"], progress["eta_seconds"]) == (1, None, None)


def test_training_time_sums_attempts(make_world: MakeWorld, clock: FakeClock):
    world = make_world(clock=clock)
    task_id = world.run()
    world.make_checkpoints(task_id, 10)
    clock.advance(100)
    world.end(task_id, outcome(exit_code=1))
    clock.advance(1000)
    world.sweep()
    world.client.post(f"{TRAINING}/resume/{task_id}")
    world.run(task_id)
    clock.advance(20)
    assert world.client.data(f"{TRAINING}/{task_id}/progress")["progress"]["training_time"] == 120.0


# -- metrics -------------------------------------------------------------------------------------------------------


@pytest.fixture
def training(world: World) -> str:
    return world.run()


def test_loss_is_stored_for_every_step(world: World, training: str):
    world.prints(training, "".join(step_line(step, 1 / step) for step in range(1, 21)))
    world.train()
    series = metrics(world.client, training)
    assert (series["metric"], series["type"], series["total"], series["is_downsampled"]) == ("loss", "step", 20, False)
    assert curve_of(series) == {step: pytest.approx(1 / step, abs=1e-4) for step in range(1, 21)}
    assert all(point["epoch"] is None and point["timestamp"].endswith("Z") for point in series["data"])
    assert series["available"] == ["loss"]


def test_training_without_output_has_no_values(world: World, training: str):
    series = metrics(world.client, training)
    assert (series["data"], series["total"], series["nan_count"], series["available"]) == ([], 0, 0, [])


def test_unknown_metric_has_no_values(world: World, training: str):
    assert metrics(world.client, training, metric="nonsense")["data"] == []


def test_other_metrics_have_short_names_or_their_tags(world: World, training: str):
    writes_series(world, training, "train/grad_norm", {1: 2.0})
    writes_series(world, training, "held out/ä/loss", {1: 3.0})
    assert curve_of(metrics(world.client, training, metric="grad_norm")) == {1: 2.0}
    assert curve_of(metrics(world.client, training, metric="held out/ä/loss")) == {1: 3.0}
    assert metrics(world.client, training)["available"] == ["held out/ä/loss", "grad_norm"]


def test_larger_limit_is_coerced(world: World, training: str):
    writes_series(world, training, "train/loss", {step: float(step % 7) for step in range(1, 12_001)})
    assert len(metrics(world.client, training, limit=10**6)["data"]) <= 10_000
    assert len(metrics(world.client, training)["data"]) <= 1000


def test_nan_values_are_null_and_counted(world: World, training: str):
    writes_series(world, training, "train/loss", {1: 1.0, 2: math.nan, 3: math.inf, 4: -math.inf, 5: math.nan})
    series = metrics(world.client, training)
    assert curve_of(series) == {1: 1.0, 2: None, 3: None, 4: None, 5: None}
    assert series["nan_count"] == 2


def test_since_step_returns_only_new_values(world: World, training: str):
    writes_series(world, training, "train/loss", {step: float(step) for step in range(1, 11)})
    series = metrics(world.client, training, since_step=8)
    assert list(curve_of(series)) == [8, 9, 10]
    assert series["total"] == 3
    assert metrics(world.client, training, since_step=11)["data"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "since_step=-1", "type=day", "metric=", f"since_step={2**60}"])
def test_invalid_query_is_rejected(world: World, training: str, query: str):
    answer = world.client.get(f"{TRAINING}/{training}/metrics?{query}")
    assert answer.status_code == 422
    (mistake,) = failure_of(answer)["error"]["errors"]
    assert mistake["pointer"] == "/" + query.partition("=")[0]


@pytest.mark.parametrize(
    "metric", ["../../../../secrets", "..", "/etc/passwd", "a/../../b", "x" * 200, "ä" * 200, "%00"]
)
def test_metric_is_not_a_path(world: World, training: str, metric: str):
    writes_series(world, training, "train/loss", {1: 1.0})
    answer = world.client.get(f"{TRAINING}/{training}/metrics", params={"metric": metric})
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert answer.json()["data"]["data"] == []


# -- checkpoints ---------------------------------------------------------------------------------------------------


def test_checkpoints_are_listed_with_completeness(world: World, training: str):
    before = world.client.data(f"{TRAINING}/{training}/checkpoints")
    assert before == {"run_dir": None, "checkpoints": [], "exports": []}
    run_dir = world.make_checkpoints(training, 10, 20, 30, complete=False)
    found = world.client.data(f"{TRAINING}/{training}/checkpoints")
    assert found["run_dir"] == str(run_dir)
    assert [(one["name"], one["step"], one["is_complete"], one["is_latest"]) for one in found["checkpoints"]] == [
        ("global_step10", 10, True, False),
        ("global_step20", 20, True, True),
        ("global_step30", 30, False, False),
    ]
    assert all(one["size_bytes"] == 2 and one["created_at"].endswith("Z") for one in found["checkpoints"])


def test_completed_checkpoint_is_an_event(world: World, training: str):
    world.make_checkpoints(training, 10)
    world.end(training)
    events = world.client.data(f"{TRAINING}/{training}/events")["events"]
    assert [event["current"] for event in events if event["type"] == "checkpoint"] == ["global_step10"]


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0])
def test_training_time_does_not_depend_on_the_wall_clock(make_world: MakeWorld, jump: float):
    clock = FakeClock()
    world = make_world(clock=clock)
    task_id = world.run(gpu_ids=[0])
    clock.advance(5)
    clock.jump(jump)
    clock.advance(8)
    world.train()
    assert world.client.data(f"{TRAINING}/{task_id}/progress")["progress"]["training_time"] == 13
    world.end(task_id)
    clock.advance(100)
    assert world.client.data(f"{TRAINING}/{task_id}/progress")["progress"]["training_time"] == 13
    assert world.get(task_id)["progress"]["training_time"] == 13
