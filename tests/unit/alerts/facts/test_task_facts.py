import math
import re
from dataclasses import replace

import pytest
from sqlalchemy import update

from api.alerts.evaluation import FactTable, fill, is_breaching
from api.alerts.facts.task_facts import NOTIFY_RULES, TaskFacts, _describe_cause
from api.alerts.records.fact_store import AlertFactStore
from api.alerts.rules.builtin import BUILTIN_RULES
from api.alerts.rules.measurable import metrics_of
from api.db.rows import to_seconds
from api.db.tables import tasks
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.hold import Hold, HoldKind
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import NOTICES, TaskNotice, TaskStatus
from api.executors.fake import outcome
from tests.unit.trainings import TrainingMachine, steps


class Seen:
    """The facts of one task, by name."""

    def __init__(self, machine: TrainingMachine) -> None:
        self.machine = machine
        self.facts = TaskFacts(AlertFactStore(machine.database), machine.clock)
        self.table: FactTable | None = None

    def __getitem__(self, metric: str) -> float:
        self.table, self.queue = self.facts.tables(self.machine.gpus.state)
        return self.table.value(metric, self.table.indexes["a"])

    @property
    def summary_values(self) -> dict[str, str]:
        assert self.table is not None
        return dict(self.table.targets[self.table.indexes["a"]].summary_values)


@pytest.fixture
def seen(machine: TrainingMachine) -> Seen:
    return Seen(machine)


def store_progress(machine: TrainingMachine) -> None:
    """Run a round that stores the progress in the database, which happens every 2 s."""
    machine.clock.advance(3)
    machine.train()


def test_every_metric_has_a_column(machine: TrainingMachine, seen: Seen):
    machine.put()
    assert seen["running"] == 0
    assert seen.table is not None
    assert seen.table.columns.keys() == metrics_of(RuleScope.TASK).keys()
    assert seen.queue.columns.keys() == metrics_of(RuleScope.QUEUE).keys()


def test_queued_task_has_its_waiting_time_and_free_gpus(machine: TrainingMachine, seen: Seen):
    machine.put(count=4)
    machine.clock.advance(50)
    assert (seen["queued_seconds"], seen["gpus_free_for_it"]) == (50, 4)
    assert (seen.queue.value("waiting", 0), seen.queue.value("oldest_seconds", 0)) == (1, 50)
    assert math.isnan(seen["checkpoint_age"])


def test_running_task_has_the_age_of_its_checkpoint(machine: TrainingMachine, seen: Seen):
    machine.run()
    machine.clock.advance(100)
    assert (seen["running"], seen["checkpoint_age"], seen["attempts_without_checkpoint"]) == (1, 100, 1)
    machine.saves(10)
    machine.clock.advance(60)
    machine.train()
    machine.clock.advance(7)
    assert (seen["checkpoint_age"], seen["attempts_without_checkpoint"]) == (7, 0)


def test_task_that_only_caches_has_no_checkpoint_age(machine: TrainingMachine, seen: Seen):
    machine.run()
    with machine.database.write() as connection:
        connection.execute(update(tasks).values(kind=TaskType.CACHE))
    machine.clock.advance(100)
    assert seen["running"] == 1
    assert math.isnan(seen["checkpoint_age"])


def test_rehearsal_raises_no_alerts(machine: TrainingMachine, seen: Seen):
    machine.run()
    with machine.database.write() as connection:
        connection.execute(update(tasks).values(kind=TaskType.REHEARSAL))
    assert seen.facts.tables(machine.gpus.state)[0].targets == ()


@pytest.mark.parametrize(("kind", "is_news"), [(TaskType.TRAINING, 1), (TaskType.SAMPLE, 0), (TaskType.EXPORT, 0)])
def test_finished_samples_and_exports_are_no_news(machine: TrainingMachine, seen: Seen, kind: TaskType, is_news: int):
    machine.run()
    now = to_seconds(machine.clock.now())
    with machine.database.write() as connection:
        connection.execute(update(tasks).values(kind=kind, status=TaskStatus.COMPLETED, finished_at=now))
    assert seen["completed"] == is_news


def test_failed_task_has_its_cause(machine: TrainingMachine, seen: Seen):
    machine.run()
    machine.end(how=outcome(1))
    assert (seen["failed"], seen["running"]) == (1, 0)
    assert seen.summary_values["cause"] == machine.task().cause.detail.rstrip(".")  # type: ignore[union-attr]
    assert seen.summary_values["cause_remedy"].endswith(".")
    machine.clock.advance(86_400 + 60)
    assert seen.facts.tables(machine.gpus.state)[0].targets == ()


def test_gpu_out_of_memory_has_a_short_text():
    whole = Cause(CauseCode.CUDA_OUT_OF_MEMORY, "the memory of a GPU was not enough", "lower a lot", ())
    assert _describe_cause(whole)["cause"] == "GPU out of memory"
    assert "blocks_to_swap" in _describe_cause(whole)["cause_remedy"]


def test_traceback_is_reduced_to_its_error():
    cause = _describe_cause(Cause(CauseCode.TRAINER_ERROR, "Traceback\n  File x\nValueError: " + "x" * 900, "", ()))[
        "cause"
    ]
    assert cause.startswith("ValueError: ")
    assert len(cause) <= 160


def test_hanging_task_has_the_time_since_then(machine: TrainingMachine, seen: Seen):
    machine.run()
    assert seen["hung_seconds"] == 0
    machine.clock.advance(2000)
    machine.train()
    assert seen["hung_seconds"] > 0
    machine.clock.advance(100)
    assert seen["hung_seconds"] == pytest.approx(101)
    assert "hang" in seen.summary_values["warning"]
    assert re.fullmatch(
        r"it is loading and has printed nothing for \d+ s \(the limit is 1800 s\)", seen.summary_values["hang"]
    )


def test_hanging_task_has_its_last_error(machine: TrainingMachine, seen: Seen):
    machine.run()
    machine.prints("Traceback (most recent call last):\nValueError: no caption\n")
    machine.train()
    machine.clock.advance(2000)
    machine.train()
    assert seen["hung_seconds"] > 0
    assert seen.summary_values["hang"].endswith(" s). Its last error: ValueError: no caption")


def test_nan_losses_and_loss_spikes(machine: TrainingMachine, seen: Seen):
    machine.run()
    for number in range(1, 40):
        machine.prints(steps(number, loss=f"0.5{number % 7}"))
        store_progress(machine)
        excess = seen["loss_excess"]
    assert abs(excess) < 4
    machine.prints(steps(40, loss="9.0"))
    store_progress(machine)
    assert seen["loss_excess"] > 8
    assert seen["step_time"] > 0
    assert seen["eta"] > 0
    machine.prints(steps(*range(41, 60), loss="nan"))
    store_progress(machine)
    assert seen["nan_losses"] == 1


def test_channels_of_a_request_are_in_its_target(machine: TrainingMachine, seen: Seen):
    machine.put(notify=TaskNotice(("finished", "hung"), ("mail",)))
    assert seen["running"] == 0
    assert seen.table is not None
    (target,) = seen.table.targets
    assert target.channels == ("mail",)
    assert target.notified_of == ("training_finished", "training_hung", "idle_while_leased")


def test_values_of_notify_are_those_of_the_request_schema():
    assert NOTIFY_RULES.keys() == set(NOTICES)


def test_setting_the_clock_back_makes_no_old_failure_recent(machine: TrainingMachine):
    facts = TaskFacts(AlertFactStore(machine.database), machine.clock)

    def shown() -> set[str]:
        return set(facts.tables(machine.gpus.state)[0].indexes)

    def finish(task_id: str) -> None:
        with machine.database.write() as connection:
            values = {"status": TaskStatus.FAILED, "finished_at": machine.clock.now().timestamp()}
            connection.execute(update(tasks).where(tasks.c.task_id == task_id).values(values))

    for task_id in ("open", "older"):
        machine.put(task_id)
    finish("older")
    machine.clock.advance(2 * 86_400)
    machine.put("old")
    finish("old")
    assert shown() == {"old", "open"}
    machine.clock.advance(2 * 86_400)
    assert shown() == {"open"}
    machine.clock.jump(-366 * 86_400)
    assert shown() == {"open"}
    finish("open")
    machine.put("quick")
    finish("quick")
    assert shown() == {"open", "quick"}
    machine.clock.jump(366 * 86_400)
    assert shown() == {"open", "quick"}


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
