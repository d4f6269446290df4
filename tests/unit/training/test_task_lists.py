"""The queue in start order, page by page."""

from typing import Any

import pytest

from api.domain.training import TaskFilter, TaskOrder
from api.training.task_lists import TaskLists
from tests.unit.training.test_quotas import Owned, owned

__all__ = ["owned"]

EVERYTHING = TaskFilter()


@pytest.fixture
def lists(owned: Owned) -> TaskLists:
    machine = owned.machine
    machine.run("runs", count=4, owner="ann")
    for number in range(4):
        machine.put(f"ann{number}", count=4, owner="ann")
        machine.clock.advance(1)
    machine.put("bob", count=4, owner="bob")
    machine.put("urgent", count=4, owner="ann", priority=1)
    return TaskLists(machine.tasks, owned.quotas)


def page(lists: TaskLists, limit: int = 50, wanted: TaskFilter = EVERYTHING, **at: Any) -> list[str]:
    rows, _ = lists.page(wanted, limit, at.get("offset"), at.get("cursor"), TaskOrder.QUEUE)
    return [row.task_id for row in rows]


def test_queue_is_listed_in_queue_order(lists: TaskLists, owned: Owned):
    assert page(lists) == ["urgent", "bob", "ann0", "ann1", "ann2", "ann3"]
    positions = [owned.machine.parts.service._forecast.of(task) for task in owned.machine.tasks.queued()]
    assert [found.position for found in positions if found] == [1, 3, 4, 5, 6, 2]


def test_pages_follow_each_other_by_cursor_and_by_offset(lists: TaskLists, owned: Owned):
    assert page(lists, 2, offset=1) == ["bob", "ann0"]
    serial = owned.machine.tasks.get("ann0").serial
    rows, total = lists.page(EVERYTHING, 2, None, serial, TaskOrder.QUEUE)
    assert ([row.task_id for row in rows], total) == (["ann1", "ann2"], 6)


def test_task_that_left_the_queue_keeps_its_position(lists: TaskLists, owned: Owned):
    serial = owned.machine.tasks.get("ann1").serial
    owned.machine.request_task_stop("ann1")
    assert page(lists, cursor=serial) == ["ann2", "ann3"]


def test_filters_apply_in_queue_order(lists: TaskLists):
    assert page(lists, wanted=TaskFilter(search="ann")) == ["ann0", "ann1", "ann2", "ann3"]
    assert page(lists, wanted=TaskFilter(model_type="flux")) == []


def test_newest_tasks_come_first_by_default(lists: TaskLists):
    rows, _ = lists.page(EVERYTHING, 2, None, None, TaskOrder.NEWEST)
    assert [row.task_id for row in rows] == ["urgent", "bob"]
