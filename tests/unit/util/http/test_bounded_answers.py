"""Bounded responses."""

import time

import httpcore
import httpx
import pytest

from api.util.http.bounded_answers import AnswerTooLong, TimedStream, TimedTransport, read_answer
from tests.hostile_servers import HOSTILE, Answer, serving
from tests.patience import BUSY_SECONDS


def test_response_within_the_limit_is_read_completely():
    assert read_answer(httpx.Response(200, content=b"x" * 10), 10, time.monotonic() + 5) == b"x" * 10


def test_response_above_the_limit_is_abandoned():
    with pytest.raises(AnswerTooLong):
        read_answer(httpx.Response(200, content=b"x" * 11), 10, time.monotonic() + 5)


def test_response_that_takes_too_long_is_abandoned():
    with pytest.raises(AnswerTooLong):
        read_answer(httpx.Response(200, content=b"x"), 10, time.monotonic() - 1)


class SlowPeer(httpcore.NetworkStream):
    """A peer that sends a byte a second; `passes` is how the seconds go by."""

    def __init__(self) -> None:
        self.now = 0.0
        self.written = b""
        self.patience: list[float | None] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.patience.append(timeout)
        self.now += 1.0
        return b"x"

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.now += 1.0
        self.written += buffer

    def close(self) -> None: ...


@pytest.fixture
def peer() -> SlowPeer:
    return SlowPeer()


@pytest.fixture
def stream(peer: SlowPeer) -> TimedStream:
    return TimedStream(peer, clock=lambda: peer.now)


def test_timeout_covers_a_whole_request(peer: SlowPeer, stream: TimedStream):
    stream.write(b"GET", timeout=5.0)
    for _ in range(4):
        stream.read(10, timeout=5.0)
    assert peer.patience == [4.0, 3.0, 2.0, 1.0]
    with pytest.raises(httpcore.ReadTimeout):
        stream.read(10, timeout=5.0)
    stream.write(b"the next", timeout=5.0)
    assert stream.read(10, timeout=5.0) == b"x"
    assert stream.read(10, timeout=2.0) == b"x"
    assert peer.patience[-1] == 2.0


def test_peer_that_reads_a_request_slowly_is_abandoned(peer: SlowPeer, stream: TimedStream):
    with pytest.raises(httpcore.WriteTimeout):
        stream.write(b"x" * 65_536 * 9, timeout=5.0)
    assert len(peer.written) == 65_536 * 5


def test_without_a_timeout_nothing_is_abandoned(peer: SlowPeer, stream: TimedStream):
    stream.write(b"GET")
    peer.now += 1e6
    assert stream.read(10) == b"x"
    assert peer.patience == [None]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_response_costs_little_time(hostile: Answer):
    began = time.monotonic()
    transport = TimedTransport(most_bytes=10_000)
    with (
        serving(hostile) as address,
        httpx.Client(transport=transport, timeout=0.3) as client,
        pytest.raises(httpx.HTTPError),
    ):
        client.get(address).raise_for_status()
    assert time.monotonic() - began < 3 + BUSY_SECONDS


def test_compressed_response_is_rejected_before_it_is_decompressed():
    compressed = next(each for each in HOSTILE if each.__name__ == "send_bomb")
    with (
        serving(compressed) as address,
        httpx.Client(transport=TimedTransport()) as client,
        pytest.raises(AnswerTooLong, match="compressed"),
        client.stream("GET", address),
    ):
        pass
