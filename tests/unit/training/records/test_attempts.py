"""Attempts: claim, list and record."""

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import CacheStats

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.domain.machines.lease import LeaseKind
from api.domain.tasks.task import ProcessIdentity
from api.domain.tasks.training import AttemptStatus, EventKind, TaskStatus
from api.errors import Conflict, TaskNotFound
from tests.unit.db.builders import NODE, NOW, PROCESS, ROOT, Stores, a_stop, at_step, later, new_attempt, new_task


def free(stores: Stores) -> None:
    for lease in stores.attempts.leases(LeaseKind.GPU):
        stores.attempts.release_drained(lease)


class Statements:
    """The statements that the database executes in the `with` block, and those that were compiled."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self.executed: list[str] = []
        self.compiled: list[str] = []

    def __enter__(self) -> "Statements":
        event.listen(self._engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)

    def _note(self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if context.compiled is None:
            return  # SQLite's own: PRAGMA and BEGIN
        self.executed.append(statement)
        if context.cache_hit is not CacheStats.CACHE_HIT:
            self.compiled.append(statement)


def test_claim_creates_a_complete_attempt(stores: Stores):
    stores.tasks.create(new_task(), NOW, "ann")
    new = new_attempt("t1", 2, 0, known_run_dirs=("a",), run_dir="/r", resumed_from="global_step5")
    attempt = stores.attempts.claim(new, later(1))
    assert (attempt.uid, attempt.number, attempt.status) == ("t1.1", 1, AttemptStatus.CLAIMED)
    assert (attempt.gpu_uuids, attempt.gpu_indices) == (("GPU-2", "GPU-0"), (2, 0))
    assert (attempt.token, attempt.node, attempt.master_port) == (new.token, NODE, new.master_port)
    assert (attempt.directory, attempt.known_run_dirs) == ("/data/t1/attempts/1", ("a",))
    assert (attempt.run_dir, attempt.resumed_from, attempt.created_at) == ("/r", "global_step5", later(1))
    assert stores.attempts.get("t1.1") == attempt


def test_claim_is_six_statements_that_are_compiled_once(database: Database, stores: Stores):
    stores.claimed("t1", 0, 1)
    stores.tasks.create(new_task("t2"), NOW, "ann")
    with Statements(database) as seen:
        stores.attempts.claim(new_attempt("t2", 2, 3, 4), NOW)
    assert [statement.split()[:3] for statement in seen.executed] == [
        ["SELECT", "nodes.drained_at", "FROM"],
        ["UPDATE", "tasks", "SET"],
        ["INSERT", "INTO", "events"],
        ["INSERT", "INTO", "leases"],
        ["INSERT", "INTO", "attempts"],
        ["INSERT", "INTO", "task_gpus"],
    ]
    assert seen.compiled == []


def test_claim_starts_the_task_and_appends_an_event(stores: Stores):
    stores.claimed("t1", 2, 0)
    task = stores.tasks.get("t1")
    assert (task.status, task.attempts, task.gpu_uuids) == (TaskStatus.STARTING, 1, ("GPU-2", "GPU-0"))
    event = stores.tasks.events("t1", 0, 10)[-1]
    assert (event.attempt, event.current, event.message) == ("t1.1", "starting", "assigned GPU 2, GPU 0")


def test_claim_on_a_cluster_names_each_gpu_with_its_machine(stores: Stores):
    stores.claimed("t1", 2, 0, is_fleet=True)
    assert stores.tasks.events("t1", 0, 10)[-1].message == f"assigned GPU {NODE}:2, GPU {NODE}:0"


def test_claim_holds_gpus_port_and_caches(stores: Stores):
    attempt = stores.claimed("t1", 0, 1, caches=("/cache",), master_port=29_500)
    port = f"port:{NODE}:29500"
    assert stores.held() == dict.fromkeys(["GPU-0", "GPU-1", "/cache", port], "t1")
    assert {lease.token for lease in stores.attempts.leases()} == {attempt.token}
    assert stores.attempts.held_ports() == {29_500}


def test_claim_of_a_held_gpu_names_its_holder_and_changes_nothing(stores: Stores):
    stores.claimed("t1", 1)
    stores.tasks.create(new_task("t2"), NOW, "ann")
    before = stores.held(), stores.tasks.get("t2"), stores.tasks.count_events("t2")
    with pytest.raises(ResourceHeld) as refused:
        stores.attempts.claim(new_attempt("t2", 0, 1, 2), NOW)
    assert refused.value.held == {"GPU-1": "t1"}
    assert (stores.held(), stores.tasks.get("t2"), stores.tasks.count_events("t2")) == before
    assert stores.attempts.of_task("t2") == []


@pytest.mark.parametrize("shared", [{"caches": ("/cache",)}, {"master_port": 29_500}], ids=["cache", "port"])
def test_claim_of_a_held_cache_or_port_is_refused(stores: Stores, shared: dict[str, Any]):
    stores.claimed("t1", 0, **shared)
    stores.tasks.create(new_task("t2"), NOW, "ann")
    with pytest.raises(ResourceHeld):
        stores.attempts.claim(new_attempt("t2", 1, **shared), NOW)
    assert stores.status("t2") is TaskStatus.QUEUED


def test_ports_of_two_nodes_are_independent(stores: Stores):
    stores.claimed("t1", 0, master_port=29_500)
    assert stores.claimed("t2", 1, master_port=29_500, node="node-b").master_port == 29_500


def test_cache_with_a_long_path_can_be_held(stores: Stores):
    path = "/" + "a" * 1500
    stores.claimed("t1", 0, caches=(path,))
    assert path in stores.held(LeaseKind.CACHE)


@pytest.mark.parametrize("status", [status for status in TaskStatus if status is not TaskStatus.QUEUED])
def test_claim_for_a_task_that_is_not_queued_is_refused(stores: Stores, status: TaskStatus):
    stores.in_status(status)
    before = stores.held()
    with pytest.raises(Conflict):
        stores.attempts.claim(new_attempt("t1", 7), NOW)
    assert stores.held() == before


def test_claim_for_an_unknown_task_is_not_found(stores: Stores):
    with pytest.raises(TaskNotFound):
        stores.attempts.claim(new_attempt("t1"), NOW)
    assert stores.held() == {}


def test_task_can_be_created_with_its_gpus(stores: Stores):
    attempt = stores.attempts.create_and_claim(new_task("t1", key="k"), new_attempt("t1", 3), NOW, "ann")
    assert attempt is not None
    assert (attempt.uid, attempt.gpu_indices, stores.status()) == ("t1.1", (3,), TaskStatus.STARTING)
    assert [event.current for event in stores.tasks.events("t1", 0, 10)] == ["queued", "starting"]


def test_task_without_free_gpus_is_not_created(stores: Stores):
    stores.claimed("t1", 3)
    with pytest.raises(ResourceHeld):
        stores.attempts.create_and_claim(new_task("t2", key="k"), new_attempt("t2", 3), NOW, "ann")
    assert stores.tasks.names(["t2"]) == []
    assert stores.tasks.find_by_key("k") is None


def test_task_with_a_used_idempotency_key_is_not_created_again(stores: Stores):
    stores.tasks.create(new_task("t1", key="k"), NOW, "ann")
    assert stores.attempts.create_and_claim(new_task("t2", key="k"), new_attempt("t2"), NOW, "ann") is None
    assert stores.held() == {}
    assert stores.tasks.names(["t2"]) == []


# -- lists -------------------------------------------------------------------------------------------------------------


def test_attempts_are_numbered_in_order(stores: Stores):
    stores.tasks.create(new_task(), NOW, "ann")
    for _ in range(3):
        attempt = stores.attempts.claim(new_attempt("t1", 0), NOW)
        stores.finish(attempt, TaskStatus.QUEUED)
        free(stores)
    found = stores.attempts.of_task("t1")
    assert [(attempt.uid, attempt.number, attempt.directory[-2:]) for attempt in found] == [
        ("t1.1", 1, "/1"),
        ("t1.2", 2, "/2"),
        ("t1.3", 3, "/3"),
    ]
    assert stores.tasks.get("t1").attempts == 3


def test_open_attempts_are_those_of_a_node_that_have_not_ended(stores: Stores):
    stores.claimed("t1", 0)
    stores.running("t2", 1)
    stores.stopping("t3", 2)
    stores.finish(stores.running("t4", 3), TaskStatus.COMPLETED)
    stores.claimed("t5", 4, node="node-b")
    assert {attempt.task_id for attempt in stores.attempts.open(NODE, ROOT)} == {"t1", "t2", "t3"}
    assert [attempt.task_id for attempt in stores.attempts.open("node-b", ROOT)] == ["t5"]


# -- records -----------------------------------------------------------------------------------------------------------


def test_every_submission_is_recorded(stores: Stores):
    attempt = stores.claimed()
    assert stores.attempts.mark_submitted(attempt)
    assert stores.attempts.mark_submitted(attempt)
    assert stores.attempts.get(attempt.uid).status is AttemptStatus.SUBMITTED


def test_submission_of_a_running_or_ended_attempt_is_not_recorded(stores: Stores):
    running, ended = stores.running("t1", 0), stores.claimed("t2", 1)
    stores.finish(ended, TaskStatus.FAILED)
    assert not stores.attempts.mark_submitted(running)
    assert not stores.attempts.mark_submitted(ended)
    assert stores.attempts.get(ended.uid).status is AttemptStatus.ENDED


def test_running_process_makes_the_task_run(stores: Stores):
    attempt = stores.claimed()
    stores.attempts.mark_submitted(attempt)
    stores.attempts.mark_running(attempt, PROCESS, later(3))
    noted, task = stores.attempts.get(attempt.uid), stores.tasks.get("t1")
    assert (noted.status, noted.started_at) == (AttemptStatus.RUNNING, later(3))
    assert (noted.pid, noted.pid_start) == (4711, 12.5)
    assert (task.status, task.started_at) == (TaskStatus.RUNNING, later(3))


def test_running_process_is_recorded_once(stores: Stores):
    attempt = stores.running()
    before = stores.tasks.count_events("t1")
    stores.attempts.mark_running(attempt, ProcessIdentity(99, 1.0), later(9))
    assert stores.attempts.get(attempt.uid).pid == 4711
    assert stores.tasks.count_events("t1") == before


def test_unsubmitted_process_does_not_run(stores: Stores):
    attempt = stores.claimed()
    stores.attempts.mark_running(attempt, PROCESS, NOW)
    assert stores.attempts.get(attempt.uid).status is AttemptStatus.CLAIMED
    assert stores.status() is TaskStatus.STARTING


def test_running_process_leaves_a_stopping_task_stopping(stores: Stores):
    attempt = stores.claimed()
    stores.tasks.request_stop("t1", a_stop(), NOW, "asked to stop")
    stores.attempts.mark_submitted(attempt)
    stores.attempts.mark_running(attempt, PROCESS, NOW)
    assert stores.status() is TaskStatus.STOPPING
    assert stores.attempts.get(attempt.uid).status is AttemptStatus.RUNNING


def test_facts_of_an_attempt_are_stored_until_it_ends(stores: Stores):
    attempt = stores.running()
    stores.attempts.record(attempt, run_dir="/r", first_step=1, last_step=7, peak_memory_mb=900)
    stores.finish(attempt, TaskStatus.FAILED)
    stores.attempts.record(attempt, last_step=8)
    noted = stores.attempts.get(attempt.uid)
    assert (noted.run_dir, noted.first_step, noted.last_step, noted.peak_memory_mb) == ("/r", 1, 7, 900)


def test_facts_at_the_end_take_precedence_over_recorded_ones(stores: Stores):
    attempt = stores.running()
    stores.attempts.record(attempt, run_dir="/r", first_step=1, last_step=7, peak_memory_mb=900)
    stores.finish(attempt, TaskStatus.FAILED, run_dir="/s", first_step=0, last_step=8, peak_memory_mb=901)
    noted = stores.attempts.get(attempt.uid)
    assert (noted.run_dir, noted.first_step, noted.last_step, noted.peak_memory_mb) == ("/s", 0, 8, 901)


def test_old_token_changes_nothing(stores: Stores):
    attempt = stores.running()
    stranger = type(attempt)(**{**{name: getattr(attempt, name) for name in attempt.__slots__}, "token": "other"})
    stores.attempts.record(stranger, last_step=7)
    assert not stores.attempts.mark_submitted(stranger)
    assert not stores.finish(stranger, TaskStatus.FAILED)
    assert stores.attempts.get(attempt.uid) == stores.attempts.open(NODE, ROOT)[0]
    assert stores.attempts.get(attempt.uid).last_step is None


def test_progress_of_active_tasks_is_stored(stores: Stores):
    stores.running("t1", 0)
    stores.tasks.create(new_task("t2"), NOW, "ann")
    stores.attempts.save_progress({"t1": at_step(1), "t2": at_step(2), "t9": at_step(9)}, later(1))
    assert (stores.tasks.get("t1").progress, stores.tasks.get("t1").updated_at) == (at_step(1), later(1))
    assert stores.tasks.get("t2").progress is None


def test_events_of_an_attempt_name_it(stores: Stores):
    attempt = stores.stopping()
    stores.finish(attempt, TaskStatus.STOPPED)
    result = [
        (event.previous, event.current, event.attempt)
        for event in stores.tasks.events("t1", 0, 100)
        if event.type is EventKind.STATUS
    ]
    assert result == [
        (None, "queued", None),
        ("queued", "starting", "t1.1"),
        ("starting", "running", "t1.1"),
        ("running", "stopping", None),
        ("stopping", "stopped", "t1.1"),
    ]


# -- work for the loop -------------------------------------------------------------------------------------------------


def test_work_exists_from_the_queue_until_the_last_gpu_is_drained(stores: Stores):
    assert not stores.attempts.has_work()
    stores.tasks.create(new_task(), NOW, "ann")
    assert stores.attempts.has_work()
    attempt = stores.attempts.claim(new_attempt(), NOW)
    assert stores.attempts.has_work()
    stores.finish(attempt, TaskStatus.FAILED)
    assert stores.attempts.has_work()
    free(stores)
    assert not stores.attempts.has_work()
