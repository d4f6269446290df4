"""Reads the table of events as it grows: each event once, those of a task in their order, whoever has written them."""

from collections.abc import Collection

from api.streaming.models import ToldEvent
from api.training.event_store import EventStore
from api.util.batches import in_batches

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
        self._missing: set[int] = set()  #: lower ids that were not there: of a transaction under way, or of nothing

    def begin(self) -> None:
        """Takes all existing events as known. Raises DatabaseUnavailable."""
        highest = self._events.latest_id()
        known = self._events.ids_above(highest - WINDOW, WINDOW)
        self._missing = set(range(max(0, highest - WINDOW) + 1, highest)).difference(known)
        self._highest = max(highest, *known) if known else highest

    def read(self) -> list[ToldEvent]:
        """The events that are new since the last call. Raises DatabaseUnavailable."""
        if self._highest is None:
            self.begin()
            return []
        fresh = self._fresh_ids(self._highest)
        found: list[ToldEvent] = []
        for some in in_batches(fresh, AT_ONCE):
            found += self._events.get(some)
        # Only now: when the database fails in between, they are read again.
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
