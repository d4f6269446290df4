import threading

from api.gpus.reader_threads import Reader
from api.util.clock import FakeClock


def test_reader_answers_each_time_it_is_asked(clock: FakeClock):
    ran: list[int] = []
    reader = Reader("test", lambda: ran.append(1), clock)
    for _ in range(3):
        assert reader.ask()
        assert reader.wait(10)
    assert len(ran) == 3
    reader.stop()


def test_reader_that_is_never_asked_starts_no_thread(clock: FakeClock):
    before = threading.active_count()
    Reader("test-idle", lambda: None, clock).stop()
    assert threading.active_count() == before


def test_stuck_read_is_late_and_refuses_the_next(clock: FakeClock):
    release = threading.Event()
    reader = Reader("test-stuck", lambda: release.wait(30) and None, clock)
    assert reader.ask()
    assert not reader.wait(0.0)
    assert not reader.ask()
    clock.advance(7)
    assert reader.busy_seconds == 7
    release.set()
    assert reader.wait(10)
    assert reader.busy_seconds is None
    reader.stop()


def test_read_that_fails_still_answers(clock: FakeClock):
    def fail() -> None:
        raise ValueError("broken")

    reader = Reader("test-failing", fail, clock)
    for _ in range(2):
        assert reader.ask()
        assert reader.wait(10)
    reader.stop()


def test_end_of_one_read_is_never_taken_for_the_end_of_the_next(clock: FakeClock):
    gate = threading.Semaphore(0)
    reader = Reader("test-next", lambda: gate.acquire(timeout=30) and None, clock)
    for _ in range(200):
        while not reader.ask():
            pass
        assert not reader.wait(0.0)
        gate.release()
    assert reader.wait(10)
    reader.stop()
