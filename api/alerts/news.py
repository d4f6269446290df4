"""Tells the streams what becomes of alerts, from their history in the database: whichever server has written it."""

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
from api.util.periodic import PeriodicThread

#: Seconds between two looks for what another server has written.
LOOK_SECONDS = 2.0

#: Transactions may become visible in another order than that of their ids: so far back a row is looked for still, for
#: as long after the latest one as a transaction may take.
WINDOW, LATE_SECONDS = 1_000, 10.0

#: Rows that are read at a time.
AT_ONCE = 500


class AlertNews:
    """Publishes each change once. One thread uses it, but for `wake`."""

    def __init__(self, store: AlertStore, publish: Callable[[Message], None], clock: Clock) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._highest: int | None = None
        self._seen: set[int] = set()
        self._grew_at = float("-inf")
        self._thread = PeriodicThread("alert-news", LOOK_SECONDS, self.run_once)

    def start(self) -> None:
        """Starts to tell what is new from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread."""
        self._thread.stop()

    def wake(self) -> None:
        """Has what is new told at once."""
        self._thread.trigger()

    def run_once(self) -> None:
        """Publishes what is new; at the first time only takes what is there for known."""
        try:
            latest = self._store.latest_id()
            if self._highest is None:
                self._highest, self._seen = latest, set(self._store.ids_above(latest - WINDOW, WINDOW))
                return
            now = self._clock.monotonic()
            if latest > self._highest:
                self._grew_at = now
            if now - self._grew_at < LATE_SECONDS:
                self._tell(self._highest)
        except DatabaseUnavailable:
            # The loop says so; here it is tried again in two seconds.
            return

    def _tell(self, highest: int) -> None:
        fresh: list[int] = []
        above = highest - WINDOW
        while ids := self._store.ids_above(above, WINDOW):
            fresh += [id_ for id_ in ids if id_ not in self._seen]
            above = ids[-1]
        for batch in in_batches(fresh, AT_ONCE):
            for row, alert in self._store.changes(batch):
                self._publish(alert_message(row, alert))
            # Only now: when the database fails in between, they are read again.
            self._seen.update(batch)
        self._highest = max([highest, *fresh])
        self._seen = {id_ for id_ in self._seen if id_ > self._highest - WINDOW}


def alert_message(row: AlertHistoryRow, alert: Alert) -> Message:
    """The message of one change, for who may see what it is about."""
    json = encode_message(MessageType.ALERT, {"alert": show_alert(alert), "change": row}, row.at)
    is_personal = alert.scope in PERSONAL
    return Message(Topic.ALERT, MessageType.ALERT, json, position=row.id, owner=alert.owner, is_personal=is_personal)
