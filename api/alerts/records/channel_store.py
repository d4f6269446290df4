"""The table of channels: their settings, their state, and their encrypted addresses."""

from dataclasses import asdict
from datetime import datetime, time
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.alerts.records.rows import raise_version
from api.db.alert_tables import alert_channels, alert_deliveries
from api.db.database import Database
from api.db.rows import dump_fields, read_fields, select_page, to_seconds
from api.domain.access.audit import note_change
from api.domain.alerts.channel import Channel, ChannelSettings, DeliveryState
from api.errors import AlertNotFound, Conflict
from api.util.http.pagination import Page, PageRequest

#: The columns that a request may change, besides the address.
_CHANGED = (
    "name", "shown", "mark", "settings", "enabled", "disabled_reason", "updated_at", "failures", "refusals",
)  # fmt: skip


class ChannelStore:
    """Stored channels. An encrypted address is passed as bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, channel: Channel, sealed: bytes) -> None:
        """Store a new channel. Raises Conflict if its name is taken."""
        row = dump_fields(channel, alert_channels, sealed=sealed, settings=dump_settings(channel.settings))
        try:
            with self._database.write() as connection:
                connection.execute(insert(alert_channels).values(row))
                note_change(about=channel.channel_id, after=_audit_fields(channel))
                raise_version(connection)
        except IntegrityError:
            raise Conflict(f'A channel called "{channel.name}" already exists. Choose another name.') from None

    def replace(self, channel: Channel, before: Channel, sealed: bytes | None) -> None:
        """Store a changed channel, with a new address if one is given. Raises AlertNotFound, Conflict."""
        row = dump_fields(channel, alert_channels, settings=dump_settings(channel.settings))
        values = {name: row[name] for name in _CHANGED}
        if sealed is not None:
            values["sealed"] = sealed
        mine = alert_channels.c.channel_id == channel.channel_id
        try:
            with self._database.write() as connection:
                if connection.execute(update(alert_channels).where(mine).values(values)).rowcount == 0:
                    raise _missing(channel.channel_id)
                if channel.failures == 0:
                    _release(connection, channel.channel_id, channel.updated_at)
                note_change(about=channel.channel_id, before=_audit_fields(before), after=_audit_fields(channel))
                raise_version(connection)
        except IntegrityError:
            raise Conflict(f'A channel called "{channel.name}" already exists. Choose another name.') from None

    def delete(self, channel_id: str) -> None:
        """Delete a channel. Its deliveries stay in the database. Raises AlertNotFound."""
        mine = alert_channels.c.channel_id == channel_id
        with self._database.write() as connection:
            row = connection.execute(select(alert_channels).where(mine)).one_or_none()
            if row is None:
                raise _missing(channel_id)
            connection.execute(delete(alert_channels).where(mine))
            note_change(about=channel_id, before=_audit_fields(read_channel(row)))
            raise_version(connection)

    def get(self, channel_id: str) -> Channel:
        """Return the channel with this id. Raises AlertNotFound."""
        with self._database.read() as connection:
            return _get(connection, channel_id)

    def every(self) -> list[Channel]:
        """Return every channel, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(alert_channels).order_by(alert_channels.c.serial))
            return [read_channel(row) for row in rows]

    def names(self) -> list[str]:
        """Return the names of the enabled channels."""
        query = select(alert_channels.c.name).where(alert_channels.c.enabled.is_(True))
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def with_secrets(self) -> list[tuple[Channel, bytes]]:
        """Return every channel with its encrypted address, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(alert_channels).order_by(alert_channels.c.serial))
            return [(read_channel(row), bytes(row.sealed)) for row in rows]

    def page(self, request: PageRequest) -> Page[Channel]:
        """Return channels, newest first."""
        with self._database.read() as connection:
            return select_page(connection, select(alert_channels), alert_channels.c.serial, request, read_channel)


def dump_settings(settings: ChannelSettings) -> dict[str, Any]:
    """Return the settings as JSON."""
    plain = asdict(settings)
    if settings.quiet_hours is not None:
        for name in ("begins", "ends"):
            at: time = plain["quiet_hours"][name]
            plain["quiet_hours"][name] = at.isoformat("minutes")
    return plain


def read_channel(row: Row[Any]) -> Channel:
    """Return the channel of a row."""
    return read_fields(Channel, row)


def note_success(connection: Connection, channel_id: str, now: datetime) -> None:
    """Record a successful delivery, and make the channel's waiting deliveries due now."""
    values = {"failures": 0, "refusals": 0, "last_error": None, "last_success_at": to_seconds(now)}
    connection.execute(update(alert_channels).where(alert_channels.c.channel_id == channel_id).values(values))
    _release(connection, channel_id, now)


def _release(connection: Connection, channel_id: str, now: datetime) -> None:
    sent = alert_deliveries.c
    waits = (
        (sent.channel_id == channel_id) & (sent.state == DeliveryState.WAITING) & (sent.not_before > to_seconds(now))
    )
    connection.execute(update(alert_deliveries).where(waits).values(not_before=to_seconds(now)))


def note_failure(connection: Connection, channel_id: str, why: str, is_refusal: bool, most_refusals: int) -> None:
    """Record a failed attempt.

    After `most_refusals` refusals in a row, the address counts as invalid: the channel is disabled until a user enables
    it again.
    """
    mine = alert_channels.c.channel_id == channel_id
    refusals = alert_channels.c.refusals + 1 if is_refusal else 0
    values = {"failures": alert_channels.c.failures + 1, "refusals": refusals, "last_error": why}
    connection.execute(update(alert_channels).where(mine).values(values))
    spent = mine & (alert_channels.c.refusals >= most_refusals) & alert_channels.c.enabled.is_(True)
    reason = f"disabled, because its receiver refuses messages: {why}"
    if connection.execute(update(alert_channels).where(spent).values(enabled=False, disabled_reason=reason)).rowcount:
        raise_version(connection)


def _get(connection: Connection, channel_id: str) -> Channel:
    row = connection.execute(select(alert_channels).where(alert_channels.c.channel_id == channel_id)).one_or_none()
    if row is None:
        raise _missing(channel_id)
    return read_channel(row)


def _missing(channel_id: str) -> AlertNotFound:
    return AlertNotFound(f'No channel has the id "{channel_id[:80]}".')


def _audit_fields(channel: Channel) -> dict[str, Any]:
    """Return a channel's fields for the audit, without its address."""
    settings = dump_settings(channel.settings)
    return {"name": channel.name, "kind": channel.kind, "shown": channel.shown, "mark": channel.mark} | {
        "enabled": channel.enabled,
        "settings": settings,
    }
