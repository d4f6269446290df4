"""Pages of tasks: order and filters."""

from typing import Any

import pytest

from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskFilter, TaskStatus
from api.errors import TaskNotQueued
from tests.unit.db.builders import NOW, Stores, new_attempt, new_task

EVERYTHING = TaskFilter()


def names(stores: Stores, wanted: TaskFilter = EVERYTHING, limit: int = 50, **more: Any) -> list[str]:
    rows, _ = stores.tasks.page(wanted, limit, more.get("offset"), more.get("cursor"))
    return [row.task_id for row in rows]


def test_newest_task_is_listed_first(stores: Stores):
    for task_id in ("t1", "t2", "t3"):
        stores.tasks.create(new_task(task_id), NOW, "ann")
    assert names(stores) == ["t3", "t2", "t1"]


def test_page_has_the_total_number(stores: Stores):
    for number in range(5):
        stores.tasks.create(new_task(f"t{number}"), NOW, "ann")
    rows, total = stores.tasks.page(EVERYTHING, 2, 3, None)
    assert ([row.task_id for row in rows], total) == (["t1", "t0"], 5)


def test_cursor_pages_show_each_task_once_while_others_are_created(stores: Stores):
    for number in range(6):
        stores.tasks.create(new_task(f"old{number}"), NOW, "ann")
    seen: list[str] = []
    cursor = None
    while True:
        rows, _ = stores.tasks.page(EVERYTHING, 2, None, cursor)
        if not rows:
            break
        seen += [row.task_id for row in rows]
        cursor = rows[-1].serial
        stores.tasks.create(new_task(f"new{len(seen)}"), NOW, "ann")
    assert seen == [f"old{number}" for number in reversed(range(6))]


def test_list_is_filtered_by_statuses(stores: Stores):
    for status in (TaskStatus.QUEUED, TaskStatus.FAILED, TaskStatus.COMPLETED):
        stores.in_status(status, f"is-{status}")
        for lease in stores.attempts.leases():
            stores.attempts.release_drained(lease)
    assert names(stores, TaskFilter(statuses=(TaskStatus.FAILED,))) == ["is-failed"]
    assert names(stores, TaskFilter(statuses=(TaskStatus.QUEUED, TaskStatus.COMPLETED))) == [
        "is-completed",
        "is-queued",
    ]


def test_list_is_filtered_by_model_type(stores: Stores):
    stores.tasks.create(new_task("t1", model_type="flux"), NOW, "ann")
    stores.tasks.create(new_task("t2", model_type="wan"), NOW, "ann")
    assert names(stores, TaskFilter(model_type="wan")) == ["t2"]


def test_list_of_a_gpu_has_the_tasks_that_used_it(stores: Stores):
    attempt = stores.running("t1", 0, 1)
    stores.finish(attempt, TaskStatus.QUEUED)
    stores.attempts.claim(new_attempt("t1", 2), NOW)
    stores.running("t2", 3)
    assert [names(stores, TaskFilter(gpu_uuid=f"GPU-{gpu}")) for gpu in range(5)] == [
        ["t1"],
        ["t1"],
        ["t1"],
        ["t2"],
        [],
    ]


def test_task_with_the_same_gpu_twice_is_listed_once(stores: Stores):
    stores.finish(stores.running("t1", 0), TaskStatus.QUEUED)
    for lease in stores.attempts.leases():
        stores.attempts.release_drained(lease)
    stores.attempts.claim(new_attempt("t1", 0), NOW)
    assert names(stores, TaskFilter(gpu_uuid="GPU-0")) == ["t1"]


def test_search_covers_id_name_and_description(stores: Stores):
    stores.tasks.create(new_task("has-apple"), NOW, "ann")
    stores.tasks.create(new_task("t2", name="An Apple"), NOW, "ann")
    stores.tasks.create(new_task("t3", description="two apples"), NOW, "ann")
    stores.tasks.create(new_task("t4", name="a pear"), NOW, "ann")
    assert names(stores, TaskFilter(search="aPPle")) == ["t3", "t2", "has-apple"]


@pytest.mark.parametrize("letter", ["%", "_", "/", "\\", "'", '"'])
def test_search_treats_every_character_literally(stores: Stores, letter: str):
    stores.tasks.create(new_task("t1", name=f"50{letter}off"), NOW, "ann")
    stores.tasks.create(new_task("t2", name="50-off"), NOW, "ann")
    assert names(stores, TaskFilter(search=f"0{letter}o")) == ["t1"]


def test_filters_are_combined(stores: Stores):
    stores.tasks.create(new_task("t1", model_type="wan", name="x"), NOW, "ann")
    stores.tasks.create(new_task("t2", model_type="wan"), NOW, "ann")
    stores.tasks.create(new_task("t3", model_type="flux", name="x"), NOW, "ann")
    wanted = TaskFilter(statuses=(TaskStatus.QUEUED,), model_type="wan", search="x")
    rows, total = stores.tasks.page(wanted, 50, None, None)
    assert ([row.task_id for row in rows], total) == (["t1"], 1)


@pytest.mark.parametrize(
    "more",
    [{"statuses": (TaskStatus.RUNNING,)}, {"model_type": "toy"}, {"search": "t3"}],
    ids=lambda more: next(iter(more)),
)
def test_gpu_filter_is_combined_with_others(stores: Stores, more: dict[str, Any]):
    stores.finish(stores.running("t1", 0), TaskStatus.COMPLETED)
    for lease in stores.attempts.leases():
        stores.attempts.release_drained(lease)
    stores.running("t3", 0, 1)
    stores.running("t2", 2)
    rows, total = stores.tasks.page(TaskFilter(gpu_uuid="GPU-0", **more), 1, None, None)
    assert [row.task_id for row in rows] == ["t3"]
    assert total == (2 if "model_type" in more else 1)


def test_pages_of_a_gpu_continue_after_a_cursor(stores: Stores):
    for number in range(5):
        stores.finish(stores.running(f"t{number}", 0), TaskStatus.COMPLETED)
        stores.attempts.release_drained(stores.attempts.leases()[0])
    first, total = stores.tasks.page(TaskFilter(gpu_uuid="GPU-0"), 2, None, None)
    rest = names(stores, TaskFilter(gpu_uuid="GPU-0"), cursor=first[-1].serial)
    assert ([row.task_id for row in first], rest, total) == (["t4", "t3"], ["t2", "t1", "t0"], 5)


def test_list_is_filtered_by_kind(stores: Stores):
    stores.tasks.create(new_task("t1"), NOW, "ann")
    stores.tasks.create(new_task("p1", kind=TaskType.PREPROCESSING), NOW, "ann")
    assert names(stores, TaskFilter(kind=TaskType.PREPROCESSING)) == ["p1"]
    assert names(stores, TaskFilter(kind=TaskType.TRAINING)) == ["t1"]


def test_list_is_filtered_by_a_whole_tag(stores: Stores):
    for task_id, tags in {"t1": ("Cats", "new"), "t2": ("cats",), "t3": ("cats at home", "猫")}.items():
        stores.tasks.create(new_task(task_id, tags=tags), NOW, "ann")
    stores.tasks.create(new_task("t4"), NOW, "ann")
    assert names(stores, TaskFilter(tag="cats")) == ["t2"]
    assert names(stores, TaskFilter(tag="猫")) == ["t3"]
    assert names(stores, TaskFilter(tag="cats", kind=TaskType.TRAINING)) == ["t2"]
    assert names(stores, TaskFilter(tag="%")) == []


def test_search_finds_tags_and_notes(stores: Stores):
    stores.tasks.create(new_task("t1", tags=("Cats", "new")), NOW, "ann")
    stores.tasks.create(new_task("t2", notes="the best\nof the cats"), NOW, "ann")
    stores.tasks.create(new_task("t3"), NOW, "ann")
    assert names(stores, TaskFilter(search="cats")) == ["t2", "t1"]
    assert names(stores, TaskFilter(search='"')) == []


def queue(stores: Stores) -> list[str]:
    return [task.task_id for task in stores.tasks.queued()]


def test_task_moves_within_the_tasks_of_its_owner_and_priority(stores: Stores):
    for task_id, owner, priority in [
        ("a1", "ann", 0), ("b1", "bob", 0), ("a2", "ann", 0), ("b2", "bob", 0), ("a3", "ann", 0), ("high", "ann", 1),
    ]:  # fmt: skip
        stores.tasks.create(new_task(task_id, owner=owner, priority=priority), NOW, owner)
    stores.tasks.patch("a3", {}, NOW, "ann", 0)
    assert queue(stores) == ["high", "a3", "b1", "a1", "b2", "a2"]
    stores.tasks.patch("a3", {}, NOW, "ann", 1)
    assert queue(stores) == ["high", "a1", "b1", "a3", "b2", "a2"]
    stores.tasks.patch("a1", {}, NOW, "ann", 99)
    assert queue(stores) == ["high", "a3", "b1", "a2", "b2", "a1"]


def test_new_priority_and_position_are_set_together(stores: Stores):
    for task_id, priority in [("low", 0), ("t1", 5), ("t2", 5)]:
        stores.tasks.create(new_task(task_id, priority=priority), NOW, "ann")
    stores.tasks.patch("low", {"priority": 5}, NOW, "ann", 1)
    assert queue(stores) == ["t1", "low", "t2"]


def test_running_task_has_no_position(stores: Stores):
    stores.in_status(TaskStatus.RUNNING, "t1")
    with pytest.raises(TaskNotQueued):
        stores.tasks.patch("t1", {}, NOW, "ann", 0)
