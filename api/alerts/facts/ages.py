"""Ages of stored times, by a monotonic clock from the first reading on: setting the wall clock changes no age."""

from collections.abc import Collection
from datetime import datetime

from api.util.clock import Clock


class Ages:
    """The ages of things by their keys. Not thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, tuple[datetime, float]] = {}

    def of(self, key: str, since: datetime) -> float:
        """Return the seconds since this time. The wall clock is read once for each key and time."""
        monotonic, known = self._clock.monotonic(), self._since.get(key)
        if known is None or known[0] != since:
            age = max(0.0, (self._clock.steady.now() - since).total_seconds())
            known = self._since[key] = (since, monotonic - age)
        return monotonic - known[1]

    def retain(self, keys: Collection[str]) -> None:
        """Forget all other keys."""
        for key in self._since.keys() - set(keys):
            del self._since[key]
