"""Many Server-Sent-Events clients in one process: `python -m benchmarks.subscribers PORT COUNT`.

Says "connected" when each has its first event, and counts until its input ends; then prints what it has seen as JSON.
"""

import argparse
import asyncio
import json
import re
import resource
import sys

import uvloop

PATH = "/api/v1/gpu/stream"

#: Connections that are opened at the same time, and seconds that all of them may take.
AT_ONCE = 50
CONNECT_SECONDS = 60

_EVENT = re.compile(rb"\nid: (\d+)\n")
_LONGEST_ID = 32


class Subscriber(asyncio.Protocol):
    """A client that counts events and missing ones."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._tail = b""
        self._last: int | None = None
        self.first = asyncio.Event()
        self.events = 0
        self.missing = 0
        self.is_closed = False

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True

    def data_received(self, data: bytes) -> None:
        text = self._tail + data
        end = 0
        for found in _EVENT.finditer(text):
            end = found.end()
            self._count(int(found[1]))
        self._tail = text[max(end, len(text) - _LONGEST_ID) :]

    def _count(self, number: int) -> None:
        if self._last is not None:
            self.missing += abs(number - self._last - 1)
        self._last = number
        self.events += 1
        self.first.set()


async def subscribe(port: int, count: int) -> list[Subscriber]:
    """Connect all clients, a few at a time, and wait for the first event of each."""
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    subscribers: list[Subscriber] = []
    async with asyncio.timeout(CONNECT_SECONDS):
        while len(subscribers) < count:
            some = [Subscriber(request) for _ in range(min(AT_ONCE, count - len(subscribers)))]
            await asyncio.gather(*(_connect(subscriber, port) for subscriber in some))
            subscribers += some
        await asyncio.gather(*(subscriber.first.wait() for subscriber in subscribers))
    return subscribers


async def _connect(subscriber: Subscriber, port: int) -> None:
    await asyncio.get_running_loop().create_connection(lambda: subscriber, "127.0.0.1", port)


async def main() -> None:
    """Subscribe, count and print the results as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.subscribers", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    subscribers = await subscribe(arguments.port, arguments.count)
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    found = {
        "events": sum(subscriber.events for subscriber in subscribers),
        "fewest": min(subscriber.events for subscriber in subscribers),
        "missing": sum(subscriber.missing for subscriber in subscribers),
        "closed": sum(subscriber.is_closed for subscriber in subscribers),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
