"""Tasks: create, find, queue, change and delete."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from api.db.tables import attempts, events, metadata, task_gpus
from api.domain.tasks.durations import CompletedRun, Load, RemainingWork
from api.domain.tasks.measured_memory import MemoryFacts, MemorySize, PlannedMemory
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.task import ProcessIdentity, TaskType
from api.domain.tasks.training import (
    EventKind,
    GPURequest,
    PlannedExport,
    ResumeOptions,
    TaskFilter,
    TaskStatus,
    TrainingPlan,
)
from api.errors import TaskNotFinished, TaskNotFound
from api.training.records.attempt_store import Finish
from api.training.records.task_store import TaskStore
from api.web.idempotency import KEPT_SECONDS
from tests.unit.db.builders import NOW, Stores, a_stop, later, new_attempt, new_task

EVERYTHING = TaskFilter()


def names(stores: Stores, wanted: TaskFilter = EVERYTHING, limit: int = 50, **more: Any) -> list[str]:
    rows, _ = stores.tasks.page(wanted, limit, more.get("offset"), more.get("cursor"))
    return [row.task_id for row in rows]


# -- create ------------------------------------------------------------------------------------------------------------


def test_new_task_is_queued(stores: Stores):
    made = stores.tasks.create(new_task("t1", priority=5, name="first"), NOW, "ann")
    assert (made.status, made.priority, made.name, made.attempts) == (TaskStatus.QUEUED, 5, "first", 0)
    assert (made.created_at, made.queued_at, made.updated_at) == (NOW, NOW, NOW)
    assert (made.started_at, made.finished_at, made.progress, made.stop) == (None, None, None, None)


def test_new_task_has_an_event(stores: Stores):
    stores.tasks.create(new_task(), NOW, "ann")
    (event,) = stores.tasks.events("t1", 0, 10)
    assert (event.type, event.previous, event.current, event.actor) == (EventKind.STATUS, None, "queued", "ann")


def test_restarted_task_names_the_first(stores: Stores):
    made = stores.tasks.create(replace(new_task("t2"), restarted_from="t1"), NOW, "ann")
    assert made.restarted_from == "t1"
    assert "t1" in stores.tasks.events("t2", 0, 10)[0].message


def test_second_task_with_an_id_is_refused(stores: Stores):
    stores.tasks.create(new_task("t1"), NOW, "ann")
    with pytest.raises(IntegrityError):
        stores.tasks.create(new_task("t1"), NOW, "ann")


def test_task_with_the_same_key_is_returned_again(stores: Stores):
    first = stores.tasks.create(new_task("t1", key="k"), NOW, "ann")
    assert stores.tasks.create(new_task("t2", key="k"), later(60), "ann") == first
    assert names(stores) == ["t1"]


def test_key_can_be_reused_after_a_day(stores: Stores):
    stores.tasks.create(new_task("t1", key="k"), NOW, "ann")
    stores.tasks.create(replace(new_task("t2", key="k"), keys_since=NOW), later(KEPT_SECONDS), "ann")
    assert names(stores) == ["t1"]
    repeated = replace(new_task("t3", key="k"), keys_since=later(1))
    assert stores.tasks.create(repeated, later(KEPT_SECONDS + 1), "ann").task_id == "t3"
    found = stores.tasks.find_by_key("k")
    assert found is not None
    assert found.task_id == "t3"


def test_task_is_queued_last_after_the_clock_was_set_back(stores: Stores):
    times = {"a": NOW, "b": later(10), "c": later(-90_000), "d": later(-89_000), "e": later(20)}
    for task_id, now in times.items():
        stores.tasks.create(new_task(task_id), now, "ann")
    assert [task.task_id for task in stores.tasks.queued()] == ["a", "b", "c", "d", "e"]
    stores.tasks.request_stop("a", a_stop(), later(30), "stopped")
    task = stores.tasks.get("a")
    stores.tasks.enqueue_again("a", ResumeOptions(), task.request, task.plan, later(-80_000), "ann", "again")
    assert [task.task_id for task in stores.tasks.queued()] == ["b", "c", "d", "e", "a"]


def test_unknown_key_finds_nothing(stores: Stores):
    stores.tasks.create(new_task("t1"), NOW, "ann")
    assert stores.tasks.find_by_key(None) is None
    assert stores.tasks.find_by_key("k") is None


def test_many_concurrent_tasks_with_one_key_are_one_task(stores: Stores):
    together = threading.Barrier(12)

    def create(number: int) -> str:
        together.wait()
        return stores.tasks.create(new_task(f"t{number}", key="k"), NOW, "ann").task_id

    with ThreadPoolExecutor(12) as pool:
        given_back = set(pool.map(create, range(12)))
    assert given_back == set(names(stores))
    assert len(given_back) == 1


# -- read --------------------------------------------------------------------------------------------------------------

#: Possible values in a config, as far as JSON documents of this service have them.
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc._\"'\\é", max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(config=st.dictionaries(st.text("abcé", max_size=5), values, max_size=4), number=st.integers(0, 2**40))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_request_is_read_as_it_was_stored(stores: Stores, config: dict[str, Any], number: int):
    task_id = f"t{number}-{len(names(stores, limit=500))}"
    new = new_task(task_id, config=config, env={"A": "b"}, gpus=GPURequest(("0", 0, "GPU-1")), caches=("/c",))
    made = stores.tasks.create(new, NOW, "ann")
    assert (made.request, made.plan) == (new.request, new.plan)
    assert repr(made.request.config) == repr(config)


def test_task_is_found_by_id(stores: Stores):
    made = stores.tasks.create(new_task("t1"), NOW, "ann")
    assert stores.tasks.get("t1") == made
    assert stores.tasks.get_summary("t1").serial == made.serial


def test_unknown_task_is_not_found(stores: Stores):
    for ask in (stores.tasks.get, stores.tasks.get_summary, lambda task_id: stores.tasks.delete(task_id, NOW)):
        with pytest.raises(TaskNotFound):
            ask("t1")
    with pytest.raises(TaskNotFound):
        stores.tasks.patch("t1", {"priority": 1}, NOW, "ann")


# -- queue -------------------------------------------------------------------------------------------------------------


def test_queue_is_ordered_by_priority_then_age(stores: Stores):
    for task_id, priority, at in (("low", -1, 0), ("old", 0, 1), ("young", 0, 2), ("high", 9, 3), ("tie", 0, 2)):
        stores.tasks.create(new_task(task_id, priority=priority), later(at), "ann")
    stores.attempts.claim(new_attempt("old"), NOW)
    assert [task.task_id for task in stores.tasks.queued()] == ["high", "young", "tie", "low"]


def test_tasks_are_counted_by_status(stores: Stores):
    stores.tasks.create(new_task("t1"), NOW, "ann")
    stores.tasks.create(new_task("t2"), NOW, "ann")
    stores.running("t3")
    assert stores.tasks.count_by_status() == {TaskStatus.QUEUED: 2, TaskStatus.RUNNING: 1}


# -- changes and events ------------------------------------------------------------------------------------------------


def test_change_is_stored_with_an_event(stores: Stores):
    stores.tasks.create(new_task("t1", name="a"), NOW, "ann")
    changed = stores.tasks.patch("t1", {"name": "b", "priority": 7}, later(1), "bob")
    assert (changed.name, changed.priority, changed.updated_at) == ("b", 7, later(1))
    event = stores.tasks.events("t1", 0, 10)[-1]
    assert (event.type, event.actor, event.message) == (EventKind.CHANGE, "bob", "name is now 'b'; priority is now 7")


def test_warning_is_shown_recorded_and_cleared(stores: Stores):
    attempt = stores.running()
    stores.tasks.set_warning("t1", attempt.uid, "It seems to hang.", NOW, last_lines=["x"])
    assert stores.tasks.get("t1").warning == "It seems to hang."
    event = stores.tasks.events("t1", 0, 10)[-1]
    assert (event.type, event.attempt, event.details) == (EventKind.WARNING, attempt.uid, {"last_lines": ["x"]})
    before = stores.tasks.count_events("t1")
    stores.tasks.set_warning("t1", attempt.uid, None, NOW)
    assert stores.tasks.get("t1").warning is None
    assert stores.tasks.count_events("t1") == before


@pytest.mark.parametrize("letter", ["\0", "\ud800"], ids=["NUL", "half a character"])
def test_program_output_with_any_character_is_recorded(stores: Stores, letter: str):
    attempt = stores.running()
    stores.tasks.set_warning("t1", attempt.uid, f"It said {letter}.", NOW)
    stores.finish(attempt, TaskStatus.QUEUED)
    stores.attempts.finish(stores.attempts.claim(new_attempt("t1", 1), NOW), Finish(TaskStatus.FAILED, letter), NOW)
    assert [event.message[:7] for event in stores.tasks.events("t1", 0, 100)].count("It said") == 1
    assert stores.status() is TaskStatus.FAILED


def test_events_are_read_on_from_an_id(stores: Stores):
    stores.tasks.create(new_task("t1"), NOW, "ann")
    stores.tasks.create(new_task("t2"), NOW, "ann")
    for number in range(4):
        stores.tasks.add_event("t1", EventKind.CHECKPOINT, later(number), "trainer", f"{number}", "t1.1")
    first = stores.tasks.events("t1", 0, 3)
    rest = stores.tasks.events("t1", first[-1].id, 10)
    assert [event.message for event in [*first, *rest][1:]] == ["0", "1", "2", "3"]
    assert stores.tasks.count_events("t1") == 5
    assert stores.tasks.events("t1", rest[-1].id, 10) == []


def test_event_can_name_a_checkpoint_with_a_long_name(stores: Stores):
    stores.tasks.create(new_task(), NOW, "ann")
    name = "global_step" + "9" * 20
    stores.tasks.add_event("t1", EventKind.CHECKPOINT, NOW, "trainer", "complete", "t1.1", current=name)
    assert stores.tasks.events("t1", 0, 10)[-1].current == name


def test_events_of_many_writers_are_seen_in_id_order(stores: Stores):
    stores.tasks.create(new_task(), NOW, "ann")
    done = threading.Event()

    def append(writer: int) -> None:
        for number in range(15):
            stores.tasks.add_event("t1", EventKind.CHANGE, NOW, "ann", f"{writer}.{number}", None)

    def follow() -> list[str]:
        seen, last = [], 0
        while True:
            is_last = done.is_set()
            for event in stores.tasks.events("t1", last, 100):
                seen.append(event.message)
                last = event.id
            if is_last:
                return seen

    with ThreadPoolExecutor(5) as pool:
        reader = pool.submit(follow)
        list(pool.map(append, range(4)))
        done.set()
        assert len(reader.result()) == 1 + 4 * 15


# -- delete ------------------------------------------------------------------------------------------------------------


def test_deleted_task_leaves_nothing_behind(stores: Stores):
    stores.finish(stores.running("t1", 0, 1), TaskStatus.COMPLETED)
    for lease in stores.attempts.leases():
        stores.attempts.release_drained(lease)
    stores.tasks.delete("t1", NOW)
    with pytest.raises(TaskNotFound):
        stores.tasks.get("t1")
    with stores.database.read() as connection:
        left = {
            table.name: connection.scalar(select(func.count()).select_from(table)) for table in metadata.tables.values()
        }
    assert set(left.values()) == {0}


def test_other_tasks_stay_when_one_is_deleted(stores: Stores):
    stores.running("t2", 5)
    stores.tasks.create(new_task("t1"), NOW, "ann")
    stores.tasks.request_stop("t1", a_stop(), NOW, "stop")
    stores.tasks.delete("t1", NOW)
    with stores.database.read() as connection:
        for table in (attempts, events, task_gpus):
            assert connection.scalar(select(func.count()).select_from(table)) > 0


@pytest.mark.parametrize("status", [status for status in TaskStatus if not status.is_finished])
def test_unfinished_task_is_not_deleted(stores: Stores, status: TaskStatus):
    stores.in_status(status)
    with pytest.raises(TaskNotFinished) as refused:
        stores.tasks.delete("t1", NOW)
    assert refused.value.data == {"status": status}
    step = "Wait until it has stopped." if status is TaskStatus.STOPPING else "Stop it first."
    assert refused.value.detail == f"t1 is {status}. {step}"


def test_task_with_a_draining_gpu_is_not_deleted_yet(stores: Stores):
    stores.finish(stores.running(), TaskStatus.FAILED)
    with pytest.raises(TaskNotFinished, match="draining"):
        stores.tasks.delete("t1", NOW)


def test_store_of_one_kind_knows_no_task_of_another(stores: Stores):
    stores.tasks.create(new_task("p1", kind=TaskType.PREPROCESSING), NOW, "ann")
    stores.tasks.create(new_task("t1"), NOW, "ann")
    trainings = TaskStore(stores.database, TaskType.TRAINING)
    plan = stores.tasks.get("p1").plan
    again = ("p1", ResumeOptions(), stores.tasks.get("p1").request, plan, NOW, "ann", "again")
    for ask in (
        lambda: trainings.get("p1"),
        lambda: trainings.get_summary("p1"),
        lambda: trainings.patch("p1", {"name": "x"}, NOW, "ann"),
        lambda: trainings.delete("p1", NOW),
        lambda: trainings.request_stop("p1", a_stop(), NOW, "stop"),
        lambda: trainings.enqueue_again(*again),
    ):
        with pytest.raises(TaskNotFound):
            ask()
    assert [row.task_id for row in trainings.page(EVERYTHING, 50, None, None)[0]] == ["t1"]
    assert trainings.count_by_status() == {TaskStatus.QUEUED: 1}
    assert [task.task_id for task in trainings.queued()] == ["p1", "t1"]


def test_running_tasks_are_counted_by_owner_and_gpus(stores: Stores):
    stores.running("t1", 0)
    for number, owner in enumerate(("ann", "ann", None)):
        free = new_task(f"p{number}", owner=owner, kind=TaskType.PREPROCESSING, gpus=GPURequest(count=0))
        stores.tasks.create(free, NOW, "ann")
        stores.attempts.claim(replace(new_attempt(f"p{number}", master_port=None), gpu_uuids=(), gpu_indices=()), NOW)
    found = stores.tasks.running()
    assert (found.on_gpus, found.working, found.transfers) == (1, {"ann": 2, None: 1}, ())
    assert "needs no GPU" in stores.tasks.events("p0", 0, 10)[-1].message


def test_running_transfers_are_listed_with_their_targets(stores: Stores):
    for name, kind, order in (
        ("d1", TaskType.DOWNLOAD, {"url": "https://a.example/w"}),
        ("d2", TaskType.DOWNLOAD, {"repository": "ann/cats"}),
        ("u1", TaskType.PUSH, {}),
        ("d3", TaskType.DOWNLOAD, {"url": "https://b.example/w"}),
    ):
        made = new_task(name, owner="ann", kind=kind, gpus=GPURequest(count=0), config={"order": order})
        stores.tasks.create(made, NOW, "ann")
        if name != "d3":
            claim = replace(new_attempt(name, master_port=None), gpu_uuids=(), gpu_indices=())
            stores.attempts.claim(claim, NOW)
    found = stores.tasks.running()
    addresses = sorted((each.owner, each.address or "") for each in found.transfers)
    assert (found.working, addresses) == ({}, [("ann", ""), ("ann", ""), ("ann", "https://a.example/w")])
    assert stores.tasks.addresses(["d3", "d2", "absent"]) == {"d3": "https://b.example/w", "d2": None}


def test_result_of_a_task_is_stored_and_removed_by_a_retry(stores: Stores):
    stores.finish(stores.running("t1"), TaskStatus.COMPLETED, result={"version": 3})
    assert stores.tasks.get_summary("t1").result == {"version": 3}
    task = stores.tasks.get("t1")
    stores.tasks.enqueue_again("t1", ResumeOptions(), task.request, task.plan, NOW, "ann", "again")
    assert stores.tasks.get_summary("t1").result is None


def test_durations_of_completed_trainings_match_the_plans_of_others(stores: Stores):
    facts = MemoryFacts("toy", "tiny", {"dtype": "float32"}, (MemorySize(512, 1, 2),), rank=16)
    plan = TrainingPlan("toy", "toy", 1, total_steps=100, global_batch_size=2, memory=PlannedMemory(facts))
    for task_id in ("t1", "t2"):
        stores.tasks.create(replace(new_task(task_id), plan=plan), NOW, "ann")
    attempt = stores.attempts.claim(new_attempt("t1"), NOW)
    stores.attempts.mark_submitted(attempt)
    stores.attempts.mark_running(attempt, ProcessIdentity(4711, 5.0), NOW)
    report = ProgressReport.from_json({"progress": {"current_step": 100}, "speed": {"time_per_step": 0.5}})
    stores.attempts.finish(attempt, Finish(TaskStatus.COMPLETED, "completed", progress=report), later(80))
    assert stores.tasks.completed_runs() == [CompletedRun(Load.of_plan(plan), 0.5, 30.0)]
    assert stores.tasks.queued_work() == {"t2": RemainingWork(Load.of_plan(plan), 100)}


def test_export_by_the_trainer_is_found_by_its_training_and_makes_one_step(stores: Stores):
    stores.tasks.create(new_task("t1"), NOW, "api")
    planned = PlannedExport("t1", "20260101_00-00-00", "global_step1000", "2026-01-01T00:00:00+00:00", 1001)
    new = new_task("e1", key="export t1", kind=TaskType.EXPORT)
    new = replace(
        new, plan=replace(new.plan, total_steps=1001, export=planned), resume=ResumeOptions("global_step1000")
    )
    stores.tasks.create(new, NOW, "api")
    (found,) = stores.tasks.exports_of("t1")
    assert (found.task_id, found.plan.export, found.resume) == ("e1", planned, ResumeOptions("global_step1000"))
    assert stores.tasks.exports_of("e1") == []
    assert stores.tasks.queued_work()["e1"].steps == 1
    # A second one takes its key, and a third at the same time finds the second.
    again = [replace(new, task_id=name, keys_since=later(0.001)) for name in ("e2", "e3")]
    made = [stores.tasks.create(each, later(1), "api").task_id for each in again]
    assert made == ["e2", "e2"]


def test_plan_belongs_to_the_latest_attempt(stores: Stores):
    first = stores.claimed("t1")
    plan = replace(stores.tasks.get("t1").plan, total_steps=31)
    stores.tasks.set_plan(replace(first, number=0), plan)
    assert stores.tasks.get("t1").plan.total_steps is None
    stores.tasks.set_plan(first, plan)
    assert stores.tasks.get("t1").plan == plan
