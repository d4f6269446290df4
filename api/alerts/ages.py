"""How long ago stored times are, by a monotonic clock from the first look on: so a clock that is set ages nothing."""

from collections.abc import Collection
from datetime import datetime

from api.util.clock import Clock


class Ages:
    """The ages of things by their keys. One thread uses it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: dict[str, tuple[datetime, float]] = {}

    def of(self, key: str, since: datetime) -> float:
        """Return the seconds since this time. The wall clock is asked once for each key and time."""
        monotonic, known = self._clock.monotonic(), self._began.get(key)
        if known is None or known[0] != since:
            age = max(0.0, (self._clock.steady.now() - since).total_seconds())
            known = self._began[key] = (since, monotonic - age)
        return monotonic - known[1]

    def keep(self, keys: Collection[str]) -> None:
        """Forget all others."""
        for gone in self._began.keys() - set(keys):
            del self._began[gone]
