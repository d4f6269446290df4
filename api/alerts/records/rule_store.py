"""The tables of rules and silences."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.alerts.records.rows import raise_version, read_silence
from api.db.alert_tables import alert_rules, alert_silences
from api.db.database import Database
from api.db.rows import select_page, to_seconds, to_time
from api.domain.access.audit import note_change
from api.domain.alerts.alert import Silence
from api.domain.alerts.alert_rule import AlertRule
from api.errors import AlertNotFound, Conflict
from api.util.http.pagination import Page, PageRequest

_RULE = TypeAdapter(AlertRule)

#: Fields of a rule that have their own columns, outside of its document.
_COLUMNS = ("rule_id", "is_builtin", "updated_at", "updated_by")


def dump_rule(rule: AlertRule) -> dict[str, Any]:
    """Return a rule as JSON, without the fields that have their own columns."""
    return {name: value for name, value in asdict(rule).items() if name not in _COLUMNS}


class RuleStore:
    """Custom rules, changes of built-in rules, and silences."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, builtin: Mapping[str, AlertRule]) -> dict[str, AlertRule]:
        """Return every rule by id: the built-in rules with their changes, then custom rules."""
        found = dict(builtin)
        with self._database.read() as connection:
            rows = connection.execute(select(alert_rules).order_by(alert_rules.c.rule_id)).all()
        for row in rows:
            stamps = {"updated_at": to_time(row.updated_at), "updated_by": row.updated_by}
            if not row.is_builtin:
                found[row.rule_id] = _RULE.validate_python({**row.document, "rule_id": row.rule_id, **stamps})
            elif row.rule_id in builtin:
                # A change of a rule that this version lacks is ignored, but not deleted: an older version may need it.
                found[row.rule_id] = _with_changes(builtin[row.rule_id], row.document, stamps)
        return found

    def add(self, rule: AlertRule, by: str, now: datetime) -> None:
        """Store a custom rule. Raises Conflict."""
        document = dump_rule(rule)
        row = {"rule_id": rule.rule_id, "is_builtin": False, "document": document, **_stamp(by, now)}
        try:
            with self._database.write() as connection:
                connection.execute(insert(alert_rules).values(row))
                note_change(about=rule.rule_id, after=document)
                raise_version(connection)
        except IntegrityError:
            raise Conflict(f'A rule with the id "{rule.rule_id}" already exists. Choose another id.') from None

    def replace(self, rule: AlertRule, before: AlertRule, by: str, now: datetime) -> None:
        """Store a changed custom rule. Raises AlertNotFound."""
        document = dump_rule(rule)
        mine = (alert_rules.c.rule_id == rule.rule_id) & alert_rules.c.is_builtin.is_(False)
        with self._database.write() as connection:
            values = {"document": document, **_stamp(by, now)}
            if connection.execute(update(alert_rules).where(mine).values(values)).rowcount == 0:
                raise AlertNotFound(f'No rule has the id "{rule.rule_id}".')
            note_change(about=rule.rule_id, before=dump_rule(before), after=document)
            raise_version(connection)

    def change_builtin(self, rule_id: str, changes: Mapping[str, Any], by: str, now: datetime) -> None:
        """Add changes to a built-in rule, besides its earlier changes."""
        with self._database.write() as connection:
            old = _read_document(connection, rule_id)
            new = {**(old or {}), **changes}
            values = {"document": new, **_stamp(by, now)}
            if old is None:
                connection.execute(insert(alert_rules).values(rule_id=rule_id, is_builtin=True, **values))
            else:
                connection.execute(update(alert_rules).where(alert_rules.c.rule_id == rule_id).values(values))
            note_change(about=rule_id, before=old, after=new)
            raise_version(connection)

    def delete(self, rule_id: str) -> None:
        """Delete a custom rule, or the changes of a built-in rule. Raises AlertNotFound."""
        with self._database.write() as connection:
            old = _read_document(connection, rule_id)
            if old is None:
                raise AlertNotFound(f'No custom rule has the id "{rule_id[:80]}".')
            connection.execute(delete(alert_rules).where(alert_rules.c.rule_id == rule_id))
            note_change(about=rule_id, before=old)
            raise_version(connection)

    # -- silences ------------------------------------------------------------------------------------------------------

    def add_silence(self, silence: Silence) -> None:
        """Store a silence."""
        plain = asdict(silence)
        row = {**plain, "matchers": [asdict(each) for each in silence.matchers]}
        for name in ("starts_at", "ends_at", "created_at"):
            row[name] = to_seconds(plain[name])
        row["ended_at"] = None
        with self._database.write() as connection:
            connection.execute(insert(alert_silences).values(row))
            note_change(about=silence.silence_id, after={"matchers": row["matchers"], "comment": silence.comment})
            raise_version(connection)

    def get_silence(self, silence_id: str) -> Silence:
        """Return the silence with this id. Raises AlertNotFound."""
        with self._database.read() as connection:
            return read_silence(_get_silence(connection, silence_id))

    def end_silence(self, silence_id: str, now: datetime) -> Silence:
        """End a silence now. A silence that has ended stays as it is. Raises AlertNotFound."""
        mine, seconds = alert_silences.c.silence_id == silence_id, to_seconds(now)
        earlier = case((alert_silences.c.ends_at > seconds, seconds), else_=alert_silences.c.ends_at)
        with self._database.write() as connection:
            is_open = mine & alert_silences.c.ended_at.is_(None)
            connection.execute(update(alert_silences).where(is_open).values(ends_at=earlier, ended_at=seconds))
            row = _get_silence(connection, silence_id)
            note_change(about=silence_id, after={"ends_at": row.ends_at})
            raise_version(connection)
            return read_silence(row)

    def active_silences(self, now: datetime) -> list[Silence]:
        """Return the silences that have not ended."""
        query = select(alert_silences).where(_is_open(now))
        with self._database.read() as connection:
            return [read_silence(row) for row in connection.execute(query.order_by(alert_silences.c.serial))]

    def silence_page(self, now: datetime, with_ended: bool, owner: str | None, request: PageRequest) -> Page[Silence]:
        """Return silences, newest first. With `owner`, only the silences of that user."""
        conditions = [] if with_ended else [_is_open(now)]
        if owner is not None:
            conditions.append(alert_silences.c.owner == owner)
        query = select(alert_silences).where(*conditions)
        with self._database.read() as connection:
            return select_page(connection, query, alert_silences.c.serial, request, read_silence)

    def count_own(self) -> int:
        """Return the number of custom rules."""
        query = select(func.count()).select_from(alert_rules).where(alert_rules.c.is_builtin.is_(False))
        with self._database.read() as connection:
            return connection.scalar(query) or 0


def _is_open(now: datetime) -> Any:
    return alert_silences.c.ended_at.is_(None) & (alert_silences.c.ends_at > to_seconds(now))


def _get_silence(connection: Connection, silence_id: str) -> Row[Any]:
    row = connection.execute(select(alert_silences).where(alert_silences.c.silence_id == silence_id)).one_or_none()
    if row is None:
        raise AlertNotFound(f'No silence has the id "{silence_id[:80]}".')
    return row


def _stamp(by: str, now: datetime) -> dict[str, Any]:
    return {"updated_by": by, "updated_at": to_seconds(now)}


def _read_document(connection: Connection, rule_id: str) -> dict[str, Any] | None:
    query = select(alert_rules.c.document).where(alert_rules.c.rule_id == rule_id).with_for_update()
    return connection.scalar(query)


def _with_changes(rule: AlertRule, changes: Mapping[str, Any], stamps: Mapping[str, Any]) -> AlertRule:
    others = dict(changes)
    moved = rule.changed({"value": others.pop("value")}) if "value" in others else rule
    plain = {**dump_rule(moved), "rule_id": rule.rule_id, "is_builtin": True, **others, **stamps}
    return _RULE.validate_python(plain)
