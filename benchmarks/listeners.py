"""Followers and dashboards in one process: `python -m benchmarks.listeners PORT COUNT TASK_ID...`.

COUNT followers of the tasks in turn, and as many dashboards. Says "connected" when each has its first message, and
listens until its input ends; then prints what it has seen as JSON. Times are in milliseconds.
"""

import argparse
import asyncio
import json
import re
import resource
import sys
import time
from collections import defaultdict
from datetime import datetime

import uvloop

BASE = "/api/v1"

#: How many connections are opened at the same time, and how many seconds all of them may take.
AT_ONCE = 50
CONNECT_SECONDS = 60

_END = b"\n\n"
_LINE = re.compile(rb'"line_number":(\d+),"timestamp":"([^"]+)"')
_ID = re.compile(rb"^id: (\S+)", re.MULTILINE)


class Listener(asyncio.Protocol):
    """A client that splits its stream into messages."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.first = asyncio.Event()
        self.messages = 0
        self.is_closed = False

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True

    def data_received(self, data: bytes) -> None:
        now = time.time()
        *messages, self._rest = (self._rest + data).split(_END)
        for message in messages:
            if b"data: {" in message:
                self.messages += 1
                self.first.set()
                self.take(message, now)

    def take(self, message: bytes, now: float) -> None:
        raise NotImplementedError


class Follower(Listener):
    """Follows a task; measures the delay of lines and detects missing ones."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self.since: float | None = None  #: lines printed before this time do not count
        self.delays: list[float] = []
        self.lines = 0
        self.missing = 0
        self._last: int | None = None

    def take(self, message: bytes, now: float) -> None:
        if b'"type":"log"' not in message[:200]:
            return
        for number, printed in _LINE.findall(message):
            self._count(int(number))
            at = datetime.fromisoformat(printed.decode()).timestamp()
            if self.since is not None and at >= self.since:
                self.delays.append(1000 * (now - at))

    def _count(self, number: int) -> None:
        if self._last is not None:
            self.missing += abs(number - self._last - 1)
        self._last = number
        self.lines += 1


class Dashboard(Listener):
    """Receives all messages and records their times."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request)
        self.times: dict[bytes, float] = {}

    def take(self, message: bytes, now: float) -> None:
        found = _ID.search(message)
        if found is not None:
            self.times[found[1]] = now


def _ask(port: int, path: str) -> bytes:
    return f"GET {BASE}{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()


async def connect(port: int, listeners: list[Listener]) -> None:
    """Connect all clients, a few at a time, and wait for the first message of each."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(CONNECT_SECONDS):
        for at in range(0, len(listeners), AT_ONCE):
            some = listeners[at : at + AT_ONCE]
            await asyncio.gather(*(loop.create_connection(lambda one=one: one, "127.0.0.1", port) for one in some))
        await asyncio.gather(*(listener.first.wait() for listener in listeners))


def spreads(dashboards: list[Dashboard]) -> list[float]:
    """Return, for each message and dashboard, the delay after the first dashboard that received it."""
    times: dict[bytes, list[float]] = defaultdict(list)
    for dashboard in dashboards:
        for id_, at in dashboard.times.items():
            times[id_].append(at)
    return [1000 * (at - min(each)) for each in times.values() if len(each) == len(dashboards) for at in each]


def percentile(values: list[float], share: float) -> float:
    """Return the value below which this share of values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


async def main() -> None:
    """Connect, listen and print the results as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.listeners", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("tasks", nargs="+")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port, tasks = arguments.port, arguments.tasks
    asked = [_ask(port, f"/training/{tasks[number % len(tasks)]}/events/stream") for number in range(arguments.count)]
    followers = [Follower(request) for request in asked]
    dashboards = [Dashboard(_ask(port, "/events/stream")) for _ in range(arguments.count)]
    await connect(port, [*followers, *dashboards])
    for follower in followers:
        follower.since = time.time()
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    delays, late = [delay for follower in followers for delay in follower.delays], spreads(dashboards)
    found = {
        "lines": sum(follower.lines for follower in followers),
        "fresh": len(delays),
        "missing": sum(follower.missing for follower in followers),
        "messages": sum(listener.messages for listener in [*followers, *dashboards]),
        "closed": sum(listener.is_closed for listener in [*followers, *dashboards]),
        "line_p50": percentile(delays, 0.5),
        "line_p99": percentile(delays, 0.99),
        "spread_p50": percentile(late, 0.5),
        "spread_p99": percentile(late, 0.99),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
