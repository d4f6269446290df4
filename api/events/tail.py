"""Reads new rows of the table of events: each event once, and those of a task in order, whichever server wrote them."""

from collections.abc import Collection

from api.streaming.models import EventWithStatus
from api.training.event_store import EventStore
from api.util.batches import in_batches

#: Concurrent transactions may become visible in another order than that of their ids. Events this far below the highest
#: id are still read; there are never so many during one transaction.
WINDOW = 1_000

#: Number of events that are read at a time.
AT_ONCE = 500


class EventTail:
    """The position of one reader in the table of events. Not thread-safe."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._highest: int | None = None
        self._missing: set[int] = set()  #: lower ids that were not visible: of open transactions, or unused

    def begin(self) -> None:
        """Treat all existing events as known. Raises DatabaseUnavailable."""
        highest = self._events.latest_id()
        known = self._events.ids_above(highest - WINDOW, WINDOW)
        self._missing = set(range(max(0, highest - WINDOW) + 1, highest)).difference(known)
        self._highest = max(highest, *known) if known else highest

    def read(self) -> list[EventWithStatus]:
        """Return the events that are new since the last call. Raises DatabaseUnavailable."""
        if self._highest is None:
            self.begin()
            return []
        fresh = self._fresh_ids(self._highest)
        found: list[EventWithStatus] = []
        for batch in in_batches(fresh, AT_ONCE):
            found += self._events.get(batch)
        # Recorded only now: if the database fails before, they are read again.
        self._note(self._highest, fresh)
        return found

    def _fresh_ids(self, highest: int) -> list[int]:
        fresh: list[int] = []
        above = min(self._missing, default=highest + 1) - 1
        while True:
            ids = self._events.ids_above(above, 2 * WINDOW)
            fresh += [id_ for id_ in ids if id_ > highest or id_ in self._missing]
            if len(ids) < 2 * WINDOW:
                return fresh
            above = ids[-1]

    def _note(self, before: int, fresh: Collection[int]) -> None:
        if not fresh:
            return
        self._highest = max(before, *fresh)
        oldest = self._highest - WINDOW
        missing = self._missing.union(range(max(before, oldest) + 1, self._highest)).difference(fresh)
        self._missing = {id_ for id_ in missing if id_ > oldest}
