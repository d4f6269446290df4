"""The table of alerts.

Each change is guarded by its number, and stored in one transaction with its notifications.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, delete, func, insert, or_, select, update

from api.alerts.records.action_store import insert_actions
from api.alerts.records.rows import (
    alert_row,
    history_row,
    notification_row,
    raise_version,
    read_alert,
    read_history,
    read_version,
)
from api.db.alert_tables import alert_actions, alert_deliveries, alert_history, alert_notifications, alerts
from api.db.database import Database
from api.db.rows import select_page, to_seconds
from api.domain.access.audit import note_change
from api.domain.alerts.alert import (
    Alert,
    AlertChange,
    AlertCounts,
    AlertFilter,
    AlertHistoryRow,
    AlertState,
    ShownState,
)
from api.domain.alerts.alert_rule import RuleScope
from api.domain.alerts.channel import DeliveryState
from api.domain.machines.gpu_event import Severity
from api.domain.reason import Reason
from api.errors import AlertNotFound, Conflict
from api.util.batches import in_batches
from api.util.http.pagination import Page, PageRequest

#: Maximum number of changes in one transaction, so that no transaction blocks others for long.
BATCH = 500

#: Maximum number of alerts that one cleanup deletes.
DELETED_AT_ONCE = 500

# Built once, since building a statement takes longer than executing it.
_COLUMNS = [column.name for column in alerts.c if column.name not in ("serial", "alert_id")]
_CHANGE = (
    update(alerts)
    .where(alerts.c.alert_id == bindparam("wanted"), alerts.c.number == bindparam("seen"))
    .values({name: bindparam(name) for name in _COLUMNS})
)
_DELIVERED = alert_deliveries.c.state == DeliveryState.DELIVERED
_SHOWN = select(
    alerts,
    select(func.max(alert_deliveries.c.finished_at))
    .join(alert_notifications, alert_notifications.c.delivery_id == alert_deliveries.c.delivery_id)
    .where(alert_notifications.c.alert_id == alerts.c.alert_id, _DELIVERED)
    .correlate(alerts)
    .scalar_subquery()
    .label("delivered_at"),
)
_DELETE = delete(alerts).where(alerts.c.alert_id == bindparam("wanted"), alerts.c.number == bindparam("seen"))
_OLD = (
    select(alerts.c.alert_id)
    .where(alerts.c.resolved_at < bindparam("before"), alerts.c.open_key.is_(None))
    .limit(DELETED_AT_ONCE)
)


class AlertsChanged(Exception):
    """Another writer has changed one of these alerts: read them again. The batch was not stored."""


class AlertStore:
    """Alerts, their history, and their notifications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        """Return the number that every change by a request to any server increments."""
        with self._database.read() as connection:
            return read_version(connection)

    def apply(self, changes: Sequence[AlertChange], now: datetime) -> None:
        """Store changes with their notifications in order, in batches of BATCH.

        Raises AlertsChanged if another writer was faster. Batches before that are stored.
        """
        for batch in in_batches(changes, BATCH):
            with self._database.write() as connection:
                _apply(connection, batch, now)

    def load(self, resolved_after: datetime) -> list[Alert]:
        """Return every open alert, and those that ended after this time."""
        recent = or_(alerts.c.open_key.is_not(None), alerts.c.resolved_at >= to_seconds(resolved_after))
        with self._database.read() as connection:
            return [read_alert(row) for row in connection.execute(select(alerts).where(recent))]

    def get(self, alert_id: str) -> Alert:
        """Return the alert with this id. Raises AlertNotFound."""
        with self._database.read() as connection:
            return _get(connection, alert_id)

    def page(self, criteria: AlertFilter, request: PageRequest) -> Page[Alert]:
        """Return alerts, newest first."""
        query = _SHOWN.where(*_conditions(criteria))
        with self._database.read() as connection:
            return select_page(connection, query, alerts.c.serial, request, read_alert)

    def count(self, seen_by: str | None = None) -> AlertCounts:
        """Return the numbers of open alerts that this user sees."""
        conditions = [alerts.c.open_key.is_not(None), *_conditions(AlertFilter(seen_by=seen_by))]
        critical_rows = case((alerts.c.severity == Severity.CRITICAL, 1), else_=0)
        query = select(alerts.c.shown_state, func.count().label("all"), func.sum(critical_rows).label("critical"))
        with self._database.read() as connection:
            rows = connection.execute(query.where(*conditions).group_by(alerts.c.shown_state)).all()
        by_state: dict[str, int] = {row.shown_state: row.all for row in rows}
        critical = sum(int(row.critical) for row in rows if row.shown_state == ShownState.FIRING)
        return AlertCounts(**by_state, critical=critical)

    def history(self, alert_id: str, limit: int = 200) -> list[AlertHistoryRow]:
        """Return the latest changes of an alert, oldest first."""
        mine = select(alert_history).where(alert_history.c.alert_id == alert_id)
        with self._database.read() as connection:
            rows = connection.execute(mine.order_by(alert_history.c.id.desc()).limit(limit)).all()
        return [read_history(row) for row in reversed(rows)]

    def acknowledge(self, alert_id: str, by: str | None, until: datetime | None, comment: str, now: datetime) -> Alert:
        """Acknowledge a firing alert; `by` None withdraws that. Raises AlertNotFound, Conflict."""
        with self._database.write() as connection:
            before = _get(connection, alert_id, lock=True)
            if before.state is not AlertState.FIRING:
                raise Conflict(f"{alert_id} is {before.state}. Only a firing alert can be acknowledged.")
            after = replace(
                before,
                number=before.number + 1,
                acknowledged_by=by,
                acknowledged_at=None if by is None else now,
                acknowledged_until=None if by is None else until,
                acknowledged_severity=None if by is None else before.severity,
                updated_at=now,
            )
            message = (
                Reason.of("acknowledged", "alert_acknowledged")
                if by is not None
                else Reason.of("no longer acknowledged", "alert_acknowledgement_withdrawn")
            )
            if comment:
                message = Reason.of("{change}: {comment}", "alert_comment", change=message, comment=comment)
            note_change(
                about=alert_id, before={"acknowledged_by": before.acknowledged_by}, after={"acknowledged_by": by}
            )
            _apply(connection, [AlertChange(before, after, message, actor=by or "api")], now)
            raise_version(connection)
            return after

    # -- for streams ---------------------------------------------------------------------------------------------------

    def latest_id(self) -> int:
        """Return the highest id of the history; 0 if it is empty."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(alert_history.c.id))) or 0

    def ids_above(self, id_: int, limit: int) -> list[int]:
        """Return up to `limit` ids of the history above this one, ascending."""
        query = select(alert_history.c.id).where(alert_history.c.id > id_).order_by(alert_history.c.id).limit(limit)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def changes(self, ids: Sequence[int]) -> list[tuple[AlertHistoryRow, Alert]]:
        """Return the changes with these ids, ascending, each with its alert as it is now."""
        query = select(alert_history).where(alert_history.c.id.in_(ids)).order_by(alert_history.c.id)
        with self._database.read() as connection:
            rows = [read_history(row) for row in connection.execute(query)]
            query = _SHOWN.where(alerts.c.alert_id.in_({row.alert_id for row in rows}))
            known = {row.alert_id: read_alert(row) for row in connection.execute(query)}
        return [(row, known[row.alert_id]) for row in rows if row.alert_id in known]

    def forget(self, before: datetime) -> int:
        """Delete alerts that ended before this time, with their notifications.

        Return their number, at most DELETED_AT_ONCE.
        """
        with self._database.read() as connection:
            ids = list(connection.scalars(_OLD, {"before": to_seconds(before)}))
        if not ids:
            return 0
        with self._database.write() as connection:
            of_alerts = alert_notifications.c.alert_id.in_(ids)
            messages = list(connection.scalars(select(alert_notifications.c.delivery_id).where(of_alerts).distinct()))
            connection.execute(delete(alert_notifications).where(of_alerts))
            left = select(alert_notifications.c.delivery_id).where(alert_notifications.c.delivery_id.in_(messages))
            unused = alert_deliveries.c.delivery_id.in_(messages) & alert_deliveries.c.delivery_id.not_in(left)
            connection.execute(delete(alert_deliveries).where(unused))
            connection.execute(delete(alert_actions).where(alert_actions.c.alert_id.in_(ids)))
            connection.execute(delete(alert_history).where(alert_history.c.alert_id.in_(ids)))
            connection.execute(delete(alerts).where(alerts.c.alert_id.in_(ids)))
        return len(ids)


def _apply(connection: Connection, changes: Sequence[AlertChange], now: datetime) -> None:
    new = [alert_row(each.after) for each in changes if each.before is None]
    changed = [each for each in changes if each.before is not None and not each.is_forgotten]
    deleted = [each.before for each in changes if each.before is not None and each.is_forgotten]
    # Deleted first: a new alert may have the fingerprint of one that ends here.
    _expect(len(deleted), _execute(connection, _DELETE, [_guard(each) for each in deleted]))
    moved = [{**alert_row(each.after), **_guard(each.before)} for each in changed if each.before is not None]
    for row in moved:
        del row["alert_id"]
    _expect(len(moved), _execute(connection, _CHANGE, moved))
    if new:
        connection.execute(insert(alerts), new)
    history = [history_row(each.after, each.actor, each.message, now) for each in changes if each.message is not None]
    if history:
        connection.execute(insert(alert_history), history)
    notifications = [notification_row(note, each.after, now) for each in changes for note in each.notifications]
    if notifications:
        connection.execute(insert(alert_notifications), notifications)
    insert_actions(connection, changes, now)


def _execute(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> int:
    return connection.execute(statement, rows).rowcount if rows else 0


def _expect(expected: int, changed: int) -> None:
    if expected != changed:
        raise AlertsChanged


def _guard(alert: Alert) -> dict[str, Any]:
    return {"wanted": alert.alert_id, "seen": alert.number}


def _get(connection: Connection, alert_id: str, lock: bool = False) -> Alert:
    query = _SHOWN.where(alerts.c.alert_id == alert_id)
    row = connection.execute(query.with_for_update(of=alerts) if lock else query).one_or_none()
    if row is None:
        raise AlertNotFound(f'No alert has the id "{alert_id[:80]}".')
    return read_alert(row)


def _conditions(criteria: AlertFilter) -> list[Any]:
    equal = {"severity": criteria.severity, "rule_id": criteria.rule_id, "task_id": criteria.task_id}
    conditions: list[Any] = [alerts.c[name] == value for name, value in equal.items() if value is not None]
    if criteria.states:
        conditions.append(alerts.c.shown_state.in_(criteria.states))
    if criteria.gpu_uuid is not None:
        of_gpu = alerts.c.target.endswith(f"/{criteria.gpu_uuid}", autoescape=True)
        conditions += [alerts.c.scope == RuleScope.GPU, of_gpu]
    if criteria.is_open is not None:
        conditions.append(alerts.c.open_key.is_not(None) if criteria.is_open else alerts.c.open_key.is_(None))
    if criteria.since is not None:
        ended = alerts.c.resolved_at
        conditions.append(or_(ended.is_(None), ended >= to_seconds(criteria.since)))
    if criteria.until is not None:
        conditions.append(alerts.c.since <= to_seconds(criteria.until))
    if criteria.seen_by is not None:
        own = and_(alerts.c.is_personal.is_(True), alerts.c.owner == criteria.seen_by)
        conditions.append(or_(alerts.c.is_personal.is_(False), own))
    return conditions
