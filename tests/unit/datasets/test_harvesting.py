"""Results are taken up beside the training loop."""

from pathlib import Path
from typing import Any

import pytest

from api.datasets.harvesting import PASSING_SECONDS, WorkHarvester
from api.domain.training import TrainingTask
from api.errors import DatabaseUnavailable, DatasetNotFound
from api.training.attempts.harvest import Harvest
from api.util.clock import FakeClock
from tests.unit.trainings import TrainingMachine


class Pans:
    """Takes up what it is told, or fails as it is told."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.taken: list[str] = []

    def take_up(self, task: TrainingTask, output_dir: Path) -> Harvest:
        if self.fault is not None:
            raise self.fault
        self.taken.append(task.task_id)
        return Harvest({"version": 1})


@pytest.fixture
def pans() -> Pans:
    return Pans()


@pytest.fixture
def woken() -> list[int]:
    return []


@pytest.fixture
def harvester(pans: Pans, clock: FakeClock, woken: list[int]) -> WorkHarvester:
    return WorkHarvester({"errand": pans}, clock, lambda: woken.append(1))


@pytest.fixture
def task(machine: TrainingMachine) -> TrainingTask:
    machine.put_errand()
    return machine.task("e")


def ask(harvester: WorkHarvester, task: TrainingTask) -> Any:
    return harvester.harvest(task, Path("/output"))


def test_the_first_question_begins_it_and_a_later_one_is_answered(
    harvester: WorkHarvester, task: TrainingTask, pans: Pans, woken: list[int]
):
    assert ask(harvester, task) is None
    assert ask(harvester, task) is None
    harvester.run_once()
    assert (pans.taken, woken) == (["e"], [1])
    assert ask(harvester, task) == Harvest({"version": 1})


@pytest.mark.parametrize("fault", [OSError(5, "EIO"), DatabaseUnavailable()])
def test_passing_trouble_is_waited_for_a_while(
    harvester: WorkHarvester, task: TrainingTask, pans: Pans, clock: FakeClock, fault: Exception
):
    pans.fault = fault
    ask(harvester, task)
    harvester.run_once()
    assert ask(harvester, task) is None
    clock.advance(PASSING_SECONDS + 1)
    harvester.run_once()
    assert ask(harvester, task).cause is not None


@pytest.mark.parametrize("fault", [DatasetNotFound(), ValueError("None of its 3 items can be read")])
def test_what_will_not_pass_fails_the_task_with_the_reason(
    harvester: WorkHarvester, task: TrainingTask, pans: Pans, fault: Exception
):
    pans.fault = fault
    ask(harvester, task)
    harvester.run_once()
    cause = ask(harvester, task).cause
    assert str(fault) in cause.detail


def test_what_nobody_takes_up_has_no_result(pans: Pans, clock: FakeClock, task: TrainingTask):
    assert WorkHarvester({}, clock, lambda: None).harvest(task, Path("/output")) == Harvest()


def test_its_thread_is_started_and_stopped(harvester: WorkHarvester):
    harvester.start()
    harvester.stop()
