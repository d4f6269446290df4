"""The table of the actions of alerts.

A server claims an action by a lease and finishes it by the lease's token, in one transaction with the alert's history.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, or_, select, update

from api.alerts.records.rows import history_row, read_alert
from api.db.alert_tables import alert_actions, alert_deliveries, alert_history, alert_notifications, alerts
from api.db.database import Database
from api.db.rows import clean, dump_fields, is_ahead, read_fields, to_seconds
from api.domain.alerts.alert import Alert, AlertChange, AlertState, ShownState
from api.domain.alerts.alert_action import ActionKind, ActionState, AlertAction
from api.domain.alerts.channel import DeliveryState

#: Upper bounds, in seconds, of any lease and of any wait for the next step.
_LONGEST_LEASE, _LONGEST_WAIT = 180.0, 60.0

_OPEN = (ActionState.WAITING, ActionState.UNDERWAY)

#: Older versions had more kinds. Their rows are ignored; the alert's history has their results.
_IS_KNOWN = alert_actions.c.kind.in_(list(ActionKind))


def insert_actions(connection: Connection, changes: Sequence[AlertChange], now: datetime) -> None:
    """Store the actions that belong to these changes."""
    rows = [_row(change, index, now) for change in changes for index in range(len(change.actions))]
    if rows:
        connection.execute(insert(alert_actions), rows)


class ActionStore:
    """The stored actions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, node: str, now: datetime, limit: int = 100) -> list[AlertAction]:
        """Return the actions that this machine must start or check now, oldest first."""
        mine = or_(alert_actions.c.node.is_(None), alert_actions.c.node == node)
        query = select(alert_actions).where(mine, _is_due(to_seconds(now))).order_by(alert_actions.c.serial)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query.limit(limit))]

    def claim(self, action_id: str, now: datetime, lease: timedelta) -> tuple[AlertAction, str] | None:
        """Claim an action; return it with its lease's token. None if another server holds it, or it is over."""
        token, mine = secrets.token_hex(8), alert_actions.c.action_id == action_id
        values = {
            "attempts": alert_actions.c.attempts + 1,
            "lease_token": token,
            "lease_until": to_seconds(now + lease),
        }
        with self._database.write() as connection:
            taken = update(alert_actions).where(mine, _is_due(to_seconds(now))).values(values)
            if connection.execute(taken).rowcount == 0:
                return None
            return _read(connection.execute(select(alert_actions).where(mine)).one()), token

    def begin(self, action_id: str, token: str) -> bool:
        """Record that the action starts now. Return False if the lease has expired."""
        with self._database.write() as connection:
            values = {"state": ActionState.UNDERWAY}
            return connection.execute(update(alert_actions).where(_held(action_id, token)).values(values)).rowcount == 1

    def reschedule(self, action_id: str, token: str, state: ActionState, result: str | None, at: datetime) -> None:
        """Release an action until its next step."""
        values = {
            "state": state,
            "result": None if result is None else clean(result),
            "not_before": to_seconds(at),
            "lease_token": None,
            "lease_until": None,
        }
        with self._database.write() as connection:
            connection.execute(update(alert_actions).where(_held(action_id, token)).values(values))

    def finish(self, action: AlertAction, token: str, state: ActionState, result: str, now: datetime) -> bool:
        """Store the result, also in the alert's history. Return False if the lease has expired."""
        values = {
            "state": state,
            "result": clean(result),
            "finished_at": to_seconds(now),
            "lease_token": None,
            "lease_until": None,
        }
        with self._database.write() as connection:
            mine = _held(action.action_id, token)
            if connection.execute(update(alert_actions).where(mine).values(values)).rowcount == 0:
                return False
            alert = connection.execute(select(alerts).where(alerts.c.alert_id == action.alert_id)).one_or_none()
            if alert is not None:
                message = f"{action.kind} {state}: {result}"
                connection.execute(insert(alert_history).values(history_row(alert, action.actor, message, now)))
        return True

    def of_alert(self, alert_id: str, limit: int = 100) -> list[AlertAction]:
        """Return the latest actions of an alert, oldest first."""
        query = select(alert_actions).where(alert_actions.c.alert_id == alert_id, _IS_KNOWN)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(alert_actions.c.serial.desc()).limit(limit)).all()
        return [_read(row) for row in reversed(rows)]

    def failed_since(self, since: datetime, limit: int = 100) -> list[AlertAction]:
        """Return the actions that have failed since this time, newest first."""
        failed = (alert_actions.c.state == ActionState.FAILED) & (alert_actions.c.finished_at >= to_seconds(since))
        query = select(alert_actions).where(failed, _IS_KNOWN).order_by(alert_actions.c.serial.desc()).limit(limit)
        with self._database.read() as connection:
            return [_read(row) for row in connection.execute(query)]

    def find_reason(self, action: AlertAction) -> Alert | None:
        """Return the action's alert if it still fires and is not muted.

        None if it has resolved since the action was planned.
        """
        ended = select(alert_history.c.id).where(
            alert_history.c.alert_id == action.alert_id,
            alert_history.c.number > action.number,
            alert_history.c.state == ShownState.RESOLVED,
        )
        query = select(alerts).where(
            alerts.c.alert_id == action.alert_id,
            alerts.c.state == AlertState.FIRING,
            alerts.c.muted_by.is_(None),
            ~ended.exists(),
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else read_alert(row)

    def is_notified(self, alert_id: str) -> bool:
        """Return whether no notification of an alert still waits for delivery."""
        joined = alert_notifications.outerjoin(
            alert_deliveries, alert_notifications.c.delivery_id == alert_deliveries.c.delivery_id
        )
        underway = or_(
            alert_notifications.c.delivery_id.is_(None),
            alert_deliveries.c.state.in_((DeliveryState.WAITING, DeliveryState.SENDING)),
        )
        query = select(func.count()).select_from(joined).where(alert_notifications.c.alert_id == alert_id, underway)
        with self._database.read() as connection:
            return not connection.scalar(query)


def _row(change: AlertChange, index: int, now: datetime) -> dict[str, Any]:
    alert, action = change.after, change.actions[index]
    return dump_fields(
        action,
        alert_actions,
        alert_id=alert.alert_id,
        number=alert.number,
        rule_id=alert.rule_id,
        about=None if action.about is None else clean(action.about)[:255],
        state=ActionState.WAITING,
        created_at=to_seconds(now),
        attempts=0,
    )


def _read(row: Row[Any]) -> AlertAction:
    return read_fields(AlertAction, row)


def _is_due(seconds: float) -> Any:
    columns = alert_actions.c
    is_free = or_(columns.lease_until.is_(None), ~is_ahead(columns.lease_until, seconds, _LONGEST_LEASE))
    # The grace period of the idle command is measured by a monotonic clock instead.
    is_time = or_(columns.kind == ActionKind.IDLE_COMMAND, ~is_ahead(columns.not_before, seconds, _LONGEST_WAIT))
    return and_(columns.state.in_(_OPEN), _IS_KNOWN, is_time, is_free)


def _held(action_id: str, token: str) -> Any:
    return (alert_actions.c.action_id == action_id) & (alert_actions.c.lease_token == token)
