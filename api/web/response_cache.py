"""A cache of the last responses from the database, used while it is unavailable."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

#: The most responses, bytes of all of them, and bytes of one.
ANSWERS, TOTAL_BYTES, ANSWER_BYTES = 200, 8 * 1024 * 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """The body of a success, and the monotonic time of its request."""

    body: bytes
    requested_at: float


class ResponseCache:
    """The latest response per principal and address.

    Any change empties the cache, so that no user misses their own write.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, CachedResponse] = OrderedDict()
        self._bytes = 0
        self._changes = 0

    @property
    def changes(self) -> int:
        """The number of times that the cache was emptied."""
        return self._changes

    def keep(self, address: Hashable, answer: CachedResponse, changes: int) -> None:
        """Store a response, unless the cache was emptied since the request began with this count of `changes`."""
        with self._lock:
            self._drop(address)
            if changes != self._changes or len(answer.body) > ANSWER_BYTES:
                return
            self._answers[address] = answer
            self._bytes += len(answer.body)
            while len(self._answers) > ANSWERS or self._bytes > TOTAL_BYTES:
                self._drop(next(iter(self._answers)))

    def get(self, address: Hashable) -> CachedResponse | None:
        """Return the latest response at this address, or None."""
        with self._lock:
            return self._answers.get(address)

    def forget_all(self) -> None:
        """Empty the cache after a change."""
        with self._lock:
            self._changes += 1
            self._answers.clear()
            self._bytes = 0

    def _drop(self, address: Hashable) -> None:
        dropped = self._answers.pop(address, None)
        if dropped is not None:
            self._bytes -= len(dropped.body)
