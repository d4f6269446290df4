from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from api.domain.reason import Reason
from api.training.scheduler import Pass
from api.training.waiting_reasons import DECISION_SECONDS, WaitingReasons
from api.util.clock import FakeClock


def a_pass(text: str) -> Pass:
    return Pass(waiting={"a": Reason.of(text, "some")})


def planning(text: str, made: list[int]) -> Callable[[], Pass]:
    def plan() -> Pass:
        made.append(1)
        return a_pass(text)

    return plan


def test_published_pass_is_used_while_it_is_recent(clock: FakeClock):
    made: list[int] = []
    reasons = WaitingReasons(clock, planning("as asked", made))
    reasons.publish(a_pass("as published"))
    clock.advance(DECISION_SECONDS)
    assert (reasons.get("a").text, made) == ("as published", [])
    clock.advance(0.1)
    assert (reasons.get("a").text, made) == ("as asked", [1])


def test_concurrent_readers_share_one_pass(clock: FakeClock):
    made: list[int] = []
    reasons = WaitingReasons(clock, planning("as asked", made))
    with ThreadPoolExecutor(8) as threads:
        answers = set(threads.map(lambda _: reasons.get("a").text, range(50)))
    assert (answers, made) == ({"as asked"}, [1])


def test_reading_does_not_change_the_published_pass(clock: FakeClock):
    reasons = WaitingReasons(clock, planning("as asked", []))
    reasons.publish(a_pass("as published"))
    before = reasons._published
    clock.advance(60)
    reasons.get("a")
    assert reasons._published is before


def test_task_queued_after_the_pass_gets_that_reason(clock: FakeClock):
    reasons = WaitingReasons(clock, Pass)
    reasons.publish(a_pass("as published"))
    assert reasons.get("new").text == "it was queued a moment ago"
