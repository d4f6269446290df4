"""At most one server leads, and only the leader's writes succeed."""

from collections.abc import Callable

import pytest
from sqlalchemy import delete, update

from api.db.database import Database
from api.db.leadership import CHECK_SECONDS, LEADERSHIP_SECONDS, RENEW_SECONDS, Leadership, LeadershipLost
from api.db.tables import leadership
from api.domain.tasks.training import TaskStatus
from api.util.clock import FakeClock
from tests.unit.db.builders import NOW, Stores, new_attempt, new_task

Make = Callable[[str], Leadership]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gone() -> set[str]:
    """The servers that are known to have ended."""
    return set()


@pytest.fixture
def make(database: Database, clock: FakeClock, gone: set[str]) -> Make:
    return lambda name: Leadership(database, "queue", lambda: name, clock, gone.__contains__)


def wait(clock: FakeClock, seconds: float, *watching: Leadership) -> list[bool]:
    """Let time pass while these check twice a second; return whether each leads at the end."""
    leads = [False for _ in watching]
    for _ in range(int(seconds * 2)):
        clock.advance(0.5)
        leads = [each.hold() for each in watching]
    return leads


def test_first_candidate_leads_and_others_do_not(make: Make):
    first, second = make("a"), make("b")
    assert [first.hold(), second.hold(), first.hold(), second.hold()] == [True, False, True, False]


def test_leader_that_renews_is_not_replaced(make: Make, clock: FakeClock):
    first, second = make("a"), make("b")
    assert first.hold()
    assert wait(clock, 10 * LEADERSHIP_SECONDS, first, second) == [True, False]


def test_silent_leader_is_replaced_after_a_while(make: Make, clock: FakeClock):
    first, second = make("a"), make("b")
    assert first.hold()
    assert not second.hold()
    assert wait(clock, LEADERSHIP_SECONDS - 1, second) == [False]
    assert wait(clock, 1.5, second) == [True]
    assert not first.hold()


def test_leader_known_to_have_ended_is_replaced_immediately(make: Make, gone: set[str]):
    first, second = make("a"), make("b")
    assert first.hold()
    gone.add("a")
    assert second.hold()


def test_leader_that_releases_is_replaced_immediately(make: Make):
    first, second = make("a"), make("b")
    assert first.hold()
    first.release()
    assert second.hold()
    assert not first.hold()


def test_unavailable_database_does_not_make_a_leader_look_dead(make: Make, clock: FakeClock):
    first, second = make("a"), make("b")
    assert first.hold()
    assert not second.hold()
    clock.advance(3600.0)
    assert not second.hold()
    assert first.hold()
    assert CHECK_SECONDS < LEADERSHIP_SECONDS


def test_one_of_two_candidates_takes_over(make: Make, clock: FakeClock, gone: set[str]):
    first, second, third = make("a"), make("b"), make("c")
    assert first.hold()
    gone.add("a")
    assert [second.hold(), third.hold()] == [True, False]


def test_replaced_leader_writes_nothing(make: Make, gone: set[str], stores: Stores):
    first, second = make("a"), make("b")
    assert first.hold()
    stores.tasks.create(new_task(), NOW, "ann")
    gone.add("a")
    assert second.hold()
    with pytest.raises(LeadershipLost), first.guarding():
        stores.attempts.claim(new_attempt(), NOW)
    assert stores.status() is TaskStatus.QUEUED
    assert stores.held() == {}
    with second.guarding():
        stores.attempts.claim(new_attempt(), NOW)
    assert stores.status() is TaskStatus.STARTING


def test_unguarded_writes_need_no_leadership(make: Make, stores: Stores):
    assert make("a").hold()
    stores.tasks.create(new_task(), NOW, "ann")
    assert stores.status() is TaskStatus.QUEUED


def test_database_without_a_leadership_row_has_no_leader(make: Make, database: Database, clock: FakeClock):
    first, second = make("a"), make("b")
    assert first.hold()
    with database.write() as connection:
        connection.execute(delete(leadership))
    with pytest.raises(LeadershipLost), first.guarding(), database.write():
        pass
    assert second.hold()
    clock.advance(RENEW_SECONDS)
    assert not first.hold()


def test_fence_increases_with_each_leader(make: Make, database: Database, gone: set[str]):
    first, second = make("a"), make("b")
    assert first.hold()
    gone.update("ab")
    assert second.hold()
    assert first._fence is not None
    with pytest.raises(LeadershipLost), first.guarding(), database.write():
        pass
    assert first.hold()
    assert first._fence == 3


def test_restored_backup_with_the_same_fence_revives_no_leader(make: Make, database: Database):
    first = make("a")
    assert first.hold()
    with database.write() as connection:
        connection.execute(update(leadership).values(holder="somebody"))
    with pytest.raises(LeadershipLost), first.guarding(), database.write():
        pass
