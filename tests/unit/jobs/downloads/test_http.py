import httpcore
import pytest

from api.jobs.downloads.http import LEAST_SPEED, SILENCE_SECONDS, SLOW_SECONDS, WatchedStream
from api.jobs.errors import StopRequested


class Dripping(httpcore.NetworkStream):
    """Returns a fixed number of bytes per read, and advances its own clock each time."""

    def __init__(self, count: int, seconds: float) -> None:
        self.now = 0.0
        self._count, self._seconds = count, seconds

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.now += self._seconds
        return bytes(self._count)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass


def watched(source: Dripping) -> WatchedStream:
    return WatchedStream(source, lambda: source.now)


def test_server_that_sends_single_bytes_is_disconnected():
    source = Dripping(1, 59)
    stream = watched(source)
    for _ in range(2):
        assert stream.read(100)
    with pytest.raises(httpcore.ReadTimeout, match="bytes a second"):
        stream.read(100)
    assert source.now <= SLOW_SECONDS + 59


def test_fast_server_is_read_without_a_time_limit():
    stream = watched(Dripping(LEAST_SPEED * 20, 20))
    assert sum(len(stream.read(1_000_000)) for _ in range(100)) == LEAST_SPEED * 2_000


def test_each_answer_is_timed_separately():
    stream = watched(Dripping(100, 50))
    for _ in range(10):
        stream.write(b"GET / HTTP/1.1")
        stream.read(100)


class Silent(Dripping):
    """Returns nothing before the timeout."""

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        assert timeout is not None
        self.now += timeout
        raise httpcore.ReadTimeout("timed out")


def test_stop_interrupts_a_wait_for_the_server():
    source = Silent(0, 0)
    with pytest.raises(StopRequested):
        WatchedStream(source, lambda: source.now, lambda: source.now > 3).read(100, SILENCE_SECONDS)
    assert source.now < 5


def test_silent_server_times_out():
    source = Silent(0, 0)
    with pytest.raises(httpcore.ReadTimeout):
        watched(source).read(100, SILENCE_SECONDS)
    assert source.now == SILENCE_SECONDS
