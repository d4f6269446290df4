from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from api.domain.reason import Reason
from api.training.scheduler import Pass
from api.training.waiting_reasons import DECISION_SECONDS, WaitingReasons
from api.util.clock import FakeClock


def a_pass(words: str) -> Pass:
    return Pass(waiting={"a": Reason.of(words, "some")})


def planning(words: str, made: list[int]) -> Callable[[], Pass]:
    def plan() -> Pass:
        made.append(1)
        return a_pass(words)

    return plan


def test_what_was_published_is_given_while_it_is_fresh(clock: FakeClock):
    made: list[int] = []
    reasons = WaitingReasons(clock, planning("as asked", made))
    reasons.publish(a_pass("as published"))
    clock.advance(DECISION_SECONDS)
    assert (reasons.get("a").text, made) == ("as published", [])
    clock.advance(0.1)
    assert (reasons.get("a").text, made) == ("as asked", [1])


def test_many_questions_at_once_make_one_pass(clock: FakeClock):
    made: list[int] = []
    reasons = WaitingReasons(clock, planning("as asked", made))
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: reasons.get("a").text, range(50)))
    assert (answers, made) == ({"as asked"}, [1])


def test_a_question_changes_nothing_of_what_was_published(clock: FakeClock):
    reasons = WaitingReasons(clock, planning("as asked", []))
    reasons.publish(a_pass("as published"))
    before = reasons._published
    clock.advance(60)
    reasons.get("a")
    assert reasons._published is before


def test_who_came_after_the_pass_has_just_been_queued(clock: FakeClock):
    reasons = WaitingReasons(clock, Pass)
    reasons.publish(a_pass("as published"))
    assert reasons.get("new").text == "it has just been put into the queue"
