"""A supervisor that was replaced by a later one."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from api.executors.attempt import superseded
from api.executors.attempt.directory import AttemptDirectory
from api.executors.attempt.processes import Tree
from api.executors.attempt.superseded import YIELD_SECONDS, give_way


class Trainer:
    """A process that ends on SIGKILL."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def send(self, number: int) -> None:
        self.got.append(number)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AttemptDirectory:
    now = [0.0]
    monkeypatch.setattr(superseded.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(superseded.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    made = AttemptDirectory(str(tmp_path))
    made.fence = 3
    return made


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    made = Trainer()
    monkeypatch.setattr(Tree, "scan", lambda _, by_marker: [] if made.got else [made])
    return made


def run_give_way(directory: AttemptDirectory, record: dict[str, Any] | None) -> None:
    tree = Tree("a.1")
    tree.main = (7, 9)
    if record is not None:
        Path(directory.path("runner.json")).write_text(json.dumps(record))
    give_way(directory, tree, lambda: None)


def test_adopted_trainer_continues(directory: AttemptDirectory, trainer: Trainer) -> None:
    run_give_way(directory, {"fence": 4, "trainer": {"pid": 7, "start": 9}})
    assert trainer.got == []


def test_trainer_beside_a_later_one_is_killed(directory: AttemptDirectory, trainer: Trainer) -> None:
    run_give_way(directory, {"fence": 4, "trainer": {"pid": 8, "start": 9}})
    assert trainer.got == [signal.SIGKILL]


@pytest.mark.parametrize("record", [None, {"fence": 3, "trainer": {"pid": 7, "start": 9}}, {"fence": "x"}])
def test_supervisor_without_a_record_for_a_while_has_not_adopted_the_trainer(
    directory: AttemptDirectory, trainer: Trainer, record: dict[str, Any] | None
) -> None:
    run_give_way(directory, record)
    assert trainer.got == [signal.SIGKILL]
    assert superseded.time.monotonic() >= YIELD_SECONDS
    assert not Path(directory.path("exit.json")).exists()


def test_trainer_of_an_attempt_with_a_recorded_end_is_killed_immediately(
    directory: AttemptDirectory, trainer: Trainer
) -> None:
    Path(directory.path("exit.json")).write_text(json.dumps({"fence": 4, "reason": "node_lost"}))
    run_give_way(directory, {"fence": 3, "trainer": {"pid": 7, "start": 9}})
    assert trainer.got == [signal.SIGKILL]
    assert superseded.time.monotonic() < 1.0
