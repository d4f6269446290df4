"""Publish the changes of alerts to streams, from their history in the database.

So it covers the changes of every server.
"""

from collections.abc import Callable

from api.alerts.rows import PERSONAL
from api.alerts.store import AlertStore
from api.alerts.views import show_alert
from api.domain.alert import Alert, AlertHistoryRow
from api.errors import DatabaseUnavailable
from api.streaming.models import Message, MessageType, Topic
from api.util.batches import in_batches
from api.util.clock import Clock
from api.util.envelope import encode_message
from api.util.periodic import LoopOwner, PeriodicThread

#: Seconds between two polls for other servers' changes.
POLL_SECONDS = 2.0

#: Transactions may become visible in another order than that of their ids. Rows this far below the highest id are still
#: read, for this many seconds after the latest row.
WINDOW, LATE_SECONDS = 1_000, 10.0

#: Number of rows that are read at a time.
AT_ONCE = 500


class AlertPublisher(LoopOwner):
    """Publishes each change once. Not thread-safe, except `wake`."""

    def __init__(self, store: AlertStore, publish: Callable[[Message], None], clock: Clock) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._highest: int | None = None
        self._seen: set[int] = set()
        self._grew_at = float("-inf")
        self._thread = PeriodicThread("alert-news", POLL_SECONDS, self.run_once)

    def wake(self) -> None:
        """Publish new changes immediately."""
        self._thread.trigger()

    def run_once(self) -> None:
        """Publish new changes. The first call only records which ones exist."""
        try:
            latest = self._store.latest_id()
            if self._highest is None:
                self._highest, self._seen = latest, set(self._store.ids_above(latest - WINDOW, WINDOW))
                return
            now = self._clock.monotonic()
            if latest > self._highest:
                self._grew_at = now
            if now - self._grew_at < LATE_SECONDS:
                self._publish_new(self._highest)
        except DatabaseUnavailable:
            # The alert loop logs this. The next poll tries again.
            return

    def _publish_new(self, highest: int) -> None:
        fresh: list[int] = []
        above = highest - WINDOW
        while ids := self._store.ids_above(above, WINDOW):
            fresh += [id_ for id_ in ids if id_ not in self._seen]
            above = ids[-1]
        for batch in in_batches(fresh, AT_ONCE):
            for row, alert in self._store.changes(batch):
                self._publish(alert_message(row, alert))
            # Only after publishing: if the database fails before, they are read again.
            self._seen.update(batch)
        self._highest = max([highest, *fresh])
        self._seen = {id_ for id_ in self._seen if id_ > self._highest - WINDOW}


def alert_message(row: AlertHistoryRow, alert: Alert) -> Message:
    """Return the stream message of one change, with the owner for access control."""
    json = encode_message(MessageType.ALERT, {"alert": show_alert(alert), "change": row}, row.at)
    is_personal = alert.scope in PERSONAL
    return Message(Topic.ALERT, MessageType.ALERT, json, position=row.id, owner=alert.owner, is_personal=is_personal)
