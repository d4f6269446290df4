"""Blocking reads of streams."""

import asyncio

from api.streaming.blocking_reads import BlockingReads
from api.util.deadlines import READ_SECONDS, shared_wait_limit, time_left


def test_new_stream_waits_for_the_database_no_longer_than_other_readers() -> None:
    def find_time_left() -> float | None:
        with shared_wait_limit():
            return time_left()

    reads = BlockingReads()
    try:
        left = asyncio.run(reads.read(find_time_left))
    finally:
        reads.stop()
    assert left is not None
    assert 0 < left <= READ_SECONDS
