import threading

from api.services.readers import Reader, Round
from api.utils.clock import FakeClock


def test_round_that_nobody_was_asked_for_is_over():
    assert Round().wait(0.0)


def test_round_ends_when_everyone_has_answered(clock: FakeClock):
    ran: list[int] = []
    readers = [Reader(f"test-{i}", lambda i=i: ran.append(i), clock) for i in range(4)]
    round_ = Round()
    assert [reader.ask(round_) for reader in readers] == [True] * 4
    assert round_.wait(10)
    assert sorted(ran) == [0, 1, 2, 3]
    for reader in readers:
        reader.stop()


def test_stuck_read_makes_the_round_late_and_refuses_the_next(clock: FakeClock):
    release = threading.Event()
    reader = Reader("test-stuck", lambda: release.wait(30), clock)
    round_ = Round()
    reader.ask(round_)
    assert not round_.wait(0.0)
    assert not reader.ask(Round())
    clock.advance(7)
    assert reader.busy_seconds == 7
    release.set()
    assert round_.wait(10)
    assert reader.busy_seconds is None
    reader.stop()


def test_read_that_fails_still_answers(clock: FakeClock):
    def fail() -> None:
        raise ValueError("broken")

    reader = Reader("test-failing", fail, clock)
    for _ in range(2):
        round_ = Round()
        assert reader.ask(round_)
        assert round_.wait(10)
    reader.stop()


def test_late_answer_of_a_stuck_read_does_not_count_for_a_later_round(clock: FakeClock):
    release = threading.Event()
    reader = Reader("test-stuck", lambda: release.wait(30), clock)
    first, later = Round(), Round()
    reader.ask(first)
    assert not reader.ask(later)
    assert later.wait(0.0)
    release.set()
    assert first.wait(10)
    reader.stop()
