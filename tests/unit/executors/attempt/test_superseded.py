"""A supervisor that finds a later one in its place."""

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
    """A process that dies of SIGKILL."""

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


def give(directory: AttemptDirectory, record: dict[str, Any] | None) -> None:
    tree = Tree("a.1")
    tree.main = (7, 9)
    if record is not None:
        Path(directory.path("runner.json")).write_text(json.dumps(record))
    give_way(directory, tree, lambda: None)


def test_a_trainer_that_was_taken_over_goes_on(directory: AttemptDirectory, trainer: Trainer) -> None:
    give(directory, {"fence": 4, "trainer": {"pid": 7, "start": 9}})
    assert trainer.got == []


def test_a_trainer_beside_that_of_the_later_one_is_ended(directory: AttemptDirectory, trainer: Trainer) -> None:
    give(directory, {"fence": 4, "trainer": {"pid": 8, "start": 9}})
    assert trainer.got == [signal.SIGKILL]


@pytest.mark.parametrize("record", [None, {"fence": 3, "trainer": {"pid": 7, "start": 9}}, {"fence": "x"}])
def test_who_says_nothing_for_a_while_has_not_taken_it_over(
    directory: AttemptDirectory, trainer: Trainer, record: dict[str, Any] | None
) -> None:
    give(directory, record)
    assert trainer.got == [signal.SIGKILL]
    assert superseded.time.monotonic() >= YIELD_SECONDS
    assert not Path(directory.path("exit.json")).exists()


def test_nobody_takes_over_what_has_its_end_recorded_so_it_is_ended_at_once(
    directory: AttemptDirectory, trainer: Trainer
) -> None:
    Path(directory.path("exit.json")).write_text(json.dumps({"fence": 4, "reason": "node_lost"}))
    give(directory, {"fence": 3, "trainer": {"pid": 7, "start": 9}})
    assert trainer.got == [signal.SIGKILL]
    assert superseded.time.monotonic() < 1.0
