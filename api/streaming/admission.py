"""Limits the number of streams: in total and per client, which is a user or, without authentication, an address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import TooManyStreams

_RETRY_AFTER = {"Retry-After": "10"}


class Admission:
    """Counts the open streams by client. Lives in the event loop."""

    def __init__(self, limit: int, limit_per_client: int) -> None:
        self._limit = limit
        self._limit_per_client = limit_per_client
        self._open: Counter[str | None] = Counter()
        self.refused = 0

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return self._open.total()

    @contextmanager
    def admit(self, client: str | None) -> Iterator[None]:
        """Count a stream of this client within the `with` block. Raises TooManyStreams."""
        if self.streams >= self._limit:
            self.refused += 1
            raise TooManyStreams(
                f"There are already {self._limit:,} live streams. Try again later.", headers=_RETRY_AFTER
            )
        if self._open[client] >= self._limit_per_client:
            self.refused += 1
            message = f"This client already has {self._limit_per_client:,} live streams. Close one of them."
            raise TooManyStreams(message, headers=_RETRY_AFTER)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                # The number of addresses over time is unbounded.
                del self._open[client]
