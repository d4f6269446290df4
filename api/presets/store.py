"""Presets of users in the database."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.rows import read_fields, to_seconds
from api.db.saved_tables import presets
from api.domain.audit import note_change
from api.errors import PresetExists, PresetNotFound, TooManyPresets
from api.presets.models import MOST_PRESETS, OwnPreset

#: The owner of a preset that has none. A unique key does not compare NULL.
_NO_OWNER = ""


class PresetStore:
    """The table of presets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: OwnPreset) -> OwnPreset:
        """Store a new preset. Raises PresetExists, TooManyPresets."""
        try:
            with self._database.write() as connection:
                connection.execute(insert(presets).values(_row(new)))
                # On PostgreSQL, concurrent additions may exceed the limit by a few.
                if _count(connection, presets.c.owner == (new.owner or _NO_OWNER)) > MOST_PRESETS:
                    raise TooManyPresets(data={"most": MOST_PRESETS})
                note_change(about=new.preset_id, after=_noted(new))
        except IntegrityError:
            raise PresetExists.named(new.name) from None
        return new

    def get(self, preset_id: str) -> OwnPreset:
        """Return a preset. Raises PresetNotFound."""
        with self._database.read() as connection:
            row = connection.execute(select(presets).where(presets.c.preset_id == preset_id)).one_or_none()
        if row is None:
            raise PresetNotFound.named(preset_id)
        return _read(row)

    def replace(self, changed: OwnPreset, before: OwnPreset) -> OwnPreset:
        """Store a changed preset. Raises PresetNotFound, PresetExists."""
        try:
            with self._database.write() as connection:
                mine = presets.c.preset_id == changed.preset_id
                if connection.execute(update(presets).where(mine).values(_row(changed))).rowcount == 0:
                    raise PresetNotFound.named(changed.preset_id)
                note_change(about=changed.preset_id, before=_noted(before), after=_noted(changed))
        except IntegrityError:
            raise PresetExists.named(changed.name) from None
        return changed

    def remove(self, preset: OwnPreset) -> None:
        """Delete a preset. Raises PresetNotFound."""
        with self._database.write() as connection:
            mine = presets.c.preset_id == preset.preset_id
            if connection.execute(delete(presets).where(mine)).rowcount == 0:
                raise PresetNotFound.named(preset.preset_id)
            note_change(about=preset.preset_id, before=_noted(preset))

    def page(
        self,
        model_type: str | None,
        reader: str | None,
        limit: int,
        offset: int,
        cursor: int | None,
    ) -> tuple[list[tuple[int, OwnPreset]], int]:
        """Return presets with their serial numbers, newest first, and the total number.

        With `reader`, only those of this user and shared ones.
        """
        is_of_type = true() if model_type is None else presets.c.model_type == model_type
        is_visible = true() if reader is None else or_(presets.c.shared.is_(True), presets.c.owner == reader)
        found = and_(is_of_type, is_visible)
        query = select(presets).where(found).order_by(presets.c.serial.desc()).limit(limit)
        query = query.offset(offset) if cursor is None else query.where(presets.c.serial < cursor)
        with self._database.read() as connection:
            return [(row.serial, _read(row)) for row in connection.execute(query)], _count(connection, found)


def _count(connection: Connection, condition: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).select_from(presets).where(condition)) or 0


def _row(preset: OwnPreset) -> dict[str, Any]:
    return {
        "preset_id": preset.preset_id,
        "name": preset.name,
        "owner": preset.owner or _NO_OWNER,
        "model_type": preset.model_type,
        "settings": dict(preset.settings),
        "dataset": dict(preset.dataset),
        "shared": preset.shared,
        "created_at": to_seconds(preset.created_at),
        "updated_at": to_seconds(preset.updated_at),
    }


def _noted(preset: OwnPreset) -> dict[str, Any]:
    """Return the fields of a preset for the audit log."""
    return {
        "name": preset.name,
        "model_type": preset.model_type,
        "shared": preset.shared,
        "settings": dict(preset.settings),
        "dataset": dict(preset.dataset),
    }


def _read(row: Row[Any]) -> OwnPreset:
    return read_fields(OwnPreset, row, owner=row.owner or None)
