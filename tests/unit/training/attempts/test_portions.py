"""A round handles as many attempts as its time permits, and forgets none."""

from collections import Counter
from typing import cast

from api.domain.training import Attempt
from api.training.attempts.portions import CHANGING_SECONDS, ROUND_SECONDS, Portions
from api.util.clock import FakeClock
from tests.unit.trainings import TrainingMachine


class Named:
    """The part of an attempt that a round reads."""

    def __init__(self, uid: str) -> None:
        self.uid = uid


def named(*uids: str) -> list[Attempt]:
    return [cast("Attempt", Named(uid)) for uid in uids]


def handled(
    portions: Portions, clock: FakeClock, attempts: list[Attempt], seconds: float, changing: str = "", urgent: str = ""
) -> list[str]:
    """Return the uids that a round handles, each for this many seconds."""
    seen = []
    for attempt in portions.choose(attempts, lambda one: one.uid in changing, lambda one: one.uid in urgent):
        seen.append(attempt.uid)
        clock.advance(seconds)
    return seen


def test_quick_attempts_are_handled_in_every_round(clock: FakeClock):
    portions = Portions(clock)
    for _ in range(2):
        assert handled(portions, clock, named("a", "b", "c"), 0.01) == ["a", "b", "c"]


def test_remaining_attempts_come_first_in_the_next_round_with_equal_turns(clock: FakeClock):
    portions, turns = Portions(clock), Counter[str]()
    attempts = named(*"abcdefg")
    for _ in range(14):
        turns.update(handled(portions, clock, attempts, 2 * ROUND_SECONDS))
    assert turns == dict.fromkeys("abcdefg", 2)


def test_a_thousand_changes_do_not_delay_followed_attempts(clock: FakeClock):
    portions, attempts = Portions(clock), named(*"abcdefg")
    seen = [handled(portions, clock, attempts, ROUND_SECONDS * 0.27, changing="abcde") for _ in range(3)]
    assert seen == [["f", "g", "a", "b"], ["f", "g", "c", "d"], ["f", "g", "e", "a"]]


def test_round_reserves_time_for_changing_attempts(clock: FakeClock):
    portions, attempts, seen = Portions(clock), named(*"abcdefg"), []
    for attempt in portions.choose(attempts, lambda one: one.uid in "abcd", lambda one: False):
        seen.append(attempt.uid)
        clock.advance(0.55 * CHANGING_SECONDS if attempt.uid in "abcd" else 1.1 * ROUND_SECONDS)
    assert seen == ["e", "a", "b"]


def test_stops_come_before_others_that_wait_equally_long(clock: FakeClock):
    portions, attempts = Portions(clock), named(*"abcd")
    seen = [handled(portions, clock, attempts, 1.1 * ROUND_SECONDS, changing="abcd", urgent="c") for _ in range(5)]
    assert seen == [["c"], ["a"], ["b"], ["d"], ["c"]]


def test_attempt_slower_than_a_round_gets_its_turn(clock: FakeClock):
    assert handled(Portions(clock), clock, named("a", "b"), 60.0, changing="a") == ["b", "a"]


def test_starting_head_takes_over_running_attempts_in_several_rounds(machine: TrainingMachine, monkeypatch):
    for task_id in "abc":
        machine.run(task_id, count=1)
    machine.reconciler.stand_down()
    read = machine.executor.read_log

    def slow_read(*arguments):
        machine.clock.advance(1.1 * ROUND_SECONDS)
        return read(*arguments)

    monkeypatch.setattr(machine.executor, "read_log", slow_read)
    followed = []
    for _ in range(3):
        machine.reconciler.tick()
        followed.append(sum(machine.reconciler.find_watch(task_id) is not None for task_id in "abc"))
    assert followed == [1, 2, 3]
