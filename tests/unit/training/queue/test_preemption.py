"""Which background trainings an urgent task makes stop, and why they wait afterwards."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from api.domain.machines.gpu import GPUOffer, GPUStatus
from api.domain.tasks.labels import PriorityClass
from api.domain.tasks.training import TaskStatus, TaskSummary
from api.training.queue.preemption import Preemption
from api.training.queue.scheduler import Pass, PassContext, plan_pass
from api.util.clock import FakeClock
from tests.unit.builders import NOW
from tests.unit.training.builders import held, offer, task

AFTER = 600.0


class Stops:
    """The active tasks, and the trainings that were made to stop for others."""

    def __init__(self, *active: TaskSummary) -> None:
        self._active = active
        self.made: list[tuple[str, str | None]] = []

    def active(self) -> list[TaskSummary]:
        return list(self._active)

    def make_room(self, task_id: str, cause: object, now: object, by: str | None) -> bool:
        self.made.append((task_id, by))
        return True


def urgent(task_id: str = "u", count: int = 1, **changes: Any) -> TaskSummary:
    return task(task_id, count, priority_class=PriorityClass.URGENT, **changes)


def works(task_id: str, count: int = 1, **changes: Any) -> TaskSummary:
    return task(task_id, count, **{"status": TaskStatus.RUNNING, "priority_class": PriorityClass.BACKGROUND, **changes})


def stopped(
    wanted: list[TaskSummary],
    offers: list[GPUOffer],
    *active: TaskSummary,
    ages: dict[str, float] | None = None,
    queue: tuple[TaskSummary, ...] = (),
    limit: int = 0,
) -> list[tuple[str, str | None]]:
    """Return who makes room for whom. Trainings without an age have run for long."""
    stops, clock = Stops(*active), FakeClock(NOW)
    found: Any = stops
    preemption = Preemption(found, lambda task_id: (ages or {}).get(task_id, 10 * AFTER), clock, AFTER)
    preemption.check(wanted, [*wanted, *queue], offers, {}, limit)
    return stops.made


def test_background_training_makes_room():
    assert stopped([urgent()], [held(0, "b")], works("b")) == [("b", "u")]


@pytest.mark.parametrize(
    "spared",
    [
        works("b", priority_class=PriorityClass.NORMAL),
        works("b", priority_class=PriorityClass.URGENT),
        works("b", status=TaskStatus.STARTING),
        works("b", status=TaskStatus.STOPPING),
    ],
)
def test_no_other_training_makes_room(spared: TaskSummary):
    assert stopped([urgent()], [held(0, "b")], spared) == []


def test_training_is_spared_after_its_start():
    assert stopped([urgent()], [held(0, "b")], works("b"), ages={"b": AFTER - 1}) == []
    assert stopped([urgent()], [held(0, "b")], works("b"), ages={"b": AFTER}) == [("b", "u")]


def test_fewest_then_smallest_then_newest_make_room():
    pair = [held(0, "pair"), held(1, "pair"), held(2, "old"), held(3, "new")]
    active = works("pair", 2), works("old"), works("new")
    ages = {"old": 9000.0, "new": 8000.0}
    assert stopped([urgent()], pair, *active, ages=ages) == [("new", "u")]
    assert stopped([urgent(count=2)], pair, *active, ages=ages) == [("pair", "u")]
    assert stopped([urgent(count=3)], pair, *active, ages=ages) == [("pair", "u"), ("new", "u")]


def test_gpus_that_become_free_are_enough():
    draining = offer(1, is_available=False, status=GPUStatus.DRAINING)
    leaving = works("c", status=TaskStatus.STOPPING)
    assert stopped([urgent()], [held(0, "b"), draining], works("b")) == []
    assert stopped([urgent()], [held(0, "b"), held(1, "c")], works("b"), leaving) == []
    assert stopped([urgent(count=2)], [held(0, "b"), offer(1), held(2, "d")], works("b"), works("d")) != []


def test_two_urgent_tasks_do_not_count_on_the_same_gpu():
    gpus = [held(0, "b"), offer(1, is_available=False, status=GPUStatus.DRAINING)]
    assert stopped([urgent("u"), urgent("v")], gpus, works("b")) == [("b", "v")]


def test_no_second_training_stops_for_the_same_task():
    leaving = works("c", status=TaskStatus.STOPPING, preempted_by="u", gpus=task("c").gpus)
    gpus = [held(0, "b"), held(1, "c", total_mb=1, free_mb=1)]
    wanted = urgent(min_memory=1000)
    assert stopped([wanted], gpus, works("b"), leaving) == []
    waits = task("c", preempted_by="u", updated_at=NOW - timedelta(seconds=AFTER - 1))
    assert stopped([wanted], [held(0, "b")], works("b"), queue=(waits,)) == []
    waits = replace(waits, updated_at=NOW - timedelta(seconds=AFTER))
    assert stopped([wanted], [held(0, "b")], works("b"), queue=(waits,)) == [("b", "u")]


def test_unreachable_number_of_gpus_stops_nothing():
    assert (
        stopped(
            [urgent(count=2)], [held(0, "b"), held(1, "n")], works("b"), works("n", priority_class=PriorityClass.NORMAL)
        )
        == []
    )


def test_limit_of_tasks_makes_one_leave():
    assert stopped([urgent()], [offer(0), held(1, "b")], works("b"), limit=1) == [("b", "u")]
    assert stopped([urgent()], [offer(0), held(1, "b")], works("b"), limit=2) == []


def decide(*queue: TaskSummary, gpus: list[GPUOffer]) -> Pass:
    context = PassContext(now=NOW, names={"u": "portrait"}, owners={"u": "ann"})
    return plan_pass(sorted(queue, key=lambda each: -each.level), gpus, context)


def test_classes_come_before_priorities():
    waiting = task("n", priority=1000), works("b", status=TaskStatus.QUEUED, priority=1000), urgent(priority=-1000)
    decided = decide(*waiting, gpus=[offer(0)])
    assert [found.task.task_id for found in decided.assignments] == ["u"]


def test_preempted_training_waits_until_the_urgent_one_has_its_gpus():
    made_room = works("b", status=TaskStatus.QUEUED, preempted_by="u", gpu_uuids=(offer(0).uuid,))
    lacking = decide(urgent(count=2), made_room, gpus=[offer(0), held(1, "n")])
    assert (lacking.assignments, [each.task_id for each in lacking.urgent]) == ((), ["u"])
    reason = lacking.waiting["b"]
    assert (reason.said.code, reason.said.params) == ("preempted", {"task_id": "u", "name": "portrait"})
    served = decide(made_room, gpus=[held(0, "u"), held(1, "u")])
    assert served.waiting["b"].said.code == "preempted"
    assert decide(made_room, gpus=[held(0, "u"), offer(1)]).assignments[0].task.task_id == "b"


def test_gpus_that_were_left_for_an_urgent_task_are_kept_for_it():
    made_room = works("b", status=TaskStatus.QUEUED, preempted_by="u", gpu_uuids=(offer(2).uuid,))
    gpus = [held(0, "n"), held(1, "n"), offer(2, node="b"), held(3, "c", node="b")]
    decided = decide(urgent(count=2), task("n2"), made_room, gpus=gpus)
    assert decided.assignments == ()


def test_task_waits_for_its_requested_time():
    later = task("a", not_before=NOW + timedelta(hours=1))
    decided = decide(later, task("b"), gpus=[offer(0)])
    assert [found.task.task_id for found in decided.assignments] == ["b"]
    assert decided.waiting["a"].said.code == "not_before"
    due = replace(later, not_before=NOW)
    assert [found.task.task_id for found in decide(due, gpus=[offer(0)]).assignments] == ["a"]
