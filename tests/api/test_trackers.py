"""Trainings in trackers: what is sent, and that nothing is lost."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from api.config import ConfigError
from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.executors.fake import outcome
from api.jobs.sampling.request import PICTURES, SampleRecord
from api.training.records.attempt_store import AttemptStore
from api.training.records.sample_store import StoredSample, TrainingSampleStore
from api.training.trackers import sender as module
from api.training.trackers.sender import TrackerSender
from api.training.trackers.store import TrackerStore
from api.training.trackers.tracker import FakeTracker
from tests.api.conftest import TRAINING, MakeWorld, World
from tests.api.test_training_progress import writes_series

KEY = "wandb0123456789planted"


def sender(world: World, tracker: FakeTracker, is_here: bool = True) -> TrackerSender:
    """Return a sender as a server would create it at its start."""
    database = world.runtime.database
    stores = (TrackerStore(database), AttemptStore(database, TaskType.TRAINING), TrainingSampleStore(database))
    return TrackerSender(tracker, *stores, world.storage, world.runtime.services.clock, lambda: is_here)


@pytest.fixture
def tracker() -> FakeTracker:
    return FakeTracker()


def losses(tracker: FakeTracker, task_id: str) -> dict[int, float]:
    return {step: values["loss"] for step, values in tracker.rows.get(task_id, ()) if "loss" in values}


def put_sample(world: World, task_id: str, prompt: int, file: str | None = "a.png") -> None:
    pictures = world.output("sample_20260101_00000000") / PICTURES
    pictures.mkdir(parents=True, exist_ok=True)
    if file is not None:
        (pictures / file).write_bytes(b"picture")
    record = SampleRecord("epoch1", prompt, 7, 1.0)
    store = TrainingSampleStore(world.runtime.database)
    now = world.runtime.services.clock.now()
    store.put([StoredSample(task_id, "sample_20260101_00000000", replace(record, file=file), "s", "a cat", None, now)])


def test_training_is_sent_with_settings_metrics_samples_and_its_end(world: World, tracker: FakeTracker):
    task_id = world.run(name="My cats", tags=["cats"], description=f"wandb_api_key = {KEY}")
    writes_series(world, task_id, "train/loss", {1: 0.5, 2: 0.4})
    writes_series(world, task_id, "eval_data/loss", {2: 0.7})
    writes_series(world, task_id, "train/epoch_loss", {1: 0.45})
    put_sample(world, task_id, 0)
    put_sample(world, task_id, 1, None)
    one = sender(world, tracker)
    one.run_once()
    seen = tracker.opened[task_id]
    assert (seen.name, seen.tags, seen.config["config/epochs"]) == ("My cats", ("cats",), 3)
    assert KEY not in repr(seen)
    assert tracker.rows[task_id] == [(1, {"loss": 0.5}), (2, {"loss": 0.4, "eval_data/loss": 0.7})]
    [picture] = tracker.pictures[task_id]
    assert (picture.name, picture.caption) == ("samples/epoch1-0", "epoch1, seed 7, strength 1: a cat")
    # An evaluation may be recorded later than the following steps.
    writes_series(world, task_id, "train/loss", {3: 0.3})
    one.run_once()
    writes_series(world, task_id, "eval_data/loss", {3: 0.6})
    one.run_once()
    assert tracker.rows[task_id][2:] == [(3, {"loss": 0.3}), (3, {"eval_data/loss": 0.6})]
    assert tracker.statuses == {}
    world.end(task_id)
    one.run_once()
    assert tracker.statuses == {task_id: ["completed"]}
    requests = tracker.requests
    one.run_once()
    assert tracker.requests == requests


def test_restarted_server_continues_the_same_run(world: World, tracker: FakeTracker):
    task_id = world.run()
    writes_series(world, task_id, "train/loss", dict.fromkeys(range(1, 6), 1.0))
    sender(world, tracker).run_once()
    writes_series(world, task_id, "train/loss", dict.fromkeys(range(6, 9), 0.5))
    sender(world, tracker).run_once()
    assert [step for step, _ in tracker.rows[task_id]] == list(range(1, 9))


def test_resumed_training_opens_its_run_again(world: World, tracker: FakeTracker):
    task_id = world.run()
    writes_series(world, task_id, "train/loss", {1: 1.0, 2: 0.9})
    world.make_checkpoints(task_id, 2)
    world.end(task_id, outcome(exit_code=1, last_step=2))
    one = sender(world, tracker)
    one.run_once()
    assert tracker.statuses == {task_id: ["failed"]}
    assert world.client.post(f"{TRAINING}/resume/{task_id}").status_code == 202
    one.run_once()
    world.run(task_id)
    writes_series(world, task_id, "train/loss", {3: 0.8}, attempt=2)
    one.run_once()
    world.end(task_id)
    one.run_once()
    assert losses(tracker, task_id) == {1: 1.0, 2: 0.9, 3: 0.8}
    assert tracker.statuses == {task_id: ["failed", "completed"]}


def test_unreachable_tracker_is_asked_rarely_and_loses_nothing(
    world: World, tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
):
    tasks = [world.run(), world.run()]
    now = [1000.0]
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    one = sender(world, tracker)
    monkeypatch.setattr(one._clock, "monotonic", lambda: now[0], raising=False)
    tracker.problem = "unreachable"
    for step in range(1, 361):
        now[0] += 10.0
        one.run_once()
        if step % 90 == 0:
            for task_id in tasks:
                writes_series(world, task_id, "train/loss", {step: 1.0})
    assert tracker.requests < 12
    tracker.problem = None
    now[0] += module.LONGEST_REST
    one.run_once()
    assert [set(losses(tracker, task_id)) for task_id in tasks] == [{90, 180, 270, 360}] * 2


def test_what_a_killed_tracker_had_not_sent_is_sent_again(world: World):
    tracker = FakeTracker(counts_rows=True)
    task_id = world.run()
    writes_series(world, task_id, "train/loss", {1: 1.0, 2: 0.9, 3: 0.8})
    sender(world, tracker).run_once()
    del tracker.rows[task_id][1:]
    sender(world, tracker).run_once()
    assert losses(tracker, task_id) == {1: 1.0, 2: 0.9, 3: 0.8}


def test_training_that_a_tracker_refuses_does_not_stop_the_others(world: World, tracker: FakeTracker):
    tasks = [world.run(), world.run()]
    for task_id in tasks:
        writes_series(world, task_id, "train/loss", {1: 1.0})
    plain, opened = tracker.open, list[str]()

    def refuse_first(training: Any) -> int | None:
        opened.append(training.task_id)
        tracker.problem = "refused" if training.task_id == tasks[0] else None
        return plain(training)

    tracker.open = refuse_first  # type: ignore[method-assign]
    one = sender(world, tracker)
    one.run_once()
    one._rests_until = 0.0
    for _ in range(5):
        one.run_once()
    assert losses(tracker, tasks[1]) == {1: 1.0}
    assert (opened.count(tasks[0]), opened.count(tasks[1])) == (2, 5)


def test_problem_is_known_until_the_tracker_has_everything(world: World, tracker: FakeTracker):
    first, second = world.run(), world.run()
    one = sender(world, tracker)
    tracker.problem = "unreachable"
    one.run_once()
    assert one.problem == "unreachable"
    tracker.problem, one._rests_until = None, 0.0
    one.run_once()
    assert one.problem is None
    # One training is refused: the problem stays although it is not tried again for a while.
    plain = tracker.open

    def refuse_first(training: Any) -> int | None:
        tracker.problem = "refused" if training.task_id == first else None
        return plain(training)

    tracker.open = refuse_first  # type: ignore[method-assign]
    one._failed_at[first] = 1.0
    one.run_once()
    one.run_once()
    assert one.problem == "refused"
    tracker.open, tracker.problem = plain, None  # type: ignore[method-assign]
    one._refused_until[first] = 0.0
    one.run_once()
    assert one.problem is None
    tracker.problem = "unreachable"
    one.run_once()
    for task_id in (first, second):
        world.end(task_id)
        world.free_gpus()
        assert world.client.delete(f"{TRAINING}/{task_id}").status_code == 200
    one._rests_until = 0.0
    one.run_once()
    assert one.problem is None


def test_deleted_run_is_reported_once_and_not_sent_again(world: World, tracker: FakeTracker):
    deleted, other = world.run(), world.run()
    one = sender(world, tracker)
    now = [1000.0]
    one._clock = SimpleNamespace(now=world.runtime.services.clock.now, monotonic=lambda: now[0])  # type: ignore[assignment]
    one.run_once()
    tracker.deleted.add(deleted)
    for task_id in (deleted, other):
        writes_series(world, task_id, "train/loss", {1: 1.0})
    one.run_once()
    problem = one.problem
    assert isinstance(problem, Reason)
    assert (problem.said.code, problem.said.params["task_id"]) == ("tracker_run_deleted", deleted)
    assert losses(tracker, other) == {1: 1.0}
    for task_id in (deleted, other):
        world.end(task_id)
    one.run_once()
    requests = tracker.requests
    for _ in range(200):
        now[0] += 10.0
        one.run_once()
    assert (tracker.requests, one.problem) == (requests, None)


def test_restart_tries_a_deleted_run_once_while_it_trains_and_continues_a_restored_one(
    world: World, tracker: FakeTracker
):
    task_id = world.run()
    writes_series(world, task_id, "train/loss", {1: 1.0})
    tracker.deleted.add(task_id)
    sender(world, tracker).run_once()
    again = sender(world, tracker)
    for _ in range(3):
        again.run_once()
    assert (tracker.requests, again.problem) == (2, None)
    tracker.deleted.clear()
    restarted = sender(world, tracker)
    restarted.run_once()
    writes_series(world, task_id, "train/loss", {2: 0.9})
    restarted.run_once()
    world.end(task_id)
    restarted.run_once()
    assert (losses(tracker, task_id), tracker.statuses) == ({1: 1.0, 2: 0.9}, {task_id: ["completed"]})


def test_resumed_training_tries_its_deleted_run_once_more(world: World, tracker: FakeTracker):
    task_id = world.run()
    world.make_checkpoints(task_id, 2)
    world.end(task_id, outcome(exit_code=1, last_step=2))
    one = sender(world, tracker)
    tracker.deleted.add(task_id)
    one.run_once()
    one.run_once()
    assert tracker.requests == 1
    assert world.client.post(f"{TRAINING}/resume/{task_id}").status_code == 202
    world.run(task_id)
    for _ in range(3):
        one.run_once()
    assert tracker.requests == 2
    tracker.deleted.clear()
    world.end(task_id)
    sender(world, tracker).run_once()
    assert tracker.statuses == {}


def test_training_during_a_long_outage_is_sent_afterwards(
    world: World, tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
):
    task_id = world.run()
    writes_series(world, task_id, "train/loss", {1: 1.0})
    tracker.problem = "unreachable"
    sender(world, tracker).run_once()
    world.end(task_id)
    monkeypatch.setattr("api.training.trackers.store._RECENT", timedelta(0))
    tracker.problem = None
    sender(world, tracker).run_once()
    assert (losses(tracker, task_id), tracker.statuses) == ({1: 1.0}, {task_id: ["completed"]})


def test_deleted_training_is_forgotten(world: World, tracker: FakeTracker):
    task_id = world.finish()
    one = sender(world, tracker)
    one.run_once()
    assert tracker.statuses == {task_id: ["completed"]}
    assert world.client.delete(f"{TRAINING}/{task_id}").status_code == 200
    assert TrackerStore(world.runtime.database).get("fake", task_id).status is None
    sender(world, tracker, is_here=False).run_once()


def test_trainings_from_before_trackers_were_set_are_not_sent(
    world: World, tracker: FakeTracker, monkeypatch: pytest.MonkeyPatch
):
    world.finish()
    monkeypatch.setattr("api.training.trackers.store._RECENT", timedelta(0))
    sender(world, tracker).run_once()
    assert tracker.requests == 0


def test_missing_library_is_reported_at_the_start(make_world: MakeWorld):
    with pytest.raises(ConfigError, match="EXTRAS=trackio"):
        make_world(trackers=("trackio",))
