"""Reads the table of events as it grows: each event once, those of a task in their order, whoever has written them."""

from api.models.live import ToldEvent
from api.storage.events import EventStore

#: Transactions that run at the same time may become visible in another order than that of their ids. So far back an
#: event is still looked for; there are never so many in the seconds that a transaction may take.
WINDOW = 1_000

#: Events that are read at a time.
AT_ONCE = 500


class EventTail:
    """One reader's place in the table of events. One thread uses it at a time."""

    def __init__(self, events: EventStore) -> None:
        self._events = events
        self._highest: int | None = None
        self._seen: set[int] = set()

    def begin(self) -> None:
        """Takes all existing events as known. Raises DatabaseUnavailable."""
        highest = self._events.latest_id()
        self._seen = set(self._events.ids_above(highest - WINDOW, WINDOW))
        self._highest = max(highest, *self._seen) if self._seen else highest

    def read(self) -> list[ToldEvent]:
        """The events that are new since the last call. Raises DatabaseUnavailable."""
        if self._highest is None:
            self.begin()
            return []
        fresh = self._fresh_ids(self._highest)
        found: list[ToldEvent] = []
        for at in range(0, len(fresh), AT_ONCE):
            found += self._events.get(fresh[at : at + AT_ONCE])
        # Only now: when the database fails in between, they are read again.
        self._seen.update(fresh)
        self._highest = max(self._highest, *fresh) if fresh else self._highest
        self._seen = {id_ for id_ in self._seen if id_ > self._highest - WINDOW}
        return found

    def _fresh_ids(self, highest: int) -> list[int]:
        fresh: list[int] = []
        above = highest - WINDOW
        while True:
            ids = self._events.ids_above(above, 2 * WINDOW)
            fresh += [id_ for id_ in ids if id_ not in self._seen]
            if len(ids) < 2 * WINDOW:
                return fresh
            above = ids[-1]
