import threading

from api.gpus.reader_threads import Reader
from api.util.clock import FakeClock


def test_reader_answers_every_request(clock: FakeClock):
    ran: list[int] = []
    reader = Reader("test", lambda: ran.append(1), clock)
    for _ in range(3):
        assert reader.start_read()
        assert reader.wait(10)
    assert len(ran) == 3
    reader.stop()


def test_unused_reader_starts_no_thread(clock: FakeClock):
    before = threading.active_count()
    Reader("test-idle", lambda: None, clock).stop()
    assert threading.active_count() == before


def test_stuck_read_is_late_and_rejects_the_next(clock: FakeClock):
    release = threading.Event()
    reader = Reader("test-stuck", lambda: release.wait(30) and None, clock)
    assert reader.start_read()
    assert not reader.wait(0.0)
    assert not reader.start_read()
    clock.advance(7)
    assert reader.busy_seconds == 7
    release.set()
    assert reader.wait(10)
    assert reader.busy_seconds is None
    reader.stop()


def test_failing_read_still_answers(clock: FakeClock):
    def fail() -> None:
        raise ValueError("broken")

    reader = Reader("test-failing", fail, clock)
    for _ in range(2):
        assert reader.start_read()
        assert reader.wait(10)
    reader.stop()


def test_end_of_one_read_is_not_the_end_of_the_next(clock: FakeClock):
    gate = threading.Semaphore(0)
    reader = Reader("test-next", lambda: gate.acquire(timeout=30) and None, clock)
    for _ in range(200):
        while not reader.start_read():
            pass
        assert not reader.wait(0.0)
        gate.release()
    assert reader.wait(10)
    reader.stop()
