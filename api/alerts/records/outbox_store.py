"""The tables of the outbox.

Waiting notifications are bundled into deliveries. A delivery is claimed by a lease, sent, and finished by the lease's
token.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from sqlalchemy import Connection, Float, and_, bindparam, case, func, insert, or_, select, update

from api.alerts.records.channel_store import note_failure, note_success, read_channel
from api.alerts.records.delivery_rows import (
    Bundle,
    channel_names,
    conditions_of,
    delivery_row,
    read_delivery,
    show_delivery,
)
from api.alerts.records.rows import dump_snapshot, read_snapshot
from api.db.alert_tables import alert_channels, alert_deliveries, alert_notifications
from api.db.database import Database
from api.db.rows import clean, is_ahead, maybe_time, read_fields, select_page, to_seconds, to_time
from api.domain.alerts.alert import NotificationKind
from api.domain.alerts.channel import (
    AlertSnapshot,
    ClaimedDelivery,
    DeliveryFilter,
    DeliveryKind,
    DeliveryState,
    DeliveryView,
)
from api.domain.machines.gpu_event import Severity
from api.util.batches import in_batches
from api.util.clock import SLACK_SECONDS
from api.util.http.pagination import Page, PageRequest

#: Maximum number of notifications that one round reads.
MOST_NOTIFICATIONS = 20_000

#: Maximum number of alerts in one message; its count includes the others.
SHOWN_ALERTS = 200

#: The `delivery_id` of a notification that will not be sent.
SUPERSEDED = "superseded"

#: Length of a delivery's lease in seconds; longer than any attempt takes.
LEASE_SECONDS = 120.0

#: Upper bound, in seconds, of the wait for another attempt.
LONGEST_WAIT = 4_500.0

_BATCH = 500  #: maximum number of ids in one statement
_OPEN = (DeliveryState.WAITING, DeliveryState.SENDING)


@dataclass(frozen=True, slots=True)
class WaitingNotification:
    """A notification that belongs to no message yet."""

    id: int
    alert_id: str
    channel_id: str
    kind: NotificationKind
    severity: Severity
    group_key: str
    not_before: datetime


@dataclass(frozen=True, slots=True)
class ChannelTraffic:
    """The recent messages of a channel."""

    busy_alerts: frozenset[str]  #: alerts with an unfinished delivery
    in_minute: int  #: messages created within the last 60 s
    in_hour: int


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of an attempt. `again_at` is None if no further attempt follows."""

    state: DeliveryState
    status: int | None
    result: str
    again_at: datetime | None = None
    is_refusal: bool = False  #: the receiver says that the address is no longer valid


# Built once: these statements run as long as the service, and building one takes longer than executing it.
_NOW = bindparam("now", type_=Float(53))
_OF_STATE = alert_deliveries.c.state
# A row from the future was created before the clock was set back: it is due immediately.
_IS_DUE = or_(
    and_(
        _OF_STATE == DeliveryState.WAITING,
        or_(
            ~is_ahead(alert_deliveries.c.not_before, _NOW, LONGEST_WAIT),
            alert_deliveries.c.created_at > _NOW + SLACK_SECONDS,
        ),
    ),
    and_(_OF_STATE == DeliveryState.SENDING, ~is_ahead(alert_deliveries.c.lease_until, _NOW, LEASE_SECONDS)),
)
_NOTIFIED_AT = case(
    (alert_notifications.c.created_at > _NOW + SLACK_SECONDS, _NOW), else_=alert_notifications.c.not_before
)
_OF_WAITING = [alert_notifications.c[each.name] for each in fields(WaitingNotification) if each.name != "not_before"]
_WAITING = (
    select(*_OF_WAITING, _NOTIFIED_AT.label("not_before"))
    .where(alert_notifications.c.delivery_id.is_(None))
    .order_by(alert_notifications.c.id)
    .limit(bindparam("most"))
)
_DUE = (
    select(alert_deliveries.c.delivery_id, alert_deliveries.c.channel_id)
    .where(_IS_DUE)
    .order_by(alert_deliveries.c.serial)
    .limit(bindparam("most"))
)
_DELIVERED_AT = case(
    (_IS_DUE, _NOW),
    (_OF_STATE == DeliveryState.WAITING, alert_deliveries.c.not_before),
    else_=alert_deliveries.c.lease_until,
)
_NEXT_DELIVERY = select(select(func.min(_DELIVERED_AT)).where(_OF_STATE.in_(_OPEN)).scalar_subquery())
_NEXT = _NEXT_DELIVERY.add_columns(
    select(func.min(_NOTIFIED_AT)).where(alert_notifications.c.delivery_id.is_(None)).scalar_subquery()
)
_OF_CHANNEL = alert_deliveries.c.channel_id == bindparam("of_channel")
_MADE = (
    select(func.count())
    .select_from(alert_deliveries)
    .where(
        _OF_CHANNEL,
        alert_deliveries.c.kind != DeliveryKind.TEST,
        alert_deliveries.c.created_at > bindparam("since"),
        alert_deliveries.c.created_at <= bindparam("until"),
    )
)
_BUSY = (
    select(alert_notifications.c.alert_id)
    .join(alert_deliveries, alert_notifications.c.delivery_id == alert_deliveries.c.delivery_id)
    .where(_OF_CHANNEL, _OF_STATE.in_(_OPEN))
    .distinct()
)
_MINE = alert_deliveries.c.delivery_id == bindparam("of_delivery")
_ONE = select(alert_deliveries).where(_MINE)
_CHANGE = update(alert_deliveries).where(_MINE)
_FINISH = _CHANGE.where(alert_deliveries.c.lease_token == bindparam("of_token"))
_CLAIM = _CHANGE.where(_IS_DUE).values(
    state=DeliveryState.SENDING,
    attempts=alert_deliveries.c.attempts + 1,
    first_attempt_at=func.coalesce(alert_deliveries.c.first_attempt_at, bindparam("now")),
)
_CHANNEL = select(alert_channels).where(alert_channels.c.channel_id == bindparam("of_channel"))
_TOLD = (
    select(alert_notifications.c.told)
    .where(alert_notifications.c.delivery_id == bindparam("of_delivery"))
    .order_by(alert_notifications.c.id)
    .limit(2 * SHOWN_ALERTS)
)


class _Taken(Exception):
    """Another process has taken a notification: roll back the transaction."""


class OutboxStore:
    """Notifications and deliveries in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- from notifications to messages ------------------------------------------------------------------------------

    def waiting(self, now: datetime, limit: int = MOST_NOTIFICATIONS) -> list[WaitingNotification]:
        """Return the notifications that belong to no message yet, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(_WAITING, {"now": to_seconds(now), "most": limit}).all()
        return [read_fields(WaitingNotification, row) for row in rows]

    def traffic(self, channel_id: str, now: datetime) -> ChannelTraffic:
        """Return the recent messages of a channel."""
        mine, seconds = {"of_channel": channel_id}, to_seconds(now)
        with self._database.read() as connection:
            until = seconds + SLACK_SECONDS
            spans = [{**mine, "since": seconds - window, "until": until} for window in (60, 3600)]
            counts = [connection.scalar(_MADE, span) or 0 for span in spans]
            return ChannelTraffic(frozenset(connection.scalars(_BUSY, mine)), *counts)

    def find_notified(self, channel_id: str, alert_ids: Iterable[str]) -> set[str]:
        """Return those of these alerts for which the channel has delivered that they fire."""
        firing = [kind for kind in NotificationKind if kind.says_firing]
        notified, sent = alert_notifications.c, alert_deliveries.c
        joined = alert_deliveries.join(alert_notifications, notified.delivery_id == sent.delivery_id)
        mine = (sent.channel_id == channel_id) & (sent.state == DeliveryState.DELIVERED) & notified.kind.in_(firing)
        found = set[str]()
        with self._database.read() as connection:
            for ids in in_batches(list(alert_ids), _BATCH):
                query = select(notified.alert_id).select_from(joined).where(mine, notified.alert_id.in_(ids))
                found.update(connection.scalars(query))
        return found

    def bundle(self, bundle: Bundle, now: datetime) -> bool:
        """Create one delivery of these notifications. Return False if another process has taken one of them."""
        try:
            with self._database.write() as connection:
                if _mark(connection, bundle.ids, bundle.delivery_id) != len(bundle.ids):
                    raise _Taken
                connection.execute(insert(alert_deliveries).values(delivery_row(bundle, len(bundle.ids), now)))
        except _Taken:
            return False
        return True

    def supersede(self, ids: Sequence[int]) -> None:
        """Mark notifications as not to be sent."""
        with self._database.write() as connection:
            _mark(connection, ids, SUPERSEDED)

    def add_test(self, bundle: Bundle, snapshot: AlertSnapshot, now: datetime) -> None:
        """Add a test message to the outbox."""
        seconds = to_seconds(now)
        row = {
            "alert_id": snapshot.alert_id,
            "number": snapshot.number,
            "channel_id": bundle.channel_id,
            "kind": NotificationKind.TEST,
            "severity": bundle.severity,
            "group_key": bundle.group_key,
            "told": dump_snapshot(snapshot),
            "created_at": seconds,
            "not_before": seconds,
            "delivery_id": bundle.delivery_id,
        }
        with self._database.write() as connection:
            connection.execute(insert(alert_deliveries).values(delivery_row(bundle, 1, now)))
            connection.execute(insert(alert_notifications).values(row))

    # -- deliveries ----------------------------------------------------------------------------------------------------

    def due(self, now: datetime, limit: int = 100) -> list[tuple[str, str]]:
        """Return the due deliveries with their channels, oldest first, including those with an expired lease."""
        with self._database.read() as connection:
            rows = connection.execute(_DUE, {"now": to_seconds(now), "most": limit})
            return [(row.delivery_id, row.channel_id) for row in rows]

    def next_due_at(self, now: datetime, *, with_notifications: bool = True) -> datetime | None:
        """Return the time when something is due next; None if nothing waits.

        Without notifications, only deliveries count.
        """
        with self._database.read() as connection:
            query = _NEXT if with_notifications else _NEXT_DELIVERY
            found = connection.execute(query, {"now": to_seconds(now)}).one()
        return maybe_time(min((each for each in found if each is not None), default=None))

    def claim(self, delivery_id: str, now: datetime, lease: timedelta) -> ClaimedDelivery | None:
        """Claim a delivery. Return None if it is not due or another process holds it.

        The attempt is counted before it is made, so that one that crashes the process is counted, too.
        """
        token, seconds = secrets.token_hex(8), to_seconds(now)
        mine = {"of_delivery": delivery_id}
        values = {"lease_token": token, "lease_until": to_seconds(now + lease), "now": seconds}
        with self._database.write() as connection:
            if connection.execute(_CLAIM, {**mine, **values}).rowcount == 0:
                return None
            row = connection.execute(_ONE, mine).one()
            channel = connection.execute(_CHANNEL, {"of_channel": row.channel_id}).one_or_none()
            if channel is None:
                rejected = {
                    "state": DeliveryState.REJECTED,
                    "result": "its channel was deleted",
                    "finished_at": seconds,
                }
                connection.execute(_CHANGE, {**mine, **rejected})
                return None
            alerts = tuple(read_snapshot(each) for each in connection.scalars(_TOLD, mine))
            return ClaimedDelivery(read_delivery(row), token, read_channel(channel), bytes(channel.sealed), alerts)

    def finish(self, claimed: ClaimedDelivery, ended: AttemptResult, now: datetime, most_refusals: int) -> bool:
        """Store the result of an attempt. Return False if the lease has expired."""
        delivery = claimed.delivery
        mine = {"of_delivery": delivery.delivery_id, "of_token": claimed.token}
        result = clean(ended.result)
        values = {
            "state": ended.state,
            "lease_token": None,
            "lease_until": None,
            "status": ended.status,
            "result": result,
            "not_before": to_seconds(ended.again_at or now),
            "finished_at": to_seconds(now) if ended.state.is_finished else None,
        }
        with self._database.write() as connection:
            if connection.execute(_FINISH, {**mine, **values}).rowcount == 0:
                return False
            if ended.state is DeliveryState.DELIVERED:
                note_success(connection, delivery.channel_id, now)
            else:
                note_failure(connection, delivery.channel_id, result, ended.is_refusal, most_refusals)
        return True

    def page(self, criteria: DeliveryFilter, request: PageRequest) -> Page[DeliveryView]:
        """Return deliveries, newest first."""
        query = select(alert_deliveries).where(*conditions_of(criteria))
        with self._database.read() as connection:
            names = channel_names(connection)
            show = lambda row: show_delivery(connection, row, names.get(row.channel_id))  # noqa: E731
            return select_page(connection, query, alert_deliveries.c.serial, request, show)

    def oldest_unsent(self) -> dict[str, datetime]:
        """Return the creation time of the oldest unfinished delivery of each channel."""
        query = select(alert_deliveries.c.channel_id, func.min(alert_deliveries.c.created_at).label("since"))
        query = query.where(alert_deliveries.c.state.in_(_OPEN)).group_by(alert_deliveries.c.channel_id)
        with self._database.read() as connection:
            return {row.channel_id: to_time(row.since) for row in connection.execute(query)}


def _mark(connection: Connection, ids: Sequence[int], delivery_id: str) -> int:
    changed = 0
    for some in in_batches(ids, _BATCH):
        mine = alert_notifications.c.id.in_(some) & alert_notifications.c.delivery_id.is_(None)
        changed += connection.execute(update(alert_notifications).where(mine).values(delivery_id=delivery_id)).rowcount
    return changed
