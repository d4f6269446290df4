"""The real library of W&B with a stand-in for its server. It needs `make install EXTRAS=wandb`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from api.training.trackers.tracker import Batch, Picture, TrackedRunDeleted, TrackedTraining, TrackerProblem
from api.training.trackers.tracker_process import TrackerProcess
from tests.wandb_server import WandbServer, wandb_server

pytest.importorskip("wandb", reason="requirements/wandb.txt is not installed")

KEY = "0123456789abcdef0123456789abcdef01234567"
TRAINING = TrackedTraining("train_20261201_aaaaaaaa", "My cats", {"rank": 16}, ("a",))


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with wandb_server(KEY) as found:
        yield found


@pytest.fixture
def tracker(server: WandbServer, tmp_path: Path) -> Iterator[TrackerProcess]:
    given = {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url, "HOME": str(tmp_path / "home")}
    found = TrackerProcess("wandb", "project", tmp_path / "files", {"PATH": os.defpath, **given})
    yield found
    found.stop()


def losses(server: WandbServer) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in server.runs[TRAINING.task_id].rows if "loss" in row]


def test_training_is_one_run_after_an_end_and_a_new_process(
    tracker: TrackerProcess, server: WandbServer, tmp_path: Path
):
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    sample = Picture("samples/epoch1-0", str(picture), "a cat", is_clip=False)
    assert tracker.open(TRAINING) == 0
    assert tracker.send(TRAINING.task_id, Batch([(1, 1000.0, {"loss": 0.5})], [sample])) == 2
    tracker.send(TRAINING.task_id, Batch(status="failed"))
    assert tracker.open(TRAINING) == 2
    tracker.send(TRAINING.task_id, Batch([(1, 1001.0, {"loss": 0.4}), (2, 1002.0, {"loss": 0.3})]))
    tracker.send(TRAINING.task_id, Batch(status="completed"))
    run = server.runs[TRAINING.task_id]
    assert losses(server) == [(1, 0.5), (1, 0.4), (2, 0.3)]
    assert [row["_timestamp"] for row in run.rows if "loss" in row] == [1000, 1001, 1002]
    assert (run.name, run.config["rank"]["value"], run.exit_codes) == ("My cats", 16, [1, 0])
    [stored] = [row["samples/epoch1-0"] for row in run.rows if "samples/epoch1-0" in row]
    assert (stored["caption"], run.files[stored["path"]]) == ("a cat", picture.read_bytes())
    assert "requirements.txt" not in run.files
    assert [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


def test_refused_rows_are_a_problem_and_are_missing_when_the_run_is_opened_again(
    tracker: TrackerProcess, server: WandbServer
):
    tracker.open(TRAINING)
    tracker.send(TRAINING.task_id, Batch([(1, 1000.0, {"loss": 0.5})]))
    server.status = 403
    with pytest.raises(TrackerProblem, match="refuses data: check WANDB_API_KEY"):
        tracker.send(TRAINING.task_id, Batch(status="completed"))
    for _ in range(2):
        with pytest.raises(TrackerProblem, match="refuses WANDB_API_KEY"):
            tracker.open(TRAINING)
    server.status = 200
    assert tracker.open(TRAINING) == 0


def test_wrong_key_is_a_problem_and_is_not_shown(server: WandbServer, tmp_path: Path):
    environment = {"PATH": os.defpath, "WANDB_API_KEY": KEY[::-1], "WANDB_BASE_URL": server.url}
    tracker = TrackerProcess("wandb", "project", tmp_path, environment)
    with pytest.raises(TrackerProblem, match="refuses WANDB_API_KEY") as problem:
        tracker.open(TRAINING)
    tracker.stop()
    assert KEY[::-1] not in str(problem.value)


def test_deleted_run_is_recognised_and_opened_after_its_restoration(tracker: TrackerProcess, server: WandbServer):
    server.deleted = {TRAINING.task_id}
    with pytest.raises(TrackedRunDeleted, match="previously created and deleted"):
        tracker.open(TRAINING)
    server.deleted = set()
    assert tracker.open(TRAINING) == 0


def test_run_that_could_not_be_opened_is_opened_later(tracker: TrackerProcess, server: WandbServer):
    server.refused = {"RunResumeStatus"}
    with pytest.raises(TrackerProblem, match="resume status"):
        tracker.open(TRAINING)
    server.refused = set()
    assert tracker.open(TRAINING) == 0
