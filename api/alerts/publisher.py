"""Publish the changes of alerts to streams, from their history in the database.

So it covers the changes of every server.
"""

from collections.abc import Callable
from contextlib import suppress

from api.alerts.records.alert_store import AlertStore
from api.alerts.records.rows import PERSONAL
from api.alerts.views import show_alert
from api.domain.alerts.alert import Alert, AlertHistoryRow
from api.errors import DatabaseUnavailable
from api.events.publisher import EventTail
from api.streaming.models import Message, MessageType, Topic
from api.util.http.envelope import encode_message
from api.util.periodic import LoopOwner, PeriodicThread

#: Seconds between two polls for other servers' changes.
POLL_SECONDS = 2.0


class AlertPublisher(LoopOwner):
    """Publishes each change once. Not thread-safe, except `wake`."""

    def __init__(self, store: AlertStore, publish: Callable[[Message], None]) -> None:
        self._tail = EventTail(store, store.changes)
        self._publish = publish
        self._thread = PeriodicThread("alert-news", POLL_SECONDS, self.run_once)

    def wake(self) -> None:
        """Publish new changes immediately."""
        self._thread.trigger()

    def run_once(self) -> None:
        """Publish new changes. The first call only records which ones exist."""
        # The alert loop logs that the database is unavailable. The next poll tries again.
        with suppress(DatabaseUnavailable):
            for row, alert in self._tail.read():
                self._publish(alert_message(row, alert))


def alert_message(row: AlertHistoryRow, alert: Alert) -> Message:
    """Return the stream message of one change, with the owner for access control."""
    json = encode_message(MessageType.ALERT, {"alert": show_alert(alert), "change": row}, row.at)
    is_personal = alert.scope in PERSONAL
    return Message(Topic.ALERT, MessageType.ALERT, json, position=row.id, owner=alert.owner, is_personal=is_personal)
