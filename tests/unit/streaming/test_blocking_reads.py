"""What streams read."""

import asyncio

from api.streaming.blocking_reads import BlockingReads
from api.util.deadlines import READ_SECONDS, one_wait, time_left


def test_whoever_opens_a_stream_waits_for_the_database_no_longer_than_any_reader() -> None:
    def find_time_left() -> float | None:
        with one_wait():
            return time_left()

    reads = BlockingReads()
    try:
        left = asyncio.run(reads.read(find_time_left))
    finally:
        reads.stop()
    assert left is not None
    assert 0 < left <= READ_SECONDS
