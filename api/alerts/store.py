"""Alerts in the database: each change guarded by its number, in one transaction with what is to be told of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, delete, func, insert, or_, select, update

from api.alerts.action_store import insert_actions
from api.alerts.rows import (
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
from api.db.rows import to_seconds
from api.domain.alert import Alert, AlertChange, AlertCounts, AlertFilter, AlertHistoryRow, AlertState, ShownState
from api.domain.alert_rule import RuleScope
from api.domain.audit import note_change
from api.domain.channel import DeliveryState
from api.domain.event import Severity
from api.errors import AlertNotFound, Conflict
from api.util.batches import in_batches

#: Changes of one transaction: none holds anybody up for long, however many alerts there are.
BATCH = 500

#: Rows that one pass of forgetting removes.
FORGOTTEN_AT_ONCE = 500

# Made once: to build a statement anew takes longer than to execute it.
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
_FORGET = delete(alerts).where(alerts.c.alert_id == bindparam("wanted"), alerts.c.number == bindparam("seen"))
_OLD = (
    select(alerts.c.alert_id)
    .where(alerts.c.resolved_at < bindparam("before"), alerts.c.open_key.is_(None))
    .limit(FORGOTTEN_AT_ONCE)
)


class AlertsChanged(Exception):
    """Somebody else has changed one of these alerts meanwhile: read them again. Nothing was kept."""


class AlertStore:
    """Alerts, their history, and what channels are to be told of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> int:
        """The number that each change by a request raises, on whichever server."""
        with self._database.read() as connection:
            return read_version(connection)

    def apply(self, changes: Sequence[AlertChange], now: datetime) -> None:
        """Keeps these changes with their notifications, BATCH of them at a time, in order.

        Raises AlertsChanged, where somebody was first; what was kept before then is kept.
        """
        for batch in in_batches(changes, BATCH):
            with self._database.write() as connection:
                _apply(connection, batch, now)

    def load(self, resolved_after: datetime) -> list[Alert]:
        """Every alert that is open, and those that have ended since then."""
        recent = or_(alerts.c.open_key.is_not(None), alerts.c.resolved_at >= to_seconds(resolved_after))
        with self._database.read() as connection:
            return [read_alert(row) for row in connection.execute(select(alerts).where(recent))]

    def get(self, alert_id: str) -> Alert:
        """The alert with this id. Raises AlertNotFound."""
        with self._database.read() as connection:
            return _get(connection, alert_id)

    def page(
        self, wanted: AlertFilter, limit: int, offset: int, cursor: int | None
    ) -> tuple[list[tuple[int, Alert]], int]:
        """Up to `limit` alerts with their serial numbers, newest first, below `cursor` or after `offset` rows; and how
        many there are in all.
        """
        conditions = _conditions(wanted)
        query = _SHOWN.where(*conditions).order_by(alerts.c.serial.desc()).limit(limit)
        query = query.offset(offset) if cursor is None else query.where(alerts.c.serial < cursor)
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(alerts).where(*conditions)) or 0
            return [(row.serial, read_alert(row)) for row in connection.execute(query)], total

    def count(self, seen_by: str | None = None) -> AlertCounts:
        """How many are open, as far as this user sees them."""
        conditions = [alerts.c.open_key.is_not(None), *_conditions(AlertFilter(seen_by=seen_by))]
        grave = case((alerts.c.severity == Severity.CRITICAL, 1), else_=0)
        query = select(alerts.c.shown_state, func.count().label("all"), func.sum(grave).label("critical"))
        with self._database.read() as connection:
            rows = connection.execute(query.where(*conditions).group_by(alerts.c.shown_state)).all()
        by_state: dict[str, int] = {row.shown_state: row.all for row in rows}
        critical = sum(int(row.critical) for row in rows if row.shown_state == ShownState.FIRING)
        return AlertCounts(**by_state, critical=critical)

    def history(self, alert_id: str, limit: int = 200) -> list[AlertHistoryRow]:
        """The latest changes of an alert, oldest first."""
        mine = select(alert_history).where(alert_history.c.alert_id == alert_id)
        with self._database.read() as connection:
            rows = connection.execute(mine.order_by(alert_history.c.id.desc()).limit(limit)).all()
        return [read_history(row) for row in reversed(rows)]

    def acknowledge(self, alert_id: str, by: str | None, until: datetime | None, comment: str, now: datetime) -> Alert:
        """Notes that somebody knows of a firing alert; `by` None takes that back. Raises AlertNotFound, Conflict."""
        with self._database.write() as connection:
            before = _get(connection, alert_id, lock=True)
            if before.state is not AlertState.FIRING:
                raise Conflict(f"{alert_id} is {before.state}: only what fires can be acknowledged.")
            after = replace(
                before,
                number=before.number + 1,
                acknowledged_by=by,
                acknowledged_at=None if by is None else now,
                acknowledged_until=None if by is None else until,
                acknowledged_severity=None if by is None else before.severity,
                updated_at=now,
            )
            what = "acknowledged" if by is not None else "no longer acknowledged"
            message = f"{what}: {comment}" if comment else what
            note_change(
                about=alert_id, before={"acknowledged_by": before.acknowledged_by}, after={"acknowledged_by": by}
            )
            _apply(connection, [AlertChange(before, after, message, actor=by or "api")], now)
            raise_version(connection)
            return after

    # -- for those who follow ------------------------------------------------------------------------------------------

    def latest_id(self) -> int:
        """The highest id of the history; 0 when there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(alert_history.c.id))) or 0

    def ids_above(self, id_: int, limit: int) -> list[int]:
        """Up to `limit` ids of the history above this one, ascending."""
        query = select(alert_history.c.id).where(alert_history.c.id > id_).order_by(alert_history.c.id).limit(limit)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def changes(self, ids: Sequence[int]) -> list[tuple[AlertHistoryRow, Alert]]:
        """The changes with these ids, by ascending id, each with its alert as it is now."""
        query = select(alert_history).where(alert_history.c.id.in_(ids)).order_by(alert_history.c.id)
        with self._database.read() as connection:
            rows = [read_history(row) for row in connection.execute(query)]
            wanted = _SHOWN.where(alerts.c.alert_id.in_({row.alert_id for row in rows}))
            known = {row.alert_id: read_alert(row) for row in connection.execute(wanted)}
        return [(row, known[row.alert_id]) for row in rows if row.alert_id in known]

    def forget(self, before: datetime) -> int:
        """Removes alerts that ended before this time, with what was told of them; says how many, of a few at most."""
        with self._database.read() as connection:
            ids = list(connection.scalars(_OLD, {"before": to_seconds(before)}))
        if not ids:
            return 0
        with self._database.write() as connection:
            told = alert_notifications.c.alert_id.in_(ids)
            messages = list(connection.scalars(select(alert_notifications.c.delivery_id).where(told).distinct()))
            connection.execute(delete(alert_notifications).where(told))
            left = select(alert_notifications.c.delivery_id).where(alert_notifications.c.delivery_id.in_(messages))
            gone = alert_deliveries.c.delivery_id.in_(messages) & alert_deliveries.c.delivery_id.not_in(left)
            connection.execute(delete(alert_deliveries).where(gone))
            connection.execute(delete(alert_actions).where(alert_actions.c.alert_id.in_(ids)))
            connection.execute(delete(alert_history).where(alert_history.c.alert_id.in_(ids)))
            connection.execute(delete(alerts).where(alerts.c.alert_id.in_(ids)))
        return len(ids)


def _apply(connection: Connection, changes: Sequence[AlertChange], now: datetime) -> None:
    new = [alert_row(each.after) for each in changes if each.before is None]
    kept = [each for each in changes if each.before is not None and not each.is_forgotten]
    gone = [each.before for each in changes if each.before is not None and each.is_forgotten]
    # Freed first: the fingerprint of one that ends here may belong to another that begins here.
    _expect(len(gone), _execute(connection, _FORGET, [_guard(each) for each in gone]))
    moved = [{**alert_row(each.after), **_guard(each.before)} for each in kept if each.before is not None]
    for row in moved:
        del row["alert_id"]
    _expect(len(moved), _execute(connection, _CHANGE, moved))
    if new:
        connection.execute(insert(alerts), new)
    history = [history_row(each.after, each.actor, each.message, now) for each in changes if each.message is not None]
    if history:
        connection.execute(insert(alert_history), history)
    told = [notification_row(told, each.after, now) for each in changes for told in each.notifications]
    if told:
        connection.execute(insert(alert_notifications), told)
    insert_actions(connection, changes, now)


def _execute(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> int:
    return connection.execute(statement, rows).rowcount if rows else 0


def _expect(wanted: int, changed: int) -> None:
    if wanted != changed:
        raise AlertsChanged


def _guard(alert: Alert) -> dict[str, Any]:
    return {"wanted": alert.alert_id, "seen": alert.number}


def _get(connection: Connection, alert_id: str, lock: bool = False) -> Alert:
    query = _SHOWN.where(alerts.c.alert_id == alert_id)
    row = connection.execute(query.with_for_update(of=alerts) if lock else query).one_or_none()
    if row is None:
        raise AlertNotFound(f'No alert has the id "{alert_id[:80]}".')
    return read_alert(row)


def _conditions(wanted: AlertFilter) -> list[Any]:
    equal = {"severity": wanted.severity, "rule_id": wanted.rule_id, "task_id": wanted.task_id}
    conditions: list[Any] = [alerts.c[name] == value for name, value in equal.items() if value is not None]
    if wanted.states:
        conditions.append(alerts.c.shown_state.in_(wanted.states))
    if wanted.gpu_uuid is not None:
        of_gpu = alerts.c.target.endswith(f"/{wanted.gpu_uuid}", autoescape=True)
        conditions += [alerts.c.scope == RuleScope.GPU, of_gpu]
    if wanted.is_open is not None:
        conditions.append(alerts.c.open_key.is_not(None) if wanted.is_open else alerts.c.open_key.is_(None))
    if wanted.since is not None:
        ended = alerts.c.resolved_at
        conditions.append(or_(ended.is_(None), ended >= to_seconds(wanted.since)))
    if wanted.until is not None:
        conditions.append(alerts.c.since <= to_seconds(wanted.until))
    if wanted.seen_by is not None:
        own = and_(alerts.c.is_personal.is_(True), alerts.c.owner == wanted.seen_by)
        conditions.append(or_(alerts.c.is_personal.is_(False), own))
    return conditions
