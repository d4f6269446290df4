"""The program that uses the libraries of trackers, and the process in which it runs."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from api.config import child_environment, tracker_environment
from api.jobs.errors import LibraryFailed
from api.jobs.tracking.program import TrackingProgram
from api.training.trackers import tracker_process as module
from api.training.trackers.tracker import Batch, TrackedTraining, TrackerProblem
from api.training.trackers.tracker_process import TrackerProcess

TRAINING = TrackedTraining("train_20261201_aaaaaaaa", "cats", {"rank": 16}, ("a",))
KEY = "0123456789abcdef0123456789abcdef01234567"


class Library:
    """A backend and its only run, which record calls."""

    rows = 7

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def open(self, *given: Any) -> "Library":
        self.calls.append(("open", *given))
        return self

    def log(self, rows: Any) -> None:
        if rows[0][0] < 0:
            raise ValueError("no such step")
        self.calls.append(("log", rows))

    def add_picture(self, *given: Any) -> None:
        self.calls.append(("picture", *given))

    def end(self, status: str) -> None:
        self.calls.append(("end", status))


def sent(**more: Any) -> dict[str, Any]:
    return {"do": "send", "task_id": "t", "rows": [], "pictures": [], "status": None, **more}


def test_run_is_opened_once_and_again_after_its_end():
    library = Library()
    program = TrackingProgram(lambda: library)
    opened = {"do": "open", "task_id": "t", "name": "cats", "config": {"rank": 16}, "tags": []}
    assert [program.answer(opened) for _ in range(2)] == [{"rows": 7}] * 2
    picture = {"name": "n", "path": "/p.png", "caption": "c", "is_clip": False}
    assert program.answer(sent(rows=[[1, 2.0, {"loss": 0.5}]], pictures=[picture])) == {"rows": 7}
    assert program.answer(sent(status="completed")) == {"rows": 7}
    program.answer(opened)
    assert [call[0] for call in library.calls] == ["open", "log", "picture", "end", "open"]


def test_error_of_a_library_is_an_answer():
    program = TrackingProgram(Library)
    assert "KeyError" in program.answer(sent())["error"]
    program.answer({"do": "open", "task_id": "t", "name": "cats", "config": {}, "tags": []})
    assert program.answer(sent(rows=[[-1, 0.0, {}]])) == {"error": "ValueError: no such step"}


def test_library_that_sends_nothing_any_more_is_replaced(tmp_path: Path):
    class Broken(Library):
        def log(self, rows: Any) -> None:
            raise LibraryFailed("refused")

    program, ended = TrackingProgram(Broken), list[bool]()
    program.answer({"do": "open", "task_id": "t", "name": "cats", "config": {}, "tags": []})
    answer = program.answer(sent(rows=[[1, 0.0, {}]]))
    assert answer == {"error": "refused", "is_over": True, "is_deleted": False}
    tracker = process(tmp_path)
    tracker._child = SimpleNamespace(  # type: ignore[assignment]
        request=lambda *_: (answer, b""), end=lambda: ended.append(True)
    )
    with pytest.raises(TrackerProblem, match="refused"):
        tracker.open(TRAINING)
    assert (tracker._child, ended) == (None, [True])


def test_no_part_of_a_key_is_left_by_a_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail() -> Any:
        raise OSError("x" * 470 + KEY)

    opened = {"do": "open", "task_id": "t", "name": "cats", "config": {}, "tags": []}
    answer = TrackingProgram(fail).answer(opened)
    tracker = process(tmp_path)
    tracker._child = SimpleNamespace(request=lambda *_: (answer, b""), end=lambda: None)  # type: ignore[assignment]
    with pytest.raises(TrackerProblem) as problem:
        tracker.open(TRAINING)
    assert KEY[:8] not in str(problem.value)


def process(tmp_path: Path, name: str = "wandb") -> TrackerProcess:
    return TrackerProcess(name, "project", tmp_path, {"PATH": os.defpath, "WANDB_API_KEY": KEY})


def test_missing_library_is_a_problem_of_the_tracker(tmp_path: Path):
    tracker = process(tmp_path)
    with pytest.raises(TrackerProblem, match="ModuleNotFoundError"):
        tracker.open(TRAINING)
    tracker.stop()
    with pytest.raises(TrackerProblem, match="stops"):
        tracker.open(TRAINING)


def test_process_that_hangs_or_dies_is_replaced_and_keys_are_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "program"
    program.write_text(
        "#!/bin/sh\nread line\ncase $line in *first*) sleep 60;; *second*) exit 3;;"
        """ *fourth*) echo '{"rows": "many"}';;"""
        f' *) echo "{{\\"error\\": \\"no {KEY}\\"}}";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(program))
    monkeypatch.setattr(module, "_REQUEST_SECONDS", 0.2)
    tracker = process(tmp_path / "files")
    for task_id in ("first", "second"):
        with pytest.raises(TrackerProblem, match="does not answer"):
            tracker.send(task_id, Batch())
    # More than a pipe takes, for a program that does not read.
    with pytest.raises(TrackerProblem, match="does not answer"):
        tracker.send("first", Batch([(step, 0.0, {"loss": 0.5}) for step in range(10_000)]))
    monkeypatch.setattr(module, "_REQUEST_SECONDS", 20.0)
    with pytest.raises(TrackerProblem) as problem:
        tracker.send("third", Batch())
    assert str(problem.value) == "no ***"
    with pytest.raises(TrackerProblem, match="does not answer"):
        tracker.send("fourth", Batch())
    tracker.stop()


def test_keys_of_trackers_reach_their_processes_and_no_trainer(monkeypatch: pytest.MonkeyPatch):
    for name in ("WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@host/name")
    found = tracker_environment()
    assert found["WANDB_API_KEY"] == found["MLFLOW_TRACKING_TOKEN"] == found["AWS_SECRET_ACCESS_KEY"] == KEY
    assert "DATABASE_URL" not in found
    assert KEY not in child_environment().values()
