"""Conversion between deliveries and rows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from api.db.alert_tables import alert_channels, alert_deliveries, alert_notifications
from api.db.rows import dump_fields, read_fields, to_seconds
from api.domain.alerts.channel import Delivery, DeliveryFilter, DeliveryKind, DeliveryState, DeliveryView
from api.domain.machines.gpu_event import Severity
from api.util.copying import copy_fields

#: Maximum number of alert ids that a view lists for one delivery.
_LISTED = 100


@dataclass(frozen=True, slots=True)
class Bundle:
    """Notifications that form one message."""

    delivery_id: str
    channel_id: str
    kind: DeliveryKind
    severity: Severity
    group_key: str
    ids: tuple[int, ...]


def delivery_row(bundle: Bundle, count: int, now: datetime) -> dict[str, Any]:
    """Return the columns of a new delivery."""
    seconds = to_seconds(now)
    waiting = {"state": DeliveryState.WAITING, "attempts": 0, "created_at": seconds, "not_before": seconds}
    return dump_fields(bundle, alert_deliveries, notifications=count, **waiting)


def read_delivery(row: Row[Any]) -> Delivery:
    """Return the delivery of a row."""
    return read_fields(Delivery, row, count=row.notifications)


def conditions_of(criteria: DeliveryFilter) -> list[Any]:
    """Return the SQL conditions of a filter."""
    conditions: list[Any] = []
    if criteria.states:
        conditions.append(alert_deliveries.c.state.in_(criteria.states))
    if criteria.channel_id is not None:
        conditions.append(alert_deliveries.c.channel_id == criteria.channel_id)
    if criteria.alert_id is not None:
        of = select(alert_notifications.c.delivery_id).where(
            alert_notifications.c.alert_id == criteria.alert_id, alert_notifications.c.delivery_id.is_not(None)
        )
        conditions.append(alert_deliveries.c.delivery_id.in_(of))
    return conditions


def channel_names(connection: Connection) -> dict[str, str]:
    """Return the names of all channels by id."""
    rows = connection.execute(select(alert_channels.c.channel_id, alert_channels.c.name))
    return {row.channel_id: row.name for row in rows}


def show_delivery(connection: Connection, row: Row[Any], name: str | None) -> DeliveryView:
    """Return the view of a delivery. `name` is the name of its channel."""
    alert_ids = select(alert_notifications.c.alert_id).where(alert_notifications.c.delivery_id == row.delivery_id)
    delivery = read_delivery(row)
    return copy_fields(
        DeliveryView,
        delivery,
        channel=name,
        alerts=tuple(connection.scalars(alert_ids.distinct().limit(_LISTED))),
        not_before=None if delivery.state.is_finished else delivery.not_before,
    )
