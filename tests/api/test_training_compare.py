"""Comparisons of trainings: curves on an axis, settings, figures, samples, and who sees them."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from api.domain.tasks.progress import Point
from api.executors.fake import outcome
from api.jobs.sampling.request import SampleRecord
from api.trainers.diffusion_pipe.config.checkout import COMMIT_FILE, TORCH_FILE
from api.training.attempts.watch.series import append_points
from api.training.records.sample_store import StoredSample, TrainingSampleStore
from api.util.clock import FakeClock
from tests.api.client import failure_of
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.api.datasets import DATASETS, add_version
from tests.unit.db.builders import NOW

Curve = dict[int, float]


def write_series(
    world: World, task_id: str, tag: str, curve: Curve, at: Callable[[int], float] = float, attempt: int = 1
) -> None:
    directory = world.storage / "tasks" / task_id / "attempts" / str(attempt) / "series"
    append_points(directory, [Point(tag, step, value, at(step)) for step, value in curve.items()])


def compare(world: World, *task_ids: str, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = world.client.data(f"{TRAINING}/compare", params={"tasks": ",".join(task_ids), **query})
    return found


def toy(**settings: Any) -> dict[str, Any]:
    return {"epochs": 3, "toy": {"steps_per_epoch": 10}, **settings}


@pytest.fixture
def pair(world: World) -> tuple[str, str]:
    """Two completed trainings that differ in their batch size."""
    return (
        world.finish(name="one", config=toy(micro_batch_size_per_gpu=4)),
        world.finish(config=toy(micro_batch_size_per_gpu=8)),
    )


def curves(found: dict[str, Any]) -> dict[tuple[str, str], tuple[list[float], list[float | None]]]:
    return {(each["task_id"], each["metric"]): (each["x"], each["values"]) for each in found["series"]}


# -- series --------------------------------------------------------------------------------------------------------


def test_series_of_all_trainings_are_in_the_order_of_the_request(world: World, pair: tuple[str, str]):
    one, two = pair
    write_series(world, one, "train/loss", {1: 0.5, 2: math.nan})
    write_series(world, two, "train/loss", {1: 0.25})
    write_series(world, two, "held out/loss", {2: 0.75})
    found = compare(world, two, one, metric="loss,eval_loss,grad_norm")
    assert [each["task_id"] for each in found["trainings"]] == [two, one]
    assert curves(found) == {
        (two, "loss"): ([1.0], [0.25]),
        (one, "loss"): ([1.0, 2.0], [0.5, None]),
        (two, "held out/loss"): ([2.0], [0.75]),
    }
    assert found["available"] == ["held out/loss", "loss"]
    assert [each["nan_count"] for each in found["series"]] == [0, 1, 0]


@pytest.mark.parametrize(
    ("axis", "first", "second"),
    [("step", [5, 20], [5, 20]), ("epoch", [0.5, 2], [0.5, 2]), ("images", [20, 80], [40, 160])],
)
def test_axes(world: World, pair: tuple[str, str], axis: str, first: list[float], second: list[float]):
    for task_id in pair:
        write_series(world, task_id, "train/loss", {5: 1.0, 20: 2.0})
    found = compare(world, *pair, axis=axis)
    assert found["axis"] == axis
    assert [each["x"] for each in found["series"]] == [first, second]


def test_epoch_losses_are_placed_like_the_last_steps_of_their_epochs(world: World, pair: tuple[str, str]):
    write_series(world, pair[0], "train/epoch_loss", {1: 0.5, 2: 0.25})
    for axis, x in (("epoch", [1, 2]), ("step", [10, 20]), ("images", [40, 80])):
        assert [each["x"] for each in compare(world, *pair, metric="epoch_loss", axis=axis)["series"]] == [x]


def test_time_axis_leaves_out_the_time_between_attempts(make_world: MakeWorld, clock: FakeClock):
    world = make_world(clock=clock)
    other = world.start()
    task_id = world.run(config=toy())
    begun = clock.now().timestamp()
    world.make_checkpoints(task_id, 10)
    clock.advance(100)
    world.end(task_id, outcome(exit_code=1))
    clock.advance(1000)
    world.sweep()
    world.client.post(f"{TRAINING}/resume/{task_id}")
    world.run(task_id)
    write_series(world, task_id, "train/loss", {10: 0.5}, lambda step: begun + 90)
    write_series(world, task_id, "train/loss", {11: 0.25}, lambda step: begun + 1107, attempt=2)
    [series] = compare(world, task_id, other, axis="time")["series"]
    assert series["x"] == [pytest.approx(90), pytest.approx(107)]


def test_training_without_a_known_axis_says_so(world: World, pair: tuple[str, str], monkeypatch: pytest.MonkeyPatch):
    write_series(world, pair[0], "train/loss", {1: 0.5})
    monkeypatch.setattr("api.training.comparison.series.Course._scale", lambda self, axis, over_epochs: None)
    [series] = compare(world, *pair, axis="images")["series"]
    assert (series["x"], series["values"], series["total"], series["is_placed"]) == ([], [], 1, False)


def test_long_series_are_bounded_and_keep_their_peak(world: World, pair: tuple[str, str]):
    curve = dict.fromkeys(range(1, 20001), 1.0) | {7_777: 9.0}
    for task_id in pair:
        write_series(world, task_id, "train/loss", curve)
    for limit, most in ((100, 100), (10**6, 2000)):
        for series in compare(world, *pair, limit=limit)["series"]:
            assert len(series["x"]) == len(series["values"]) <= most
            assert series["x"] == sorted(series["x"])
            assert max(series["values"]) == 9.0
            assert (series["total"], series["is_downsampled"]) == (20_000, True)


# -- figures ---------------------------------------------------------------------------------------------------------


def test_figures_of_a_training(world: World):
    task_id = world.run(name="mine", config=toy())
    queued = world.start(gpu_ids=[0, 1, 2, 3])
    world.prints(task_id, "".join(f"steps: {n} loss: {1 / n:.4f} iter time (s): 0.5 samples/sec: 8\n" for n in (1, 2)))
    world.train()
    write_series(world, task_id, "held/loss", {1: 0.5, 2: 0.25, 3: 0.75})
    waits, runs = compare(world, queued, task_id)["trainings"]
    assert (runs["name"], runs["status"], runs["step"], runs["total_steps"]) == ("mine", "running", 2, 30)
    assert (runs["seconds_per_step"], runs["gpu_count"], len(runs["gpu_names"])) == (0.5, 1, 1)
    assert runs["losses"] == [
        {"metric": "loss", "last": 0.5, "lowest": 0.5, "lowest_step": 2},
        {"metric": "held/loss", "last": 0.75, "lowest": 0.25, "lowest_step": 2},
    ]
    assert waits["status"] == "queued"
    assert {waits[name] for name in ("step", "duration", "seconds_per_step", "started_at")} == {None}
    assert (waits["gpu_names"], waits["losses"][0]["last"]) == ([], None)


# -- settings --------------------------------------------------------------------------------------------------------


def settings_of(found: dict[str, Any]) -> dict[str, list[Any]]:
    return {each["pointer"]: each["values"] for each in found["settings"]}


def test_only_settings_that_differ_are_listed_unless_all_are_requested(world: World, pair: tuple[str, str]):
    found = compare(world, *pair)
    assert settings_of(found) == {"/config/micro_batch_size_per_gpu": [4, 8]}
    everything = compare(world, *pair, all_settings="true")
    assert settings_of(everything)["/config/toy/steps_per_epoch"] == [10, 10]
    assert {each["pointer"] for each in everything["settings"] if each["differs"]} == set(settings_of(found))
    assert everything["settings_total"] == len(everything["settings"])


def test_text_and_structured_requests_have_the_same_names(world: World):
    one = world.finish(config={"epochs": 3, "save": {"every_n_epochs": 2}, "optimizer": {"lr": 1}})
    text = "epochs = 3\nsave_every_n_epochs = 2\n[optimizer]\nlr = 1.0\n[toy]\nsteps_per_epoch = 10\n"
    two = world.finish(config={}, config_toml=text)
    assert settings_of(compare(world, one, two)) == {"/config/toy/steps_per_epoch": [None, 10]}


def test_dataset_versions_have_their_names_and_numbers(world: World):
    world.client.post(DATASETS, json={"name": "cats"})
    add_version(world, {"a.png": None})
    tasks = [world.finish(dataset={"directories": [{"dataset": "cats"}]})]
    add_version(world, {"a.png": None, "b.png": None})
    tasks.append(world.finish(dataset={"directories": [{"dataset": "cats"}]}))
    found = compare(world, *tasks)
    assert settings_of(found) == {"/dataset/directory/0/dataset": ["cats@1", "cats@2"]}
    assert [[pin["items"] for pin in each["datasets"]] for each in found["trainings"]] == [[1], [2]]


def test_environment_is_what_the_attempt_recorded(world: World, pair: tuple[str, str]):
    attempt = world.storage / "tasks" / pair[0] / "attempts" / "1"
    (attempt / COMMIT_FILE).write_text("8" * 40 + "\n")
    (attempt / TORCH_FILE).write_text("2.7.1+cu128")
    found = settings_of(compare(world, *pair))
    assert found["/environment/trainer_commit"] == ["8" * 40, None]
    assert found["/environment/torch"] == ["2.7.1+cu128", None]


# -- samples ---------------------------------------------------------------------------------------------------------


def sample(task_id: str, checkpoint: str | None, text: str = "a cat", seed: int = 1, **more: Any) -> StoredSample:
    record = SampleRecord(checkpoint, 0, seed, 1.0, file="1.png", sha256="a" * 64, **more)
    return StoredSample(task_id, f"sample_of_{task_id}", record, "settings", text, None, NOW)


def test_samples_of_the_same_prompt_and_seed_are_placed_on_the_axis(world: World, pair: tuple[str, str]):
    one, two = pair
    TrainingSampleStore(world.runtime.database).put(
        [
            sample(one, "epoch2"),
            sample(one, "step5"),
            sample(one, None),
            sample(two, "epoch1"),
            sample(two, "epoch1", seed=2),
            sample(one, "epoch1", text="alone"),
            replace(sample(two, "epoch1"), sampling_id="later"),
        ]
    )
    found = compare(world, one, two)
    [prompt] = found["prompts"]
    assert (prompt["prompt"], prompt["seed"], found["prompts_total"]) == ("a cat", 1, 1)
    shown = [[(each["checkpoint"], each["x"]) for each in own] for own in prompt["samples"]]
    assert shown == [[(None, 0.0), ("step5", 5.0), ("epoch2", 20.0)], [("epoch1", 10.0)]]
    assert prompt["samples"][1][0]["sample_id"] == replace(sample(two, "epoch1"), sampling_id="later").sample_id
    [by_epoch] = compare(world, one, two, axis="epoch")["prompts"]
    assert [each["x"] for each in by_epoch["samples"][0]] == [0.0, 0.5, 2.0]


def test_saved_models_have_the_time_of_their_step(world: World, pair: tuple[str, str]):
    one, two = pair
    TrainingSampleStore(world.runtime.database).put([sample(one, "epoch1"), sample(one, "epoch3"), sample(two, "x")])
    begun = 0.0
    write_series(world, one, "train/loss", dict.fromkeys(range(1, 21), 0.5), lambda step: begun + step)
    [prompt] = compare(world, one, two, axis="time")["prompts"]
    assert [each["x"] is None for each in prompt["samples"][0]] == [False, True]
    assert [each["x"] for each in prompt["samples"][1]] == [None]


# -- what is rejected ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tasks", ["", "one", "one,", "one,one", ",".join(f"t{n}" for n in range(9)), "a b,c", "a,,b"])
def test_two_to_eight_different_trainings_are_required(world: World, tasks: str):
    answer = world.client.get(f"{TRAINING}/compare", params={"tasks": tasks})
    assert answer.status_code == 422
    assert [each["pointer"] for each in failure_of(answer)["error"]["errors"]] == ["/tasks"]


@pytest.mark.parametrize("query", [{"metric": ","}, {"metric": ",".join("abcdefghi")}, {"axis": "day"}, {"limit": 0}])
def test_invalid_query_is_rejected(world: World, pair: tuple[str, str], query: dict[str, Any]):
    answer = world.client.get(f"{TRAINING}/compare", params={"tasks": ",".join(pair), **query})
    assert answer.status_code == 422
    assert [each["pointer"] for each in failure_of(answer)["error"]["errors"]] == [f"/{next(iter(query))}"]


def test_missing_training_and_other_tasks_are_not_found(world: World, pair: tuple[str, str]):
    other = world.client.post(f"{TRAINING}/rehearse", json={"model_type": "toy", "config": {"epochs": 1}})
    for unknown in ("train_20260101_00000000", other.json()["data"]["task_id"]):
        answer = world.client.get(f"{TRAINING}/compare", params={"tasks": f"{pair[0]},{unknown}"})
        assert (answer.status_code, failure_of(answer)["error"]["code"]) == (404, "task_not_found")
        assert unknown in failure_of(answer)["error"]["detail"]


def test_hidden_training_is_not_found(make_world: MakeWorld):
    world = make_world(auth="required", visibility="own")
    ann, bob = world.signed_in("ann"), world.signed_in("bob")
    mine, his = [ann.start(), ann.start()], bob.start()
    hidden = ann.client.get(f"{TRAINING}/compare", params={"tasks": f"{mine[0]},{his}"})
    missing = ann.client.get(f"{TRAINING}/compare", params={"tasks": f"{mine[0]},{his[:-1]}0"})
    details = [failure_of(each)["error"]["detail"].replace(his, his[:-1] + "0") for each in (hidden, missing)]
    assert ((hidden.status_code, missing.status_code), details[0]) == ((404, 404), details[1])
    assert len(compare(ann, *mine)["trainings"]) == 2
    assert len(compare(world.signed_in("root", "admin"), mine[0], his)["trainings"]) == 2
