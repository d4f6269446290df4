"""A round takes of many attempts as many as its time permits, and forgets none."""

from collections import Counter
from typing import cast

from api.domain.training import Attempt
from api.training.attempts.portions import CHANGING_SECONDS, ROUND_SECONDS, Portions
from api.util.clock import FakeClock
from tests.unit.trainings import TrainingMachine


class Named:
    """An attempt as far as a round asks for it."""

    def __init__(self, uid: str) -> None:
        self.uid = uid


def named(*uids: str) -> list[Attempt]:
    return [cast("Attempt", Named(uid)) for uid in uids]


def look(
    portions: Portions, clock: FakeClock, attempts: list[Attempt], seconds: float, changing: str = "", urgent: str = ""
) -> list[str]:
    """The uids that a round looks at, each for so long."""
    seen = []
    for attempt in portions.choose(attempts, lambda one: one.uid in changing, lambda one: one.uid in urgent):
        seen.append(attempt.uid)
        clock.advance(seconds)
    return seen


def test_what_is_quickly_looked_at_is_looked_at_by_every_round(clock: FakeClock):
    portions = Portions(clock)
    for _ in range(2):
        assert look(portions, clock, named("a", "b", "c"), 0.01) == ["a", "b", "c"]


def test_those_that_are_left_are_the_first_of_the_next_round_and_all_have_as_many_turns(clock: FakeClock):
    portions, turns = Portions(clock), Counter[str]()
    attempts = named(*"abcdefg")
    for _ in range(14):
        turns.update(look(portions, clock, attempts, 2 * ROUND_SECONDS))
    assert turns == dict.fromkeys("abcdefg", 2)


def test_a_thousand_that_change_keep_nobody_from_being_followed(clock: FakeClock):
    portions, attempts = Portions(clock), named(*"abcdefg")
    seen = [look(portions, clock, attempts, ROUND_SECONDS * 0.27, changing="abcde") for _ in range(3)]
    assert seen == [["f", "g", "a", "b"], ["f", "g", "c", "d"], ["f", "g", "e", "a"]]


def test_a_round_that_merely_follows_leaves_some_time_to_those_that_change(clock: FakeClock):
    portions, attempts, seen = Portions(clock), named(*"abcdefg"), []
    for attempt in portions.choose(attempts, lambda one: one.uid in "abcd", lambda one: False):
        seen.append(attempt.uid)
        clock.advance(0.55 * CHANGING_SECONDS if attempt.uid in "abcd" else 1.1 * ROUND_SECONDS)
    assert seen == ["e", "a", "b"]


def test_who_is_to_be_stopped_is_looked_at_before_others_that_wait_as_long(clock: FakeClock):
    portions, attempts = Portions(clock), named(*"abcd")
    seen = [look(portions, clock, attempts, 1.1 * ROUND_SECONDS, changing="abcd", urgent="c") for _ in range(5)]
    assert seen == [["c"], ["a"], ["b"], ["d"], ["c"]]


def test_one_that_takes_longer_than_a_round_has_its_turn(clock: FakeClock):
    assert look(Portions(clock), clock, named("a", "b"), 60.0, changing="a") == ["b", "a"]


def test_a_head_that_begins_takes_up_what_runs_in_several_rounds(machine: TrainingMachine, monkeypatch):
    for task_id in "abc":
        machine.run(task_id, count=1)
    machine.reconciler.stand_down()
    read = machine.executor.read_log

    def slow_read(*asked):
        machine.clock.advance(1.1 * ROUND_SECONDS)
        return read(*asked)

    monkeypatch.setattr(machine.executor, "read_log", slow_read)
    followed = []
    for _ in range(3):
        machine.reconciler.tick()
        followed.append(sum(machine.reconciler.find_watch(task_id) is not None for task_id in "abc"))
    assert followed == [1, 2, 3]
