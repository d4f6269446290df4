"""How many streams there may be: in all, and for one user, or where no keys are asked for, one address."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import TooManyStreams

_RETRY_AFTER = {"Retry-After": "10"}


class Admission:
    """Counts the streams that are open, by client: a user or an address. Lives in the event loop."""

    def __init__(self, limit: int, limit_per_client: int) -> None:
        self._limit = limit
        self._limit_per_client = limit_per_client
        self._open: Counter[str | None] = Counter()
        self.refused = 0

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._open.total()

    @contextmanager
    def admit(self, client: str | None) -> Iterator[None]:
        """Counts a stream of this client within the `with` block. Raises TooManyStreams."""
        if self.streams >= self._limit:
            self.refused += 1
            raise TooManyStreams(f"There are {self._limit:,} live streams already.", headers=_RETRY_AFTER)
        if self._open[client] >= self._limit_per_client:
            self.refused += 1
            many = f"This client has {self._limit_per_client:,} live streams already."
            raise TooManyStreams(many, headers=_RETRY_AFTER)
        self._open[client] += 1
        try:
            yield
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                # Addresses come and go without end.
                del self._open[client]
