"""Sends requests at a fixed rate independent of responses, as many unrelated clients do.

The duration of an answer counts from the time when its request was due, so a stalling server does not slow the clients.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

#: Time-out of a client in seconds, and the status that is recorded for it.
PATIENCE_SECONDS = 20.0
NO_ANSWER = 0

_READ = 65536


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    path: str
    method: str = "GET"
    body: bytes = b""


@dataclass(slots=True)
class Answers:
    """The responses to requests of one kind."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def p99_ms(self) -> float:
        """Return the 99th percentile in milliseconds."""
        return 1000 * sorted(self.seconds)[max(0, int(len(self.seconds) * 0.99) - 1)]

    def others_than(self, *statuses: int) -> int:
        """Return the number of responses with another status."""
        return self.statuses.total() - sum(self.statuses[status] for status in statuses)


class Paced:
    """Clients of one server on loopback with persistent connections."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._port = port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, make: Callable[[int], Request], rate: float, seconds: float) -> Answers:
        """Send `rate` requests per second; `make` returns the n-th request."""
        answers, began = Answers(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._ask(make(number), due, answers))
        return answers

    async def once(self, request: Request) -> tuple[int, float]:
        """Return the status of one response and the seconds until it was complete."""
        answers = Answers()
        await self._ask(request, time.perf_counter(), answers)
        return next(iter(answers.statuses)), answers.seconds[0]

    async def _ask(self, request: Request, due: float, answers: Answers) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status = await self._exchange(request)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            status = NO_ANSWER
        answers.seconds.append(time.perf_counter() - due)
        answers.statuses[status] += 1

    async def _exchange(self, request: Request) -> int:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection("127.0.0.1", self._port)
        kind = "Content-Type: application/json\r\n" if request.body else ""
        head = (
            f"{request.method} {request.path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._headers}{kind}"
            f"Content-Length: {len(request.body)}\r\n\r\n"
        )
        try:
            writer.write(head.encode() + request.body)
            answer = await reader.readuntil(b"\r\n\r\n")
            length = int(answer.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if length:
                await reader.readexactly(length)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return int(answer.split(b" ", 2)[1])

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
