"""Many followers of logs in one process: `python -m benchmarks.followers PORT COUNT TASK_ID...`, shared out evenly.

Says "connected" when each has its first event, and reads until its input ends or every log has ended; then prints as
JSON what it has seen: lines, gaps in their offsets, and how late the lines came that say when they were printed.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from datetime import datetime

import uvloop

_FIRST_OFFSET = re.compile(rb'"logs":\[\{"offset":(\d+)')
_PRINTED = re.compile(rb'"message":"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\] \[INFO\]')


class FollowerProtocol(asyncio.Protocol):
    """A follower that checks that each event begins where the previous one ended."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self._position: int | None = None
        self.first = asyncio.Event()
        self.ended = asyncio.Event()
        self.lines = 0
        self.gaps = 0
        self.late_seconds: list[float] = []

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if b'data: {"type":"log"' in event:
                self._take(event)
            elif b"event: end" in event:
                self.ended.set()

    def _take(self, event: bytes) -> None:
        head, _, body = event.partition(b"\ndata: ")
        found = _FIRST_OFFSET.search(body)
        if self._position is not None and (found is None or int(found[1]) != self._position):
            self.gaps += 1
        self._position = int(head.rpartition(b"id: ")[2])
        self.lines += body.count(b'"line_number":')
        now = time.time()
        for printed in _PRINTED.findall(body):
            at = datetime.strptime(printed.decode(), "%Y-%m-%d %H:%M:%S,%f").timestamp()  # noqa: DTZ007
            self.late_seconds.append(now - at)
        self.first.set()


async def follow(port: int, count: int, task_ids: list[str]) -> list[FollowerProtocol]:
    """Connect all followers and wait for the first event of each."""
    loop, followers = asyncio.get_running_loop(), []
    for number in range(count):
        path = f"/api/v1/training/{task_ids[number % len(task_ids)]}/logs/stream?offset=0"
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
        _, follower = await loop.create_connection(lambda sent=request: FollowerProtocol(sent), "127.0.0.1", port)
        followers.append(follower)
    await asyncio.gather(*(follower.first.wait() for follower in followers))
    return followers


async def main() -> None:
    """Follow the logs and print counts as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.followers", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("task_ids", nargs="+")
    arguments = parser.parse_args()
    followers = await follow(arguments.port, arguments.count, arguments.task_ids)
    # Lines printed before the followers connected do not count as delayed.
    for follower in followers:
        follower.late_seconds.clear()
    print("connected", flush=True)
    input_closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    ended = asyncio.gather(*(follower.ended.wait() for follower in followers))
    await asyncio.wait({input_closed, ended}, return_when=asyncio.FIRST_COMPLETED)
    late = sorted(seconds for follower in followers for seconds in follower.late_seconds)
    found = {
        "lines": [follower.lines for follower in followers],
        "gaps": sum(follower.gaps for follower in followers),
        "ended": sum(follower.ended.is_set() for follower in followers),
        "late_p50_ms": 1000 * late[len(late) // 2] if late else None,
        "late_p99_ms": 1000 * late[int(0.99 * len(late))] if late else None,
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
