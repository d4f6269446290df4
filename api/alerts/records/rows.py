"""Conversion between alerts, notifications and rows."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, insert, select, update

from api.db.alert_tables import alert_notifications, alert_state, alerts
from api.db.rows import clean, clean_json, dump_fields, dump_message, maybe_time, read_fields, to_seconds
from api.domain.alerts.alert import (
    Alert,
    AlertHistoryRow,
    AlertNotification,
    Matcher,
    Silence,
)
from api.domain.alerts.alert_rule import RuleScope
from api.domain.alerts.channel import AlertSnapshot
from api.domain.reason import ReasonOrText
from api.util.copying import copy_fields

_SNAPSHOT = TypeAdapter(AlertSnapshot)
_MATCHERS = TypeAdapter(tuple[Matcher, ...])

#: Scopes whose alerts are visible only to their owner and to users who see everything. The queue has no owner.
PERSONAL = frozenset({RuleScope.TASK, RuleScope.QUEUE, RuleScope.KEY, RuleScope.USER, RuleScope.ACTION})

_VERSION = select(alert_state.c.version).where(alert_state.c.id == 1)
_RAISE = update(alert_state).where(alert_state.c.id == 1).values(version=alert_state.c.version + 1)


def read_version(connection: Connection) -> int:
    """Return the number that every change by a request increments."""
    return connection.scalar(_VERSION) or 0


def raise_version(connection: Connection) -> None:
    """Signal to all servers that a request changed rules, silences, channels or an alert."""
    if connection.execute(_RAISE).rowcount == 0:
        connection.execute(insert(alert_state).values(id=1, version=1))


def alert_row(alert: Alert) -> dict[str, Any]:
    """Return the columns of an alert."""
    return dump_fields(
        alert,
        alerts,
        open_key=alert.fingerprint if alert.is_open else None,
        target=clean(alert.target)[:255],
        node=alert.labels.get("node"),
        task_id=alert.labels.get("task_id"),
        labels={name: clean(value) for name, value in alert.labels.items()},
        shown_state=alert.shown_state,
        text_values=None if alert.values is None else clean_json(dict(alert.values)),
        is_personal=alert.scope in PERSONAL,
        told=list(alert.notified),
        told_at=None if alert.notified_at is None else to_seconds(alert.notified_at),
    )


def read_alert(row: Row[Any]) -> Alert:
    """Return the alert of a row."""
    told = {"notified": tuple(row.told), "notified_at": maybe_time(row.told_at)}
    return read_fields(Alert, row, values=row.text_values, **told)


def history_row(alert: Alert | Row[Any], actor: str, message: ReasonOrText, now: datetime) -> dict[str, Any]:
    """Return the columns of a history entry."""
    return {
        "alert_id": alert.alert_id,
        "number": alert.number,
        "at": to_seconds(now),
        "state": alert.shown_state,
        "severity": alert.severity,
        "actor": actor,
        **dump_message(message, "message"),
        "value": alert.value,
    }


def read_history(row: Row[Any]) -> AlertHistoryRow:
    """Return the history entry of a row."""
    return read_fields(AlertHistoryRow, row)


def notification_row(notification: AlertNotification, alert: Alert, now: datetime) -> dict[str, Any]:
    """Return the columns of a notification, with a snapshot of its alert."""
    return dump_fields(
        notification,
        alert_notifications,
        group_key=clean(notification.group_key)[:200],
        told=dump_snapshot(take_snapshot(notification, alert)),
        created_at=to_seconds(now),
    )


def take_snapshot(notification: AlertNotification, alert: Alert) -> AlertSnapshot:
    """Return the snapshot of an alert for a notification."""
    return copy_fields(
        AlertSnapshot,
        alert,
        number=notification.number,
        kind=notification.kind,
        labels=dict(alert.labels),
    )


def dump_snapshot(snapshot: AlertSnapshot) -> dict[str, Any]:
    """Return a snapshot as JSON."""
    plain = asdict(snapshot)
    for name, value in plain.items():
        if isinstance(value, datetime):
            plain[name] = value.isoformat()
        elif isinstance(value, str):
            plain[name] = clean(value)
    plain["labels"] = {name: clean(value) for name, value in snapshot.labels.items()}
    return plain


def read_snapshot(document: Any) -> AlertSnapshot:
    """Return a snapshot from its JSON."""
    return _SNAPSHOT.validate_python(document)


def read_silence(row: Row[Any]) -> Silence:
    """Return the silence of a row."""
    return read_fields(Silence, row, matchers=_MATCHERS.validate_python(row.matchers))
