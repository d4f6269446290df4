"""Invariants under any sequence of events of trainings, on both databases."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.domain.machines.lease import Lease, LeaseKind, LeaseState
from api.domain.tasks.task import RegisteredTask, TaskType
from api.domain.tasks.training import (
    Attempt,
    AttemptStatus,
    EventKind,
    ResumeOptions,
    TaskFilter,
    TaskStatus,
    TaskSummary,
)
from api.errors import Conflict, GPUBusy, TaskActive, TaskExists, TaskNotFinished
from api.gpus.sharing.registration_store import DatabaseRegistrations
from api.training.records.attempt_store import Finish
from api.training.records.task_store import TaskStore
from api.util.clock import FakeClock
from tests.databases import empty
from tests.lengths import length
from tests.unit.db.builders import HANG, NODE, NOW, PROCESS, ROOT, Stores, a_stop, new_attempt, new_task

GPUS = range(3)
ENDS = [*(status for status in TaskStatus if status.is_finished), TaskStatus.QUEUED]
CACHES = [(), ("/cache-a",), ("/cache-a", "/cache-b")]
a_number = st.integers(0, 99)  #: selects one of the objects that exist at that moment
some_gpus = st.lists(st.sampled_from(GPUS), min_size=1, max_size=2, unique=True)


class Trainings(RuleBasedStateMachine):
    """Users, the scheduler, supervisors and external programs, one action at a time."""

    tasks = Bundle("tasks")

    def __init__(self, database: Database) -> None:
        super().__init__()
        empty(database)
        self.database = database
        self.now: datetime = NOW
        self.made = 0
        #: The attempts that a server has read: an action may use values that are long outdated.
        self.remembered: dict[str, Attempt] = {}
        #: The stops of users that were acknowledged and have had no end yet.
        self.asked_to_stop: set[str] = set()
        self.restart()

    @rule()
    def restart(self) -> None:
        """A killed server remembers nothing."""
        self.stores = Stores(self.database)
        self.registrations = DatabaseRegistrations(self.database, NODE, FakeClock())
        self.remembered = {attempt.task_id: attempt for attempt in self.stores.attempts.open(NODE, ROOT)}

    @property
    def remembers(self) -> bool:
        """Whether there is an attempt to act on; otherwise most steps would do nothing."""
        return bool(self.remembered)

    def attempt(self, number: int) -> Attempt:
        return list(self.remembered.values())[number % len(self.remembered)]

    # -- users ---------------------------------------------------------------------------------------------------------

    @initialize(target=tasks)
    def submit_some(self) -> object:
        return multiple(*(self.submit(caches) for caches in CACHES))

    @rule(target=tasks, caches=st.sampled_from(CACHES))
    def submit_one(self, caches: tuple[str, ...]) -> str:
        return self.submit(caches)

    def submit(self, caches: tuple[str, ...]) -> str:
        self.made += 1
        task_id = f"t{self.made}"
        self.stores.tasks.create(new_task(task_id, caches=caches), self.now, "ann")
        return task_id

    @rule(task_id=tasks, force=st.booleans(), by_service=st.booleans())
    def stop_any(self, task_id: str, force: bool, by_service: bool) -> None:
        self.stop(task_id, force, by_service)

    def stop(self, task_id: str, force: bool, by_service: bool) -> None:
        before = self.stores.tasks.get_summary(task_id)
        stop = a_stop("service", force=force, cause=HANG) if by_service else a_stop(force=force)
        try:
            after = self.stores.tasks.request_stop(task_id, stop, self.now, "asked to stop")
        except Conflict:
            assert before.status.is_finished
            return
        assert after.status is (TaskStatus.STOPPED if before.status is TaskStatus.QUEUED else TaskStatus.STOPPING)
        if after.stop is not None:
            was_forced = before.stop is not None and before.stop.force
            assert after.stop.force == (was_forced or force)
        if not by_service and after.status is TaskStatus.STOPPING:
            self.asked_to_stop.add(task_id)

    @precondition(lambda self: self.remembers)
    @rule(number=a_number, force=st.booleans())
    def stop_what_was_claimed(self, number: int, force: bool) -> None:
        task_id = self.attempt(number).task_id
        self.stop(task_id, force, by_service=False)

    @rule(task_id=tasks)
    def resume(self, task_id: str) -> None:
        task = self.stores.tasks.get(task_id)
        try:
            self.stores.tasks.enqueue_again(
                task_id, ResumeOptions(), task.request, task.plan, self.now, "ann", "to be resumed"
            )
        except TaskActive:
            assert not task.status.is_finished

    @rule(task_id=consumes(tasks), target=tasks)
    def forget(self, task_id: str) -> object:
        task = self.stores.tasks.get_summary(task_id)
        holds = any(lease.task_id == task_id for lease in self.stores.attempts.leases())
        try:
            self.stores.tasks.delete(task_id, NOW)
        except TaskNotFinished:
            assert holds or not task.status.is_finished
            return task_id
        assert task.status.is_finished
        self.remembered.pop(task_id, None)
        return multiple()

    # -- the scheduler and the supervisors -----------------------------------------------------------------------------

    @rule(number=a_number, gpus=some_gpus)
    def claim_what_waits(self, number: int, gpus: list[int]) -> None:
        queued = self.stores.tasks.queued()
        if queued:
            self.claim(queued[number % len(queued)].task_id, gpus)

    @rule(task_id=tasks, gpus=some_gpus)
    def claim_any(self, task_id: str, gpus: list[int]) -> None:
        self.claim(task_id, gpus)

    def claim(self, task_id: str, gpus: list[int]) -> None:
        task = self.stores.tasks.get_summary(task_id)
        wanted = {*(f"GPU-{gpu}" for gpu in gpus), *task.caches}
        held = self.stores.held()
        expires_at = self.now + timedelta(seconds=60)
        new = new_attempt(task_id, *gpus, caches=task.caches, expires_at=expires_at)
        try:
            attempt = self.stores.attempts.claim(new, self.now)
        except ResourceHeld as error:
            assert set(error.held) == wanted & set(held) != set()  # noqa: PT017
        except Conflict:
            assert task.status is not TaskStatus.QUEUED
        else:
            assert task.status is TaskStatus.QUEUED
            assert not wanted & set(held)
            self.remembered[task_id] = attempt

    @precondition(lambda self: self.remembers)
    @rule(number=a_number)
    def mark_submitted(self, number: int) -> None:
        self.stores.attempts.mark_submitted(self.attempt(number))

    @precondition(lambda self: self.remembers)
    @rule(number=a_number)
    def mark_running(self, number: int) -> None:
        self.stores.attempts.mark_running(self.attempt(number), PROCESS, self.now)

    @precondition(lambda self: self.remembers)
    @rule(number=a_number)
    def fill_caches(self, number: int) -> None:
        self.stores.attempts.release_cache(self.attempt(number))

    @precondition(lambda self: self.remembers)
    @rule(number=a_number, end=st.sampled_from(ENDS), counts=st.booleans())
    def exit(self, number: int, end: TaskStatus, counts: bool) -> None:
        attempt = self.attempt(number)
        task_id = attempt.task_id
        before = self.stores.tasks.get_summary(task_id)
        was_open = self.stores.attempts.get(attempt.uid).status is not AttemptStatus.ENDED
        finish = Finish(end, f"it is {end} now", retry_in=timedelta(seconds=5), retry_counts=counts)
        try:
            is_first = self.stores.attempts.finish(attempt, finish, self.now)
        except Conflict:
            assert was_open
            assert before.status is not TaskStatus.STOPPING
            assert end is TaskStatus.STOPPED
            return
        assert is_first == was_open
        if is_first:
            is_stopped = task_id in self.asked_to_stop and end is TaskStatus.QUEUED
            assert self.stores.status(task_id) is (TaskStatus.STOPPED if is_stopped else end)
            self.asked_to_stop.discard(task_id)
            left = {lease.resource for lease in self.stores.attempts.leases() if lease.attempt_uid == attempt.uid}
            assert left == set(attempt.gpu_uuids)

    @precondition(lambda self: self.remembers)
    @rule(number=a_number)
    def release_drained(self, number: int) -> None:
        leases = self.stores.attempts.leases(LeaseKind.GPU)
        if leases:
            lease = leases[number % len(leases)]
            assert self.stores.attempts.release_drained(lease) == (lease.state is LeaseState.DRAINING)

    # -- time ----------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1, 61, 100_000]))
    def expire(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        before = self.stores.held()
        # Any lease of these actions has an open attempt, drains, or is registered.
        assert self.stores.attempts.renew([], self.now, self.now) == []
        assert self.stores.held() == before

    @rule()
    def renew(self) -> None:
        expires_at = self.now + timedelta(seconds=60)
        self.stores.attempts.renew(self.stores.attempts.open(NODE, ROOT), expires_at, self.now)

    # -- external programs ---------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(["ext-a", "ext-b"]), gpus=some_gpus)
    def register(self, name: str, gpus: list[int]) -> None:
        uuids = tuple(f"GPU-{gpu}" for gpu in gpus)
        held = self.stores.held()
        try:
            self.registrations.claim(RegisteredTask(name, TaskType.EXTERNAL, uuids, self.now))
        except TaskExists:
            assert name in self.registered()
        except GPUBusy:
            assert set(uuids) & set(held)
        else:
            assert not set(uuids) & set(held)

    @rule(name=st.sampled_from(["ext-a", "ext-b"]))
    def unregister(self, name: str) -> None:
        if name in self.registered():
            self.registrations.release(name)

    def registered(self) -> dict[str, RegisteredTask]:
        return {task.task_id: task for task in self.registrations.list()}

    # -- invariants ----------------------------------------------------------------------------------------------------

    @invariant()
    def everything_fits_together(self) -> None:
        rows, total = self.stores.tasks.page(TaskFilter(), 500, None, None)
        assert len(rows) == total
        leases = self.stores.attempts.leases()
        attempts = {task.task_id: self.stores.attempts.of_task(task.task_id) for task in rows}
        check_leases(leases, {attempt.uid: attempt for found in attempts.values() for attempt in found})
        check_registrations(leases, self.registered())
        for task in rows:
            check_task(task, attempts[task.task_id], leases)
            check_events(self.stores.tasks, task)


def check_leases(leases: list[Lease], attempts: dict[str, Attempt]) -> None:
    """Check that a GPU has one lease: held for an open attempt, draining for an ended one."""
    assert max(Counter(lease.resource for lease in leases).values(), default=1) == 1
    for lease in leases:
        if lease.attempt_uid is None:
            assert lease.state is LeaseState.HELD
            continue
        attempt = attempts[lease.attempt_uid]
        has_ended = attempt.status is AttemptStatus.ENDED
        assert lease.state is (LeaseState.DRAINING if has_ended else LeaseState.HELD)
        assert (lease.task_id, lease.token) == (attempt.task_id, attempt.token)
        assert lease.kind is LeaseKind.GPU or not has_ended


def check_registrations(leases: list[Lease], registered: dict[str, RegisteredTask]) -> None:
    """Check that programs hold their registered GPUs, and that no lease of a released one is left."""
    held: dict[str, set[str]] = {name: set() for name in registered}
    for lease in leases:
        if lease.attempt_uid is None:
            held[lease.task_id].add(lease.resource)
    assert held == {name: set(task.gpu_uuids) for name, task in registered.items()}


def check_task(task: TaskSummary, attempts: list[Attempt], leases: list[Lease]) -> None:
    """Check that an active task has one open attempt, the last, with all its GPUs; others have none."""
    assert [attempt.number for attempt in attempts] == list(range(1, task.attempts + 1))
    is_open = [attempt.status is not AttemptStatus.ENDED for attempt in attempts]
    assert sum(is_open) == task.status.is_active
    assert (task.finished_at is not None) == task.status.is_finished
    assert task.stop is None or task.status is not TaskStatus.QUEUED
    if task.status.is_active:
        assert is_open[-1]
        of_attempt = {lease.resource for lease in leases if lease.attempt_uid == attempts[-1].uid}
        assert set(task.gpu_uuids) == set(attempts[-1].gpu_uuids) <= of_attempt
    if task.status is TaskStatus.RUNNING:
        assert attempts[-1].status is AttemptStatus.RUNNING


def check_events(tasks: TaskStore, task: TaskSummary) -> None:
    """Check that the events of a task lead from its start to its present status."""
    result = [event for event in tasks.events(task.task_id, 0, 1000) if event.type is EventKind.STATUS]
    assert result[0].previous is None
    assert result[-1].current == task.status
    assert all(one.current == other.previous for one, other in pairwise(result))
    assert sum(event.current == TaskStatus.STARTING for event in result) == task.attempts


def test_invariants_hold_after_any_sequence(database: Database, backend: str):
    examples, steps = (length(60, 15), 50) if backend == "sqlite" else (length(10, 3), 50)
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    how = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(lambda: Trainings(database), settings=how)
