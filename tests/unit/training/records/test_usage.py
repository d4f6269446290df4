"""The usage of owners in the database, and quotas that hold under concurrency."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select, text

from api.db.database import Database
from api.db.leases import ResourceHeld
from api.db.tables import past_use
from api.domain.tasks.training import Attempt, ResumeOptions, TaskStatus
from api.domain.tasks.usage import GPUHold
from api.errors import DatabaseUnavailable
from api.training.records.attempt_store import Finish
from api.training.records.usage_store import Bound, OverQuota, UsageStore
from tests.unit.db.builders import NOW, Stores, later, new_attempt, new_task

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def usage(database: Database) -> UsageStore:
    return UsageStore(database)


def begin(stores: Stores, task_id: str, owner: str | None, *gpus: int, at: float = 0.0) -> Attempt:
    """Start an attempt that has had its GPUs since so many seconds after NOW."""
    stores.tasks.create(new_task(task_id, owner=owner), later(at), "ann")
    return stores.attempts.claim(new_attempt(task_id, *gpus), later(at))


def end(stores: Stores, attempt: Attempt, at: float) -> None:
    """End an attempt and release its GPUs."""
    stores.attempts.finish(attempt, Finish(TaskStatus.COMPLETED, "done"), later(at))
    for lease in stores.attempts.leases():
        stores.attempts.release_drained(lease)


def test_gpus_of_open_attempts_count_for_their_owner(stores: Stores, usage: UsageStore):
    begin(stores, "a", "ann", 0, 1)
    begin(stores, "b", "ann", 2)
    begin(stores, "c", "bob", 3)
    begin(stores, "d", None, 4)
    assert usage.held() == {"ann": 3, "bob": 1}


def test_ended_attempt_uses_nothing(stores: Stores, usage: UsageStore):
    end(stores, begin(stores, "a", "ann", 0, 1), 60)
    assert usage.held() == {}


def test_queued_tasks_are_counted_by_owner(stores: Stores, usage: UsageStore):
    for number in range(3):
        stores.tasks.create(new_task(f"t{number}", owner="ann"), NOW, "ann")
    begin(stores, "runs", "ann", 0)
    assert (usage.queued_by("ann"), usage.queued_by("bob"), usage.queued()) == (3, 0, {"ann": 3})


def test_gpu_seconds_are_counted_per_gpu_and_until_now_while_running(stores: Stores, usage: UsageStore):
    end(stores, begin(stores, "a", "ann", 0, 1), HOUR)
    begin(stores, "b", "bob", 2)
    begin(stores, "c", None, 3, at=HOUR)
    assert usage.gpu_seconds(later(2 * HOUR)) == {"ann": 2 * HOUR, "bob": 2 * HOUR, None: HOUR}


def test_only_the_last_day_counts(stores: Stores, usage: UsageStore):
    end(stores, begin(stores, "long ago", "ann", 0), HOUR)
    end(stores, begin(stores, "half", "ann", 0, at=2 * HOUR), 4 * HOUR)
    begin(stores, "runs", "bob", 1, 2)
    assert usage.gpu_seconds(later(DAY + 3 * HOUR)) == {"ann": HOUR, "bob": 2 * DAY}
    assert usage.holds("ann", later(DAY + 3 * HOUR)) == [
        GPUHold(1, later(2 * HOUR).timestamp(), later(4 * HOUR).timestamp())
    ]


def test_clock_set_back_gives_no_negative_hours(stores: Stores, usage: UsageStore):
    begin(stores, "a", "ann", 0, at=HOUR)
    assert usage.gpu_seconds(NOW) == {}


def test_deleting_a_task_returns_no_hours(stores: Stores, usage: UsageStore):
    end(stores, begin(stores, "a", "ann", 0, 1), HOUR)
    begin(stores, "b", "ann", 2, at=HOUR)
    before = usage.gpu_seconds(later(2 * HOUR))
    stores.tasks.delete("a", later(2 * HOUR))
    assert usage.gpu_seconds(later(2 * HOUR)) == before == {"ann": 3 * HOUR}
    assert {hold.gpus for hold in usage.holds("ann", later(2 * HOUR))} == {1, 2}


def test_usage_of_deleted_tasks_is_deleted_after_a_day(stores: Stores, usage: UsageStore):
    for number, at in enumerate((0.0, DAY, 3 * DAY)):
        end(stores, begin(stores, f"t{number}", "ann", 0, at=at), at + HOUR)
        stores.tasks.delete(f"t{number}", later(at + HOUR))
    with stores.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(past_use)) == 1
    assert usage.gpu_seconds(later(3 * DAY + HOUR)) == {"ann": HOUR}


def test_tasks_with_an_owner_are_listed_with_their_ends(stores: Stores, usage: UsageStore):
    end(stores, begin(stores, "a", "ann", 0), HOUR)
    stores.tasks.create(new_task("b", owner="bob"), NOW, "bob")
    stores.tasks.create(new_task("c"), NOW, "api")
    assert sorted(usage.owned_tasks()) == [("a", "ann", later(HOUR).timestamp()), ("b", "bob", None)]


@pytest.mark.parametrize("backend", ["sqlite"])
def test_usage_query_uses_an_index(stores: Stores, usage: UsageStore):
    plans = []
    with stores.database.read() as connection:
        for condition in ("ended_at IS NULL", "(ended_at IS NULL OR ended_at > 5.0)"):
            rows = connection.execute(text(f"EXPLAIN QUERY PLAN SELECT uid FROM attempts WHERE {condition}"))
            plans.append(" ".join(row.detail for row in rows))
    assert all("ix_attempts_ended" in plan for plan in plans), plans


# -- quotas ------------------------------------------------------------------------------------------------------------


def test_claim_beyond_the_quota_changes_nothing(stores: Stores, usage: UsageStore):
    begin(stores, "a", "ann", 0, 1)
    stores.tasks.create(new_task("b", owner="ann"), NOW, "ann")
    with pytest.raises(OverQuota) as refused:
        stores.attempts.claim(new_attempt("b", 2, 3), NOW, Bound("ann", 3))
    assert (refused.value.limit, refused.value.used) == (3, 2)
    assert stores.status("b") is TaskStatus.QUEUED
    assert "GPU-2" not in stores.held()
    assert stores.attempts.claim(new_attempt("b", 2), NOW, Bound("ann", 3)).gpu_uuids == ("GPU-2",)


def test_full_queue_accepts_no_task(stores: Stores):
    bound = Bound("ann", 1)
    stores.tasks.create(new_task("a", owner="ann"), NOW, "ann", bound)
    with pytest.raises(OverQuota):
        stores.tasks.create(new_task("b", owner="ann"), NOW, "ann", bound)
    assert stores.tasks.find_by_key(None) is None
    assert [task.task_id for task in stores.tasks.queued()] == ["a"]


def test_retry_of_a_start_gets_its_task_although_the_queue_is_full(stores: Stores):
    bound = Bound("ann", 1)
    first = stores.tasks.create(new_task("a", "key", owner="ann"), NOW, "ann", bound)
    assert stores.tasks.create(new_task("b", "key", owner="ann"), NOW, "ann", bound) == first


def test_finished_task_resumes_only_if_the_queue_has_space(stores: Stores):
    end(stores, begin(stores, "a", "ann", 0), HOUR)
    stores.tasks.create(new_task("b", owner="ann"), NOW, "ann")
    new = new_task("a", owner="ann")
    again: tuple[Any, ...] = ("a", ResumeOptions(), new.request, new.plan, NOW, "ann", "to be resumed")
    prepared: list[str] = []
    with pytest.raises(OverQuota):
        stores.tasks.enqueue_again(*again, Bound("ann", 1), lambda: prepared.append("refused"))
    assert stores.status("a") is TaskStatus.COMPLETED
    accepted = stores.tasks.enqueue_again(*again, Bound("ann", 2), lambda: prepared.append("accepted"))
    assert (accepted.status, prepared) == (TaskStatus.QUEUED, ["accepted"])


THREADS = 32


def at_once(ask: Callable[[int], bool]) -> int:
    """Return how many of 32 threads that try at the same time succeed."""
    ready = threading.Barrier(THREADS)

    def patiently(number: int) -> bool:
        ready.wait(30)
        while True:
            try:
                return ask(number)
            except DatabaseUnavailable:
                # A busy machine: a request would have to be repeated.
                continue

    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(patiently, range(THREADS)))


def test_32_concurrent_claims_respect_the_gpu_quota(stores: Stores, usage: UsageStore):
    def claim(number: int) -> bool:
        new = new_task(f"t{number}", owner="ann")
        try:
            stores.attempts.create_and_claim(
                new, new_attempt(new.task_id, 2 * number, 2 * number + 1), NOW, "ann", Bound("ann", 7)
            )
        except (OverQuota, ResourceHeld):
            return False
        return True

    assert at_once(claim) == 3
    assert usage.held() == {"ann": 6}


def test_32_claims_of_queued_and_new_tasks_share_one_quota(stores: Stores, usage: UsageStore):
    for number in range(0, THREADS, 2):
        stores.tasks.create(new_task(f"t{number}", owner="ann"), NOW, "ann")

    def claim(number: int) -> bool:
        attempt, bound = new_attempt(f"t{number}", number), Bound("ann", 5)
        try:
            if number % 2:
                stores.attempts.create_and_claim(new_task(f"t{number}", owner="ann"), attempt, NOW, "ann", bound)
            else:
                stores.attempts.claim(attempt, NOW, bound)
        except OverQuota:
            return False
        return True

    assert at_once(claim) == 5
    assert usage.held() == {"ann": 5}


def test_32_concurrent_starts_respect_the_queue_quota(stores: Stores, usage: UsageStore):
    def start(number: int) -> bool:
        try:
            stores.tasks.create(new_task(f"t{number}", owner="ann"), NOW, "ann", Bound("ann", 4))
        except OverQuota:
            return False
        return True

    assert at_once(start) == 4
    assert usage.queued_by("ann") == 4


def test_quota_of_one_owner_does_not_block_others(stores: Stores, usage: UsageStore):
    begin(stores, "a", "ann", 0)
    stores.tasks.create(new_task("b", owner="bob"), NOW, "bob")
    stores.attempts.claim(new_attempt("b", 1), NOW, Bound("bob", 1))
    assert usage.held() == {"ann": 1, "bob": 1}
