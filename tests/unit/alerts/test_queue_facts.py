"""Whether the queue is stuck, and its holds."""

from dataclasses import replace

import pytest

from api.alerts.builtin_rules import BUILTIN_RULES
from api.alerts.evaluation import FactTable, fill, is_breaching
from api.alerts.fact_store import AlertFactStore
from api.alerts.task_facts import TaskFacts
from api.domain.hold import Hold, HoldKind
from tests.unit.trainings import TrainingMachine

STUCK, HELD = BUILTIN_RULES["queue_stuck"], BUILTIN_RULES["queue_held"]


class Queue:
    """The table of the queue at different times."""

    def __init__(self, machine: TrainingMachine) -> None:
        self.machine = machine
        self.holds: list[Hold] = []
        self.facts = TaskFacts(AlertFactStore(machine.database), machine.clock, holds=lambda: self.holds)

    def table(self, after: float = 0.0) -> FactTable:
        self.machine.clock.advance(after)
        return self.facts.tables(self.machine.gpus.state)[1]


@pytest.fixture
def queue(machine: TrainingMachine) -> Queue:
    return Queue(machine)


def hold(queue: Queue, kind: HoldKind = HoldKind.QUEUE, uuid: str | None = None) -> Hold:
    return Hold("hold_1", kind, uuid, "maintenance", "ann", None, queue.machine.clock.now())


def test_queue_is_stuck_if_its_first_task_waits_for_hours_for_free_gpus(queue: Queue):
    queue.machine.put(count=4)
    assert queue.table().value("stuck_seconds", 0) == 0
    assert is_breaching(STUCK, queue.table(after=7_200), 0) is False
    table = queue.table(after=1)
    assert is_breaching(STUCK, table, 0) is True
    assert fill(STUCK.summary, table, 0).startswith("a is first in the queue but has not started for 2 hours")


def test_task_without_available_gpus_is_not_stuck(queue: Queue):
    queue.machine.put("a", 9)
    queue.table()
    assert queue.table(after=9_000).value("stuck_seconds", 0) == 0


def test_new_first_task_restarts_the_time(queue: Queue):
    queue.machine.put()
    queue.table()
    queue.machine.put("b", priority=9)
    assert queue.table(after=9_000).value("stuck_seconds", 0) == 0
    assert queue.table(after=5).value("stuck_seconds", 0) == 5


def test_held_queue_is_not_stuck_and_is_reported_after_a_day(queue: Queue):
    queue.machine.put()
    queue.holds = [hold(queue)]
    queue.table()
    table = queue.table(after=86_400)
    assert (table.value("stuck_seconds", 0), is_breaching(HELD, table, 0)) == (0, False)
    table = queue.table(after=1)
    assert is_breaching(HELD, table, 0) is True
    assert fill(HELD.summary, table, 0) == "The queue is held by ann (maintenance), for 1 day now."
    queue.holds = [replace(queue.holds[0], kind=HoldKind.GPU, gpu_uuid="GPU-1")]
    assert queue.table().targets[0].summary_values["hold"] == "GPU GPU-1 is held by ann (maintenance)"
    queue.holds = []
    assert queue.table().value("hold_seconds", 0) == 0


@pytest.mark.parametrize("hours", [-25, 25])
def test_setting_the_clock_changes_no_duration(queue: Queue, hours: int):
    queue.machine.put()
    queue.holds = [hold(queue, HoldKind.GPU, "GPU-9")]
    queue.table()
    queue.machine.clock.jump(hours * 3600)
    table = queue.table(after=10)
    facts = {name: table.value(name, 0) for name in ("stuck_seconds", "hold_seconds", "oldest_seconds")}
    assert facts == {"stuck_seconds": 10, "hold_seconds": 10, "oldest_seconds": 10}
